//! Progress: what a person sees of a run while it goes on, on standard error.
//!
//! On a terminal it is a live picture, with lines above it for what should not
//! be missed; elsewhere it is lines alone.

use std::io::IsTerminal as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use pleach_engine::kernel::{RunId, Usage};

use crate::board::{Board, Counts};
use crate::narrate::Shown;
use crate::stderr;

/// How often the picture is drawn anew.
const TICK: Duration = Duration::from_millis(100);

/// The most runs that the picture shows, and the lines of the terminal that it
/// leaves free.
const MAX_LINES: usize = 16;
const FREE_LINES: usize = 4;

/// What is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Show {
    /// A picture, and what should not be missed.
    Live,
    /// The course of things, line by line.
    Lines,
    Nothing,
}

impl Show {
    /// Suits what standard error is. `alone` says that nothing else writes to
    /// the same terminal while the run goes on.
    pub fn suited(quiet: bool, alone: bool) -> Self {
        match (quiet, std::io::stderr().is_terminal() && alone) {
            (true, _) => Self::Nothing,
            (false, true) => Self::Live,
            (false, false) => Self::Lines,
        }
    }
}

/// Progress of one run tree.
pub struct Progress {
    show: Show,
    board: Arc<Mutex<Board>>,
    bar: Option<ProgressBar>,
}

impl Progress {
    pub fn start(show: Show, root: RunId, target: &str) -> Self {
        let board = Arc::new(Mutex::new(Board::new(&root.to_string(), target, now())));
        let bar = (show == Show::Live).then(|| draw(board.clone()));
        stderr::draw(bar.clone());
        Self { show, board, bar }
    }

    pub fn event(&mut self, event: &Shown) {
        self.board.lock().unwrap_or_else(PoisonError::into_inner).apply(event);
        let told = match self.show {
            Show::Live => matters(event),
            Show::Lines => matters(event) || is_news(event),
            Show::Nothing => false,
        };
        if told {
            stderr::line(&event.line());
        }
    }

    /// How many runs there were, and what they spent.
    pub fn totals(&self) -> (Counts, Usage) {
        let board = self.board.lock().unwrap_or_else(PoisonError::into_inner);
        (board.counts(), board.spent())
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        stderr::draw(None);
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// What went wrong.
fn matters(event: &Shown) -> bool {
    match event.event.as_str() {
        "policy_deny" | "node_failure" => true,
        "child_lifecycle" => matches!(event.text("status"), "failed" | "timed_out" | "retrying"),
        _ => false,
    }
}

/// What a reader of lines would like to know. A start and an end for each of a
/// thousand runs is not among it; the counts at the end are.
fn is_news(event: &Shown) -> bool {
    matches!(event.event.as_str(), "spawn_decision" | "join_decision" | "cancellation_propagation" | "replan_decision")
        || event.event == "progress" && !event.run_id.contains('.')
}

fn draw(board: Arc<Mutex<Board>>) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    let picture = move |_: &ProgressState, to: &mut dyn std::fmt::Write| {
        let (height, width) = terminal_size();
        let height = height.saturating_sub(FREE_LINES).clamp(1, MAX_LINES);
        let board = board.lock().unwrap_or_else(PoisonError::into_inner);
        to.write_str(&board.draw(now(), width.saturating_sub(3), height)).ok();
    };
    let style =
        ProgressStyle::with_template("{spinner} {picture}").unwrap_or_else(|_| ProgressStyle::default_spinner());
    bar.set_style(style.with_key("picture", picture));
    bar.enable_steady_tick(TICK);
    bar
}

/// Lines and columns of the terminal.
fn terminal_size() -> (usize, usize) {
    let (lines, columns) = console::Term::stderr().size();
    (usize::from(lines), usize::from(columns))
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
