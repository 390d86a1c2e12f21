//! Logs, on stderr: what happened, for people and for the journal. Data never goes this way.
//!
//! An event is one line. What it says of others' texts is escaped as all that a person reads, line breaks included, so
//! that no text can pretend to be an event of its own.

use std::fmt;
use std::io::IsTerminal as _;

use baton_envelope::shown;
use baton_jetstream::QUIET_CLIENT;
use tracing::field::Field;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::MakeExt as _;
use tracing_subscriber::fmt::format::{Writer, debug_fn};

use crate::output::Output;

/// The crates whose logs the verbosity governs; of the others only warnings are shown.
const OURS: [&str; 6] = [
    "baton_cli",
    "baton_agent",
    "baton_controller",
    "baton_jetstream",
    "baton_embedded",
    "baton_bench",
];

/// Starts logging. A process that stays tells what it does; a command that is over in a moment speaks only of trouble.
pub(crate) fn init(verbose: u8, long_running: bool, output: &Output) {
    let chosen = ["BATON_LOG", "RUST_LOG"]
        .iter()
        .find_map(|name| std::env::var(name).ok().filter(|text| !text.is_empty()));
    let filter = EnvFilter::new(chosen.unwrap_or_else(|| directives(verbose, long_running)));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    // A second subscriber is refused, and then the first one serves: that only happens in tests.
    let _set = if output.is_json() {
        builder.json().try_init()
    } else {
        let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        builder
            .fmt_fields(debug_fn(write_field).delimited(" "))
            .with_ansi(colours)
            .with_target(false)
            .try_init()
    };
}

/// Writes a field of an event: the message as it is, any other with its name.
fn write_field(writer: &mut Writer<'_>, field: &Field, value: &dyn fmt::Debug) -> fmt::Result {
    let text = format!("{value:?}");
    let text = shown(&text);
    match field.name() {
        "message" => write!(writer, "{text}"),
        name if writer.has_ansi_escapes() => write!(writer, "\x1b[3m{name}\x1b[0m\x1b[2m=\x1b[0m{text}"),
        name => write!(writer, "{name}={text}"),
    }
}

fn directives(verbose: u8, long_running: bool) -> String {
    let level = match verbose + u8::from(long_running) {
        0 => "warn",
        1 => "info",
        2 => "debug",
        _ => "trace",
    };
    let mut text = if verbose > 2 {
        "debug".to_owned()
    } else {
        format!("warn,{QUIET_CLIENT}")
    };
    for ours in OURS {
        text.push_str(&format!(",{ours}={level}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_running_command_says_what_it_does() {
        assert!(directives(0, false).contains("baton_agent=warn"));
        assert!(directives(0, true).contains("baton_agent=info"));
        assert!(directives(2, true).starts_with("warn,"));
    }
}
