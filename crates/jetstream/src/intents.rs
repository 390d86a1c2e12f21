//! Operations on intents from outside a hop: submitting, waiting, listing, redriving, moving, sweeping; work by hand; export and
//! import.

mod by_hand;
mod cancel;
mod capability;
mod export;
mod form;
mod history;
mod import;
mod intake;
mod list;
mod moves;
mod redrive;
mod submit;
mod sweep;
mod wait;

pub use by_hand::{HandedOn, Worked};
pub use cancel::Cancelled;
pub use export::ExportFilter;
pub use form::in_form_for;
pub use history::holds_life;
pub use import::Imported;
pub use intake::{IntakeMessage, IntakeReader, KEPT_BODY_BYTES};
pub use list::{Filter, Listed};
pub use moves::Moved;
pub use redrive::{Redrive, Redriven};
pub use submit::Submitted;
pub use sweep::{ClosedInLedger, NoArchive, SweepReport, Sweeper};
pub use wait::{WaitEnd, Waiting};
