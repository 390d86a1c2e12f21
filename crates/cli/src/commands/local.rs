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
}

/// `baton bench`.
#[derive(Debug, Clone, Args)]
pub(crate) struct BenchArgs {
    /// A short run, for a first look.
    #[arg(long)]
    pub(crate) quick: bool,
}
