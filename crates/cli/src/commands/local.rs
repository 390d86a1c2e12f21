//! The arguments of the commands that bring a server of their own.

use std::path::PathBuf;

use clap::Args;

/// `baton demo`.
#[derive(Debug, Clone, Args)]
pub(crate) struct DemoArgs {
    /// How many intents to submit.
    #[arg(long, value_name = "N", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) intents: u32,
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
}

/// `baton dev`.
#[derive(Debug, Clone, Args)]
pub(crate) struct DevArgs {
    /// Folder for the server's data; it is kept.
    #[arg(long, value_name = "FOLDER", default_value = "./.baton")]
    pub(crate) dir: PathBuf,
    /// Port of the server.
    #[arg(long, value_name = "PORT", default_value_t = 4222)]
    pub(crate) port: u16,
    /// File of the controller's local projection of the ledger [default: projection.db in the folder of --dir].
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
    /// A short run, for a first look.
    #[arg(long)]
    pub(crate) quick: bool,
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
    fn the_projection_lies_with_the_data_unless_it_is_said_where() {
        let configured = PathBuf::from("configured");
        assert_eq!(projection(&[], None), "data/projection.db");
        assert_eq!(projection(&[], Some(&configured)), "configured");
        assert_eq!(projection(&["--projection", "flag"], Some(&configured)), "flag");
    }
}
