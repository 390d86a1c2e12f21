//! Where a payload comes from: the argument, a file, or stdin.

use std::io::{IsTerminal as _, Read as _};
use std::path::Path;

use baton_envelope::codes;

use crate::error::{CliError, Kind};
use crate::output::Output;

/// Reads the payload: `@file`, `-` or nothing for stdin, else the argument itself.
pub(crate) fn read(argument: Option<&str>, output: &Output) -> Result<Vec<u8>, CliError> {
    match argument {
        None | Some("-") => stdin(output),
        Some(text) => match text.strip_prefix('@') {
            Some(path) => file(Path::new(path))
                .map_err(|error| error.hint("a payload that starts with @ names a file; use - for stdin")),
            None => Ok(text.as_bytes().to_vec()),
        },
    }
}

/// Reads a file, or stdin where it is `-`.
pub(crate) fn read_file(path: &Path, output: &Output) -> Result<Vec<u8>, CliError> {
    match path == Path::new("-") {
        true => stdin(output),
        false => file(path),
    }
}

fn file(path: &Path) -> Result<Vec<u8>, CliError> {
    std::fs::read(path).map_err(|error| {
        let path = path.display();
        let error = anyhow::Error::new(error).context(format!("payload file \"{path}\" cannot be read"));
        CliError::new(Kind::Usage, codes::IO_FAILED, error)
    })
}

fn stdin(output: &Output) -> Result<Vec<u8>, CliError> {
    let mut stdin = std::io::stdin().lock();
    if stdin.is_terminal() {
        output.note("reading the payload from the terminal; end it with Ctrl-D");
    }
    let mut bytes = Vec::new();
    stdin
        .read_to_end(&mut bytes)
        .map_err(|error| CliError::io(anyhow::Error::new(error).context("stdin cannot be read")))?;
    Ok(bytes)
}
