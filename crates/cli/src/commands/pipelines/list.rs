//! `baton pipelines list`.

use serde::Serialize;

use super::Document;
use super::file::FolderArgs;
use crate::app::App;
use crate::error::CliError;
use crate::output::Table;

#[derive(Serialize)]
struct List<'a> {
    pipelines: Vec<Document<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    refused: Vec<Refused>,
}

/// One that cannot be gone through.
#[derive(Serialize)]
struct Refused {
    pipeline: String,
    code: String,
    problem: String,
}

pub(super) fn run(args: &FolderArgs, app: &App) -> Result<(), CliError> {
    let (mut read, mut refused) = (Vec::new(), Vec::new());
    for name in args.names()? {
        match args.read(&name) {
            Ok(pipeline) => read.push(pipeline),
            Err(error) => refused.push(Refused {
                pipeline: name,
                code: error.code.clone(),
                problem: error.source.to_string(),
            }),
        }
    }
    let list = List {
        pipelines: read.iter().map(Document::of).collect(),
        refused,
    };
    app.output.show(&list, || {
        let mut table = Table::new(&["PIPELINE", "STEPS", "FIRST", "DESCRIPTION"]);
        for pipeline in &list.pipelines {
            let first = pipeline.steps.first().map_or("", |step| step.agent);
            table.row([
                pipeline.pipeline.to_owned(),
                pipeline.steps.len().to_string(),
                first.to_owned(),
                pipeline.description.unwrap_or_default().to_owned(),
            ]);
        }
        for refused in &list.refused {
            let row = [
                refused.pipeline.clone(),
                "-".to_owned(),
                "-".to_owned(),
                refused.problem.clone(),
            ];
            table.row(row);
        }
        table.render()
    })
}
