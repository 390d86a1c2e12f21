//! The command line: the list of commands, and what `--help` says of each. Each command keeps its own arguments in its own file.

use clap::builder::Resettable;
use clap::error::ContextKind;
use clap::{CommandFactory as _, Parser, Subcommand};

use crate::commands::{
    access, agents, approvals, archive, audit, budget, channels, completions, conformance, context, controller, dead,
    doctor, explain, export, import, intents, local, memory, mesh, pipelines, repair, rollout, route, schedules, send,
    signal, work, worker,
};
use crate::config::GlobalArgs;

/// Hand work between agents so that a crash, a deploy or a slow human loses nothing.
#[derive(Debug, Parser)]
#[command(
    name = "baton",
    version,
    max_term_width = 110,
    after_help = "Exit codes: 0 ok, 1 operation failed, 2 usage, 3 not found, 4 refused or conflict, 5 timed out, 64 bad \
                  configuration, 69 mesh unreachable, 70 bug, 130 interrupted."
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a demo: agents hand work on, one is killed in the middle, and the ledger proves that nothing was lost.
    Demo(local::DemoArgs),
    /// One agent of the demo, in a process of its own.
    #[command(hide = true)]
    DemoAgent(local::DemoAgentArgs),
    /// Run a mesh on this machine: nats-server and a controller, until Ctrl-C.
    Dev(local::DevArgs),
    /// Run a controller against an existing server.
    Controller(controller::ControllerArgs),
    /// Run any program as an agent, one process for each hop.
    Worker(worker::WorkerArgs),
    /// Submit an intent.
    Send(Box<send::SendArgs>),
    /// Tell an open intent something.
    Signal(signal::SignalArgs),
    /// List, show, follow, move and cancel intents.
    #[command(subcommand)]
    Intents(intents::IntentsCommand),
    /// List parked and rejected work, and put it back.
    #[command(subcommand)]
    Dead(dead::DeadCommand),
    /// List what people are asked, and decide.
    #[command(subcommand)]
    Approvals(approvals::ApprovalsCommand),
    /// Roll out another version of an agent, step by step.
    #[command(subcommand)]
    Rollout(rollout::RolloutCommand),
    /// Show, set or explain which version of an agent takes new work.
    #[command(subcommand)]
    Route(route::RouteCommand),
    /// List agents and their versions; quarantine, retire or forget a version.
    #[command(subcommand)]
    Agents(agents::AgentsCommand),
    /// Submit work again and again: add, list, show, pause and remove schedules.
    #[command(subcommand)]
    Schedules(schedules::SchedulesCommand),
    /// List, show and check the ways of work from agent to agent.
    #[command(subcommand)]
    Pipelines(pipelines::PipelinesCommand),
    /// Show who subscribes to channels, change it, and see who has taken a message.
    #[command(subcommand)]
    Channels(channels::ChannelsCommand),
    /// List the work that people do by hand, take it, and end it.
    #[command(subcommand)]
    Work(work::WorkCommand),
    /// Store, fetch and list payloads and results that are too large for a message.
    #[command(subcommand)]
    Context(context::ContextCommand),
    /// Show what intents may spend and have spent, and add to it.
    #[command(subcommand)]
    Budget(budget::BudgetCommand),
    /// Write, list, search, show, pin and forget memories that outlive intents.
    #[command(subcommand)]
    Memory(memory::MemoryCommand),
    /// Show what the archive of closed intents holds.
    #[command(subcommand)]
    Archive(archive::ArchiveCommand),
    /// Write intents of this mesh into a file, for another mesh.
    Export(export::ExportArgs),
    /// Take intents from a file that `baton export` made: closed ones into the archive, open ones as parked.
    Import(import::ImportArgs),
    /// Show what all of the mesh shares, and change it.
    #[command(subcommand)]
    Mesh(mesh::MeshCommand),
    /// Say who may do what: accounts of nats-server, made from a short file.
    Access(access::AccessArgs),
    /// Prove that nobody has altered the records of the mesh.
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// Check the server and the mesh, and say how to fix what is wrong.
    Doctor(doctor::DoctorArgs),
    /// List what cannot be read, or repair one of it.
    Repair(repair::RepairArgs),
    /// Explain an error code: what it means, why it happens, and what to do.
    Explain(explain::ExplainArgs),
    /// Check that a program in another language keeps the protocol.
    #[command(subcommand)]
    Conformance(conformance::ConformanceCommand),
    /// Measure Baton against a bare NATS client.
    Bench(local::BenchArgs),
    /// Print a completion script for a shell.
    Completions(completions::CompletionsArgs),
}

impl Command {
    /// Whether the process stays until it is told to stop.
    pub(crate) fn is_long_running(&self) -> bool {
        match self {
            Self::Dev(_) | Self::DemoAgent(_) | Self::Controller(_) | Self::Worker(_) => true,
            Self::Demo(_)
            | Self::Send(_)
            | Self::Signal(_)
            | Self::Intents(_)
            | Self::Dead(_)
            | Self::Approvals(_)
            | Self::Rollout(_)
            | Self::Route(_)
            | Self::Agents(_)
            | Self::Schedules(_)
            | Self::Pipelines(_)
            | Self::Channels(_)
            | Self::Work(_)
            | Self::Context(_)
            | Self::Budget(_)
            | Self::Memory(_)
            | Self::Archive(_)
            | Self::Export(_)
            | Self::Import(_)
            | Self::Repair(_)
            | Self::Audit(_)
            | Self::Mesh(_)
            | Self::Access(_)
            | Self::Doctor(_)
            | Self::Explain(_)
            | Self::Conformance(_)
            | Self::Bench(_)
            | Self::Completions(_) => false,
        }
    }
}

/// The same error without what the environment sets: clap lists what is set when it says how a command is used, and to it a
/// variable is set like a flag.
pub(crate) fn without_environment(error: clap::Error) -> clap::Error {
    // Help says which variables there are, and comes as an error too.
    if error.get(ContextKind::Usage).is_none() {
        return error;
    }
    let command = Cli::command().mut_args(|arg| arg.env(Resettable::Reset));
    match command.try_get_matches() {
        Err(plain) if plain.kind() == error.kind() => plain,
        Ok(_) | Err(_) => error,
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_well_formed() {
        super::Cli::command().debug_assert();
    }
}
