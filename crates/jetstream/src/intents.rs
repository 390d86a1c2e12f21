//! Operations on intents from outside a hop: submitting, waiting, listing, redriving, moving, sweeping.

mod cancel;
mod capability;
mod form;
mod history;
mod intake;
mod list;
mod moves;
mod pass_over;
mod redrive;
mod submit;
mod sweep;
mod wait;

pub use cancel::Cancelled;
pub use form::in_form_for;
pub use history::holds_life;
pub use intake::{IntakeMessage, IntakeReader, KEPT_BODY_BYTES};
pub use list::{Filter, Listed};
pub use moves::Moved;
pub use pass_over::PassedOver;
pub use redrive::{Redrive, Redriven};
pub use submit::Submitted;
pub use sweep::{ClosedInLedger, NoArchive, SweepReport, Sweeper};
pub use wait::{WaitEnd, Waiting};
