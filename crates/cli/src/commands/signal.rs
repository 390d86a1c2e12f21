//! `baton signal`: tells an open intent something.

use baton_envelope::codes;
use baton_envelope::{IntentId, shown};
use baton_jetstream::Told;
use clap::Args;
use serde::Serialize;

use crate::app::App;
use crate::commands::payload;
use crate::error::{CliError, Kind};
use crate::parse::Span;

/// `baton signal`.
#[derive(Debug, Clone, Args)]
pub(crate) struct SignalArgs {
    /// The intent.
    #[arg(value_name = "INTENT")]
    intent: IntentId,
    /// Name of the signal: that of the wait which is to take it.
    name: String,
    /// What it says: JSON or text; `@FILE` for a file, `-` for stdin [default: nothing].
    data: Option<String>,
    /// Id of the signal, which makes a repeat harmless [default: a new one].
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    /// How long to wait until a controller has taken it.
    #[arg(long, value_name = "DURATION", default_value = "40s")]
    timeout: Span,
}

/// What became of it, as a document.
#[derive(Serialize)]
struct Document<'a> {
    intent: &'a IntentId,
    name: &'a str,
    id: &'a str,
    /// Whether no wait has taken it yet.
    unread: bool,
    status: String,
}

/// Sends it, and waits for what becomes of it.
pub(crate) async fn run(args: SignalArgs, app: &App) -> Result<(), CliError> {
    let body = match args.data {
        Some(data) => payload::read(Some(&data), &app.output)?,
        None => Vec::new(),
    };
    let mesh = app.connect().await?;
    let id = args.id.unwrap_or_else(|| mesh.clock().intent_id().to_string());
    let told = mesh
        .tell(&args.intent, &args.name, &id, body.into(), args.timeout.0)
        .await?;
    let (intent, name) = (&args.intent, &args.name);
    match told {
        Told::Taken { unread, status } => {
            let document = Document {
                intent,
                name,
                id: &id,
                unread,
                status: status.to_string(),
            };
            app.output.show(&document, || match unread {
                true => format!(
                    "{intent} keeps signal {name} for the first wait of that name; it is {}",
                    shown(&document.status)
                ),
                false => format!("{intent} has taken signal {name}; it is {}", shown(&document.status)),
            })
        }
        Told::Dead { letter, error } => {
            let (code, message) = (error.code, error.message);
            Err(CliError::new(Kind::Refused, &code, anyhow::Error::msg(message))
                .hint(format!("it is kept as a dead letter: `baton dead show {letter}`")))
        }
        Told::Nothing => {
            let message = format!(
                "no controller has taken signal \"{name}\" for {intent} within {}",
                args.timeout
            );
            Err(CliError::say(Kind::TimedOut, codes::WAIT_TIMED_OUT, message)
                .hint("it stands in the intake, and is taken when one runs: `baton doctor`")
                .hint(format!("to repeat it harmlessly, add --id {id}")))
        }
    }
}
