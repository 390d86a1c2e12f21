//! `baton memory pin`, `unpin` and `forget`: the next revision of what is there.

use baton_envelope::context::SpaceMemory;
use baton_jetstream::KeptMemory;
use clap::Args;

use super::{RevisionView, Which, write};
use crate::app::App;
use crate::error::CliError;

/// `baton memory pin`, and its like.
#[derive(Debug, Clone, Args)]
pub(crate) struct ChangeArgs {
    #[command(flatten)]
    which: Which,
    /// Only if this is the newest revision [default: whatever is there].
    #[arg(long, value_name = "REVISION")]
    expect: Option<u64>,
}

/// Pins it.
pub(crate) async fn pin(args: ChangeArgs, app: &App) -> Result<(), CliError> {
    let kept = change(&args, app, Change::Pin).await?;
    show(&kept, app, "is pinned")
}

/// Takes the pin away.
pub(crate) async fn unpin(args: ChangeArgs, app: &App) -> Result<(), CliError> {
    let kept = change(&args, app, Change::Unpin).await?;
    show(&kept, app, "is not pinned")
}

/// Forgets it.
pub(crate) async fn forget(args: ChangeArgs, app: &App) -> Result<(), CliError> {
    let kept = change(&args, app, Change::Forget).await?;
    show(&kept, app, "is forgotten")
}

#[derive(Debug, Clone, Copy)]
enum Change {
    Pin,
    Unpin,
    Forget,
}

async fn change(args: &ChangeArgs, app: &App, change: Change) -> Result<KeptMemory, CliError> {
    let mesh = app.connect().await?;
    let written = write(&mesh);
    let next = |record: &SpaceMemory| match change {
        Change::Pin => record.with_pin(true, written.clone()),
        Change::Unpin => record.with_pin(false, written.clone()),
        Change::Forget => {
            let (space, id) = (record.space.clone(), record.id.clone());
            Some(SpaceMemory::forgotten(space, id, written.clone()))
        }
    };
    let Which { space, id } = &args.which;
    Ok(mesh.change_memory(space, id, args.expect, next).await?)
}

fn show(kept: &KeptMemory, app: &App, what: &str) -> Result<(), CliError> {
    app.output.show(&RevisionView::of(kept), || {
        format!(
            "memory {} of space {} {what}, at revision {}",
            kept.record.id, kept.record.space, kept.revision
        )
    })
}
