//! `baton memory search`: which memories have these words.

use baton_envelope::SpaceName;
use baton_envelope::control::{FoundMemories, SEARCH_LIMIT, SearchMemories};
use baton_jetstream::Error;
use clap::Args;

use crate::app::App;
use crate::error::CliError;
use crate::output::Table;
use crate::view::count_of;

/// `baton memory search`.
#[derive(Debug, Clone, Args)]
pub(crate) struct SearchArgs {
    /// Words, all of which a memory must have; `pay*` stands for every word that begins so.
    #[arg(required = true, value_name = "WORDS")]
    words: Vec<String>,
    /// Only in this space [default: in all of them].
    #[arg(long, value_name = "SPACE")]
    space: Option<SpaceName>,
    /// The most memories to show, at most 100.
    #[arg(long, value_name = "N", default_value_t = SEARCH_LIMIT)]
    limit: u32,
}

/// Shows them.
pub(crate) async fn run(args: SearchArgs, app: &App) -> Result<(), CliError> {
    let question = SearchMemories {
        words: args.words.join(" "),
        space: args.space,
        limit: args.limit,
    };
    // Before connecting: what is wrong with the arguments does not depend on a server.
    question.checked().map_err(Error::from)?;
    let mesh = app.connect().await?;
    let found = mesh.ask_controller(&question).await?;
    if found.behind > 0 {
        app.output.note(&format!(
            "the index of the controller is {} behind: what was written last may be missing; search again",
            count_of(found.behind, "revision", "revisions")
        ));
    }
    app.output.show(&found, || text(&found, &question))?;
    if found.more {
        app.output
            .note("there are more: a further word finds less, --limit shows up to 100");
    }
    Ok(())
}

fn text(found: &FoundMemories, question: &SearchMemories) -> String {
    if found.memories.is_empty() {
        return match &question.space {
            Some(space) => format!("no memory of space {space} has all of these words"),
            None => "no memory has all of these words".to_owned(),
        };
    }
    let mut table = Table::new(&["SPACE", "ID", "KIND", "REVISION", "TITLE", "TEXT"]);
    for one in &found.memories {
        let pinned = if one.pinned { " (pinned)" } else { "" };
        table.row([
            one.space.to_string(),
            one.id.to_string(),
            format!("{}{pinned}", one.kind),
            one.revision.to_string(),
            one.title.clone().unwrap_or_default(),
            one.snippet.clone(),
        ]);
    }
    table.render()
}
