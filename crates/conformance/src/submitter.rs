//! Judges a program that submits: plays the router, the agent and their accidents.

mod arrival;
mod desk;
mod ending;
mod job;
mod overheard;
mod program;
mod rules;
mod trial;

use std::time::Duration;

use baton_jetstream::Mesh;

use crate::error::ConformanceError;
use crate::report::{SubmitterReport, Verdict};

/// The exit code by which a program says that it does not have what is asked for.
pub const NOT_HAD: i32 = 77;

/// How a submitter is judged.
#[derive(Debug, Clone)]
pub struct SubmitterOptions {
    /// The program and its arguments, run once for each job. Without one the judge waits for what arrives.
    pub program: Option<Vec<String>>,
    /// The address of the server, as the program gets it.
    pub url: String,
    /// Without a program: how long to wait for the first intent.
    pub wait: Duration,
    /// How long one run of the program may take; without a program, how long nothing may arrive before it is judged.
    pub patience: Duration,
    /// The names of the rules to try; all when empty.
    pub rules: Vec<String>,
}

/// The names of the rules for submitters, in the order in which they are tried.
pub fn submitter_rules() -> Vec<&'static str> {
    rules::names().collect()
}

/// Judges a submitter on this mesh, in which no controller runs. `say` hears each verdict as it is found.
///
/// # Errors
/// When the mesh holds anything or does not answer, the program cannot be started, or nothing arrives in time.
pub async fn judge_submitter(
    mesh: &Mesh,
    options: &SubmitterOptions,
    say: &(dyn Fn(&Verdict) + Sync),
) -> Result<SubmitterReport, ConformanceError> {
    let desk = desk::Desk::open(mesh, options).await?;
    if options.program.is_none() {
        desk.receive_what_arrives().await?;
    }
    let report = rules::judge(&desk, say).await;
    desk.overheard.stop().await;
    report
}
