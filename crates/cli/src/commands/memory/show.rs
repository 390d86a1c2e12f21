//! `baton memory show`: a memory, with its content.

use baton_envelope::{codes, shown};
use baton_jetstream::{Error, KeptMemory, Mesh};
use clap::Args;

use super::{RevisionView, Which};
use crate::app::App;
use crate::error::{CliError, Kind};

/// `baton memory show`.
#[derive(Debug, Clone, Args)]
pub(crate) struct ShowArgs {
    #[command(flatten)]
    which: Which,
    /// This revision [default: the newest].
    #[arg(long, value_name = "N")]
    revision: Option<u64>,
    /// Write the content alone, byte for byte.
    #[arg(long)]
    raw: bool,
}

/// Shows it.
pub(crate) async fn run(args: ShowArgs, app: &App) -> Result<(), CliError> {
    let mesh = app.connect().await?;
    let kept = find(&mesh, &args).await?;
    if args.raw && !app.output.is_json() {
        let Some(content) = kept.record.bytes() else {
            return Err(gone(&args, "was forgotten with that revision"));
        };
        return app.output.raw(&content);
    }
    let view = RevisionView::of(&kept).with_content(&kept);
    app.output.show(&view, || text(&view, &kept))
}

async fn find(mesh: &Mesh, args: &ShowArgs) -> Result<KeptMemory, CliError> {
    let Which { space, id } = &args.which;
    let found = match args.revision {
        None => mesh
            .space_memory(space, id)
            .await?
            .filter(|kept| !kept.record.is_forgotten()),
        Some(revision) => {
            let history = mesh.space_history(space, id).await?;
            let found = history.memories.into_iter().find(|kept| kept.revision == revision);
            return found.ok_or_else(|| gone(args, &format!("has no revision {revision}")));
        }
    };
    let none = || Error::NoMemory {
        space: space.clone(),
        id: id.clone(),
    };
    Ok(found.ok_or_else(none)?)
}

fn gone(args: &ShowArgs, what: &str) -> CliError {
    let Which { space, id } = &args.which;
    let message = format!("memory \"{id}\" of space \"{space}\" {what}");
    CliError::say(Kind::NotFound, codes::NOT_FOUND, message)
        .hint(format!("`baton memory history {space} {id}` shows what is kept"))
}

fn text(view: &RevisionView<'_>, kept: &KeptMemory) -> String {
    let what = match view.kind {
        Some(kind) => format!("{}{}", shown(kind), if view.pinned { ", pinned" } else { "" }),
        None => "forgotten".to_owned(),
    };
    let mut text = format!("{} of space {}: {what}\n", view.id, view.space);
    text.push_str(&format!(
        "revision {}, by {}, {}\n",
        view.revision,
        shown(view.by),
        view.at
    ));
    if let Some(title) = view.title {
        text.push_str(&format!("{}\n", shown(title)));
    }
    match (kept.record.text(), view.bytes) {
        (Some(content), _) => {
            // Each line by itself: what somebody wrote must move no cursor.
            let lines: Vec<String> = content.lines().map(|line| shown(line).to_string()).collect();
            text.push_str(&format!("\n{}", lines.join("\n")));
        }
        (None, Some(bytes)) => text.push_str(&format!("\n{bytes} bytes that are no text: --raw writes them")),
        (None, None) => {}
    }
    text
}
