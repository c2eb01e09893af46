//! Sites: every expression of a plan, and what is known where it stands.

use crate::expression::Expression;
use crate::plan::{EdgeIx, Kind, Node, NodeIx, Plan, RunPlan};
use crate::source::{Source, Span};
use crate::spelling::Spelling;
use crate::template::Template;

/// What an expression's value has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wants {
    Anything,
    Truth,
    Number,
    List,
}

/// Who computes an expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    Node(NodeIx),
    /// When the node that it leads from is done.
    Edge(EdgeIx),
}

/// An expression where it stands.
pub(super) struct Site<'a> {
    pub owner: Owner,
    pub expression: &'a Expression,
    pub span: Span,
    /// Names that are known there besides `input`, `nodes` and `run`.
    pub locals: &'static [&'static str],
    pub wants: Wants,
}

impl Site<'_> {
    /// Where a part of the expression stands in the file, by its first byte and its length;
    /// the whole where that is not known.
    pub fn place(&self, source: &Source, (start, len): (usize, usize)) -> Span {
        Spelling::new(source, self.span, self.expression.text()).place(start..start + len)
    }
}

/// What is known in the runs of a `map`.
pub(super) const OF_MAP: &[&str] = &["item", "index"];

/// What is known in the rule of a `replan`.
pub(super) const OF_REPLAN: &[&str] = &["failed", "completed"];

/// Shows every expression of a plan.
pub(super) fn each<'a>(plan: &'a Plan, mut show: impl FnMut(Site<'a>)) {
    for (place, node) in plan.nodes.iter().enumerate() {
        of_node(place, node, &mut show);
    }
    for (place, edge) in plan.edges.iter().enumerate() {
        one(Owner::Edge(place), edge.when.as_ref(), &[], Wants::Truth, &mut show);
    }
}

impl Plan {
    /// Whether it has expressions that may take long.
    pub fn may_take_long(&self) -> bool {
        *self.may_take_long.get_or_init(|| {
            let mut found = false;
            each(self, |site| found |= site.expression.may_take_long());
            found
        })
    }
}

fn of_node<'a>(place: NodeIx, node: &'a Node, show: &mut impl FnMut(Site<'a>)) {
    let owner = Owner::Node(place);
    match &node.kind {
        Kind::SpawnRun { run, .. } | Kind::AgentCall { run } => of_run(owner, run, &[], show),
        Kind::SpawnGroup { members, .. } => members.iter().for_each(|run| of_run(owner, run, &[], show)),
        Kind::Map { over, run, .. } => {
            one(owner, over.as_ref(), &[], Wants::List, show);
            of_run(owner, run, OF_MAP, show);
        }
        Kind::Router(router) => {
            one(owner, router.key.as_ref(), &[], Wants::Anything, show);
            router.plugin.iter().for_each(|plugin| of_run(owner, &plugin.run, &[], show));
        }
        Kind::Judge(judge) => {
            one(owner, judge.score.as_ref(), &[], Wants::Number, show);
            judge.plugin.iter().for_each(|plugin| of_run(owner, &plugin.run, &[], show));
        }
        Kind::Replan(replan) => {
            one(owner, replan.when.as_ref(), OF_REPLAN, Wants::Truth, show);
            replan.config.iter().for_each(|config| of_template(owner, config, &[], show));
        }
        Kind::Output(output) => {
            of_template(owner, &output.value, &[], show);
            output.error.iter().for_each(|error| of_template(owner, &error.message, &[], show));
        }
        Kind::Join { .. } | Kind::CancelSubtree { .. } => {}
    }
}

fn of_run<'a>(owner: Owner, run: &'a RunPlan, locals: &'static [&'static str], show: &mut impl FnMut(Site<'a>)) {
    of_template(owner, &run.input, locals, show);
}

fn of_template<'a>(
    owner: Owner,
    template: &'a Template,
    locals: &'static [&'static str],
    show: &mut impl FnMut(Site<'a>),
) {
    for (expression, span) in template.expressions() {
        show(Site { owner, expression, span, locals, wants: Wants::Anything });
    }
}

fn one<'a>(
    owner: Owner,
    expression: Option<&'a (Expression, Span)>,
    locals: &'static [&'static str],
    wants: Wants,
    show: &mut impl FnMut(Site<'a>),
) {
    if let Some((expression, span)) = expression {
        show(Site { owner, expression, span: *span, locals, wants });
    }
}
