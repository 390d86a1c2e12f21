//! The control API: the questions to a controller, and its answers. [`Question`] is the one definition that the NATS
//! service, the client and the commands share. The list below is the only list of questions.
//!
//! The answers are also what `--output json` prints. This module also has load reports and alarms, which the leading
//! controller publishes unasked.

mod agents;
mod approvals;
mod archive;
mod asked;
mod asker;
mod budgets;
mod caps;
mod channels;
mod error;
mod fenced;
mod identity;
mod intents;
mod load;
mod memories;
mod mesh;
mod pauses;
mod policy;
mod question;
mod repair;
mod restart;
mod rollout;
mod route;
mod schedules;
mod undo;
mod work;

use std::time::Duration;

pub use agents::*;
pub use approvals::*;
pub use archive::*;
pub use asked::Unanswered;
pub use asker::{Asker, HEADER_REQUEST_INFO, asked_by};
pub use budgets::*;
pub use caps::*;
pub use channels::*;
pub use error::{ControlError, Reply};
pub use fenced::*;
pub use identity::*;
pub use intents::*;
pub use load::*;
pub use memories::*;
pub use mesh::*;
pub use pauses::*;
pub use policy::*;
pub use question::{Effect, Question, Visitor};
pub use repair::*;
pub use restart::*;
pub use rollout::*;
pub use route::*;
pub use schedules::*;
pub use undo::*;
pub use work::*;

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
    TopUpIntent = "intents.top_up" -> TopUpView, Changes;
    WhoAmI = "whoami" -> IdentityView, Reads;
    ListUnreadable = "unreadable" -> UnreadableView, Reads, LONG;
    Repair = "mesh.repair" -> RepairView, Changes, LONG;
    AssignSeat = "approvals.assign" -> ApprovalView, Changes;
    OverrideApproval = "approvals.override" -> ApprovalView, Changes;
    PauseIntent = "intents.pause" -> ChangedView, Changes;
    ResumeIntent = "intents.resume" -> ChangedView, Changes;
    RetryIntent = "intents.retry" -> ChangedView, Changes;
    RestartIntent = "intents.restart" -> RestartView, Changes;
    PauseAgent = "agents.pause" -> Route, Changes;
    ResumeAgent = "agents.resume" -> Route, Changes;
    KillAgent = "agents.kill" -> KillView, Changes, LONG;
    ListSchedules = "schedules" -> SchedulesView, Reads;
    ShowSchedule = "schedules.show" -> ScheduleView, Reads;
    AddSchedule = "schedules.add" -> ScheduleView, Changes;
    PauseSchedule = "schedules.pause" -> ScheduleView, Changes;
    ResumeSchedule = "schedules.resume" -> ScheduleView, Changes;
    RemoveSchedule = "schedules.remove" -> ScheduleView, Changes;
    RunSchedule = "schedules.run" -> FiringsView, Changes;
    BackfillSchedule = "schedules.backfill" -> FiringsView, Changes, LONG;
    SubmitUnique = "intents.unique" -> SubmitView, Changes;
    SetLimits = "agents.limit" -> Route, Changes;
    AddVersion = "agents.add" -> Route, Changes;
    ListWork = "work.list" -> WorkView, Reads;
    TakeWork = "work.take" -> WorkTaken, Changes;
    AcceptWork = "work.accept" -> WorkTaken, Changes;
    StartWork = "work.start" -> WorkDone, Changes;
    NoteWork = "work.progress" -> WorkDone, Changes;
    CompleteWork = "work.complete" -> WorkDone, Changes;
    RejectWork = "work.reject" -> WorkDone, Changes;
    FailWork = "work.fail" -> WorkDone, Changes;
    HandOffWork = "work.hand_off" -> WorkDone, Changes;
    ReleaseWork = "work.release" -> WorkDone, Changes;
    SetPolicy = "agents.policy" -> Route, Changes;
    SetBreaker = "agents.breaker" -> Breaker, Changes;
    ListChannels = "channels" -> ChannelsView, Reads;
    ShowChannel = "channels.show" -> ChannelView, Reads;
    SubscribeAgent = "channels.subscribe" -> Route, Changes;
    UnsubscribeAgent = "channels.unsubscribe" -> Route, Changes;
    ShowBroadcast = "channels.status" -> BroadcastView, Reads;
    UndoIntent = "intents.undo" -> UndoView, Changes;
    SetCap = "agents.budget" -> CapView, Changes;
    SpendCap = "caps.spend" -> CapAnswer, Changes;
    SearchMemories = "memory.search" -> FoundMemories, Reads;
}
