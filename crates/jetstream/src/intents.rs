//! Operations on intents from outside a hop: submitting, waiting, listing, redriving, moving, sweeping; work by hand; export and
//! import.

mod approvals;
mod asks;
mod by_hand;
mod cancel;
mod capability;
mod children;
mod decisions;
mod export;
mod form;
mod history;
mod import;
mod intake;
mod list;
mod moves;
mod pass_over;
mod pauses;
mod redrive;
mod refused;
mod restart;
mod signals;
mod submit;
mod sweep;
mod taken;
mod timers;
mod tree;
mod turns;
mod wait;

pub use approvals::{ESCALATE, OpenApproval, REMIND, SINCE};
mod unique;

pub use asks::{Ask, Asks};
pub use by_hand::{HandedOn, Worked};
pub use cancel::Cancelled;
pub use children::{ChildNow, ClosedChild};
pub use decisions::{CheckForm, Heard, NewDecision, Ruled};
pub use export::ExportFilter;
pub use form::in_form_for;
pub use history::holds_life;
pub use import::Imported;
pub use intake::{IntakeMessage, IntakeReader, KEPT_BODY_BYTES};
pub use list::{Filter, Listed};
pub use moves::Moved;
pub use pass_over::PassedOver;
pub use pauses::Changed;
pub use redrive::{Redrive, Redriven};
pub use restart::Restarted;
pub use signals::{SignalSent, Signalled, Told};
pub use submit::{DueWork, Submitted};
pub use sweep::{ClosedInLedger, NoArchive, SweepReport, Sweeper, ToSweep};
pub use taken::TakenFrom;
pub use timers::{Due, Fired};
pub use tree::{Branch, CallOf};
pub use turns::Waiter;
pub use unique::Uniquely;
pub use wait::{WaitEnd, Waiting};
