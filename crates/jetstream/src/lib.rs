//! What Baton does on NATS JetStream; of what a mesh runs, the only crate that names `async_nats`.
//!
//! It owns the topology, the guarded writes of the ledger, tickets and their delivery, raw intents, routes, the
//! registry, and live events. It decides nothing about the life of an intent: the pure functions of
//! `baton-envelope` do, and this crate carries out what they say.

mod archive;
mod audit;
pub mod control;
mod doctor;
mod error;
mod intents;
mod ledger;
mod objects;
mod presence;
mod repair;
mod routes;
mod schedules;
mod server;
mod spaces;
mod wire;
mod work;

pub use archive::{ArchiveBatch, ArchiveNote, ArchiveTail};
pub use control::leadership::Leadership;
pub use control::lease::{LEASE, Leading, Lease};
pub use doctor::{Finding, Level, examine};
pub use error::{Error, FoundRevision, Refusal, Refuses, SettingDiffers, TlsFault, Trouble};
pub use intents::{
    Ask, Asks, Branch, CallOf, Cancelled, Changed, ChannelMessage, CheckForm, ChildNow, ClosedChild, ClosedInLedger,
    Due, DueWork, ESCALATE, ExportFilter, Filter, Fired, HandedOn, Heard, Imported, InIntake, IntakeMessage,
    IntakeReader, KEPT_BODY_BYTES, Listed, Missing, Moved, NewBroadcast, NewDecision, NoArchive, OpenApproval,
    PassedOver, REMIND, RawIds, Redrive, Redriven, Restarted, Ruled, SINCE, SignalSent, Signalled, Submitted,
    SweepReport, Sweeper, TakenFrom, ToSweep, Told, ToldBefore, ToppedUp, Uniquely, WaitEnd, Waiter, Waiting, Worked,
    holds_life, in_form_for,
};
pub use ledger::{
    AdvanceError, Advanced, Committed, Decision, EncodedRecord, Events, Head, HeadRef, Known, LedgerBatch, LedgerMark,
    LedgerTail, LiveRecord, VoidRecord,
};
pub use objects::{ArchivedObjects, MadeView, ObjectOfTree, ReceivedView, TreeOfObjects};
pub use presence::{AgentInstance, Alive, Bound, Heartbeats, ServiceRegistration, ShareTold, Shares};
pub use routes::{Placed, RouteFollower};
pub use schedules::{ScheduleTable, StoredSchedule};
pub use server::{
    ACK_WAIT, Bounds, Clock, ControllerMesh, Intake, LedgerEnd, Limits, Mended, Mesh, QUIET_CLIENT, Raised, Reloaded,
    SharedSettings, Signing, SystemClock, Target, TicketPersistence, Tls, Upkept, WorkerMesh, new_signing_key,
};
pub use spaces::{KeptMemory, SpaceBatch, SpaceId, SpaceList, SpaceRevision, SpaceTail, SpacesLeft, UnreadableMemory};
pub use wire::{Wire, WireListener, WireMessage};
pub use work::{
    Allowance, Delivery, Extender, MaybeGiven, Pulled, Puller, QueuedTicket, REPLAY_TIME, ReplayAnswer, ReplayCall,
    ReplayCalls, ReplayRequest, Taking, Ticket,
};
