//! A whole run: every requested workload, one after the other.

use baton_agent::shutdown_signal;
use baton_embedded::{Binary, Finder};
use baton_jetstream::TicketPersistence;

use crate::error::BenchError;
use crate::figure::Metric;
use crate::meter::Machine;
use crate::options::{Only, Options};
use crate::pairs::{Kind, Size, measure};
use crate::report::{Document, Report, Target};
use crate::site::{ServerSetup, Site};
use crate::workload::Workload;

/// Receives progress messages.
pub(crate) type Say<'a> = &'a dyn Fn(&str);

/// Runs the requested workloads on servers of its own; `say` receives progress messages. It blocks, on its own runtime:
/// the number of threads of the client process is part of the measurement. Returns `None` if this was a worker of
/// another run.
///
/// # Errors
/// When there is no server, when the server refuses, or when a signal interrupts the run.
pub fn run(options: &Options, say: Say<'_>) -> Result<Option<Document>, BenchError> {
    if let Some(url) = &options.worker_at {
        let runtime = tokio::runtime::Runtime::new().map_err(BenchError::io("starting the runtime"))?;
        runtime.block_on(crate::memory::work(url, options.slots))?;
        return Ok(None);
    }
    if let Some(url) = &options.followers_at {
        let runtime = tokio::runtime::Runtime::new().map_err(BenchError::io("starting the runtime"))?;
        runtime.block_on(crate::fleet::follow(url, options.followers()))?;
        return Ok(None);
    }
    options.check()?;
    let Binary { path, version, .. } = Finder::from_process().nats_server(&|line| say(line))?;
    let setup = ServerSetup {
        binary: path,
        dir: options.dir.clone().unwrap_or_else(std::env::temp_dir),
        signed: options.signed,
        accounts: options.accounts,
    };
    std::fs::create_dir_all(&setup.dir).map_err(BenchError::io(format!("creating {}", setup.dir.display())))?;
    let mut builder = match options.threads {
        1 => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    let runtime = builder
        .worker_threads(usize::from(options.threads))
        .enable_all()
        .build()
        .map_err(BenchError::io("starting the runtime"))?;
    let reports = runtime.block_on(async {
        tokio::select! {
            reports = all(options, &setup, say) => reports,
            // SIGTERM too: servers and folders are removed in good order.
            () = shutdown_signal() => Err(BenchError::Interrupted),
        }
    })?;
    Ok(Some(Document {
        machine: Machine::here(version.map_or_else(|| "unknown".to_owned(), |version| version.to_string())),
        payload_bytes: options.payload,
        slots: options.slots,
        threads: usize::from(options.threads),
        reports,
    }))
}

async fn all(options: &Options, setup: &ServerSetup, say: Say<'_>) -> Result<Vec<Report>, BenchError> {
    let mut reports = Vec::new();
    for workload in options.workloads() {
        reports.extend(Box::pin(one(workload, options, setup, say)).await?);
    }
    Ok(reports)
}

async fn one(
    workload: Workload,
    options: &Options,
    setup: &ServerSetup,
    say: Say<'_>,
) -> Result<Vec<Report>, BenchError> {
    match workload {
        Workload::W7 => return crate::memory::measure(options, setup, say).await,
        Workload::W8 => return crate::sizes::measure(options, setup, say).await,
        Workload::W9 => return crate::fleet::measure(options, setup, say).await,
        Workload::W10 => return crate::stages::measure(options, setup, say).await,
        Workload::W13 => return crate::context::measure(options, setup, say).await,
        #[cfg(feature = "controller")]
        Workload::W11 => return crate::joins::joins(options, setup, say).await,
        #[cfg(feature = "controller")]
        Workload::W12 => return crate::joins::keys(options, setup, say).await,
        #[cfg(not(feature = "controller"))]
        Workload::W11 | Workload::W12 => {
            say("w11 and w12: this build has no controller (--features controller)");
            return Ok(Vec::new());
        }
        Workload::W1 | Workload::W2 | Workload::W3 | Workload::W4 | Workload::W5 | Workload::W6 => {}
    }
    // Where each write is synced, tickets are the first thing that an operator exempts.
    let site = match workload {
        Workload::W6 => Site::start(setup, "always", options.tickets.unwrap_or(TicketPersistence::Async)).await?,
        Workload::W1
        | Workload::W2
        | Workload::W3
        | Workload::W4
        | Workload::W5
        | Workload::W7
        | Workload::W8
        | Workload::W9
        | Workload::W10
        | Workload::W11
        | Workload::W12
        | Workload::W13 => Site::start(setup, "1s", options.tickets()).await?,
    };
    if let (Some(only), Some(server)) = (options.only, site.pid()) {
        say(&format!(
            "{}: process {}, server {server}",
            only.name(),
            std::process::id()
        ));
    }
    let mut reports = Vec::new();
    for (kind, size, report) in plan(workload, Size::of(options)) {
        let report = if setup.accounts.is_some() {
            beside_open(report)
        } else {
            report
        };
        reports.push(measure(&site, kind, size, options, report, say).await?);
    }
    if workload == Workload::W5 {
        #[cfg(feature = "controller")]
        {
            let report = Report::new(workload, "raw, through intake and router", "floor", "baton");
            let report = report.aiming(Metric::PerSecond, Target::AtLeast(0.5));
            reports.push(crate::intake::measure(&site, options, report, say).await?);
        }
        #[cfg(not(feature = "controller"))]
        say("w5: nothing through intake and router, this build has no controller (--features controller)");
    }
    Ok(reports)
}

/// The same measurement of Baton in accounts and in an open mesh.
fn beside_open(report: Report) -> Report {
    let what = format!("{}, in accounts", report.what);
    let beside = Report::new(report.workload, what, Only::Open.name(), Only::Baton.name());
    match report.workload {
        Workload::W1 => beside.aiming(Metric::PerSecond, Target::AtLeast(0.85)),
        Workload::W2
        | Workload::W3
        | Workload::W4
        | Workload::W5
        | Workload::W6
        | Workload::W7
        | Workload::W8
        | Workload::W9
        | Workload::W10
        | Workload::W11
        | Workload::W12
        | Workload::W13 => beside,
    }
}

/// What a workload measures in pairs, and what each is meant to reach.
fn plan(workload: Workload, size: Size) -> Vec<(Kind, Size, Report)> {
    let report = |what: &str| Report::new(workload, what, "floor", "baton");
    let quick_enough = |report: Report| {
        report
            .aiming(Metric::P50Ms, Target::AtMost(1.5))
            .aiming(Metric::P99Ms, Target::AtMost(2.0))
    };
    match workload {
        Workload::W1 => vec![(
            Kind::Throughput { agents: 1 },
            size,
            report("one hop").aiming(Metric::PerSecond, Target::AtLeast(0.7)),
        )],
        Workload::W2 => vec![(
            Kind::Throughput { agents: 3 },
            size,
            report("relay of three").aiming(Metric::PerSecond, Target::AtLeast(0.7)),
        )],
        Workload::W3 => vec![(
            Kind::OneAtATime { agents: 1 },
            size,
            quick_enough(report("submit to result")),
        )],
        Workload::W4 => vec![(
            Kind::Paced { agents: 3 },
            size,
            quick_enough(report("relay of three, 20 per second")),
        )],
        Workload::W5 => vec![(
            Kind::Submit,
            size,
            report("submit").aiming(Metric::PerSecond, Target::AtLeast(0.85)),
        )],
        Workload::W7 | Workload::W8 | Workload::W9 | Workload::W10 | Workload::W11 | Workload::W12 | Workload::W13 => {
            Vec::new()
        }
        Workload::W6 => {
            // Each write waits for the disk: fewer of them take as long.
            let size = Size {
                intents: size.intents.div_ceil(8),
                samples: size.samples.div_ceil(4),
                ..size
            };
            let grouped = |what| report(what).aiming(Metric::PerSecond, Target::AtLeast(3.5));
            vec![
                (Kind::Throughput { agents: 1 }, size, grouped("one hop, synced always")),
                (
                    Kind::Throughput { agents: 3 },
                    size,
                    grouped("relay of three, synced always"),
                ),
                (
                    Kind::OneAtATime { agents: 1 },
                    size,
                    report("a lone hop, synced always"),
                ),
            ]
        }
    }
}
