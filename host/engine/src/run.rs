//! A run, from outside: wait for it, watch it, look at its tree, cancel it.

use std::sync::Arc;

use pleach_graph::diagnostic::Diagnostic;
use pleach_graph::report::GraphReport;
use pleach_graph::source::Source;
use pleach_kernel::{
    Caller, Cancel, CancellationPropagation, Cancelled, ChildLifecycle, Finish, Outcome, Query, RunId, Surface, Tree,
    TreeView, Usage,
};
use pleach_store::Owner;

use crate::append::{Journals, append};
use crate::ended::Ended;
use crate::error::Error;
use crate::events::{Events, changed_or_orphaned};
use crate::host::Host;
use crate::mailbox::{Ask, Mailbox, Message};
use crate::recover;

/// A run of this host, of another process with the same store, or of the past.
#[derive(Clone)]
pub struct Run {
    id: RunId,
    host: Host,
    warnings: Arc<[Diagnostic]>,
}

impl Run {
    pub(crate) fn new(id: RunId, host: Host) -> Self {
        Self { id, host, warnings: Arc::new([]) }
    }

    pub(crate) fn with_warnings(self, warnings: Vec<Diagnostic>) -> Self {
        Self { warnings: warnings.into(), ..self }
    }

    /// What was found doubtful about a graph when its run was submitted; nothing of a
    /// run that was looked up later.
    pub fn warnings(&self) -> &[Diagnostic] {
        &self.warnings
    }

    pub fn id(&self) -> RunId {
        self.id
    }

    fn mailbox(&self) -> Option<Arc<Mailbox>> {
        self.host.live(self.id.root)
    }

    /// Waits until the run has ended and that is in the log.
    pub async fn wait(&self) -> Result<Ended, Error> {
        let mut left_meanwhile = false;
        if let Some(mailbox) = self.mailbox() {
            let run = self.id;
            if let Some(ended) = mailbox.ask(|reply| Ask::Wait { run, reply }).await {
                return ended;
            }
            left_meanwhile = true;
        }
        let store = self.host.store();
        loop {
            let changed = store.changed();
            let gone_from_here = left_meanwhile || self.mailbox().is_none();
            let tree = self.fold().await?;
            let run = tree.run(self.id).ok_or_else(|| self.host.no_such_run(self.id))?;
            if run.status.is_terminal() {
                return Ok(Ended::of(run));
            }
            let abandoned = match store.owner(self.id.root).await? {
                Owner::Dead | Owner::Unknown => true,
                Owner::Mine => gone_from_here,
                Owner::Live => false,
            };
            if abandoned {
                let detached = Error::Detached { run_id: self.id };
                return Err(self.host.why_stopped(self.id.root).unwrap_or(detached));
            }
            changed_or_orphaned(store.as_ref(), self.id.root, changed).await?;
        }
    }

    /// Whether the tree has not ended although the host that ran it is gone, so
    /// that nothing will happen in it by itself.
    pub async fn is_abandoned(&self) -> Result<bool, Error> {
        if self.mailbox().is_some() {
            return Ok(false);
        }
        let (root, store) = (self.id.root, self.host.store());
        let orphaned = match store.owner(root).await? {
            Owner::Dead => true,
            // A tree that this host opened and no longer runs has ended.
            Owner::Mine | Owner::Live | Owner::Unknown => false,
        };
        // The end is looked for last: a host may have ended the tree and then itself.
        Ok(orphaned && store.tree(root).await?.is_some_and(|tree| tree.finished_at.is_none()))
    }

    /// The events of the run's tree from `from_seq` on, and on until it ends.
    pub fn events(&self, from_seq: u64) -> Events {
        match self.mailbox() {
            Some(mailbox) => {
                let (store, tenant) = (self.host.store().clone(), mailbox.tenant.clone());
                Events::live(store, mailbox.feed.clone(), mailbox.root, tenant, from_seq)
            }
            None => {
                let store = self.host.store().clone();
                Events::stored(store, self.id.root, self.host.tenant().clone(), from_seq)
            }
        }
    }

    /// The run's tree, or what `query` asks of it; from this run down where it
    /// names none.
    pub async fn tree(&self, query: Query) -> Result<TreeView, Error> {
        let query = Query { run_id: query.run_id.or(Some(self.id)), ..query };
        if let Some(mailbox) = self.mailbox()
            && let Some(view) = mailbox.ask(|reply| Ask::View { query, reply }).await
        {
            return view;
        }
        let tree = self.fold().await?;
        tree.view(&query).map_err(|denial| Error::Denied(Box::new(denial)))
    }

    /// The graph that the run is of, as it was submitted; none where it is of a
    /// component.
    pub async fn graph(&self) -> Result<Option<Source>, Error> {
        let tree = self.fold().await?;
        let Some(plugin) = tree.run(self.id).map(|run| run.spec.plugin.clone()) else { return Ok(None) };
        crate::graphs::read(self.host.store().as_ref(), &plugin).await
    }

    /// What became of the graph that the run is of, task by task, as far as it has
    /// come; none where the run is of a component.
    pub async fn graph_report(&self) -> Result<Option<GraphReport>, Error> {
        let Some(source) = self.graph().await? else { return Ok(None) };
        let plan = match pleach_graph::compile_stored(&source).into_plan() {
            Ok(plan) => plan,
            Err(problems) => return Err(Error::Graph { file: source, problems }),
        };
        let tree = self.fold().await?;
        let query = Query { run_id: Some(self.id), max_depth: Some(1), ..Query::default() };
        let view = tree.view(&query).map_err(|denial| Error::Denied(Box::new(denial)))?;
        let mut events = recover::whole_log(self.host.store().as_ref(), self.id.root).await?;
        // It may have grown since the tree was looked at.
        events.truncate(usize::try_from(view.seq).unwrap_or(usize::MAX));
        Ok(Some(GraphReport::of(&plan, &view.tree, &events)))
    }

    /// Cancels the run and everything it caused, wherever it runs, and waits
    /// until that is decided and in the log.
    pub async fn cancel(&self, reason: &str) -> Result<Cancelled, Error> {
        let cancel = Cancel { run_id: self.id, include_root: true, reason: reason.into() };
        if let Some(mailbox) = self.mailbox() {
            let ask = cancel.clone();
            if let Some(answer) = mailbox.ask(|reply| Ask::Cancel { cancel: ask, reply }).await {
                return answer;
            }
        }
        match self.host.store().owner(self.id.root).await? {
            Owner::Unknown => Err(self.host.no_such_run(self.id)),
            Owner::Live => self.cancel_elsewhere(cancel).await,
            Owner::Mine | Owner::Dead => self.cancel_here(cancel).await,
        }
    }

    /// Leaves word for the host that owns the tree, and waits for its decision.
    async fn cancel_elsewhere(&self, cancel: Cancel) -> Result<Cancelled, Error> {
        let store = self.host.store();
        let before = self.fold().await?;
        let from_seq = before.seq() + 1;
        let (_, expected, _) = self.cancel_in(before, &cancel)?;
        if expected.cancelled_count == 0 {
            return Ok(expected);
        }
        let message = serde_json::to_vec(&Message::Cancel(cancel.clone())).unwrap_or_default();
        let mut events = self.events(from_seq);
        store.post(self.id.root, message).await?;
        while let Some(event) = events.next().await {
            let event = event?;
            let unreadable = |e| Error::invalid("reading what was cancelled", e);
            match event.event.as_str() {
                "orchestration.cancellation_propagation" => {
                    let marked: CancellationPropagation =
                        serde_json::from_str(event.data.as_str()).map_err(unreadable)?;
                    if marked.cancelled_run_ids.iter().any(|run| expected.cancelled_run_ids.contains(run)) {
                        return Ok(Cancelled {
                            run_id: self.id,
                            cancelled_count: marked.count,
                            scanned_count: expected.scanned_count,
                            cancelled_run_ids: marked.cancelled_run_ids,
                            include_root: true,
                            reason: marked.reason,
                        });
                    }
                }
                "orchestration.child_lifecycle" => {
                    let life: ChildLifecycle = serde_json::from_str(event.data.as_str()).map_err(unreadable)?;
                    // It ended by itself before the message was read.
                    if life.child_run_id == self.id && self.fold().await?.run(self.id).is_some_and(ended) {
                        break;
                    }
                }
                _ => {}
            }
        }
        if store.owner(self.id.root).await? == Owner::Dead {
            return self.cancel_here(cancel).await;
        }
        self.cancel_in(self.fold().await?, &cancel).map(|(_, answer, _)| answer)
    }

    /// Cancels in a tree of a host that is gone: no guest runs any more, so that
    /// what is cancelled ends at once.
    async fn cancel_here(&self, cancel: Cancel) -> Result<Cancelled, Error> {
        // Nobody takes the tree up meanwhile; who has is asked, and one that is
        // about to leave is waited for.
        let _occupied = loop {
            if let Some(occupied) = self.host.occupy(self.id.root)? {
                break occupied;
            }
            if let Some(mailbox) = self.mailbox() {
                let ask = cancel.clone();
                if let Some(answer) = mailbox.ask(|reply| Ask::Cancel { cancel: ask, reply }).await {
                    return answer;
                }
            }
            self.host.has_left(self.id.root).await;
        };
        self.host.store().adopt(self.id.root).await?;
        let tree = self.fold().await?;
        let expected_seq = tree.seq();
        let (mut tree, answer, gone) = self.cancel_in(tree, &cancel)?;
        let events = tree.take_events();
        if events.is_empty() {
            return Ok(answer);
        }
        let append = append(&tree, expected_seq, &events, Journals { entries: Vec::new(), forget: gone });
        let (done, written) = tokio::sync::oneshot::channel();
        self.host.store().append(append, Box::new(move |result| drop(done.send(result))));
        written.await.unwrap_or(Err(pleach_store::Error::Closed))?;
        Ok(answer)
    }

    /// The tree after the cancel, its answer, and the runs whose guests had run.
    fn cancel_in(&self, mut tree: Tree, cancel: &Cancel) -> Result<(Tree, Cancelled, Vec<u32>), Error> {
        let now = self.host.now();
        let answer = tree.cancel_subtree(now, Caller::Operator, Surface::Api, cancel)?;
        let gone: Vec<RunId> = tree.active_guests().filter(|run| tree.is_closing(*run)).collect();
        for run_id in &gone {
            let attempt = tree.run(*run_id).map_or(1, |run| run.attempt);
            tree.finish(now, Finish { run_id: *run_id, attempt, outcome: Outcome::Stopped, usage: Usage::default() });
        }
        Ok((tree, answer, gone.into_iter().map(|run| run.index).collect()))
    }

    /// The tree as its log on disk says.
    async fn fold(&self) -> Result<Tree, Error> {
        let tree = recover::tree(self.host.store().as_ref(), self.id.root).await?;
        tree.filter(|tree| tree.tenant() == self.host.tenant() && tree.run(self.id).is_some())
            .ok_or_else(|| self.host.no_such_run(self.id))
    }

    /// Refuses a run that is not there, or not this tenant's.
    pub(crate) async fn exists(self) -> Result<Self, Error> {
        match self.mailbox() {
            Some(mailbox) if self.id.index == 0 && mailbox.tenant == *self.host.tenant() => Ok(self),
            _ => {
                let summary = self.host.store().tree(self.id.root).await?;
                let mine =
                    summary.is_some_and(|tree| tree.tenant == *self.host.tenant() && self.id.index < tree.run_count);
                if mine { Ok(self) } else { Err(self.host.no_such_run(self.id)) }
            }
        }
    }
}

fn ended(run: &pleach_kernel::Run) -> bool {
    run.status.is_terminal()
}
