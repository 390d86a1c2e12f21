//! `baton pipelines check`.

use clap::Args;

use super::Document;
use super::file::FolderArgs;
use crate::app::App;
use crate::error::CliError;

/// `baton pipelines check`.
#[derive(Debug, Clone, Args)]
pub(crate) struct CheckArgs {
    /// The pipelines to check [default: all of the folder].
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    #[command(flatten)]
    folder: FolderArgs,
    /// Check the files alone, and ask no mesh whether it knows their agents.
    #[arg(long)]
    offline: bool,
}

pub(super) async fn run(args: CheckArgs, app: &App) -> Result<(), CliError> {
    let names = match args.names.is_empty() {
        true => args.folder.names()?,
        false => args.names,
    };
    let mut read = Vec::with_capacity(names.len());
    for name in &names {
        read.push(args.folder.read(name)?);
    }
    if !args.offline {
        let mesh = app.connect().await?;
        for pipeline in &read {
            for step in &pipeline.pipeline.steps {
                let known = mesh.route_of(&step.agent).await;
                known.map_err(|error| pipeline.located(error.into()))?;
            }
        }
    }
    let documents: Vec<Document<'_>> = read.iter().map(Document::of).collect();
    app.output.show(&documents, || {
        let lines = documents
            .iter()
            .map(|document| format!("{}: {} steps, good", document.file, document.steps.len()));
        lines.collect::<Vec<_>>().join("\n")
    })
}
