//! Baton's protocol, and nothing else: envelopes, ledger records and tickets, their JSON form, the names that may
//! become subjects, and which state may follow which.
//!
//! This crate is pure. It has no tokio, no NATS, no clock and no environment: time, randomness and configuration come
//! in as arguments. So the live path, recovery, the projection, the model checker and the tests all run the same
//! functions. `docs/protocol.md` is the normative text; the tests compare it with the code.

mod amounts;
mod archive;
mod base;
pub mod context;
pub mod control;
mod intent;
mod message;
pub mod people;
mod proof;
pub mod rollout;
pub mod schedule;
mod version;

/// Budgets: amounts, what is held, spent and lent, and why something does not fit.
pub mod budget {
    pub use crate::amounts::{
        Amount, Amounts, BUDGETS_SINCE, BadAmount, Hold, MOST_OWED, MOST_SHARES, MeterName, OnExhaustedBudget,
        OwedTopUp, Share, Spend, TopUp,
    };
    pub use crate::intent::budget::{Borrower, BudgetRefused, Debt, TopUpRefused};
}

pub use archive::bundle::{Bundle, BundleError, BundleFacts, StoredRecord};
pub use archive::export::{
    ExportCounts, ExportError, ExportHead, ExportPart, ExportReader, ExportWriter, Exported, ExportedObject,
};
pub use archive::objects::{ObjectBundle, ObjectBundleName, StoredObject};
pub use base::codes;
pub use base::error::{BadName, DecodeError};
pub use base::head::{HeadOf, head_with_fault, mend_head};
pub use base::header::*;
pub use base::ids::{EnvelopeId, IntentId, RecordId};
pub use base::json::Json;
pub use base::mutants::Mutant;
pub use base::names::{
    AccountName, AgentName, AgentVersion, BadVersion, CapabilityName, ChannelName, Namespace, PersonName, ScheduleName,
    SpaceName,
};
pub use base::protocol::{PROTOCOL, Protocol, ProtocolRange};
pub use base::text::{escaped, quoted, shell_word, shown, shown_lines};
pub use base::timestamp::Timestamp;
pub use base::wire::Extra;
pub use intent::act;
pub use intent::broadcast::{Broadcast, RECEIVERS, broadcast_result};
pub use intent::by_hand::{ByHand, HandStep, HandWrite, NotNow, take_by_hand};
pub use intent::child::{KEEP_TIME, NewChild, NewUndo};
pub use intent::children::{
    Child, ChildEnd, ChildSet, Children, ChildrenDone, JoinRule, MOST_CHILDREN, MOST_ENDS, MOST_SPELT, opened_calls,
};
pub use intent::containment::{Contained, Containment, close_again, contain, containable, stands_elsewhere};
pub use intent::decisions::{Asked as AskedDecision, DecisionFate, on_decision, open_approval};
pub use intent::delivery::{
    DeliveryFacts, LONG_RETRY, Standing, Submission, compare_submission, differing_field, in_server_time, is_fresh,
    is_long_retry, is_untouched, on_delivery, recorded_steps, recorded_waits,
};
pub use intent::draft::{Draft, Stamp};
pub use intent::effects::{Effect, Need, Owed, Work, effects, is_ticket_lost, is_within, needs};
pub use intent::error_info::ErrorInfo;
pub use intent::event::Event;
pub use intent::fencing::{Overtaken, Unconfirmed, is_still_held, on_overtaken, on_unconfirmed};
pub use intent::in_order::InOrder;
pub use intent::onward::{Onward, recorded_fan_out};
pub use intent::origin::Origin;
pub use intent::probe::{Probed, is_answer, is_exhausted, probed, speaks_against};
pub use intent::record::{Author, Conversion, Record, Role, StepEntry};
pub use intent::references::{Cause, Hold, holds};
pub use intent::signals::{MOST_TOLD, MOST_UNREAD, SignalFate, is_told, on_signal};
pub use intent::snapshot::Snapshot;
pub use intent::status::{IllegalTransition, Status, next};
pub use intent::summary::RecordSummary;
pub use intent::turn::{Turn, out_of_turn};
pub use intent::undo::{MOST_UNDOS, NextUndo, PlannedUndo, Undo, Undoing, next_undo, undos};
pub use intent::unique::UniqueHolder;
pub use intent::wait_reason::WaitReason;
pub use intent::waits::{
    Asked as AskedWaits, Ends, LONGEST_WAIT_NAME, LONGEST_WAITS, MOST_WAITS, OnTimeout, OpenWait, SignalEntry,
    SignalSubject, UnreadSignal, WaitKind, WaitOutcome, WaitResult, WaitSpec, answered_waits, check_room,
    check_wait_name, compare_waits, open_waits, owes_resume, reason_of, satisfied,
};
pub use message::body::{Body, Content};
pub use message::envelope::{Envelope, MAX_HOPS_DEFAULT, MAX_HOPS_LIMIT, MaxHops, Priority};
pub use message::error::{HopLimit, MustCarryBroken, NoCommonProtocol, UnknownForm};
pub use message::given::{BadTask, TASK_LIMIT};
pub use message::itinerary::{MOST_NEXT, closing_cycle};
pub use message::object::{
    INLINE_LIMIT, OBJECT_LIMIT, OBJECT_PLACES, OBJECTS_SINCE, ObjectHash, ObjectRef, PIECE_BYTES, PieceList,
    TREE_BYTES, TREE_OBJECTS,
};
pub use message::parts::{Budget, Expects, HistoryEntry, MemoryRef, Meter, Task};
pub use message::pipeline::{BadPipeline, Pipeline, PipelineStep};
pub use message::raw::{RawFields, RawIntent, RawKept, RawRejection};
pub use message::subject::{Band, Bands, Subjects};
pub use message::successor::Successor;
pub use message::text::{BadText, check_answer, check_from, check_kind, check_order_key, check_own_answer};
pub use message::unique::{OnConflict, UNIQUE_KEYS, Unique};
pub use proof::audit::{Audit, AuditPart, AuditReport, Audited, Message, Problem};
pub use proof::chain::{Chain, Judged, Void, void};
pub use proof::checkpoint::{Checkpoint, RemovedMessage, RunningRoot, Span};
pub use proof::grant::{BadGrant, Grant, Grants, SignerRole};
pub use proof::key::{PublicKey, SecretKey};
pub use proof::known::{KnownSignatures, Proof};
pub use proof::link::{Link, Place};
pub use proof::rules::{Entry, Guard, Rules, Signatures};
pub use proof::signature::{Signature, Statement};
pub use rollout::{Margins, Phase, Rollout, Tally, Verdict};
pub use version::breaker::{BREAKER_AFTER, BREAKER_OPEN_FOR, Breaker, BreakerState, Withheld};
pub use version::cap::{
    CAP_DAYS, CAPPED, CapBook, CapDay, CapGrant, CapRefused, MOST_GRANTS, PerDay, day_of, next_day,
};
pub use version::capability::{CapabilityCandidate, Load, Picked, pick};
pub use version::channel::{Subscription, subscription};
pub use version::choose::{Asked, Choice, Unroutable, Why, canary_bucket, choose, takes};
pub use version::limits::{AgentLimits, Rate, Seat, Share, ShareHeld, granted, wanted};
pub use version::path::PathEntry;
pub use version::percent::Percent;
pub use version::pinning::Pinning;
pub use version::policy::{
    ATTEMPTS_DEFAULT, ATTEMPTS_LIMIT, BACKOFF_DEFAULT, BadPolicy, InForce, LONGEST_DEFAULT, OFFERS, OnExhausted,
    OnOpen, OnRejected, OnUnaccepted, Policy, StandsIn, is_unaccepted,
};
pub use version::receivers::{MayName, NoReceivers, receivers};
pub use version::route::{Canary, Decision, Declaration, Pause, Route, VersionEntry};
pub use version::state::{IllegalVersionEvent, VersionEvent, VersionState};
pub use version::view_size::ViewSize;
pub use version::words::capabilities_in;
