//! The one place that prints: data on stdout, everything else on stderr.
//!
//! A reader that goes away (`baton intents list | head -1`) is no error and no panic.
//!
//! What a person reads holds no character that a terminal obeys or that nobody sees: here everything is escaped but line
//! breaks and tabs. Cells of tables and notes keep none of these either; whoever puts the text of others into a line of their
//! own makes it one line first (`shown`), and moves in what has lines (`view::body`). Programs read JSON, where all is as it
//! was.

mod table;

use std::io::{self, IsTerminal as _, Write as _};
use std::num::{IntErrorKind, ParseIntError};
use std::process::ExitCode;

use baton_envelope::{codes, shown, shown_lines};
use clap::ValueEnum;
use serde::Serialize;

pub(crate) use table::Table;

use crate::error::{CliError, Kind};

/// What clears a terminal and goes to its first line.
const CLEAR: &str = "\x1b[2J\x1b[H";

/// Who reads the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// People.
    Table,
    /// Programs: one JSON document, or one for each line when streaming.
    Json,
}

/// Where a command says what it has to say.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    format: Format,
}

/// An error as a program reads it.
#[derive(Serialize)]
struct ErrorDocument<'a> {
    error: String,
    kind: Kind,
    exit: u8,
    code: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    caused_by: Vec<String>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    hints: &'a [String],
}

impl Output {
    /// Output in a format.
    pub(crate) const fn new(format: Format) -> Self {
        Self { format }
    }

    /// Whether a program reads it.
    pub(crate) fn is_json(self) -> bool {
        self.format == Format::Json
    }

    /// Shows the result of a command: the document to a program, the text to a person.
    pub(crate) fn show<T: Serialize + ?Sized>(
        self,
        document: &T,
        text: impl FnOnce() -> String,
    ) -> Result<(), CliError> {
        if self.is_json() {
            Self::line(&serde_json::to_string_pretty(document)?)
        } else {
            match text() {
                text if text.is_empty() => Ok(()),
                text => Self::line(&shown_lines(&text)),
            }
        }
    }

    /// Shows one thing of a stream: a document on one line to a program, a line to a person.
    pub(crate) fn stream<T: Serialize + ?Sized>(
        self,
        document: &T,
        text: impl FnOnce() -> String,
    ) -> Result<(), CliError> {
        if self.is_json() {
            Self::line(&serde_json::to_string(document)?)
        } else {
            Self::line(&shown_lines(&text()))
        }
    }

    /// Shows a page in place of the one before: a document on one line to a program; on a terminal the screen is cleared,
    /// and in a file pages are parted by an empty line.
    pub(crate) fn redraw<T: Serialize + ?Sized>(
        self,
        document: &T,
        text: impl FnOnce() -> String,
    ) -> Result<(), CliError> {
        if self.is_json() {
            return self.stream(document, text);
        }
        let text = text();
        let text = shown_lines(&text);
        if io::stdout().is_terminal() {
            Self::line(&format!("{CLEAR}{text}"))
        } else {
            Self::line(&format!("{text}\n\n"))
        }
    }

    /// Shows a result that is not text: the document to a program, the bytes themselves to a file or a pipe. A terminal
    /// could take them for commands, so a person is told of them.
    pub(crate) fn show_bytes<T: Serialize + ?Sized>(self, document: &T, bytes: &[u8]) -> Result<(), CliError> {
        if self.is_json() {
            return self.show(document, String::new);
        }
        if !io::stdout().is_terminal() {
            return self.raw(bytes);
        }
        let count = bytes.len();
        self.note(&format!(
            "the result is {count} bytes that are not text; `> FILE` keeps them, `--output json` shows them in base64"
        ));
        Ok(())
    }

    /// Writes text as it is, without any form.
    pub(crate) fn raw(self, bytes: &[u8]) -> Result<(), CliError> {
        let mut stdout = io::stdout().lock();
        stdout.write_all(bytes)?;
        stdout.flush()?;
        Ok(())
    }

    /// Tells a person something that is not the result, on one line; a program is not bothered with it.
    pub(crate) fn note(self, text: &str) {
        if !self.is_json() {
            Self::aside(&shown(text));
        }
    }

    /// Tells why a command failed, in the form that was asked for.
    pub(crate) fn error(self, error: &CliError) {
        if error.kind == Kind::OutputClosed {
            return;
        }
        if self.is_json() {
            let document = ErrorDocument {
                error: error.message(),
                kind: error.kind,
                exit: error.kind.exit(),
                code: &error.code,
                caused_by: error.causes(),
                hints: &error.hints,
            };
            Self::aside(&serde_json::to_string(&document).unwrap_or_else(|_| error.message()));
            return;
        }
        Self::aside(&format!("error[{}]: {}", shown(&error.code), within(&error.message())));
        for cause in error.causes() {
            Self::aside(&format!("  caused by: {}", within(&cause)));
        }
        for hint in error.hints.iter().chain(error.explained().as_ref()) {
            Self::aside(&format!("hint: {}", within(hint)));
        }
    }

    fn line(text: &str) -> Result<(), CliError> {
        let mut stdout = io::stdout().lock();
        stdout.write_all(text.as_bytes())?;
        if !text.ends_with('\n') {
            stdout.write_all(b"\n")?;
        }
        stdout.flush()?;
        Ok(())
    }

    /// A stderr that is closed leaves nobody to tell.
    fn aside(text: &str) {
        drop(writeln!(io::stderr().lock(), "{text}"));
    }
}

/// A text of an error. Its further lines are moved in, so that no message can look like a hint.
fn within(text: &str) -> String {
    shown_lines(text).replace('\n', "\n    ")
}

/// Tells what is wrong with the arguments, or prints the help that was asked for.
pub(crate) fn usage(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() {
        drop(error.print());
        return ExitCode::SUCCESS;
    }
    let better = better(error);
    if let Some((said, better)) = better.as_ref().filter(|_| !wants_json()) {
        let text = error.render().to_string().replace(said, better);
        drop(write!(io::stderr().lock(), "{text}"));
    } else if wants_json() {
        let mut text = error.render().to_string();
        if let Some((said, better)) = &better {
            text = text.replace(said, better);
        }
        let text = text.strip_prefix("error: ").unwrap_or(&text);
        let (message, rest) = text.split_once("\n\n").unwrap_or((text, ""));
        let mut shown = CliError::say(Kind::Usage, codes::USAGE, message.trim());
        shown.hints = rest
            .split("\n\n")
            .map(|part| part.trim().to_owned())
            .filter(|part| !part.is_empty())
            .collect();
        Output::new(Format::Json).error(&shown);
    } else {
        drop(error.print());
    }
    ExitCode::from(Kind::Usage.exit())
}

/// What the standard library says of a number that it cannot read, and what is said instead: the rule.
fn better(error: &clap::Error) -> Option<(String, &'static str)> {
    let said = std::error::Error::source(error)?.downcast_ref::<ParseIntError>()?;
    let rule = match said.kind() {
        IntErrorKind::Empty | IntErrorKind::InvalidDigit => "expected a whole number",
        IntErrorKind::Zero => "expected a whole number, 1 or more",
        IntErrorKind::PosOverflow => "the number is too large",
        IntErrorKind::NegOverflow => "the number is too small",
        _ => return None,
    };
    Some((said.to_string(), rule))
}

/// Whether JSON was asked for, on a command line that cannot be read as a whole.
fn wants_json() -> bool {
    let arguments: Vec<String> = std::env::args_os()
        .map(|argument| argument.to_string_lossy().into_owned())
        .collect();
    arguments.iter().any(|argument| argument == "--output=json")
        || arguments
            .iter()
            .zip(arguments.iter().skip(1))
            .any(|(flag, value)| flag == "--output" && value == "json")
        || std::env::var("BATON_OUTPUT").is_ok_and(|value| value == "json")
}
