//! `baton pipelines show`.

use clap::Args;

use super::Document;
use super::file::FolderArgs;
use crate::app::App;
use crate::error::CliError;
use crate::output::Table;

/// `baton pipelines show`.
#[derive(Debug, Clone, Args)]
pub(crate) struct ShowArgs {
    /// The pipeline.
    #[arg(value_name = "NAME")]
    name: String,
    #[command(flatten)]
    folder: FolderArgs,
}

pub(super) fn run(args: &ShowArgs, app: &App) -> Result<(), CliError> {
    let read = args.folder.read(&args.name)?;
    let document = Document::of(&read);
    app.output.show(&document, || {
        let mut table = Table::new(&["AGENT", "NEXT", "OR"]);
        for step in &document.steps {
            let usual = step.next.first().copied().unwrap_or("(completes)");
            let mut others: Vec<&str> = step.next.iter().skip(1).copied().collect();
            if step.may_end && !step.next.is_empty() {
                others.push("(completes)");
            }
            table.row([step.agent.to_owned(), usual.to_owned(), others.join(", ")]);
        }
        table.render()
    })
}
