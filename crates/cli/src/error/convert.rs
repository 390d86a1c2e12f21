//! The conversions from the errors of the libraries, each with its code and with the hints that a person needs. What the
//! mesh says is in `mesh.rs`, what a server of one's own says in `local.rs`.

use anyhow::Error as Any;
use baton_agent::BuildError;
use baton_envelope::{BadName, BadVersion, RawRejection, codes};

use super::mesh::explain;
use super::{CliError, Kind};

impl From<BadName> for CliError {
    fn from(error: BadName) -> Self {
        Self::new(Kind::Usage, codes::BAD_NAME, Any::new(error))
    }
}

impl From<BadVersion> for CliError {
    fn from(error: BadVersion) -> Self {
        Self::new(Kind::Usage, codes::BAD_NAME, Any::new(error))
    }
}

/// The flags that stand for the headers of a raw intent.
const FLAGS: [(&str, &str); 6] = [
    (baton_envelope::HEADER_INTENT, "--id"),
    (baton_envelope::HEADER_KIND, "--kind"),
    (baton_envelope::HEADER_PRIORITY, "--priority"),
    (baton_envelope::HEADER_DEADLINE, "--deadline"),
    (baton_envelope::HEADER_MAX_HOPS, "--max-hops"),
    (baton_envelope::HEADER_REPLY_TO, "--reply-to"),
];

impl CliError {
    /// What is wrong with a raw intent, by the flags that stand for its headers. `more` are flags of the command alone.
    pub(crate) fn from_raw(error: RawRejection, more: &[(&str, &str)]) -> Self {
        let flag = FLAGS
            .iter()
            .chain(more)
            .find(|(header, _)| *header == error.field)
            .map_or(error.field.as_str(), |(_, flag)| flag);
        let message = format!("{flag} \"{}\": {}", error.value, error.problem);
        Self::say(Kind::Usage, error.code, message).hint(error.fix)
    }
}

impl From<RawRejection> for CliError {
    fn from(error: RawRejection) -> Self {
        Self::from_raw(error, &[])
    }
}

impl From<BuildError> for CliError {
    fn from(error: BuildError) -> Self {
        match error {
            BuildError::Mesh(error) => error.into(),
            BuildError::Name(error) => error.into(),
            BuildError::Version(error) => error.into(),
            other @ (BuildError::NoHandler(_) | _) => Self::new(Kind::Bug, codes::BUG, Any::new(other)),
        }
    }
}

impl From<baton_controller::Error> for CliError {
    fn from(error: baton_controller::Error) -> Self {
        let (kind, code, hints) = match &error {
            baton_controller::Error::Prepare { source, .. } | baton_controller::Error::Unfit(source) => {
                let (kind, hints) = explain(source);
                (kind, source.code(), hints)
            }
            baton_controller::Error::DutyEnded { .. } => (Kind::Bug, codes::BUG, Vec::new()),
            baton_controller::Error::Projection(_) => (Kind::Failed, codes::PROJECTION_FAILED, Vec::new()),
            _ => (Kind::Failed, codes::FAILED, Vec::new()),
        };
        let code = code.to_owned();
        Self {
            hints,
            ..Self::new(kind, code, Any::new(error))
        }
    }
}

impl From<std::io::Error> for CliError {
    /// An error of stdout or stderr: these are the only streams that this command uses without naming a file.
    fn from(error: std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            Self::new(Kind::OutputClosed, codes::IO_FAILED, Any::new(error))
        } else {
            Self::io(Any::new(error).context("the output cannot be written"))
        }
    }
}

impl From<serde_json::Error> for CliError {
    /// An error of writing what this command itself put together.
    fn from(error: serde_json::Error) -> Self {
        Self::new(
            Kind::Bug,
            codes::BUG,
            Any::new(error).context("the output cannot be written as JSON"),
        )
    }
}
