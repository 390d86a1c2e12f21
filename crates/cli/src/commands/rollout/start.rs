//! `baton rollout start`: a version gets a share of the new work, and then more.

use std::time::Duration;

use baton_envelope::control::StartRollout;
use baton_envelope::{AgentName, AgentVersion, Margins, Percent};
use clap::Args;

use crate::app::App;
use crate::error::CliError;
use crate::parse::{self, Span};
use crate::{view, who};

/// The shares, where none are given.
const STEPS: [u64; 4] = [10, 25, 50, 100];
/// How long a step takes at least, where nothing else is said.
const HOLD: Duration = Duration::from_secs(120);

/// `baton rollout start`.
#[derive(Debug, Clone, Args)]
pub(crate) struct StartArgs {
    /// The agent.
    agent: AgentName,
    /// The version to roll out.
    version: AgentVersion,
    /// The share to begin with, in percent; steps that are not greater are left out.
    #[arg(long, value_name = "PERCENT", value_parser = parse::share)]
    canary: Option<Percent>,
    /// The shares to take one after the other, in percent [default: 10,25,50,100].
    #[arg(long, value_name = "PERCENT,…", value_delimiter = ',', value_parser = parse::share)]
    steps: Vec<Percent>,
    /// The shortest time that a step takes [default: 2m].
    #[arg(long, value_name = "DURATION")]
    hold: Option<Span>,
    /// Take steps, or roll back, by the evidence; this is the default.
    #[arg(long, conflicts_with = "manual")]
    auto: bool,
    /// Take a step only when a person promotes it.
    #[arg(long)]
    manual: bool,
    /// Give it all of the new work at once.
    #[arg(long, conflicts_with_all = ["canary", "steps", "hold"])]
    at_once: bool,
    /// Start even if checks fail.
    #[arg(long)]
    force: bool,
    /// How many attempts of the new version a step needs [default: 50].
    #[arg(long, value_name = "N")]
    min_hops: Option<u64>,
    /// By how many percentage points its failure rate may exceed the old version's [default: 1].
    #[arg(long, value_name = "POINTS", allow_negative_numbers = true, value_parser = parse::points)]
    failure_margin: Option<f64>,
    /// How many times the old version's 95th percentile of latency its own may be [default: 1.5].
    #[arg(long, value_name = "FACTOR", value_parser = parse::factor)]
    latency_factor: Option<f64>,
}

/// Starts it.
pub(crate) async fn run(args: StartArgs, app: &App) -> Result<(), CliError> {
    let mesh = app.connect().await?;
    let question = question(args, mesh.clock().intent_id().to_string());
    let status = mesh.ask_controller(&question).await?;
    app.output.show(&status, || view::rollout_status(&status))?;
    let agent = &question.agent;
    app.output
        .note(&format!("`baton rollout status {agent} --watch` follows it"));
    Ok(())
}

fn question(args: StartArgs, id: String) -> StartRollout {
    let hold = args.hold.map_or(HOLD, |hold| hold.0);
    StartRollout {
        id,
        steps: steps(&args),
        hold_seconds: if args.at_once { 0 } else { hold.as_secs() },
        agent: args.agent,
        version: args.version,
        auto: !args.manual,
        at_once: args.at_once,
        force: args.force,
        // What is left out has its default where it is used.
        margins: Margins {
            min_hops: args.min_hops,
            failure_margin: args.failure_margin.map(|points| points / 100.0),
            latency_factor: args.latency_factor,
            ..Margins::default()
        },
        by: who::person(),
    }
}

fn steps(args: &StartArgs) -> Vec<Percent> {
    if args.at_once {
        return vec![Percent::ALL];
    }
    let mut steps = args.steps.clone();
    if steps.is_empty() {
        steps = STEPS.into_iter().filter_map(|step| Percent::new(step).ok()).collect();
    }
    if let Some(first) = args.canary {
        steps.retain(|step| *step > first);
        steps.insert(0, first);
    }
    steps
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::args::{Cli, Command};
    use crate::commands::rollout::RolloutCommand;

    fn parsed(flags: &str) -> Result<StartRollout, String> {
        let line = format!("baton rollout start code 2.0.0 {flags}");
        let cli = Cli::try_parse_from(line.split_whitespace()).map_err(|error| error.to_string())?;
        let Command::Rollout(RolloutCommand::Start(args)) = cli.command else {
            panic!("another command")
        };
        Ok(question(args, "r-1".to_owned()))
    }

    fn shares(flags: &str) -> Vec<u8> {
        parsed(flags)
            .expect("parses")
            .steps
            .into_iter()
            .map(Percent::get)
            .collect()
    }

    #[test]
    fn the_defaults_are_automatic_in_four_steps() {
        let question = parsed("").expect("parses");
        assert_eq!(shares(""), [10, 25, 50, 100]);
        assert!(question.auto && !question.at_once && !question.force);
        assert_eq!((question.hold_seconds, &question.margins), (120, &Margins::default()));
        assert!(!parsed("--manual").expect("parses").auto);
        assert!(parsed("--auto").expect("parses").auto);
    }

    #[test]
    fn a_canary_stands_before_the_steps_that_are_greater() {
        assert_eq!(shares("--canary 5"), [5, 10, 25, 50, 100]);
        assert_eq!(shares("--canary 25"), [25, 50, 100]);
        assert_eq!(shares("--canary 30 --steps 20,40%,100"), [30, 40, 100]);
        assert_eq!(shares("--at-once"), [100]);
    }

    #[test]
    fn margins_are_given_as_people_say_them() {
        let question = parsed("--hold 90s --min-hops 20 --failure-margin 2.5 --latency-factor 2").expect("parses");
        assert_eq!(question.hold_seconds, 90);
        assert_eq!(
            question.margins,
            Margins {
                min_hops: Some(20),
                failure_margin: Some(0.025),
                latency_factor: Some(2.0),
                ..Margins::default()
            }
        );
    }

    #[test]
    fn what_contradicts_itself_or_makes_no_sense_is_refused() {
        for (flags, said) in [
            ("--auto --manual", "cannot be used with"),
            ("--at-once --canary 5", "cannot be used with"),
            ("--at-once --steps 5,100", "cannot be used with"),
            ("--at-once --hold 1m", "cannot be used with"),
            ("--canary 0", "1 to 100"),
            ("--canary 101", "1 to 100"),
            ("--steps 10,all", "1 to 100"),
            ("--hold soon", "500ms"),
            ("--failure-margin -1", "0 to 100"),
            ("--failure-margin NaN", "0 to 100"),
            ("--latency-factor 0.5", "at least 1"),
        ] {
            let error = parsed(flags).expect_err(flags);
            assert!(error.contains(said), "{flags}: {error}");
        }
    }
}
