//! `baton repair`: what cannot be read, and how it is mended.

use base64::Engine as _;
use baton_envelope::control::{ListUnreadable, Repair, RepairView, UnreadableView};
use baton_envelope::escaped;
use clap::{Args, Subcommand};

use crate::app::App;
use crate::error::CliError;
use crate::output::Table;
use crate::who;

/// How many bytes of a removed message are shown to a person.
const SHOWN: usize = 200;

/// `baton repair`.
#[derive(Debug, Clone, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_required = false)]
pub(crate) struct RepairArgs {
    #[command(subcommand)]
    list: Option<RepairCommand>,
    /// What to repair, as the list names it, such as intent/ID or route/AGENT.
    #[arg(value_name = "KEY", required = true)]
    key: Option<String>,
    /// Repair also what a newer version of Baton may have written.
    #[arg(long)]
    force: bool,
}

/// What to do instead of repairing.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum RepairCommand {
    /// List everything that cannot be read, with what becomes of it meanwhile.
    List,
}

/// Runs it.
pub(crate) async fn run(args: RepairArgs, app: &App) -> Result<(), CliError> {
    match (args.list, args.key) {
        (None, Some(key)) => repair(key, args.force, app).await,
        (Some(RepairCommand::List) | None, _) => list(app).await,
    }
}

async fn list(app: &App) -> Result<(), CliError> {
    let mesh = app.connect().await?;
    let view = mesh.ask_controller(&ListUnreadable {}).await?;
    app.output.show(&view, || lines(&view))?;
    if view.unreadable.is_empty() {
        app.output.note("everything can be read");
    } else {
        app.output.note("`baton repair KEY` repairs one");
    }
    Ok(())
}

fn lines(view: &UnreadableView) -> String {
    if view.unreadable.is_empty() {
        return String::new();
    }
    let mut table = Table::new(&["KEY", "SEQ", "PROBLEM", "MEANWHILE"]);
    for one in &view.unreadable {
        table.row([
            one.key.clone(),
            one.seq.to_string(),
            one.problem.clone(),
            one.meanwhile.clone(),
        ]);
    }
    table.render()
}

async fn repair(key: String, force: bool, app: &App) -> Result<(), CliError> {
    let mesh = app.connect().await?;
    let question = Repair {
        key,
        force,
        by: who::person(),
    };
    let repaired = mesh.ask_controller(&question).await?;
    app.output.show(&repaired, || text(&repaired))
}

fn text(view: &RepairView) -> String {
    let mut table = Table::pairs();
    table.pair("repaired", &*view.key);
    table.pair("done", &*view.done);
    for one in &view.removed {
        let bytes = base64::engine::general_purpose::STANDARD.decode(&one.body_base64);
        let body = bytes.map_or_else(|_| one.body_base64.clone(), |bytes| escaped(&bytes, SHOWN));
        table.pair("removed", format!("{}: {body}", one.seq));
    }
    table.render()
}
