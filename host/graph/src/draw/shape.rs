//! Shape: what a node looks like, by its kind.

use crate::plan::Kind;

/// One shape for each kind that differs for whoever reads the picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// `spawn_run`.
    Box,
    /// `agent_call`.
    Rounded,
    /// `spawn_group`: a box with two more lines.
    Group,
    /// `map`: leaning over, as what goes in and out.
    Many,
    /// `join`: narrower below.
    Funnel,
    /// `router`: wider below.
    Fan,
    /// `judge`.
    Hexagon,
    /// `replan`: leaning back.
    Again,
    /// `cancel_subtree`: corners cut off.
    Stop,
    /// `output`: round ends.
    End,
}

impl Shape {
    pub(super) fn of(kind: &Kind) -> Self {
        match kind {
            Kind::SpawnRun { .. } => Self::Box,
            Kind::AgentCall { .. } => Self::Rounded,
            Kind::SpawnGroup { .. } => Self::Group,
            Kind::Map { .. } => Self::Many,
            Kind::Join { .. } => Self::Funnel,
            Kind::Router(_) => Self::Fan,
            Kind::Judge(_) => Self::Hexagon,
            Kind::Replan(_) => Self::Again,
            Kind::CancelSubtree { .. } => Self::Stop,
            Kind::Output(_) => Self::End,
        }
    }
}
