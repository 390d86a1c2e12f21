//! Baton and its floor, interleaved in one run on one server, and the ratio between them.
//!
//! The machines that this runs on are noisy: only ratios of neighbours in time are worth anything, so each pair is
//! measured back to back, who goes first alternates, and the median of the pairs is what counts. Beside the clock on the
//! wall each figure has the CPU time that an intent costs the client and the server, which is steadier.

mod baton;
mod error;
mod figure;
mod fleet;
#[cfg(feature = "controller")]
mod intake;
mod measure;
mod memory;
mod meter;
mod options;
mod pairs;
mod report;
mod run;
mod side;
mod site;
mod sizes;
mod stats;
mod table;
mod workload;

pub use error::BenchError;
pub use figure::{Figure, Metric};
pub use meter::Machine;
pub use options::{Only, Options};
pub use report::{Comparison, Document, Fact, Pair, Report, Target};
pub use run::run;
pub use table::table;
pub use workload::Workload;
