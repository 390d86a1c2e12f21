//! The verbs of the control API, each with its question and its answer.

/// Agents and their versions: [`AboutAgent`](super::AboutAgent) → [`AgentsView`](super::AgentsView).
pub const AGENTS: &str = "agents";
/// [`VersionAct`](super::VersionAct) → the [`Route`](baton_envelope::Route).
pub const QUARANTINE: &str = "agents.quarantine";
/// [`VersionAct`](super::VersionAct) → the [`Route`](baton_envelope::Route).
pub const LIFT: &str = "agents.lift";
/// [`VersionAct`](super::VersionAct) → the [`Route`](baton_envelope::Route).
pub const RETIRE: &str = "agents.retire";
/// [`PlanRequest`](super::PlanRequest) → [`PlanView`](super::PlanView).
pub const PLAN: &str = "rollout.plan";
/// [`StartRequest`](super::StartRequest) → [`StatusView`](super::StatusView).
pub const START: &str = "rollout.start";
/// [`AboutAgent`](super::AboutAgent) → [`StatusView`](super::StatusView).
pub const STATUS: &str = "rollout.status";
/// [`RolloutAct`](super::RolloutAct) → [`StatusView`](super::StatusView).
pub const PROMOTE: &str = "rollout.promote";
/// [`RolloutAct`](super::RolloutAct) → [`StatusView`](super::StatusView).
pub const PAUSE: &str = "rollout.pause";
/// [`RolloutAct`](super::RolloutAct) → [`StatusView`](super::StatusView).
pub const RESUME: &str = "rollout.resume";
/// [`RolloutAct`](super::RolloutAct) → [`StatusView`](super::StatusView).
pub const ABORT: &str = "rollout.abort";
/// [`RollbackRequest`](super::RollbackRequest) → [`StatusView`](super::StatusView).
pub const ROLLBACK: &str = "rollout.rollback";
/// [`AboutAgent`](super::AboutAgent) → [`HistoryView`](super::HistoryView).
pub const HISTORY: &str = "rollout.history";
/// [`MoveRequest`](super::MoveRequest) → [`MoveView`](super::MoveView).
pub const MOVE: &str = "intents.move";
/// [`VersionAct`](super::VersionAct) → the [`Route`](baton_envelope::Route).
pub const SET_ROUTE: &str = "route.set";
/// [`PinningRequest`](super::PinningRequest) → the [`Route`](baton_envelope::Route).
pub const SET_PINNING: &str = "route.pinning";
/// [`ArchiveFind`](super::ArchiveFind) → [`ArchiveFound`](super::ArchiveFound).
pub const ARCHIVE_FIND: &str = "archive.find";
/// [`ArchiveList`](super::ArchiveList) → [`ArchivePage`](super::ArchivePage).
pub const ARCHIVE_LIST: &str = "archive.list";
/// [`AboutArchive`](super::AboutArchive) → [`ArchiveStatus`](super::ArchiveStatus).
pub const ARCHIVE_STATUS: &str = "archive.status";
/// [`ExplainRequest`](super::ExplainRequest) → [`ExplainView`](super::ExplainView).
pub const EXPLAIN: &str = "route.explain";
