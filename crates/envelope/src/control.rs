//! The control API: the questions to a controller, and its answers. [`Question`] is the one definition that the NATS
//! service, the client and the commands share. The list below is the only list of questions.
//!
//! The answers are also what `--output json` prints. This module also has load reports and alarms, which the leading
//! controller publishes unasked.

mod agents;
mod archive;
mod asker;
mod error;
mod identity;
mod intents;
mod load;
mod mesh;
mod policy;
mod question;
mod repair;
mod rollout;
mod route;

use std::time::Duration;

pub use agents::*;
pub use archive::*;
pub use asker::{Asker, HEADER_REQUEST_INFO, asked_by};
pub use error::{ControlError, Reply};
pub use identity::*;
pub use intents::*;
pub use load::*;
pub use mesh::*;
pub use policy::*;
pub use question::{Effect, Question, Visitor};
pub use repair::*;
pub use rollout::*;
pub use route::*;

use crate::version::breaker::Breaker;
use crate::version::route::Route;

/// How long a controller may take for a long task: to replay hops, or to move work.
const LONG: Duration = Duration::from_secs(120);

question::questions! {
    ListAgents = "agents" -> AgentsView, Reads;
    QuarantineVersion = "agents.quarantine" -> Route, Changes;
    LiftQuarantine = "agents.lift" -> Route, Changes;
    RetireVersion = "agents.retire" -> Route, Changes;
    ForgetVersion = "agents.forget" -> Route, Changes;
    SetRoute = "route.set" -> Route, Changes;
    SetPinning = "route.pinning" -> Route, Changes;
    ExplainRoute = "route.explain" -> ExplainView, Reads;
    FindArchived = "archive.find" -> ArchiveFound, Reads;
    ListArchived = "archive.list" -> ArchivePage, Reads;
    ShowArchive = "archive.status" -> ArchiveStatus, Reads;
    PlanRollout = "rollout.plan" -> PlanView, Reads, LONG;
    StartRollout = "rollout.start" -> StatusView, Changes;
    ShowRollout = "rollout.status" -> StatusView, Reads;
    PromoteRollout = "rollout.promote" -> StatusView, Changes;
    PauseRollout = "rollout.pause" -> StatusView, Changes;
    ResumeRollout = "rollout.resume" -> StatusView, Changes;
    AbortRollout = "rollout.abort" -> StatusView, Changes;
    RollBack = "rollout.rollback" -> StatusView, Changes;
    ListDecisions = "rollout.history" -> HistoryView, Reads;
    MoveIntents = "intents.move" -> MoveView, Changes, LONG;
    CancelIntent = "intents.cancel" -> CancelView, Changes;
    ShowCopies = "mesh.copies" -> CopiesView, Reads;
    SetReplicas = "mesh.replicas" -> CopiesView, Changes, LONG;
    SubmitIntent = "intents.submit" -> SubmitView, Changes;
    RedriveIntent = "intents.redrive" -> RedriveView, Changes;
    WhoAmI = "whoami" -> IdentityView, Reads;
    ListUnreadable = "unreadable" -> UnreadableView, Reads, LONG;
    Repair = "mesh.repair" -> RepairView, Changes, LONG;
    SetPolicy = "agents.policy" -> Route, Changes;
    SetBreaker = "agents.breaker" -> Breaker, Changes;
}
