//! `baton explain`: what a code means, why it happens, and what to do.

use baton_envelope::codes::{self, ALL};
use clap::Args;
use serde::Serialize;

use crate::error::{CliError, Kind};
use crate::near;
use crate::output::{Output, Table};
use crate::pages::{self, Page, Parts};

/// How many letters a code may differ in to be what was probably meant.
const NEAR: usize = 3;

/// `baton explain`.
#[derive(Debug, Clone, Args)]
pub(crate) struct ExplainArgs {
    /// The code, as an error or a record shows it [default: list all codes].
    code: Option<String>,
}

/// A page as a document; the parts are Markdown.
#[derive(Serialize)]
struct Document<'a> {
    code: &'a str,
    summary: &'a str,
    meaning: &'a str,
    causes: &'a str,
    remedy: &'a str,
}

/// The list as a document.
#[derive(Serialize)]
struct List {
    codes: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    code: &'static str,
    summary: &'static str,
}

/// Explains a code, or lists all of them. Asks no server and reads no configuration.
pub(crate) fn run(args: &ExplainArgs, output: Output) -> Result<(), CliError> {
    let Some(asked) = &args.code else {
        return list(output);
    };
    let name = asked.trim().to_ascii_uppercase();
    let page = pages::find(&name).ok_or_else(|| unknown(asked, &name))?;
    let parts = page.parts().ok_or_else(CliError::bug)?;
    let document = Document {
        code: page.code,
        summary: parts.summary,
        meaning: parts.meaning,
        causes: parts.causes,
        remedy: parts.remedy,
    };
    output.show(&document, || text(page, &parts))
}

fn list(output: Output) -> Result<(), CliError> {
    let rows = ALL.iter().map(|code| Row {
        code: code.name,
        summary: code.summary,
    });
    let list = List { codes: rows.collect() };
    output.show(&list, || {
        let mut table = Table::new(&["CODE", "MEANING"]);
        for row in &list.codes {
            table.row([row.code.to_owned(), row.summary.to_owned()]);
        }
        table.render()
    })
}

fn unknown(asked: &str, name: &str) -> CliError {
    let error = CliError::say(
        Kind::NotFound,
        codes::UNKNOWN_CODE,
        format!("Baton has no code \"{asked}\""),
    );
    let error = match nearest(name) {
        Some(near) => error.hint(format!("did you mean {near}?")),
        None => error,
    };
    error.hint("`baton explain` lists all codes; an agent may give codes of its own, which its authors explain")
}

/// The code that is meant, it seems.
fn nearest(name: &str) -> Option<&'static str> {
    near::nearest(name, ALL.iter().map(|code| code.name), NEAR)
}

/// The page as plain text.
fn text(page: &Page, parts: &Parts) -> String {
    let Parts {
        summary,
        meaning,
        causes,
        remedy,
    } = parts;
    let code = page.code;
    format!(
        "{code}: {summary}\n\nWhat it means\n\n{}\n\nWhy it happens\n\n{}\n\nWhat to do\n\n{}",
        plain(meaning),
        plain(causes),
        plain(remedy)
    )
}

/// Markdown without its fences: commands stand four spaces deeper.
fn plain(markdown: &str) -> String {
    let (mut is_command, mut lines) = (false, Vec::new());
    for line in markdown.lines() {
        if line.starts_with("```") {
            is_command = !is_command;
        } else if line.is_empty() {
            lines.push(String::new());
        } else {
            let indent = if is_command { "      " } else { "  " };
            lines.push(format!("{indent}{line}"));
        }
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_code_is_known_by_its_letters() {
        assert_eq!(nearest("UNKOWN_AGENT"), Some("UNKNOWN_AGENT"));
        assert_eq!(nearest("NO_CONTROLER"), Some("NO_CONTROLLER"));
        assert_eq!(nearest("OUT_OF_OTTERS"), None);
    }

    #[test]
    fn plain_text_has_no_fences() {
        assert_eq!(
            plain("do it:\n\n```sh\nbaton dev\n```\n\nthen"),
            "  do it:\n\n      baton dev\n\n  then"
        );
    }
}
