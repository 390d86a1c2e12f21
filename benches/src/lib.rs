//! Baton and its floor, interleaved in one run on one server, and the ratio between them.
//!
//! The machines that this runs on are noisy, and only ratios of neighbours in time are reliable. So each pair is
//! measured back to back, the sides take turns to go first, and the median of the pairs counts. Besides wall-clock
//! time, each figure has the CPU time per intent of the client and the server, which is steadier.

mod accounts;
mod assembly;
mod baton;
mod context;
mod error;
mod figure;
mod fleet;
#[cfg(feature = "controller")]
mod intake;
#[cfg(feature = "controller")]
mod joins;
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
mod stages;
mod stats;
mod table;
mod telephone;
mod workload;

pub use error::BenchError;
pub use figure::{Figure, Metric};
pub use meter::Machine;
pub use options::{Accounts, Only, Options};
pub use report::{Comparison, Document, Fact, Pair, Report, Target};
pub use run::run;
pub use table::table;
pub use telephone::{Carrier, CarrierReport, TelephoneReport, telephone, telephone_table};
pub use workload::Workload;
