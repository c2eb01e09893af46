//! Scripts: one process for each question, and an end to it whatever it does.

use std::ffi::OsString;
use std::fs::File;
use std::io::{Read as _, Seek as _};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::process::{Child, Command};
use tokio::sync::watch;

/// How long a script that was asked to end may take for it: it stops servers.
const GRACE: Duration = Duration::from_secs(60);

/// The scripts of a folder, and the venvs that they are run in.
#[derive(Clone, Debug)]
pub struct Scripts {
    pub folder: PathBuf,
    pub venvs: Option<PathBuf>,
}

/// Why a script gave no answer.
#[derive(Debug)]
pub enum Trouble {
    Failed(String),
    /// Somebody wants the benchmark to end.
    Stopped,
}

impl Scripts {
    /// The peers that have a script, in order.
    pub fn names(&self) -> anyhow::Result<Vec<String>> {
        let doing = || {
            format!(
                "looking for the peers' scripts in `{}`, where this program was built; build it again in the \
                 repository that you run it for",
                self.folder.display()
            )
        };
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.folder).with_context(doing)? {
            let file = entry.with_context(doing)?.file_name().to_string_lossy().into_owned();
            let name = file.strip_prefix("peer_").and_then(|file| file.strip_suffix(".py"));
            names.extend(name.map(str::to_owned));
        }
        ensure!(!names.is_empty(), "{}: there is no `peer_NAME.py`", doing());
        names.sort();
        Ok(names)
    }

    /// What a peer's script says on its stdout when it is asked with `arguments`; it
    /// should be done within `limit` by itself.
    pub async fn ask(
        &self,
        peer: &str,
        arguments: &[&str],
        limit: Duration,
        stop: &mut watch::Receiver<bool>,
    ) -> Result<String, Trouble> {
        let python = self.python(peer);
        let script = self.folder.join(format!("peer_{peer}.py"));
        let mut asked = match Asked::start(&python, &script, arguments) {
            Ok(asked) => asked,
            Err(error) => return Err(Trouble::Failed(format!("{error:#}"))),
        };
        let ended = tokio::select! {
            biased;
            () = is_true(stop) => {
                asked.end().await;
                return Err(Trouble::Stopped);
            }
            ended = tokio::time::timeout(limit + GRACE, asked.child.wait()) => ended,
        };
        let Ok(ended) = ended else {
            asked.end().await;
            return Err(Trouble::Failed(format!("not done within {} s, and stopped", (limit + GRACE).as_secs())));
        };
        match ended.context("waiting for it to end").and_then(|status| asked.said(status)) {
            Ok(said) => said.map_err(Trouble::Failed),
            Err(error) => Err(Trouble::Failed(format!("{error:#}"))),
        }
    }

    fn python(&self, peer: &str) -> OsString {
        let own = self.venvs.as_ref().map(|venvs| venvs.join(peer).join("bin/python"));
        own.filter(|python| python.is_file()).map_or_else(|| "python3".into(), PathBuf::into_os_string)
    }
}

/// Waits until somebody wants an end; for ever where nobody can.
async fn is_true(stop: &mut watch::Receiver<bool>) {
    if stop.wait_for(|stop| *stop).await.is_err() {
        std::future::pending().await
    }
}

/// A script that runs.
struct Asked {
    child: Child,
    // Files, not pipes: a process that a tool leaves behind would hold a pipe open.
    stdout: File,
    stderr: File,
}

impl Asked {
    fn start(python: &OsString, script: &Path, arguments: &[&str]) -> anyhow::Result<Self> {
        let stdout = tempfile::tempfile().context("making a file for what a script says")?;
        let stderr = tempfile::tempfile().context("making a file for what a script says")?;
        let mut command = Command::new(python);
        command.arg(script).args(arguments).stdin(Stdio::null());
        command.stdout(stdout.try_clone()?).stderr(stderr.try_clone()?);
        // A group of its own: else Ctrl-C reaches it at once and again from here, and
        // the second may interrupt the tidying up after the first.
        command.process_group(0).kill_on_drop(true);
        let doing = || {
            let python = python.to_string_lossy();
            format!("starting `{python} {}`; is there a Python 3.10 or newer?", script.display())
        };
        Ok(Self { child: command.spawn().with_context(doing)?, stdout, stderr })
    }

    /// Ends it, gently at first.
    async fn end(&mut self) {
        let Some(id) = self.child.id().and_then(|id| Pid::from_raw(id.cast_signed())) else { return };
        // It may have ended by itself meanwhile.
        let _ = kill_process(id, Signal::TERM);
        if tokio::time::timeout(GRACE, self.child.wait()).await.is_err() {
            let _ = kill_process_group(id, Signal::KILL);
            let _ = self.child.wait().await;
        }
    }

    /// What it has said on stdout; the last line of its stderr where it failed.
    fn said(&mut self, status: ExitStatus) -> anyhow::Result<Result<String, String>> {
        if status.success() {
            return Ok(Ok(content(&mut self.stdout)?));
        }
        let complaint = content(&mut self.stderr)?;
        let last = complaint.lines().map(str::trim).rfind(|line| !line.is_empty());
        Ok(Err(last.map_or_else(|| format!("it ended with {status} and said nothing"), str::to_owned)))
    }
}

fn content(file: &mut File) -> anyhow::Result<String> {
    let mut bytes = Vec::new();
    file.rewind().and_then(|()| file.read_to_end(&mut bytes)).context("reading what a script has said")?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
