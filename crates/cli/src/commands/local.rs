//! The arguments of the commands that bring a server of their own.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// `baton demo`.
#[derive(Debug, Clone, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct DemoArgs {
    /// Another scenario.
    #[command(subcommand)]
    pub(crate) scenario: Option<Scenario>,
    /// How many intents to submit.
    #[arg(long, value_name = "N", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) intents: u32,
    /// Keep the temporary folder with the server's data and the logs.
    #[arg(long)]
    pub(crate) keep: bool,
}

/// The scenarios besides the crash.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum Scenario {
    /// Upgrade an agent while work comes in: the new version gets 10, 25, 50, then 100 % of it, as the evidence allows.
    Upgrade(UpgradeArgs),
    /// Ask a person, kill server, controller and worker, start them again, and decide by a bare publish.
    Approval(ApprovalArgs),
    /// Split a question over five agents, kill one that works on it, and go on when three have answered.
    Fanout(FanoutArgs),
    /// Book three things of which the third cannot be had: two are taken back, once, though workers are killed in the middle.
    Saga(SagaArgs),
    /// Pin a decision at the first of twelve hops, kill a worker and the store, and find it in every view of 4,000 tokens.
    Context(ContextArgs),
}

/// `baton demo context`.
#[derive(Debug, Clone, Args)]
pub(crate) struct ContextArgs {
    /// How many pieces of work to submit.
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=20))]
    pub(crate) intents: u32,
    /// Keep the temporary folder with the server's data and the logs.
    #[arg(long)]
    pub(crate) keep: bool,
}

/// `baton demo fanout`.
#[derive(Debug, Clone, Args)]
pub(crate) struct FanoutArgs {
    /// How many questions to ask.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=20))]
    pub(crate) intents: u32,
    /// Keep the temporary folder with the server's data and the logs.
    #[arg(long)]
    pub(crate) keep: bool,
}

/// `baton demo approval`.
#[derive(Debug, Clone, Args)]
pub(crate) struct ApprovalArgs {
    /// How many intents to submit.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) intents: u32,
    /// Keep the temporary folder with the server's data and the logs.
    #[arg(long)]
    pub(crate) keep: bool,
}

/// `baton demo saga`.
#[derive(Debug, Clone, Args)]
pub(crate) struct SagaArgs {
    /// How many trips to submit.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) intents: u32,
    /// Keep the temporary folder with the server's data and the logs.
    #[arg(long)]
    pub(crate) keep: bool,
}

/// `baton demo upgrade`.
#[derive(Debug, Clone, Args)]
pub(crate) struct UpgradeArgs {
    /// How many intents to submit per second.
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) rate: u32,
    /// Make the new version a bad build that fails a fifth of its attempts: the evidence rolls it back.
    #[arg(long)]
    pub(crate) bad: bool,
    /// Keep the temporary folder with the server's data and the logs.
    #[arg(long)]
    pub(crate) keep: bool,
}

/// `baton demo-agent`, started by `baton demo`.
#[derive(Debug, Clone, Args)]
pub(crate) struct DemoAgentArgs {
    /// Which of the demo's agents.
    pub(crate) role: String,
    /// Where its effects leave a line each.
    pub(crate) effects: PathBuf,
    /// Its version.
    #[arg(long, value_name = "VERSION", default_value = "1.0.0")]
    pub(crate) version: String,
    /// How many of a hundred of its attempts fail.
    #[arg(long, value_name = "PERCENT", default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=100))]
    pub(crate) fails: u8,
    /// One short step for each hop.
    #[arg(long)]
    pub(crate) light: bool,
}

/// `baton dev`.
#[derive(Debug, Clone, Args)]
pub(crate) struct DevArgs {
    /// Folder for the server's data; it stays when the server stops.
    #[arg(long, value_name = "FOLDER", default_value = "./.baton")]
    pub(crate) dir: PathBuf,
    /// Port of the server.
    #[arg(long, value_name = "PORT", default_value_t = 4222)]
    pub(crate) port: u16,
    /// File for the controller's local projection of the ledger [default: projection.db in the folder of --dir].
    #[arg(long, value_name = "FILE")]
    pub(crate) projection: Option<PathBuf>,
}

impl DevArgs {
    /// The file of the projection. By default it lies with the server's data, so that it goes when that goes.
    pub(crate) fn projection(&self, configured: Option<&PathBuf>) -> PathBuf {
        let given = self.projection.as_ref().or(configured);
        given.cloned().unwrap_or_else(|| self.dir.join("projection.db"))
    }
}

/// `baton bench`.
#[derive(Debug, Clone, Args)]
pub(crate) struct BenchArgs {
    #[command(flatten)]
    pub(crate) options: baton_bench::Options,
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::args::{Cli, Command};

    fn projection(flags: &[&str], configured: Option<&PathBuf>) -> String {
        let cli = Cli::try_parse_from(["baton", "dev", "--dir", "data"].iter().chain(flags)).expect("parses");
        let Command::Dev(args) = cli.command else {
            panic!("another command")
        };
        args.projection(configured).display().to_string()
    }

    #[test]
    fn the_first_story_needs_no_name_and_the_second_has_its_own_flags() {
        let parsed = |line: &str| Cli::try_parse_from(line.split_whitespace()).map_err(|error| error.to_string());
        let Ok(Command::Demo(args)) = parsed("baton demo --intents 5 --keep").map(|cli| cli.command) else {
            panic!("another command")
        };
        assert!(args.scenario.is_none() && args.keep && args.intents == 5);
        let Ok(Command::Demo(args)) = parsed("baton demo upgrade --bad --rate 20").map(|cli| cli.command) else {
            panic!("another command")
        };
        let Some(Scenario::Upgrade(upgrade)) = args.scenario else {
            panic!("another story")
        };
        assert!(upgrade.bad && !upgrade.keep && upgrade.rate == 20);
        for line in [
            "baton demo --intents 5 upgrade",
            "baton demo upgrade --intents 5",
            "baton demo upgrade --rate 0",
        ] {
            assert!(parsed(line).is_err(), "{line}");
        }
    }

    #[test]
    fn the_projection_lies_with_the_data_unless_it_is_said_where() {
        let configured = PathBuf::from("configured");
        assert_eq!(projection(&[], None), "data/projection.db");
        assert_eq!(projection(&[], Some(&configured)), "configured");
        assert_eq!(projection(&["--projection", "flag"], Some(&configured)), "flag");
    }
}
