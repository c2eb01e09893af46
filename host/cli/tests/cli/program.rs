//! The program under test: started in a folder of its own, watched, judged.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::PathBuf;
use std::process::{Child, ChildStderr, ChildStdout, Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// A folder to work in; the default store lies in it.
pub struct Desk {
    folder: TempDir,
}

/// What a command did.
pub struct Done {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Desk {
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a temporary folder") }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Puts a file there.
    pub fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("creating a folder");
        std::fs::write(&path, content).expect("writing a file");
        path
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pleach"));
        command.args(arguments).current_dir(self.folder.path()).stdin(Stdio::null());
        for variable in ["PLEACH_STORE", "PLEACH_TENANT", "PLEACH_LOG"] {
            command.env_remove(variable);
        }
        command
    }

    /// Runs a command to its end.
    pub fn pleach(&self, arguments: &[&str]) -> Done {
        Done::of(self.command(arguments).output().expect("starting pleach"))
    }

    /// The same, with the exit code that it has to have.
    #[track_caller]
    pub fn expect(&self, code: i32, arguments: &[&str]) -> Done {
        let done = self.pleach(arguments);
        assert_eq!(done.code, code, "pleach {}\n{}", arguments.join(" "), done.told());
        done
    }

    /// Starts a command and leaves it running.
    pub fn start(&self, arguments: &[&str]) -> Running {
        let mut command = self.command(arguments);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starting pleach");
        let stdout = BufReader::new(child.stdout.take().expect("its output"));
        let stderr = BufReader::new(child.stderr.take().expect("its errors"));
        Running { child, stdout, stderr, seen: String::new() }
    }

    /// A run of a sleeper that has started; its id. The sleeper wakes up by
    /// itself in the end, so that a broken program fails a test and does not
    /// hang it.
    pub fn start_sleeper(&self) -> (Running, String) {
        self.start_agent(&["run", &guest("sleeper"), "--input", r#"{"ms": 60000}"#, "--format", "ndjson"])
    }

    /// A run in `ndjson` that has started; its id.
    pub fn start_agent(&self, arguments: &[&str]) -> (Running, String) {
        let mut running = self.start(arguments);
        let started = running.stdout_until(|line| {
            let event: Value = serde_json::from_str(line).expect("an event");
            event["data"]["status"] == "started"
        });
        let event: Value = serde_json::from_str(&started).expect("an event");
        let id = event["root_run_id"].as_str().expect("the root of the event").to_owned();
        (running, id)
    }
}

impl Done {
    pub fn of(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).expect("UTF-8 on standard output"),
            stderr: String::from_utf8(output.stderr).expect("UTF-8 on standard error"),
        }
    }

    /// All of it, for a message.
    pub fn told(&self) -> String {
        format!("exit code {}\nstdout: {}\nstderr: {}", self.code, self.stdout, self.stderr)
    }

    /// Standard output as one JSON document.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}\n{}", self.told()))
    }

    /// Standard output as one JSON document a line.
    #[track_caller]
    pub fn json_lines(&self) -> Vec<Value> {
        let parse = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        self.stdout.lines().map(parse).collect()
    }

    /// Every one of `parts` is in what was written to standard error.
    #[track_caller]
    pub fn says(&self, parts: &[&str]) -> &Self {
        for part in parts {
            assert!(self.stderr.contains(part), "`{part}` is missing\n{}", self.told());
        }
        self
    }
}

/// A command that is running.
pub struct Running {
    pub child: Child,
    stdout: BufReader<ChildStdout>,
    stderr: BufReader<ChildStderr>,
    seen: String,
}

impl Running {
    /// Reads standard output up to a line, and returns that line.
    #[track_caller]
    pub fn stdout_until(&mut self, wanted: impl Fn(&str) -> bool) -> String {
        loop {
            let mut line = String::new();
            if self.stdout.read_line(&mut line).expect("reading standard output") == 0 {
                let mut errors = String::new();
                self.stderr.read_to_string(&mut errors).expect("reading standard error");
                panic!("it ended too early\nstdout: {}\nstderr: {errors}", self.seen);
            }
            self.seen.push_str(&line);
            if wanted(line.trim_end()) {
                return line;
            }
        }
    }

    /// Reads standard error up to a line with `part`.
    #[track_caller]
    pub fn stderr_until(&mut self, part: &str) {
        let mut seen = String::new();
        while !seen.contains(part) {
            let read = self.stderr.read_line(&mut seen).expect("reading standard error");
            assert!(read > 0, "it ended without `{part}`: {seen}");
        }
    }

    /// Sends a signal, by name.
    pub fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().expect("starting kill").success(), "{kill}");
    }

    /// Waits for the end.
    pub fn finish(self) -> Done {
        let Self { mut child, mut stdout, mut stderr, seen: mut out } = self;
        let errors = std::thread::spawn(move || {
            let mut errors = String::new();
            stderr.read_to_string(&mut errors).expect("reading standard error");
            errors
        });
        stdout.read_to_string(&mut out).expect("reading standard output");
        let code = child.wait().expect("waiting for pleach").code().unwrap_or(-1);
        Done { code, stdout: out, stderr: errors.join().expect("the reader of standard error") }
    }

    /// Stops reading its output, as `head` does, and waits for the end.
    pub fn finish_unread(self) -> Done {
        let Self { mut child, stdout, mut stderr, seen } = self;
        drop(stdout);
        let mut errors = String::new();
        stderr.read_to_string(&mut errors).expect("reading standard error");
        let code = child.wait().expect("waiting for pleach").code().unwrap_or(-1);
        Done { code, stdout: seen, stderr: errors }
    }
}

/// The component of a test guest.
pub fn guest(name: &str) -> String {
    component(&format!("tests/guests/{name}/{name}.wasm"))
}

/// A component of this repository.
pub fn component(path: &str) -> String {
    let path = repository().join(path);
    assert!(path.is_file(), "{} is not there: `pleach plugin build --all` makes it", path.display());
    path.to_str().expect("a path in UTF-8").to_owned()
}

/// The folder that holds everything.
pub fn repository() -> PathBuf {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    root.canonicalize().expect("the repository")
}
