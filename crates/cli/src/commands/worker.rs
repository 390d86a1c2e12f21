//! `baton worker`: any program as an agent.

use std::num::NonZeroU32;

use baton_agent::{Agent, EXEC_HELP, ExecEnv, ExecHandler, ExecMode, stop_signals};
use baton_envelope::codes;
use baton_envelope::{AgentName, AgentVersion, SpaceName};
use clap::Args;
use serde::Serialize;

use crate::app::App;
use crate::commands::gate::GateArgs;
use crate::config::WorkerConfig;
use crate::error::{CliError, Kind};
use crate::parse::{self, Range, Span, TokenFactor};

/// `baton worker`. SIGTERM or SIGINT drains it: nothing new is taken, running hops finish or are handed back. A second
/// one stops it at once.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "The program gets the payload on stdin and ids in BATON_* variables; its stdout is the result. \
                        Exit 0 completes, 75 retries, 65 fails for good, anything else retries; stderr goes to the log. \
                        With --json it exchanges JSON objects instead. `--help` has all of it.",
    after_long_help = EXEC_HELP
)]
pub(crate) struct WorkerArgs {
    /// Name of the agent.
    #[arg(long, value_name = "NAME")]
    agent: Option<AgentName>,
    /// Version of the agent, a full semantic version.
    #[arg(long, value_name = "SEMVER")]
    version: Option<AgentVersion>,
    /// Command line for `sh -c`, run once for each hop.
    #[arg(long, value_name = "CMD")]
    exec: Option<String>,
    /// Exchange JSON objects with the program, so that it can hand off, reject, report progress and see earlier steps.
    #[arg(long)]
    json: bool,
    /// Leave the program no variables of this process but PATH, and those of --pass-env.
    #[arg(long)]
    clean_env: bool,
    /// Variables that the program inherits in any case, also if they are credentials of this worker.
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    pass_env: Vec<String>,
    /// Capability of the agent; may be repeated.
    #[arg(long = "capability", value_name = "NAME")]
    capabilities: Vec<String>,
    /// A channel that it listens to; may be repeated.
    #[arg(long = "channel", value_name = "NAME")]
    channels: Vec<String>,
    /// A space (`baton memory`) whose pinned memories are in the view of each hop; may be repeated.
    #[arg(long = "space", value_name = "NAME")]
    spaces: Vec<SpaceName>,
    /// A kind of work that it takes, such as invoice.extract.v1; may be repeated [default: all].
    #[arg(long = "kind", value_name = "KIND")]
    kinds: Vec<String>,
    /// The protocol versions that it reads, such as 1.0.0-1.1.0 [default: what this program reads].
    #[arg(long, value_name = "OLDEST-NEWEST")]
    protocol: Option<Range>,
    /// The most tokens of a view that it is given of what is remembered, as its model counts them [default: what the handoff
    /// asks for].
    #[arg(long, value_name = "N")]
    view_tokens: Option<u64>,
    /// How many tokens its model makes of one of o200k_base, 0.1 to 10 [default: 1].
    #[arg(long, value_name = "FACTOR")]
    token_factor: Option<TokenFactor>,
    /// How many hops run at a time [default: 8].
    #[arg(long, value_name = "N")]
    concurrency: Option<NonZeroU32>,
    /// How long running hops may take to finish after SIGTERM [default: 20s].
    #[arg(long, value_name = "DURATION")]
    drain_timeout: Option<Span>,
    /// How many attempts a hop gets before it is parked [default: 3].
    #[arg(long, value_name = "N", value_parser = parse::attempts)]
    max_attempts: Option<NonZeroU32>,
    /// Ask people before each hop begins; what they do not approve ends as rejected. The flags below say so, too.
    #[arg(long)]
    gate: bool,
    #[command(flatten)]
    approval: GateArgs,
    /// How long one attempt may run before it has failed [default: as long as it takes].
    #[arg(long, value_name = "DURATION")]
    attempt_timeout: Option<Span>,
}

/// What the run came to, as a document.
#[derive(Serialize)]
struct Document<'a> {
    agent: &'a AgentName,
    version: &'a AgentVersion,
    instance: &'a str,
    deliveries: u64,
    handed_back: usize,
}

/// Runs until it is told to stop.
pub(crate) async fn run(args: WorkerArgs, app: &App) -> Result<(), CliError> {
    let is_gated = args.gate || args.approval.given().is_some();
    let gate = is_gated.then(|| args.approval.approval()).transpose()?;
    let config = settings(args, &app.config.worker);
    let (Some(agent), Some(version), Some(exec)) = (&config.agent, &config.version, &config.exec) else {
        return Err(incomplete(&config));
    };
    let mode = if config.json { ExecMode::Json } else { ExecMode::Plain };
    let env = if config.clean_env {
        ExecEnv::Clean
    } else {
        ExecEnv::Inherited
    };
    let mut builder = Agent::builder(agent.as_str(), &version.to_string())?
        .handler(ExecHandler::shell(exec, mode).environment(env, config.pass_env.iter().cloned()))
        .concurrency(config.concurrency.get())
        .drain_timeout(config.drain_timeout.0)
        .retry(config.retry())
        .bands(app.config.connection.bands.into());
    for capability in &config.capabilities {
        builder = builder.capability(capability);
    }
    for kind in &config.kinds {
        builder = builder.kind(kind);
    }
    for channel in &config.channels {
        builder = builder.channel(channel);
    }
    for space in &config.spaces {
        builder = builder.space(space.clone());
    }
    for (name, people) in &config.groups {
        builder = builder.group(name, people);
    }
    if let Some(gate) = gate {
        builder = builder.gate(gate);
    }
    if config.view_tokens > 0 {
        builder = builder.view_tokens(config.view_tokens);
    }
    if let Some(factor) = config.token_factor {
        builder = builder.token_factor(factor.0);
    }
    if let Some(range) = config.protocol {
        builder = builder.protocol(range.0);
    }
    let mesh = app.connect_to_stay(format!("baton worker {agent}@{version}")).await?;
    let worker = builder.bind(&mesh).await?;
    let instance = worker.instance().to_owned();
    tracing::info!(%agent, %version, instance, url = mesh.url(), "worker ready");
    let (first, second) = stop_signals();
    let stop = async {
        first.await;
        tracing::info!("worker draining: running hops may finish; a second signal stops it at once");
    };
    let summary = tokio::select! {
        end = worker.run_until(stop) => end?,
        () = second => return Err(CliError::interrupted()),
    };
    let baton_agent::RunSummary {
        deliveries,
        handed_back,
        ..
    } = summary;
    tracing::info!(%agent, %version, instance, deliveries, handed_back, "worker stopped");
    let document = Document {
        agent,
        version,
        instance: &instance,
        deliveries: summary.deliveries,
        handed_back: summary.handed_back,
    };
    app.output.show(&document, String::new)
}

/// Flags over configuration.
fn settings(args: WorkerArgs, config: &WorkerConfig) -> WorkerConfig {
    let config = config.clone();
    WorkerConfig {
        agent: args.agent.or(config.agent),
        version: args.version.or(config.version),
        exec: args.exec.or(config.exec),
        json: args.json || config.json,
        clean_env: args.clean_env || config.clean_env,
        pass_env: given(args.pass_env, config.pass_env),
        capabilities: given(args.capabilities, config.capabilities),
        channels: given(args.channels, config.channels),
        spaces: given(args.spaces, config.spaces),
        kinds: given(args.kinds, config.kinds),
        protocol: args.protocol.or(config.protocol),
        view_tokens: args.view_tokens.unwrap_or(config.view_tokens),
        token_factor: args.token_factor.or(config.token_factor),
        concurrency: args.concurrency.unwrap_or(config.concurrency),
        drain_timeout: args.drain_timeout.unwrap_or(config.drain_timeout),
        max_attempts: args.max_attempts.unwrap_or(config.max_attempts),
        attempt_timeout: args.attempt_timeout.unwrap_or(config.attempt_timeout),
        ..config
    }
}

fn given<T>(flags: Vec<T>, config: Vec<T>) -> Vec<T> {
    if flags.is_empty() { config } else { flags }
}

fn incomplete(config: &WorkerConfig) -> CliError {
    let missing: Vec<&str> = [
        ("--agent NAME", config.agent.is_none()),
        ("--version SEMVER", config.version.is_none()),
        ("--exec CMD", config.exec.is_none()),
    ]
    .into_iter()
    .filter_map(|(flag, missing)| missing.then_some(flag))
    .collect();
    CliError::say(
        Kind::Usage,
        codes::USAGE,
        format!("a worker needs {}", missing.join(" and ")),
    )
    .hint("baton worker --agent shout --version 1.0.0 --exec 'tr a-z A-Z', or the same in [worker] of --config FILE")
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::args::{Cli, Command};

    #[test]
    fn what_it_takes_is_given_by_flags_over_configuration() {
        let line = "baton worker --kind a.v1 --kind b.v1 --channel build --protocol 1.0.0-1.1.0";
        let cli = Cli::try_parse_from(line.split_whitespace()).expect("parses");
        let Command::Worker(args) = cli.command else {
            panic!("another command")
        };
        let config = WorkerConfig {
            kinds: vec!["c.v1".to_owned()],
            capabilities: vec!["rust".to_owned()],
            ..WorkerConfig::default()
        };
        let settings = settings(args, &config);
        assert_eq!(settings.kinds, ["a.v1", "b.v1"]);
        assert_eq!(
            (settings.channels, settings.capabilities),
            (vec!["build".to_owned()], vec!["rust".to_owned()])
        );
        assert_eq!(
            settings.protocol.map(|range| range.to_string()).as_deref(),
            Some("1.0.0-1.1.0")
        );
        let wrong = ["baton", "worker", "--protocol", "1.1.0-1.0.0"];
        assert!(Cli::try_parse_from(wrong).is_err_and(|error| error.to_string().contains("older one first")));
    }
}
