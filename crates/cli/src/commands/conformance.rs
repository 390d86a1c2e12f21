//! `baton conformance`: programs in other languages, judged by the protocol.

use baton_agent::{Guard, shutdown_signal};
use baton_conformance::{
    ConformanceError, Options, Report, Stage, SubmitterOptions, SubmitterReport, Verdict, agent_rules, judge_agent,
    judge_submitter, submitter_rules,
};
use baton_envelope::{AgentName, codes};
use baton_jetstream::{Limits, Mesh};
use clap::{Args, Subcommand};

use crate::app::App;
use crate::error::{CliError, Kind};
use crate::parse::Span;

/// The agent that the judge plays for a submitter.
const SUBMITTED_TO: &str = "conformance";

/// `baton conformance`.
#[derive(Debug, Subcommand)]
pub(crate) enum ConformanceCommand {
    /// Test an agent: play the mesh and its failures, and check what the agent writes.
    Agent(AgentArgs),
    /// Judge a submitter: play the router, the agent and their accidents, and read what is submitted.
    Submitter(SubmitterArgs),
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

/// `baton conformance submitter`.
#[derive(Debug, Args)]
pub(crate) struct SubmitterArgs {
    /// The submitter, as a line for `sh`: run once for each piece of work, which its environment and its stdin name, as
    /// docs/conformance.md says [default: wait for what you submit].
    #[arg(long = "command", value_name = "LINE", conflicts_with = "program")]
    pub(crate) line: Option<String>,
    /// How long to wait for the first intent, without a command.
    #[arg(long, value_name = "DURATION", default_value = "60s")]
    pub(crate) wait: Span,
    /// How long one run of the command may take; without one, how long nothing may arrive before it is judged.
    #[arg(long, value_name = "DURATION", default_value = "20s")]
    pub(crate) patience: Span,
    /// Try this rule alone; may be given several times [default: all].
    #[arg(long = "rule", value_name = "NAME", value_parser = clap::builder::PossibleValuesParser::new(submitter_rules()), hide_possible_values = true)]
    pub(crate) rules: Vec<String>,
    /// The submitter as a program and its arguments, in place of --command.
    #[arg(last = true, value_name = "COMMAND")]
    pub(crate) program: Vec<String>,
}

/// Judges, and fails if a rule was broken.
pub(crate) async fn run(command: ConformanceCommand, app: &App) -> Result<(), CliError> {
    let own = app.config.connection.server.is_none() && app.config.connection.context.is_none();
    let guard = Guard::default();
    let (stage, mesh) = if own {
        let output = app.output;
        let stage = Stage::open(app.config.connection.namespace.clone(), &|line| output.note(line)).await?;
        let mesh = stage.mesh().clone();
        (Some(stage), mesh)
    } else {
        // What is judged may write anything, heads that the client cannot read included.
        (None, app.connect_to_serve("baton conformance".to_owned()).await?)
    };
    // Or the server would be left behind when this process is killed.
    let watched = match stage.as_ref().and_then(Stage::pid) {
        Some(id) => Some(guard.watch_process(id)?),
        None => None,
    };
    let url = stage.as_ref().map_or_else(|| mesh.url().to_owned(), Stage::url);
    let judged = match command {
        ConformanceCommand::Agent(args) => agent(args, app, mesh, &url).await,
        ConformanceCommand::Submitter(args) => Box::pin(submitter(args, app, mesh, &url)).await,
    };
    if let Some(watched) = watched {
        drop(stage);
        watched.gone();
    }
    let (broken, count) = judged?;
    if broken.is_empty() {
        return Ok(());
    }
    let message = format!("{} of {count} rules are broken: {}", broken.len(), broken.join(", "));
    Err(CliError::say(Kind::Failed, codes::PROBLEMS_FOUND, message)
        .hint("docs/protocol.md states each rule in the section that the table names"))
}

/// The names of the rules that were broken, and the number of those that were tried.
type Judged = (Vec<&'static str>, usize);

async fn agent(args: AgentArgs, app: &App, mesh: Mesh, url: &str) -> Result<Judged, CliError> {
    let output = app.output;
    let namespace = app.config.connection.namespace.as_str();
    // First: a worker that finds no mesh may end at once.
    mesh.ensure_topology(Limits::default()).await?;
    let worker = start(&args.worker, url, namespace)?;
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
    let say = |verdict: &Verdict| lines(verdict).iter().for_each(|line| output.note(line));
    let report = until_interrupted(judge_agent(&mesh, &args.agent, &options, &say)).await?;
    drop(worker);
    output.show(&report, || text(&report))?;
    Ok((report.broken(), report.verdicts.len()))
}

async fn submitter(args: SubmitterArgs, app: &App, mesh: Mesh, url: &str) -> Result<Judged, CliError> {
    let output = app.output;
    let program = match args.line {
        Some(line) => Some(vec!["sh".to_owned(), "-c".to_owned(), line]),
        None => (!args.program.is_empty()).then_some(args.program),
    };
    if program.is_none() {
        let namespace = &app.config.connection.namespace;
        mesh.ensure_topology(Limits::default()).await?;
        output.note(&format!(
            "submit something: NATS_URL={url} BATON_NAMESPACE={namespace}, to the agent \"{SUBMITTED_TO}\""
        ));
    }
    let options = SubmitterOptions {
        program,
        url: url.to_owned(),
        wait: args.wait.0,
        patience: args.patience.0,
        rules: args.rules,
    };
    let say = |verdict: &Verdict| lines(verdict).iter().for_each(|line| output.note(line));
    let report = Box::pin(until_interrupted(judge_submitter(&mesh, &options, &say))).await?;
    output.show(&report, || submitter_text(&report))?;
    if report.ways.is_empty() && report.broken().is_empty() {
        let message = "nothing was submitted, so nothing was judged";
        return Err(CliError::say(Kind::Failed, codes::PROBLEMS_FOUND, message)
            .hint("docs/conformance.md names the variables that say what to submit"));
    }
    Ok((report.broken(), report.verdicts.len()))
}

async fn until_interrupted<T>(judging: impl Future<Output = Result<T, ConformanceError>>) -> Result<T, CliError> {
    tokio::select! {
        judged = judging => Ok(judged?),
        () = shutdown_signal() => Err(CliError::interrupted()),
    }
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

fn lines(verdict: &Verdict) -> Vec<String> {
    let Verdict {
        rule,
        section,
        says,
        passed,
        skipped,
        expected,
        seen,
    } = verdict;
    match (skipped, passed) {
        (Some(why), _) => vec![format!("skip  {rule:<15} {section:>2}  {says}: {why}")],
        (None, true) => vec![format!("pass  {rule:<15} {section:>2}  {says}")],
        (None, false) => vec![
            format!("FAIL  {rule:<15} {section:>2}  {says}"),
            format!("      expected: {expected}"),
            format!("      seen:     {seen}"),
        ],
    }
}

fn text(report: &Report) -> String {
    let (passed, tried) = counts(&report.verdicts);
    let skipped = not_judged(&report.verdicts);
    format!(
        "{}@{} keeps {passed} of {tried} rules{skipped}",
        report.agent, report.version
    )
}

fn submitter_text(report: &SubmitterReport) -> String {
    let (passed, tried) = counts(&report.verdicts);
    let skipped = not_judged(&report.verdicts);
    let ways = match report.ways.as_slice() {
        [] => "nothing arrived".to_owned(),
        ways => format!("it submits as {}", ways.join(", ")),
    };
    format!("it keeps {passed} of {tried} rules{skipped}; {ways}")
}

/// How many rules were skipped, in words.
fn not_judged(verdicts: &[Verdict]) -> String {
    match verdicts.iter().filter(|verdict| verdict.skipped.is_some()).count() {
        0 => String::new(),
        count => format!("; {count} were not judged"),
    }
}

/// How many rules were kept, and how many were judged.
fn counts(verdicts: &[Verdict]) -> (usize, usize) {
    let passed = verdicts.iter().filter(|verdict| verdict.passed).count();
    let judged = verdicts.iter().filter(|verdict| verdict.skipped.is_none()).count();
    (passed, judged)
}
