//! Baton and its floor, interleaved in one run on one server, and the ratio between them.
//!
//! The machines that this runs on are noisy: only ratios of neighbours in time are worth anything, so each pair is
//! measured back to back and the median of the pairs is what counts.

mod baton;
mod report;
mod workload;

pub use report::{Figure, Report};
pub use workload::Workload;

use baton_jetstream::floor::Floor;
use baton_jetstream::{Error, Mesh};
use tokio::time::Instant;

use crate::baton::Relay;

/// How much is measured.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Pairs of floor and Baton for each workload.
    pub pairs: usize,
    /// Intents for each throughput measurement.
    pub intents: usize,
    /// Intents for each latency measurement.
    pub sequential: usize,
    /// The payload in bytes.
    pub payload: usize,
    /// Slots of each worker.
    pub slots: u32,
}

impl Plan {
    /// Five pairs, large enough to be steady.
    pub const FULL: Self = Self {
        pairs: 5,
        intents: 20_000,
        sequential: 1_000,
        payload: 512,
        slots: 256,
    };
    /// Three small pairs, for a look.
    pub const QUICK: Self = Self {
        pairs: 3,
        intents: 3_000,
        sequential: 200,
        payload: 512,
        slots: 256,
    };
}

/// Runs every workload; `say` hears what is being measured. `mesh_at` connects to the server under a namespace.
///
/// # Errors
/// When the server refuses.
pub async fn run<F>(plan: Plan, mesh_at: impl Fn(String) -> F, say: impl Fn(&str)) -> Result<Vec<Report>, BenchError>
where
    F: Future<Output = Result<Mesh, Error>>,
{
    let mut reports = Vec::new();
    for workload in Workload::ALL {
        let mut report = Report::new(workload);
        for pair in 0..plan.pairs {
            say(&format!("{}: pair {} of {}", workload.name(), pair + 1, plan.pairs));
            let tag = format!("bench-{}-{pair}", workload.tag());
            let mesh = mesh_at(tag.clone()).await?;
            let floor = measure_floor(plan, workload, &mesh, &tag.replace('-', "_")).await?;
            let baton = measure_baton(plan, workload, &mesh).await?;
            mesh.remove_everything(&tag.replace('-', "_")).await?;
            report.add(floor, baton);
        }
        reports.push(report);
    }
    Ok(reports)
}

async fn measure_floor(plan: Plan, workload: Workload, mesh: &Mesh, name: &str) -> Result<Figure, BenchError> {
    let floor = Floor::start(mesh, name, workload.agents(), plan.slots as usize, plan.payload).await?;
    if workload.is_sequential() {
        let mut times = Vec::with_capacity(plan.sequential);
        for n in 0..plan.sequential {
            let started = Instant::now();
            floor.submit_and_wait(&format!("i{n}")).await?;
            times.push(started.elapsed());
        }
        return Ok(Figure::latency(times));
    }
    let started = Instant::now();
    workload::concurrently(plan.intents, |n| {
        let floor = &floor;
        async move { floor.submit(&format!("i{n}")).await }
    })
    .await?;
    floor.wait_for(plan.intents).await;
    Ok(Figure::rate(plan.intents, started.elapsed()))
}

async fn measure_baton(plan: Plan, workload: Workload, mesh: &Mesh) -> Result<Figure, BenchError> {
    let relay = Relay::start(mesh, workload.agents(), plan).await?;
    let figure = if workload.is_sequential() {
        let mut times = Vec::with_capacity(plan.sequential);
        for _ in 0..plan.sequential {
            let started = Instant::now();
            relay.submit_and_wait().await?;
            times.push(started.elapsed());
        }
        Figure::latency(times)
    } else {
        let started = Instant::now();
        workload::concurrently(plan.intents, |_| relay.submit()).await?;
        relay.wait_for(plan.intents).await;
        Figure::rate(plan.intents, started.elapsed())
    };
    relay.stop().await?;
    Ok(figure)
}

/// A benchmark that could not be run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BenchError {
    /// The mesh refused or did not answer.
    #[error(transparent)]
    Mesh(#[from] Error),
    /// An agent could not be started.
    #[error(transparent)]
    Agent(#[from] baton_agent::BuildError),
    /// An intent did not end as it should.
    #[error("an intent of the benchmark ended as {0}")]
    Ended(String),
}
