//! W5, the second half: raw intents through the intake and a router, until the ledger has them and their tickets are
//! written.

use std::sync::atomic::{AtomicU64, Ordering};

use baton_baseline::IntakeBaseline;
use baton_controller::{Controller, ControllerConfig};
use baton_jetstream::Mesh;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::baton::Relay;
use crate::error::BenchError;
use crate::figure::Figure;
use crate::measure::{WARM_UP, concurrently};
use crate::options::{Only, Options};
use crate::pairs::each_pair;
use crate::report::Report;
use crate::run::Say;
use crate::side::{Layout, Shape};
use crate::site::Site;

/// Measures every pair.
pub(crate) async fn measure(
    site: &Site,
    options: &Options,
    report: Report,
    say: Say<'_>,
) -> Result<Report, BenchError> {
    each_pair(options, report, say, async |which| one(site, which, options).await).await
}

async fn one(site: &Site, which: Only, options: &Options) -> Result<Figure, BenchError> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let tag = format!("i{}", NUMBER.fetch_add(1, Ordering::Relaxed));
    let gate = match which {
        Only::Floor => {
            let slots = usize::try_from(options.slots).unwrap_or(usize::MAX);
            let floor = IntakeBaseline::start(&site.url(), &tag, slots, options.payload).await?;
            Gate::Floor(Box::new(floor))
        }
        Only::Baton | Only::Open => {
            let router = site.connect(&tag).await?;
            Gate::Baton(Box::new(Routed::start(site, &tag, router, options).await?))
        }
    };
    let figure = gate.measure(site, options.intents()).await;
    gate.stop().await?;
    figure
}

enum Gate {
    Floor(Box<IntakeBaseline>),
    Baton(Box<Routed>),
}

impl Gate {
    async fn measure(&self, site: &Site, intents: u64) -> Result<Figure, BenchError> {
        let (intake, work) = self.streams();
        let run = async |intents| {
            concurrently(intents, || self.publish()).await?;
            // A raw intent leaves the intake once its record and its ticket are written.
            site.until_empty(std::slice::from_ref(&intake)).await
        };
        run(WARM_UP).await?;
        let before = site.stored_in(std::slice::from_ref(&work)).await?;
        let (spent, started) = (site.spent(), Instant::now());
        run(intents).await?;
        let (took, spent) = (started.elapsed(), site.spent().since(spent));
        let found = site.stored_in(std::slice::from_ref(&work)).await? - before;
        if found < intents {
            return Err(BenchError::Incomplete {
                side: match self {
                    Self::Floor(_) => Only::Floor.name(),
                    Self::Baton(_) => Only::Baton.name(),
                },
                found,
                needed: intents,
            });
        }
        Ok(Figure::rate(intents, took, &spent))
    }

    async fn publish(&self) -> Result<(), BenchError> {
        match self {
            Self::Floor(floor) => Ok(floor.publish().await?),
            Self::Baton(routed) => routed.publish().await,
        }
    }

    /// The streams of the intake and of the tickets.
    fn streams(&self) -> (String, String) {
        match self {
            Self::Floor(floor) => (floor.intake_stream(), floor.work_stream()),
            Self::Baton(routed) => {
                let mesh = routed.relay.mesh();
                let work = routed.relay.work_streams().into_iter().next();
                (mesh.subjects().intake_stream(), work.unwrap_or_default())
            }
        }
    }

    async fn stop(self) -> Result<(), BenchError> {
        match self {
            Self::Floor(floor) => Ok(floor.remove().await?),
            Self::Baton(routed) => routed.stop().await,
        }
    }
}

/// A controller in this process, and an agent without workers.
struct Routed {
    relay: Relay,
    body: Vec<u8>,
    stop: oneshot::Sender<()>,
    controller: JoinHandle<Result<(), baton_controller::Error>>,
}

impl Routed {
    async fn start(site: &Site, tag: &str, router: Mesh, options: &Options) -> Result<Self, BenchError> {
        let shape = Shape {
            agents: 1,
            versions: 1,
            layout: Layout::Waiting,
            slots: options.slots,
            payload: options.payload,
            shards: 1,
        };
        let relay = Relay::start(site, tag, shape).await?;
        let (stop, stopped) = oneshot::channel::<()>();
        let controller = Controller::new(router, ControllerConfig::default());
        let controller = tokio::spawn(controller.run_until(async {
            let _gone = stopped.await;
        }));
        Ok(Self {
            relay,
            body: crate::baton::payload(options.payload).get().as_bytes().to_vec(),
            stop,
            controller,
        })
    }

    async fn publish(&self) -> Result<(), BenchError> {
        let subject = self.relay.intent_subject()?;
        let body = self.body.clone().into();
        self.relay.mesh().publish_raw(subject, Vec::new(), body).await?;
        Ok(())
    }

    async fn stop(self) -> Result<(), BenchError> {
        // A controller that has exited by itself reports why.
        let _gone = self.stop.send(());
        if let Ok(ended) = self.controller.await {
            ended?;
        }
        self.relay.stop().await
    }
}
