//! `baton access check`: what is wrong with the accounts, and whether nats-server would start with them.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use baton_access::{Access, Folder, Level, Problem, problems, render};
use baton_embedded::{Finder, check_config};
use baton_envelope::codes;
use serde::Serialize;

use super::is_problem;
use crate::app::App;
use crate::error::{CliError, Kind};
use crate::output::{Output, Table};

#[derive(Serialize)]
struct Document<'a> {
    file: String,
    problems: usize,
    findings: &'a [Problem],
    /// The nats-server that was asked; none where the file is wrong already.
    nats_server: Option<String>,
}

/// Checks, and fails if something is wrong.
pub(super) fn run(folder: &Folder, app: &App) -> Result<(), CliError> {
    let access = Access::parse(&folder.read()?)?;
    let findings = problems(&access);
    let wrong = findings.iter().filter(|found| is_problem(found)).count();
    let nats_server = match wrong {
        0 => Some(ask_server(&access, app.output)?.display().to_string()),
        _ => None,
    };
    let document = Document {
        file: folder.file().display().to_string(),
        problems: wrong,
        findings: &findings,
        nats_server,
    };
    app.output.show(&document, || text(&document))?;
    if wrong == 0 {
        return Ok(());
    }
    let message = format!("{wrong} problems in {}", document.file);
    Err(CliError::say(Kind::BadConfig, codes::ACCESS_INVALID, message))
}

/// Shows the configuration to nats-server; gives the executable that found it good.
pub(super) fn ask_server(access: &Access, output: Output) -> Result<PathBuf, CliError> {
    let binary = Finder::from_process().nats_server(&|line| output.note(line))?;
    let io =
        |error: std::io::Error| CliError::io(anyhow::Error::new(error).context("the configuration cannot be tried"));
    // For its owner alone, as every temporary file here: it has hashes of passwords.
    let mut file = tempfile::NamedTempFile::new().map_err(io)?;
    file.write_all(render(access).as_bytes()).map_err(io)?;
    check_config(&binary.path, file.path()).map_err(|error| named(error, file.path()))?;
    Ok(binary.path)
}

/// The refusal, without the name of the temporary file.
fn named(error: baton_embedded::ServerError, file: &Path) -> CliError {
    let baton_embedded::ServerError::ConfigRefused { output, .. } = error else {
        return error.into();
    };
    let said = output.replace(&format!("{}:", file.display()), "line ");
    let message = format!("nats-server refuses the configuration: {said}");
    CliError::say(Kind::BadConfig, codes::SERVER_CONFIG_REFUSED, message)
        .hint("correct [server] in the file of accounts")
}

fn text(document: &Document<'_>) -> String {
    if document.findings.is_empty() {
        return format!("{}: no problems, and nats-server would start with it", document.file);
    }
    let mut table = Table::new(&["LEVEL", "KEY", "FOUND", "REMEDY"]);
    for found in document.findings {
        let level = match found.level {
            Level::Warning => "warning",
            Level::Problem => "PROBLEM",
        };
        table.row([
            level.to_owned(),
            found.place.clone(),
            found.problem.clone(),
            found.fix.clone(),
        ]);
    }
    table.render()
}
