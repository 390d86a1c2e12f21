//! `baton-faults`: runs seeds and reports the results. Its other commands are the processes of a run.

mod keep;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use baton_checker::{Evidence, Verdict};
use baton_faults::accidents::{self, AccidentPlan};
use baton_faults::hostile::{self, HostileSummary, Scale};
use baton_faults::many::{self, ManyPlan};
use baton_faults::nodes::{self, NodePlan, NodeSummary};
use baton_faults::power::{self, PowerPlan, PowerSummary};
use baton_faults::run::{Plan, Summary, run};
use baton_faults::worker::{self, WorkerArgs};
use baton_jetstream::TicketPersistence;
use clap::{Args, Parser, Subcommand, ValueEnum};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::keep::Folder;

/// Runs a mesh under faults and checks what it leaves behind.
#[derive(Debug, Parser)]
#[command(name = "baton-faults", args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    process: Option<Process>,
    /// The seed, or the first of several.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many seeds, one after the other from the first on.
    #[arg(long, default_value_t = 1)]
    seeds: u64,
    /// How many run at the same time.
    #[arg(long, default_value_t = 1)]
    jobs: usize,
    /// How long faults and load go on, in minutes.
    #[arg(long, default_value_t = 1.0)]
    minutes: f64,
    /// 1, or a cluster of 3.
    #[arg(long, default_value_t = 1, value_parser = parse_servers)]
    servers: usize,
    /// Intents each second, for each seed.
    #[arg(long, default_value_t = 60.0)]
    rate: f64,
    /// Every process signs its records, and the checker verifies them and the checkpoints.
    #[arg(long)]
    signed: bool,
    /// A table for people, or a line of JSON for each seed.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    output: Format,
    /// The folder for the evidence of each seed; by default it is kept only where something did not hold.
    #[arg(long)]
    keep: Option<PathBuf>,
    /// Judges the evidence in a folder once more, and runs nothing.
    #[arg(long, value_name = "FOLDER")]
    check: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Process {
    /// A worker of a run; the runner starts it.
    #[command(hide = true)]
    Worker(WorkerArgs),
    /// Cuts the power of a server under load, and says what was lost; needs root.
    PowerCut(PowerArgs),
    /// Load that is meant to hurt, without faults: many at once, long queues, slow agents, large payloads, a flood.
    Hostile(HostileArgs),
    /// Removes, purges, fills and edits each stream, bucket and consumer in turn, and says how the mesh became whole again.
    Accidents(AccidentArgs),
    /// Kills nodes of three in a rollout, and says for how long no hop ended.
    Nodes(NodeArgs),
    /// Lets many intents wait, and says what they cost a controller and how late many timers fire.
    ManyWaits(ManyArgs),
}

#[derive(Debug, Args)]
struct ManyArgs {
    /// Intents that wait for a signal for a day.
    #[arg(long, default_value_t = 100_000)]
    waiting: u32,
    /// Intents that begin later, evenly spread.
    #[arg(long, default_value_t = 10_000)]
    timers: u32,
    /// Over how many seconds.
    #[arg(long, default_value_t = 60)]
    seconds: u32,
}

#[derive(Debug, Args)]
struct NodeArgs {
    /// The seed: the load, the order of the kills, and their times.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Intents each second.
    #[arg(long, default_value_t = 60.0)]
    rate: f64,
    /// How to say what became of it.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    output: Format,
    /// The folder for the evidence; by default it is kept only where something did not hold.
    #[arg(long)]
    keep: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct AccidentArgs {
    /// The seed of the loads.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Only accidents whose line contains this, such as `MESH_LEDGER purged`.
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// Three of them.
    #[arg(long)]
    short: bool,
    /// Intents each second.
    #[arg(long, default_value_t = 20.0)]
    rate: f64,
    /// How many meshes run at the same time.
    #[arg(long, default_value_t = 1)]
    jobs: usize,
    /// How to say what became of it.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    output: Format,
    /// The folder for the evidence; by default it is kept only where something did not hold.
    #[arg(long)]
    keep: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct HostileArgs {
    /// A seventh of it: some seconds.
    #[arg(long)]
    small: bool,
    /// How to say what became of it.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    output: Format,
    /// The folder for the evidence; by default it is kept only where something did not hold.
    #[arg(long)]
    keep: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct PowerArgs {
    /// The seed: when the power is cut, and what the load is.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many cuts.
    #[arg(long, default_value_t = 3)]
    rounds: u64,
    /// The server's `sync_interval`: `always`, or such as `1s`.
    #[arg(long, default_value = "always")]
    sync: String,
    /// Intents each second.
    #[arg(long, default_value_t = 400.0)]
    rate: f64,
    /// Cuts the power of streams that were made just before, which the kernel has not written back yet.
    #[arg(long)]
    fresh: bool,
    /// When the server writes tickets to disk: `default` or `async`, with which they may be lost.
    #[arg(long, default_value = "default")]
    tickets: TicketPersistence,
    /// How to say what became of it.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    output: Format,
    /// The folder for the evidence; by default it is kept only where something did not hold.
    #[arg(long)]
    keep: Option<PathBuf>,
    /// Where the platform cannot do it, says so and ends well.
    #[arg(long)]
    skip: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Table,
    Json,
}

fn parse_servers(text: &str) -> Result<usize, String> {
    match text {
        "1" => Ok(1),
        "3" => Ok(3),
        other => Err(format!("{other} servers: expected 1 or 3")),
    }
}

fn main() -> ExitCode {
    // The real command, in this process, so that a run needs only one binary.
    let commands = ["controller", "doctor", "route"];
    if std::env::args()
        .nth(1)
        .is_some_and(|first| commands.contains(&first.as_str()))
    {
        return baton_cli::main();
    }
    let cli = Cli::parse();
    let filter = tracing_subscriber::EnvFilter::try_from_default_env();
    tracing_subscriber::fmt()
        .with_env_filter(filter.unwrap_or_else(|_| "error,baton=warn".into()))
        .with_writer(std::io::stderr)
        .init();
    let ended = tokio::runtime::Runtime::new()
        .context("the async runtime")
        .and_then(|runtime| runtime.block_on(go(cli)));
    match ended {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            say(&format!("error: {error:#}"));
            ExitCode::from(2)
        }
    }
}

async fn go(cli: Cli) -> Result<bool> {
    match cli.process {
        Some(Process::Worker(args)) => return Box::pin(worker::run(args)).await.map(|()| true),
        Some(Process::PowerCut(args)) => return Box::pin(power_cut(args)).await,
        Some(Process::Hostile(args)) => return Box::pin(hurt(args)).await,
        Some(Process::Nodes(args)) => return Box::pin(kill_nodes(args)).await,
        Some(Process::Accidents(args)) => return Box::pin(accidents(args)).await,
        Some(Process::ManyWaits(args)) => return Box::pin(many_waits(args)).await,
        None => {}
    }
    if let Some(folder) = &cli.check {
        let verdict = baton_checker::check(&Evidence::read(folder)?);
        match cli.output {
            Format::Json => say(&serde_json::to_string(&verdict)?),
            Format::Table => show_verdict(&verdict),
        }
        return Ok(verdict.holds());
    }
    let slots = Arc::new(Semaphore::new(cli.jobs.max(1)));
    // A dropped run takes its processes with it; a killed one leaves them behind.
    let stopped = CancellationToken::new();
    let stop = stopped.clone();
    let signal = tokio::spawn(async move {
        baton_agent::shutdown_signal().await;
        stop.cancel();
    });
    let mut runs = tokio::task::JoinSet::new();
    for seed in cli.seed..cli.seed.saturating_add(cli.seeds) {
        let plan = Plan {
            seed,
            length: Duration::from_secs_f64(cli.minutes * 60.0),
            servers: cli.servers,
            rate: cli.rate,
            signed: cli.signed,
        };
        let (slots, keep, output, stopped) = (Arc::clone(&slots), cli.keep.clone(), cli.output, stopped.clone());
        // Policy: a run that panics (because the server did not start, say) counts as one that did not hold.
        runs.spawn(async move {
            let _slot = slots.acquire_owned().await?;
            // Each has its own runtime, so that what a failed run leaves behind disturbs no other.
            let run = tokio::task::spawn_blocking(move || {
                let run = async {
                    tokio::select! {
                        done = Box::pin(one(&plan, keep, output)) => done,
                        () = stopped.cancelled() => anyhow::bail!("the run was stopped"),
                    }
                };
                tokio::runtime::Runtime::new()?.block_on(run)
            });
            run.await?.with_context(|| format!("seed {seed}"))
        });
    }
    let (mut all, mut held, mut intents) = (0_usize, 0_usize, 0_usize);
    while let Some(done) = runs.join_next().await {
        all += 1;
        match done.context("a run").and_then(|done| done) {
            Ok(summary) => {
                held += usize::from(summary.holds());
                intents += summary.counts.intents;
            }
            Err(error) => say(&format!("error: {error:#}")),
        }
    }
    signal.abort();
    if cli.output == Format::Table {
        say(&format!("{held} of {all} seeds held, {intents} intents"));
    }
    Ok(held == all)
}

async fn one(plan: &Plan, keep: Option<PathBuf>, output: Format) -> Result<Summary> {
    if output == Format::Table {
        let mut text = format!("seed {}: {} server(s), {:?}\n", plan.seed, plan.servers, plan.length);
        for planned in plan.schedule() {
            text.push_str(&format!("  {planned}\n"));
        }
        say(text.trim_end());
    }
    let named = keep.map(|folder| folder.join(format!("seed-{}-servers-{}", plan.seed, plan.servers)));
    let folder = Folder::open(named, &format!("baton-faults-{}-", plan.seed))?;
    let summary = Box::pin(run(plan, folder.path())).await;
    if let Some(kept) = folder.close(summary.as_ref().is_ok_and(Summary::holds)) {
        say(&format!(
            "seed {}: the evidence is kept in {}",
            plan.seed,
            kept.display()
        ));
    }
    let summary = summary?;
    match output {
        Format::Json => say(&serde_json::to_string(&summary)?),
        Format::Table => show(&summary),
    }
    Ok(summary)
}

async fn power_cut(args: PowerArgs) -> Result<bool> {
    let disk = match power::disk().await {
        Err(error) if args.skip => {
            say(&format!("skipped: {error:#}"));
            return Ok(true);
        }
        made => made?,
    };
    let plan = PowerPlan {
        seed: args.seed,
        rounds: args.rounds,
        sync: args.sync,
        rate: args.rate,
        fresh: args.fresh,
        tickets: args.tickets,
    };
    let named = args
        .keep
        .map(|folder| folder.join(format!("power-cut-{}-{}", plan.sync, plan.seed)));
    let folder = Folder::open(named, "baton-power-cut-")?;
    let summary = Box::pin(power::run(&plan, disk, folder.path())).await;
    say_kept(folder, summary.as_ref().is_ok_and(PowerSummary::holds));
    let summary = summary?;
    match args.output {
        Format::Json => say(&serde_json::to_string(&summary)?),
        Format::Table => show_power(&summary),
    }
    Ok(summary.holds())
}

/// Ends the use of the folder of a run, and says where its evidence is if it did not hold.
fn say_kept(folder: Folder, held: bool) {
    if let Some(kept) = folder.close(held) {
        say(&format!("the evidence is kept in {}", kept.display()));
    }
}

async fn hurt(args: HostileArgs) -> Result<bool> {
    let scale = if args.small { Scale::SMALL } else { Scale::FULL };
    let folder = Folder::open(args.keep, "baton-hostile-")?;
    let summary = Box::pin(hostile::run(scale, folder.path())).await;
    say_kept(folder, summary.as_ref().is_ok_and(HostileSummary::holds));
    let summary = summary?;
    if args.output == Format::Json {
        say(&serde_json::to_string(&summary)?);
        return Ok(summary.holds());
    }
    say(if summary.holds() { "held" } else { "DID NOT HOLD" });
    for (name, figure) in &summary.figures {
        say(&format!("  {name}: {figure:.2}"));
    }
    for (name, peak) in &summary.peak_kb {
        say(&format!("  peak memory of {name}: {} MB", peak / 1024));
    }
    for beyond in &summary.beyond {
        say(&format!("  {beyond}"));
    }
    say(&format!("  {:?}", summary.counts));
    show_violations(&summary.violations, summary.told.as_deref());
    Ok(summary.holds())
}

async fn many_waits(args: ManyArgs) -> Result<bool> {
    let ManyArgs {
        waiting,
        timers,
        seconds,
    } = args;
    let found = many::run(&ManyPlan {
        waiting,
        timers,
        within: Duration::from_secs(seconds.into()),
    })
    .await?;
    say(&serde_json::to_string_pretty(&found)?);
    Ok(found.holds())
}

async fn kill_nodes(args: NodeArgs) -> Result<bool> {
    let plan = NodePlan {
        seed: args.seed,
        rate: args.rate,
    };
    let folder = Folder::open(args.keep, "baton-nodes-")?;
    let summary = Box::pin(nodes::run(&plan, folder.path())).await;
    say_kept(folder, summary.as_ref().is_ok_and(NodeSummary::holds));
    let summary = summary?;
    match args.output {
        Format::Json => say(&serde_json::to_string(&summary)?),
        Format::Table => show_nodes(&summary),
    }
    Ok(summary.holds())
}

fn show_nodes(summary: &NodeSummary) {
    let NodeSummary { seed, counts, .. } = summary;
    let said = if summary.holds() { "held" } else { "DID NOT HOLD" };
    let mut text = format!("three nodes, seed {seed}: {said}");
    for kill in &summary.kills {
        let rollouts = match kill.rollouts.join(", ") {
            none if none.is_empty() => "NO ROLLOUT".to_owned(),
            some => some,
        };
        text.push_str(&format!(
            "\n  {:<48} down {:.1} s, no hop ended for {:.1} s ({rollouts})",
            kill.victim,
            kill.down_ms as f64 / 1000.0,
            kill.still_ms as f64 / 1000.0,
        ));
    }
    text.push_str(&format!(
        "\n  longest time without progress: {:.1} s; without an acknowledged submit: {:.1} s\n  {} acknowledged, {} intents, \
         {} hops ended, {} rollouts begun, {} takeovers; closed {:.0} s after the last kill",
        summary.still_ms as f64 / 1000.0,
        summary.unheard_ms as f64 / 1000.0,
        counts.acknowledged,
        counts.intents,
        counts.commits,
        summary.rollouts,
        counts.takeovers,
        summary.closing_seconds,
    ));
    if let Some(problem) = &summary.unfinished {
        text.push_str(&format!("\n  UNFINISHED: {problem}"));
    }
    say(&text);
    show_violations(&summary.violations, summary.told.as_deref());
}

async fn accidents(args: AccidentArgs) -> Result<bool> {
    let plan = AccidentPlan {
        seed: args.seed,
        only: args.only,
        short: args.short,
        rate: args.rate,
        jobs: args.jobs,
    };
    let folder = Folder::open(args.keep, "baton-accidents-")?;
    let is_table = args.output == Format::Table;
    let tell: fn(&str) = if is_table { say } else { |_| {} };
    let report = Box::pin(accidents::run(&plan, folder.path(), tell)).await;
    say_kept(folder, report.as_ref().is_ok_and(accidents::Report::holds));
    let report = report?;
    if !is_table {
        say(&serde_json::to_string(&report)?);
        return Ok(report.holds());
    }
    let violations: Vec<_> = report.outcomes.iter().flat_map(|one| one.violations.clone()).collect();
    show_violations(&[violations, report.at_large.clone()].concat(), report.told.as_deref());
    say(&format!("\n{}\n", report.table()));
    let held = report.outcomes.iter().filter(|one| one.holds()).count();
    let (all, intents) = (report.outcomes.len(), report.intents);
    say(&format!("{held} of {all} accidents ended well, {intents} intents"));
    Ok(report.holds())
}

fn show_power(summary: &PowerSummary) {
    let said = if summary.holds() { "held" } else { "DID NOT HOLD" };
    let mut text = format!("sync_interval {}, seed {}: {said}", summary.sync, summary.seed);
    for (index, cut) in summary.cuts.iter().enumerate() {
        let who = if cut.everything {
            "server, workers, controllers"
        } else {
            "server"
        };
        let loss = &cut.loss;
        text.push_str(&format!(
            "\n  cut {index} ({who}), up again after {} ms\n    acknowledged before {:?}, {} batches of {} messages\n    \
             written and lost {:?}\n    acknowledged and lost {:?}, the oldest {} ms old\n    removed and back {:?}\n    \
             acknowledged work of which nothing is left: {}, the oldest acknowledged {} ms before",
            cut.up_ms,
            cut.acknowledged,
            cut.batches.0,
            cut.batches.1,
            loss.lost,
            loss.lost_acknowledged,
            loss.lost_ms,
            loss.back,
            cut.intents_lost,
            cut.intents_lost_ms,
        ));
    }
    text.push_str(&format!(
        "\n  {:?}\n  consequences of what was lost: {:?}",
        summary.counts, summary.consequences
    ));
    if let Some(problem) = &summary.unfinished {
        text.push_str(&format!("\n  UNFINISHED: {problem}"));
    }
    say(&text);
    show_violations(&summary.examples, None);
    show_violations(&summary.violations, summary.told.as_deref());
}

fn show(summary: &Summary) {
    let Summary { seed, counts, .. } = summary;
    let said = if summary.holds() { "held" } else { "DID NOT HOLD" };
    let mut text = format!(
        "seed {seed}: {said} in {:.0} s (closing {:.0} s)\n  acknowledged {:?}\n  faults {:?}\n  operations {:?}\n  controls {:?}\n  {counts:?}",
        summary.seconds,
        summary.closing_seconds,
        summary.acknowledged,
        summary.faults,
        summary.operations,
        summary.controls
    );
    text.push_str(&never(&summary.never));
    if let Some(problem) = &summary.unfinished {
        text.push_str(&format!("\n  UNFINISHED: {problem}"));
    }
    say(&text);
    show_violations(&summary.violations, summary.told.as_deref());
}

/// A line for the patterns that never happened.
fn never(patterns: &[&str]) -> String {
    match patterns {
        [] => String::new(),
        patterns => format!("\n  NEVER HAPPENED: {}", patterns.join(", ")),
    }
}

fn show_verdict(verdict: &Verdict) {
    say(&format!("{:?}{}", verdict.counts, never(&verdict.counts.never())));
    show_violations(&verdict.violations, verdict.told.as_deref());
    say(if verdict.holds() { "held" } else { "DID NOT HOLD" });
}

fn show_violations(violations: &[baton_checker::Violation], told: Option<&str>) {
    for violation in violations.iter().take(20) {
        let intent = violation.intent.as_deref().unwrap_or("-");
        say(&format!("  {} {intent}: {}", violation.invariant, violation.what));
    }
    if violations.len() > 20 {
        say(&format!("  and {} more", violations.len() - 20));
    }
    if let Some(told) = told {
        say(&format!("  the first violating history:\n{told}"));
    }
}

#[expect(clippy::print_stdout, reason = "the one place where this tool prints")]
fn say(text: &str) {
    println!("{text}");
}
