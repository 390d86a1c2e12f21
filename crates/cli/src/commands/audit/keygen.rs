//! `baton audit keygen`: a key to sign records with.

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::Context as _;
use baton_envelope::{PublicKey, codes};
use baton_jetstream::new_signing_key;
use clap::Args;
use serde::Serialize;

use crate::app::App;
use crate::error::{CliError, Kind};

/// `baton audit keygen`.
#[derive(Debug, Clone, Args)]
pub(crate) struct KeygenArgs {
    /// Where to write the key; a file that is there is left alone.
    file: PathBuf,
}

#[derive(Serialize)]
struct Document {
    public: PublicKey,
    file: String,
}

/// Makes the key.
pub(crate) fn run(args: &KeygenArgs, app: &App) -> Result<(), CliError> {
    let key = new_signing_key();
    let file = args.file.display().to_string();
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    if args.file.exists() {
        let error = CliError::say(Kind::Refused, codes::FILE_EXISTS, format!("{file} is there already"));
        return Err(
            error.hint("name another file; to replace a key, \"Signed records\" in docs/operations.md says how")
        );
    }
    options
        .open(&args.file)
        .and_then(|mut open| open.write_all(format!("{}\n", key.seed()).as_bytes()))
        .with_context(|| format!("the key cannot be written to {file}"))
        .map_err(CliError::io)?;
    let public = key.public();
    app.output.show(&Document { public, file }, || public.to_string())
}
