//! `baton conformance`: programs in other languages, judged by the protocol.

use baton_agent::{Guard, shutdown_signal};
use baton_conformance::{Options, Report, Stage, Verdict, agent_rules, judge_agent};
use baton_envelope::{AgentName, codes};
use baton_jetstream::Limits;
use clap::{Args, Subcommand};

use crate::app::App;
use crate::error::{CliError, Kind};
use crate::parse::Span;

/// `baton conformance`.
#[derive(Debug, Subcommand)]
pub(crate) enum ConformanceCommand {
    /// Test an agent: play the mesh and its failures, and check what the agent writes.
    Agent(AgentArgs),
}

/// `baton conformance agent`.
#[derive(Debug, Args)]
pub(crate) struct AgentArgs {
    /// Name of the agent.
    pub(crate) agent: AgentName,
    /// How long to wait for the first heartbeat of its worker.
    #[arg(long, value_name = "DURATION", default_value = "60s")]
    pub(crate) wait: Span,
    /// How long to wait for each thing that the agent must do.
    #[arg(long, value_name = "DURATION", default_value = "10s")]
    pub(crate) patience: Span,
    /// The agent's limit on attempts.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(2..))]
    pub(crate) attempts: u32,
    /// Try this rule alone; may be given several times [default: all].
    #[arg(long = "rule", value_name = "NAME", value_parser = clap::builder::PossibleValuesParser::new(agent_rules()), hide_possible_values = true)]
    pub(crate) rules: Vec<String>,
    /// The worker, started by this command with `NATS_URL` and `BATON_NAMESPACE` in its environment [default: you start it].
    #[arg(last = true, value_name = "COMMAND")]
    pub(crate) worker: Vec<String>,
}

/// Judges, and fails if a rule was broken.
pub(crate) async fn run(command: ConformanceCommand, app: &App) -> Result<(), CliError> {
    let ConformanceCommand::Agent(args) = command;
    let output = app.output;
    let connection = &app.config.connection;
    let own = connection.server.is_none() && connection.context.is_none();
    let guard = Guard::default();
    let (stage, mesh) = if own {
        let stage = Stage::open(connection.namespace.clone(), &|line| output.note(line)).await?;
        let mesh = stage.mesh().clone();
        (Some(stage), mesh)
    } else {
        (None, app.connect_to_stay("baton conformance".to_owned()).await?)
    };
    // Or the server would be left behind when this process is killed.
    let watched = match stage.as_ref().and_then(Stage::pid) {
        Some(id) => Some(guard.watch_process(id)?),
        None => None,
    };
    let namespace = connection.namespace.as_str();
    let url = stage.as_ref().map_or_else(|| mesh.url().to_owned(), Stage::url);
    // First: a worker that finds no mesh may end at once.
    mesh.ensure_topology(Limits::default()).await?;
    let worker = start(&args.worker, &url, namespace)?;
    if worker.is_none() {
        output.note(&format!(
            "start the worker: NATS_URL={url} BATON_NAMESPACE={namespace}, agent \"{}\"",
            args.agent
        ));
    }
    let options = Options {
        wait: args.wait.0,
        patience: args.patience.0,
        attempts: args.attempts,
        rules: args.rules,
    };
    let say = |verdict: &Verdict| output.note(&line(verdict));
    let judged = tokio::select! {
        judged = judge_agent(&mesh, &args.agent, &options, &say) => judged,
        () = shutdown_signal() => return Err(CliError::interrupted()),
    };
    drop((worker, mesh));
    if let Some(watched) = watched {
        drop(stage);
        watched.gone();
    }
    let report = judged?;
    output.show(&report, || text(&report))?;
    let broken = report.broken();
    if broken.is_empty() {
        return Ok(());
    }
    let message = format!(
        "{} of {} rules are broken: {}",
        broken.len(),
        report.verdicts.len(),
        broken.join(", ")
    );
    Err(CliError::say(Kind::Failed, codes::PROBLEMS_FOUND, message)
        .hint("docs/protocol.md states each rule in the section that the table names"))
}

/// Starts the worker; it is killed when it is dropped.
fn start(command: &[String], url: &str, namespace: &str) -> Result<Option<tokio::process::Child>, CliError> {
    let Some((program, arguments)) = command.split_first() else {
        return Ok(None);
    };
    let child = tokio::process::Command::new(program)
        .args(arguments)
        .env("NATS_URL", url)
        .env("BATON_NAMESPACE", namespace)
        // What it prints is no verdict.
        .stdout(std::process::Stdio::null())
        .kill_on_drop(true)
        .spawn();
    child.map(Some).map_err(|error| {
        CliError::io(anyhow::Error::new(error).context(format!("the worker \"{program}\" cannot be started")))
            .hint("what follows `--` is a program and its arguments, not a line for a shell")
    })
}

fn line(verdict: &Verdict) -> String {
    let Verdict {
        rule,
        section,
        says,
        passed,
        expected,
        seen,
    } = verdict;
    if *passed {
        return format!("pass  {rule:<15} {section:>2}  {says}");
    }
    format!("FAIL  {rule:<15} {section:>2}  {says}\n      expected: {expected}\n      seen:     {seen}")
}

fn text(report: &Report) -> String {
    let passed = report.verdicts.iter().filter(|verdict| verdict.passed).count();
    format!(
        "{}@{} keeps {passed} of {} rules",
        report.agent,
        report.version,
        report.verdicts.len()
    )
}
