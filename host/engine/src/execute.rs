//! Execute: graphs and tasks, from a call to their result. The same runs could be
//! submitted, watched and asked for their report one step at a time.

use std::time::Duration;

use pleach_graph::report::GraphReport;
use pleach_graph::source::Source;
use pleach_graph::spec::{OnFailure, SPEC_VERSION};
use pleach_kernel::{Budget, Grant, ParentClose, Payload, Policy, Priority, Retry, Scope, Tightening};
use serde::{Serialize, Serializer};
use serde_json::Value as Json;

use crate::error::Error;
use crate::host::Host;
use crate::submission::Submission;

/// What a list of tasks is called in lists of runs and in policies.
const TASKS: &str = "tasks";

/// Under what a graph is executed: nothing granted, and nothing limited but by policy
/// and by what the graph says itself.
#[derive(Clone, Debug, Default)]
pub struct Execution {
    pub grant: Grant,
    /// The most runs that run at once.
    pub max_concurrency: Option<u32>,
    pub timeout: Option<Duration>,
    /// In place of the tenant's policy, for this run only.
    pub policy: Option<Policy>,
    /// The most that the whole graph may spend.
    pub budget: Budget,
    /// Limits tighter than the policy's.
    pub limits: Tightening,
}

/// One of several tasks: an agent, what it is given, and what has to be done before.
///
/// It says what a task of a graph file says. So each text in its input may contain
/// `${{ … }}`, such as `${{ nodes.first.output }}` of a task that it needs.
#[derive(Clone, Debug, Serialize)]
pub struct Task {
    pub id: String,
    /// `name` or `name@requirement`.
    pub agent: String,
    pub input: Json,
    /// The tasks that have to be completed before it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<String>,
    /// What its failure means for the others.
    pub on_failure: OnFailure,
    /// The scopes that it may use.
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "as_text")]
    pub scopes: Vec<Scope>,
    /// The scopes that it may hand on to runs of its own.
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "as_text")]
    pub delegate: Vec<Scope>,
    /// Over all its tries.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
    #[serde(skip_serializing_if = "Budget::is_empty")]
    pub budget: Budget,
    pub priority: Priority,
    pub parent_close: ParentClose,
    /// Agents to run in its place, in this order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fallbacks: Vec<String>,
    /// JSON Schemas that its input and its output have to fit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input_schema: Option<Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_schema: Option<Json>,
}

fn as_text<S: Serializer>(scopes: &[Scope], to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(scopes.iter().map(Scope::to_string))
}

impl Task {
    /// A task that is given `{}`, needs no other and is tried once.
    pub fn new(id: impl Into<String>, agent: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            agent: agent.into(),
            input: Json::Object(serde_json::Map::new()),
            needs: Vec::new(),
            on_failure: OnFailure::default(),
            scopes: Vec::new(),
            delegate: Vec::new(),
            timeout_ms: None,
            retry: None,
            budget: Budget::default(),
            priority: Priority::default(),
            parent_close: ParentClose::default(),
            fallbacks: Vec::new(),
            input_schema: None,
            output_schema: None,
        }
    }

    /// The same with this input.
    pub fn given(self, input: Json) -> Self {
        Self { input, ..self }
    }

    /// The same after another task.
    pub fn after(mut self, id: impl Into<String>) -> Self {
        self.needs.push(id.into());
        self
    }
}

impl Host {
    /// Runs a graph to its end and reports on it, however it has ended. An error says
    /// that it was not run, or that its end is not known.
    ///
    /// Whoever is no longer interested may drop the future; the graph goes on.
    ///
    /// ```no_run
    /// use pleach_engine::graph::source::Source;
    /// use pleach_engine::kernel::{Grant, Payload};
    /// use pleach_engine::{Execution, Host};
    ///
    /// async fn race(host: &Host) -> Result<(), Box<dyn std::error::Error>> {
    ///     let file = "examples/first-answer/graph.yaml";
    ///     let source = Source::new(file, std::fs::read_to_string(file)?);
    ///     let input = Payload::of(&serde_json::json!({"question": "Which port?"}))?;
    ///     let spawn = || vec!["spawn:*".parse().expect("a scope")];
    ///     let execution = Execution { grant: Grant::new(spawn(), spawn()), ..Execution::default() };
    ///     let report = host.execute_graph(source, input, execution).await?;
    ///     println!("{}: {:?}", report.status.as_str(), report.output);
    ///     Ok(())
    /// }
    /// ```
    pub async fn execute_graph(
        &self,
        source: Source,
        input: Payload,
        execution: Execution,
    ) -> Result<GraphReport, Error> {
        let Execution { grant, max_concurrency, timeout, policy, budget, mut limits } = execution;
        limits.max_concurrency = [limits.max_concurrency, max_concurrency].into_iter().flatten().min();
        let timeout_ms = timeout.map(|timeout| u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX));
        let submission =
            Submission { grant, limits, timeout_ms, budget, policy, ..Submission::of_graph(source, input) };
        let run = self.submit(submission).await?;
        run.wait().await?;
        let missing = || Error::invalid("reporting on a graph", "the store no longer has the graph that was run");
        run.graph_report().await?.ok_or_else(missing)
    }

    /// Runs tasks, each as soon as those that it needs are completed, and reports on
    /// them as [`Host::execute_graph`] does.
    ///
    /// ```no_run
    /// use pleach_engine::{Error, Execution, Host, Task};
    /// use serde_json::json;
    ///
    /// async fn shout(host: &Host) -> Result<(), Error> {
    ///     let tasks = vec![
    ///         Task::new("read", "reader").given(json!({"path": "repo/README.md"})),
    ///         Task::new("shout", "shouter").given(json!("${{ nodes.read.output.text }}")).after("read"),
    ///     ];
    ///     let execution = Execution { max_concurrency: Some(4), ..Execution::default() };
    ///     let report = host.execute_parallel(tasks, execution).await?;
    ///     for task in &report.tasks {
    ///         println!("{} {} after {:?} ms", task.id, task.status.as_str(), task.duration_ms());
    ///     }
    ///     println!("{} ms in place of {}: {}", report.wall_ms, report.serial_ms, report.summary);
    ///     Ok(())
    /// }
    /// ```
    pub async fn execute_parallel(&self, tasks: Vec<Task>, execution: Execution) -> Result<GraphReport, Error> {
        self.execute_graph(source_of(&tasks)?, Payload::null(), execution).await
    }
}

/// The tasks as a graph file has them.
fn source_of(tasks: &[Task]) -> Result<Source, Error> {
    let graph = serde_json::json!({"spec_version": SPEC_VERSION, "name": TASKS, "tasks": tasks});
    let text =
        serde_json::to_string_pretty(&graph).map_err(|error| Error::invalid("writing tasks as a graph", error))?;
    Ok(Source::new(TASKS, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_of_a_task_is_one_of_the_language() {
        let task = Task {
            needs: vec!["first".into()],
            on_failure: OnFailure::Isolated,
            scopes: vec!["fs.read:repo/*".parse().unwrap()],
            delegate: vec!["spawn:*".parse().unwrap()],
            timeout_ms: Some(7),
            retry: Some(Retry {
                max_attempts: 2,
                backoff: Default::default(),
                initial_ms: 1,
                max_ms: None,
                jitter: 0.5,
            }),
            budget: Budget { tokens: Some(9), ..Budget::default() },
            priority: Priority::High,
            parent_close: ParentClose::Wait,
            fallbacks: vec!["other".into()],
            input_schema: Some(serde_json::json!({"type": "integer"})),
            output_schema: Some(serde_json::json!(true)),
            ..Task::new("second", "worker@^1").given(7.into())
        };
        let source = source_of(&[Task::new("first", "worker"), task]).unwrap();
        let plan = pleach_graph::compile(&source).into_plan().unwrap_or_else(|problems| panic!("{problems:#?}"));
        let second = &plan.nodes[plan.find("second").unwrap()];
        let [run] = second.kind.runs() else { panic!("{second:?}") };
        assert_eq!((run.timeout_ms, run.budget.tokens, run.priority), (Some(7), Some(9), Priority::High));
        assert_eq!((run.retry.unwrap().max_attempts, run.parent_close), (2, ParentClose::Wait));
        assert!(run.input_schema.is_some() && run.output_schema.is_some() && run.fallbacks.len() == 1);
        assert_eq!((run.scopes.can_use().len(), run.scopes.can_delegate().len()), (1, 1));
        assert_eq!((second.on_failure, second.incoming.len()), (OnFailure::Isolated, 1));
    }

    #[test]
    fn tasks_are_named_in_the_problems_of_their_list() {
        let source = source_of(&[Task::new("a", "worker").after("b")]).unwrap();
        let problems = pleach_graph::compile(&source).into_plan().unwrap_err();
        assert!(problems.iter().any(|problem| problem.message.contains("`b`")), "{problems:?}");
    }
}
