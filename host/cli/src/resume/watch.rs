//! One tree that was taken up, from there to its end.

use std::collections::BTreeSet;

use pleach_engine::kernel::{Query, RunId, RunView, Usage};
use pleach_engine::{Ended, Error, EventRecord, GraphReport, Host};
use serde::Serialize;
use tokio::sync::mpsc::Sender;

use crate::report::Report;
use crate::text;

/// A tree to be watched, and the host of its tenant.
pub struct Tree {
    pub root: RunId,
    pub host: Host,
    /// What comes from here on is new.
    pub from_seq: u64,
    /// It does not run in another process.
    pub is_taken_up: bool,
    /// Why it cannot be watched.
    pub unseen: Option<Error>,
}

/// What becomes of a tree.
pub enum News {
    Event(Box<EventRecord>),
    /// The other process that ran it is gone.
    TakenOver(RunId),
    Ended(Box<End>),
    /// Its end will not come.
    Lost(RunId, Error),
}

/// How a tree ended.
pub struct End {
    pub ended: Ended,
    tenant: String,
    plugin: String,
    run_count: u32,
    /// By the whole tree.
    spent: Usage,
    /// Of a graph, what became of it.
    pub graph: Option<GraphReport>,
}

/// The same, as it is written in JSON.
#[derive(Serialize)]
pub struct Row<'a> {
    tenant: &'a str,
    plugin: &'a str,
    run_count: u32,
    #[serde(flatten)]
    report: Report<'a>,
}

impl Tree {
    /// A tree that somebody named: taken up where its host is gone, and watched
    /// in any case.
    pub async fn named(host: &Host, root: RunId) -> Self {
        let mut tree = Self { root, host: host.clone(), from_seq: 1, is_taken_up: true, unseen: None };
        match tree.resume().await {
            Ok((from_seq, is_taken_up)) => (tree.from_seq, tree.is_taken_up) = (from_seq, is_taken_up),
            Err(cause) => tree.unseen = Some(Error::unrecovered(root, cause)),
        }
        tree
    }

    async fn resume(&self) -> Result<(u64, bool), Error> {
        let run = self.host.run(self.root).await?;
        let is_abandoned = run.is_abandoned().await?;
        let shown = run.tree(Query { max_nodes: Some(1), ..Query::default() }).await?;
        self.host.resume(self.root).await?;
        Ok((shown.seq + 1, is_abandoned))
    }

    /// Says where it goes on; none where there is nothing to go on with.
    pub async fn told(&self) -> Option<String> {
        let view = self.host.run(self.root).await.ok()?.tree(Query::default()).await.ok()?;
        let (root, plugin, count) = (self.root, text::line(&view.tree.plugin), u64::from(view.node_count));
        Some(match (self.is_taken_up, view.tree.status.is_terminal()) {
            (true, _) => {
                format!("resuming run {root} ({plugin}) with {} after event {}", text::count(count, "run"), view.seq)
            }
            (false, true) => format!("run {root} ({plugin}) has ended already"),
            (false, false) => format!("run {root} ({plugin}) goes on in another process; waiting for its end"),
        })
    }

    /// The names of the roots that it was granted files below.
    pub async fn roots(&self) -> BTreeSet<String> {
        let Ok(run) = self.host.run(self.root).await else { return BTreeSet::new() };
        let Some(Ok(first)) = run.events(1).next().await else { return BTreeSet::new() };
        let data: serde_json::Value = serde_json::from_str(first.data.as_str()).unwrap_or_default();
        let granted = &data["effective_scopes"][0];
        let scopes = ["use", "delegate"].into_iter().filter_map(|kind| granted[kind].as_array()).flatten();
        let resources = scopes.filter_map(|scope| scope.as_str()?.strip_prefix("fs.")?.split_once(':'));
        let names = resources.map(|(_, resource)| resource.split('/').next().unwrap_or_default());
        names.filter(|name| !name.is_empty() && !name.ends_with('*')).map(str::to_owned).collect()
    }

    /// Watches it to its end, and tells that; every event, too, where they are
    /// wanted. Whoever listened may have left meanwhile.
    pub async fn watch(self, with_events: bool, to: Sender<News>) {
        let root = self.root;
        let last = match self.until_end(with_events, &to).await {
            Ok(end) => News::Ended(Box::new(end)),
            Err(error) => News::Lost(root, error),
        };
        to.send(last).await.ok();
    }

    async fn until_end(mut self, with_events: bool, to: &Sender<News>) -> Result<End, Error> {
        if let Some(error) = self.unseen.take() {
            return Err(error);
        }
        loop {
            let run = self.host.run(self.root).await?;
            let mut events = run.events(self.from_seq);
            while let Some(record) = events.next().await {
                let record = record?;
                self.from_seq = record.seq + 1;
                if with_events {
                    to.send(News::Event(Box::new(record))).await.ok();
                }
            }
            match run.wait().await {
                Ok(ended) => return self.end(ended).await,
                // It ran in another process, which has ended before it: its turn
                // is here.
                Err(Error::Detached { .. }) if run.is_abandoned().await? => {
                    self.host.resume(self.root).await?;
                    to.send(News::TakenOver(self.root)).await.ok();
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn end(&self, ended: Ended) -> Result<End, Error> {
        let run = self.host.run(self.root).await?;
        let view = run.tree(Query::default()).await?;
        // What spawns for nodes is a graph.
        let is_graph = view.tree.children.iter().any(|child| child.parent_node_id.is_some());
        let graph = if is_graph { run.graph_report().await? } else { None };
        Ok(End {
            graph,
            ended,
            tenant: self.host.tenant().to_string(),
            plugin: view.tree.plugin.clone(),
            run_count: view.node_count,
            spent: spent(&view.tree),
        })
    }
}

impl End {
    pub fn row(&self) -> anyhow::Result<Row<'_>> {
        let Self { ended, tenant, plugin, run_count, spent, graph } = self;
        Ok(Row { tenant, plugin, run_count: *run_count, report: Report::of(ended, spent).with_graph(graph.as_ref())? })
    }

    /// The run, what it was, how it ended.
    pub fn line(&self) -> String {
        let Self { ended, plugin, run_count, .. } = self;
        let count = text::count(u64::from(*run_count), "run");
        let mut line = format!("{}  {}  {}  {count}", ended.run_id, text::line(plugin), super::word(ended.status));
        if let Some(error) = &ended.error {
            let message = error.message.lines().next().unwrap_or_default();
            let why = format!("{}: {message}", error.code);
            line.push_str("  ");
            line.push_str(&text::line(&text::cut(&why, 120)));
        }
        line
    }
}

/// What a run and those below it have spent. Trees are no deeper than policy
/// allows.
fn spent(run: &RunView) -> Usage {
    let mut sum = run.usage;
    for child in &run.children {
        sum.add(&spent(child));
    }
    sum
}
