//! Interrupts: Ctrl-C and a polite request to end, and what a run makes of them.
//!
//! Only a command that has something to tidy up listens; all others end the
//! way any program does.

use anyhow::Context as _;
use pleach_engine::Run;

use crate::exit::Exit;
use crate::{exit, stderr, text};

/// Requests to end, in the order in which they arrive.
pub struct Interrupts {
    #[cfg(unix)]
    int: tokio::signal::unix::Signal,
    #[cfg(unix)]
    term: tokio::signal::unix::Signal,
}

/// One request to end.
#[derive(Clone, Copy, Debug)]
pub struct Interrupt {
    /// How it is called, for messages.
    pub name: &'static str,
    /// How a program ends that it ended.
    pub exit: Exit,
}

const CTRL_C: Interrupt = Interrupt { name: "Ctrl-C", exit: Exit::Interrupted };

impl Interrupts {
    /// The first interrupt cancels the tree, which then ends by itself; the second
    /// ends the program, and the log keeps what was decided until then.
    pub async fn stop(mut self, run: Run) {
        let first = self.next().await;
        stderr::line(&format!("{}: cancelling run {}; once more to stop at once", first.name, run.id()));
        let cancel = async {
            match run.cancel("interrupted").await {
                Ok(cancelled) => {
                    let count = text::count(u64::from(cancelled.cancelled_count), "run");
                    stderr::line(&format!("cancelled {count}; waiting for what is still running"));
                }
                Err(error) => stderr::line(&exit::told(&anyhow::Error::new(error).context("cancelling the run"))),
            }
            std::future::pending::<()>().await;
        };
        let second = tokio::select! {
            () = cancel => return,
            second = self.next() => second,
        };
        stderr::line(&format!("{}: stopped at once; `pleach tree {}` shows how far it came", second.name, run.id()));
        std::process::exit(second.exit as i32);
    }
}

#[cfg(unix)]
impl Interrupts {
    /// From here on interrupts no longer end the program by themselves.
    pub fn listen() -> anyhow::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            int: signal(SignalKind::interrupt()).context("listening for Ctrl-C")?,
            term: signal(SignalKind::terminate()).context("listening for SIGTERM")?,
        })
    }

    /// The next one.
    pub async fn next(&mut self) -> Interrupt {
        const TERM: Interrupt = Interrupt { name: "SIGTERM", exit: Exit::Terminated };
        tokio::select! {
            _ = self.int.recv() => CTRL_C,
            _ = self.term.recv() => TERM,
        }
    }
}

#[cfg(not(unix))]
impl Interrupts {
    /// From here on interrupts no longer end the program by themselves.
    pub fn listen() -> anyhow::Result<Self> {
        Ok(Self {})
    }

    /// The next one.
    pub async fn next(&mut self) -> Interrupt {
        if tokio::signal::ctrl_c().await.context("waiting for Ctrl-C").is_err() {
            std::future::pending::<()>().await;
        }
        CTRL_C
    }
}
