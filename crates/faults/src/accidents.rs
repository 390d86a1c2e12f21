//! Accidents: each stream, bucket and consumer of a mesh under load is removed, purged, filled and edited in turn, and the
//! checker judges what became of the work.
//!
//! Right is: nothing that was acknowledged is lost but what lay in the stream itself, no step is repeated, and the mesh heals
//! by itself, or `baton doctor` names the thing and a command within ten seconds. Then that very command is run, and the mesh is
//! whole again.

mod case;
mod doctor;
mod happen;
mod judge;
mod outcome;
mod run;
mod table;

pub use case::{Accident, Case, ConsumerEdit, StreamEdit, Thing, cases};
pub use doctor::{Finding, command_of};
pub use outcome::{Became, Outcome, Report};
pub use run::{AccidentPlan, run};
