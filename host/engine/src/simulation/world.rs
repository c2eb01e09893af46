//! What outlives a host: the disk, the world outside, and what people were told.
//!
//! Everything that a host does to any of them is a step. A world can end the
//! host at any step: before it takes effect, or right after. From then on
//! nothing that is left of that host has any effect.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use pleach_kernel::{Event, Lineage, RootId, RunId, Tenant, Tree};
use pleach_sandbox::{Answer, CallError, Entry, journal};
use pleach_store::{Append, Done, Error, PluginRow, TreeSummary};
use tokio::sync::Notify;

/// Where a step is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    Before,
    After,
    /// With appends: half of what waits for the disk gets there, the rest does
    /// not. Else as `Before`.
    Half,
}

/// One tree on disk.
#[derive(Clone, Default)]
pub(super) struct OnDisk {
    pub events: Vec<Arc<[u8]>>,
    pub summary: Option<TreeSummary>,
    pub journals: BTreeMap<u32, Vec<Vec<u8>>>,
    pub snapshot: Option<(u64, Vec<u8>)>,
    pub owner: u32,
    /// How often a host took it up.
    pub adoptions: u32,
    /// Events that hosts were told are on disk.
    confirmed: u64,
}

pub(super) struct World(Mutex<Inner>, Notify);

#[derive(Default)]
pub(super) struct Inner {
    /// Hosts so far; the number of the one that lives.
    pub life: u32,
    dead: bool,
    pub steps: u64,
    /// What guests have said to the hosts.
    pub said: u64,
    cut: Option<(u64, Cut)>,
    pub disk: BTreeMap<RootId, OnDisk>,
    pub blobs: BTreeMap<String, Vec<u8>>,
    pub plugins: Vec<PluginRow>,
    /// Graphs, by their digests.
    pub components: BTreeMap<String, Vec<u8>>,
    pub waiting: VecDeque<(Append, Done)>,
    /// From this append on, the first with events is confirmed and not written.
    pub lie_at: Option<u64>,
    pub lied: bool,
    pub appends: u64,
    /// Appends that fail, counted down.
    pub fail_in: Option<u64>,
    /// By idempotency key: after how many adoptions of its tree an effect took
    /// place.
    effects: BTreeMap<Arc<str>, Vec<u32>>,
    answers: u64,
    /// What guests were told that a later execution has to be told again.
    notes: BTreeMap<(RunId, u32), BTreeMap<usize, String>>,
    /// How often the log of each tree could not be written.
    broken: BTreeMap<RootId, u64>,
    /// What watchers of a tree were shown: the bodies, from seq 1.
    pub shown: BTreeMap<RootId, Vec<String>>,
    /// What went wrong.
    pub faults: Vec<String>,
}

impl World {
    pub(super) fn new(plugins: Vec<PluginRow>) -> Arc<Self> {
        let inner = Inner { plugins, dead: true, ..Inner::default() };
        Arc::new(Self(Mutex::new(inner), Notify::new()))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Begins the life of another host; its number.
    pub(super) fn begin(&self, cut: Option<(u64, Cut)>) -> u32 {
        let mut inner = self.lock();
        inner.life += 1;
        inner.dead = false;
        inner.steps = 0;
        inner.cut = cut;
        inner.life
    }

    /// Ends the host that lives, wherever it is.
    pub(super) fn end(&self) {
        self.lock().die();
        self.1.notify_waiters();
    }

    /// Waits until the host is ended by a cut.
    pub(super) async fn ended(&self) {
        let told = self.1.notified();
        if !self.lock().dead {
            told.await;
        }
    }

    /// Whether the host of this number lives.
    pub(super) fn lives(&self, life: u32) -> bool {
        let inner = self.lock();
        inner.life == life && !inner.dead
    }

    /// Takes a step of a host: `work` is done unless the host ends before it.
    /// None where it has ended, now or earlier.
    pub(super) fn step<T>(&self, life: u32, work: impl FnOnce(&mut Inner) -> T) -> Option<T> {
        let mut inner = self.lock();
        if inner.life != life || inner.dead {
            return None;
        }
        inner.steps += 1;
        let steps = inner.steps;
        let cut = inner.cut.filter(|(at, _)| *at == steps).map(|(_, cut)| cut);
        let done = match cut {
            Some(Cut::Before) => None,
            Some(Cut::Half) | Some(Cut::After) | None => Some(work(&mut inner)),
        };
        let Some(cut) = cut else { return done };
        match cut {
            Cut::Before => {}
            // What has been asked for is on disk, and nobody has heard of it.
            Cut::After => inner.write(usize::MAX),
            Cut::Half => {
                let half = inner.waiting.len() / 2;
                inner.write(half);
            }
        }
        inner.die();
        drop(inner);
        self.1.notify_waiters();
        None
    }

    /// A new answer each time.
    pub(super) fn answer(&self) -> Vec<u8> {
        let mut inner = self.lock();
        inner.answers += 1;
        // Now and then one that is too long to stand in the journal itself.
        let padding = if inner.answers.is_multiple_of(4) { 6_000 } else { 4 };
        format!("{:0padding$}", inner.answers).into_bytes()
    }

    /// An effect outside. What leads to it has to be on disk, and in one life it
    /// takes place once.
    pub(super) async fn effect(&self, lineage: &Lineage, key: Arc<str>) -> Result<Vec<u8>, CallError> {
        let life = self.lock().life;
        let (run, done) = (lineage.run_id, key.clone());
        let step = self.step(life, move |inner| {
            let intended =
                inner.disk.get(&run.root).and_then(|tree| tree.journals.get(&run.index)).into_iter().flatten();
            let known = intended
                .filter_map(|body| journal::decode(body).ok())
                .any(|entry| matches!(&entry.answer, Answer::Intended { key } if *key == done));
            if !known {
                inner.faults.push(format!("effect {done} took place before its intent was on disk"));
            }
            // A tree whose log could not be written is taken up again, too.
            let time = inner.disk.get(&run.root).map_or(0, |tree| tree.adoptions);
            let times = inner.effects.entry(done.clone()).or_default();
            if times.contains(&time) {
                inner.faults.push(format!("effect {done} took place twice under one host"));
            }
            times.push(time);
        });
        match step {
            Some(()) => Ok(b"done".to_vec()),
            // The host has ended, and with it whoever waits here.
            None => std::future::pending().await,
        }
    }

    /// How often a tree's log could not be written, or was taken up: guests that
    /// were started before the last time have nothing more to say, and what they
    /// were told and no disk has need not be told again.
    pub(super) fn generation(&self, root: RootId) -> u64 {
        let inner = self.lock();
        let adoptions = inner.disk.get(&root).map_or(0, |tree| tree.adoptions);
        inner.broken.get(&root).copied().unwrap_or(0) + u64::from(adoptions)
    }

    /// The `number`th thing (from 1) that a run was told in this execution, of a
    /// kind that is told again in the next.
    pub(super) fn note(&self, lineage: &Lineage, generation: u64, number: usize, told: String) {
        let run = lineage.run_id;
        if self.generation(run.root) != generation {
            return;
        }
        let mut inner = self.lock();
        if inner.dead {
            return;
        }
        let before =
            inner.notes.entry((run, lineage.attempt)).or_default().entry(number).or_insert_with(|| told.clone());
        if *before != told {
            let fault = format!("run {run} was told {} where it had been told {}", brief(&told), brief(before));
            inner.faults.push(fault);
        }
    }

    /// Somebody who watches a tree is shown an event.
    pub(super) fn show(&self, life: u32, root: RootId, seq: u64, body: String) {
        let mut inner = self.lock();
        if inner.life != life || inner.dead {
            return;
        }
        let on_disk = inner.disk.get(&root).map_or(0, |tree| tree.events.len() as u64);
        if seq > on_disk {
            inner.faults.push(format!("seq {seq} of {root} was shown and {on_disk} are on disk"));
        }
        let shown = inner.shown.entry(root).or_default();
        match shown.get(seq as usize - 1) {
            None if shown.len() as u64 == seq - 1 => shown.push(body),
            None => inner.faults.push(format!("seq {seq} of {root} was shown out of order")),
            Some(before) if *before == body => {}
            Some(before) => {
                let fault = format!("seq {seq} of {root} was shown as {before} and then as {body}");
                inner.faults.push(fault);
            }
        }
    }
}

impl Inner {
    /// Writes the first `most` appends that wait, and hands back whom to tell.
    pub(super) fn commit(&mut self, most: usize) -> Vec<(Done, Result<(), Error>)> {
        let most = most.min(self.waiting.len());
        let appends: Vec<(Append, Done)> = self.waiting.drain(..most).collect();
        let mut told = Vec::with_capacity(appends.len());
        let mut failed: BTreeMap<RootId, ()> = BTreeMap::new();
        for (append, done) in appends {
            self.appends += 1;
            let (root, number) = (append.root, self.appends);
            let due = self.fail_in.as_mut().is_some_and(|left| {
                *left = left.saturating_sub(1);
                *left == 0
            });
            if due {
                self.fail_in = None;
            }
            let result = if due {
                Err(Error::Full { path: "simulated".into(), detail: "as told".into() })
            } else if failed.contains_key(&root) {
                Err(Error::AfterFailure { tree: root })
            } else if !self.lied && self.lie_at.is_some_and(|at| at <= number) && !append.events.is_empty() {
                self.lied = true;
                let tree = self.disk.entry(root).or_default();
                tree.confirmed += append.events.len() as u64;
                Ok(())
            } else {
                self.put(append)
            };
            if result.is_err() && failed.insert(root, ()).is_none() {
                *self.broken.entry(root).or_default() += 1;
                self.forget_untold(|run| run.root == root);
            }
            told.push((done, result));
        }
        // Whatever of the same tree was queued behind a failure was decided on
        // what never came to be.
        let waiting = std::mem::take(&mut self.waiting);
        for (append, done) in waiting {
            if failed.contains_key(&append.root) {
                told.push((done, Err(Error::AfterFailure { tree: append.root })));
            } else {
                self.waiting.push_back((append, done));
            }
        }
        told
    }

    fn write(&mut self, most: usize) {
        // Whom to tell is gone.
        drop(self.commit(most));
    }

    fn put(&mut self, append: Append) -> Result<(), Error> {
        let life = self.life;
        let tree = self.disk.entry(append.root).or_default();
        let found = tree.events.len() as u64;
        if tree.summary.is_none() {
            tree.owner = life;
        }
        if tree.owner != life {
            return Err(Error::NotOwner { tree: append.root });
        }
        if found != append.expected_seq {
            return Err(Error::Fenced { tree: append.root, expected: append.expected_seq, found });
        }
        tree.confirmed += append.events.len() as u64;
        tree.events.extend(append.events);
        tree.summary = Some(append.summary);
        for run in append.forget {
            tree.journals.remove(&run);
        }
        for entry in append.journal {
            let journal = tree.journals.entry(entry.run).or_default();
            if journal.len() as u32 != entry.position {
                let detail = format!("entry {} of run {} follows {}", entry.position, entry.run, journal.len());
                self.faults.push(detail.clone());
                return Err(Error::Refused { tree: append.root, detail });
            }
            journal.push(entry.body);
            if let Some(blob) = entry.blob {
                self.blobs.insert(blob.digest, blob.body);
            }
        }
        Ok(())
    }

    /// A host takes up a tree: what was confirmed has to be there.
    pub(super) fn adopt(&mut self, root: RootId) {
        let life = self.life;
        let Some(tree) = self.disk.get_mut(&root) else { return };
        tree.owner = life;
        tree.adoptions += 1;
        let there = tree.events.len() as u64;
        if tree.confirmed > there {
            let fault = format!("{root}: {} events were confirmed and {there} are on disk", tree.confirmed);
            self.faults.push(fault);
        }
        // A driver that has not heard yet that its tree's log could not be written
        // may have started a guest since, and told it what no disk will ever have.
        self.forget_untold(|run| run.root == root);
    }

    fn die(&mut self) {
        if self.dead {
            return;
        }
        self.dead = true;
        self.waiting.clear();
        self.forget_untold(|_| true);
    }

    /// What guests were told and no disk has need not be told again.
    fn forget_untold(&mut self, of: impl Fn(RunId) -> bool) {
        let disk = &self.disk;
        for ((run, attempt), notes) in self.notes.iter_mut().filter(|((run, _), _)| of(*run)) {
            let kept = match disk.get(&run.root) {
                Some(tree) if tree.attempt(*run) == *attempt => {
                    let journal = tree.journals.get(&run.index).into_iter().flatten();
                    journal.filter_map(|body| journal::decode(body).ok()).filter(is_noted).count()
                }
                // No disk knows of this try, or it is over.
                Some(_) | None => 0,
            };
            notes.retain(|number, _| *number <= kept);
        }
    }
}

impl OnDisk {
    /// The try of a run that the log ends in; 0 where the run is not in it.
    fn attempt(&self, run: RunId) -> u32 {
        let events = self.events.iter().filter_map(|body| serde_json::from_slice::<Event>(body).ok());
        let tree = Tree::fold(run.root, events).ok();
        tree.and_then(|tree| Some(tree.run(run)?.attempt)).unwrap_or(0)
    }
}

/// The end of a text, which is where long answers differ.
fn brief(text: &str) -> &str {
    &text[text.len().saturating_sub(12)..]
}

/// Entries that stand for one note of a guest each.
fn is_noted(entry: &Entry) -> bool {
    let noted = *entry.what == *"sim.recorded" || *entry.what == *journal::what::CANCEL;
    noted && !matches!(entry.answer, Answer::Failed(_))
}

/// The one tenant of a simulation.
pub(super) fn tenant() -> Tenant {
    Tenant::default_tenant()
}
