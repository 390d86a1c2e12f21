//! Conversions from what the commands with a server of their own run into.

use anyhow::Error as Any;
use baton_bench::BenchError;
use baton_conformance::ConformanceError;
use baton_demo::DemoError;
use baton_embedded::ServerError;
use baton_envelope::{ExportError, codes};

use super::{CliError, Kind};

impl From<baton_embedded::Error> for CliError {
    fn from(error: baton_embedded::Error) -> Self {
        // Its text has the commands that install the binary by hand.
        Self::new(Kind::Failed, codes::NO_BINARY, Any::new(error))
    }
}

impl From<ServerError> for CliError {
    fn from(error: ServerError) -> Self {
        let (kind, code, hint) = match &error {
            ServerError::PortTaken { port } => (
                Kind::Refused,
                codes::PORT_TAKEN,
                Some(format!(
                    "stop what listens on {port}, or choose another port with --port"
                )),
            ),
            ServerError::StoreBusy { .. } => (
                Kind::Refused,
                codes::STORE_BUSY,
                Some("stop the other one, or choose another folder with --dir".to_owned()),
            ),
            ServerError::NoServer { .. } => (
                Kind::Refused,
                codes::NOT_APPLIED,
                Some("--pid is the process id of nats-server: `pgrep nats-server`".to_owned()),
            ),
            ServerError::ConfigRefused { .. } => (Kind::BadConfig, codes::SERVER_CONFIG_REFUSED, None),
            ServerError::Option { .. }
            | ServerError::Ended { .. }
            | ServerError::NotReady { .. }
            | ServerError::NotRunning
            | ServerError::Io { .. }
            | _ => (Kind::Failed, codes::LOCAL_SERVER_FAILED, None),
        };
        let found = Self::new(kind, code, Any::new(error));
        match hint {
            Some(hint) => found.hint(hint),
            None => found,
        }
    }
}

impl From<DemoError> for CliError {
    fn from(error: DemoError) -> Self {
        match error {
            DemoError::Find(error) => error.into(),
            DemoError::Server(error) => error.into(),
            DemoError::Mesh(error) => error.into(),
            DemoError::Agent(error) => error.into(),
            other @ DemoError::Io { .. } => Self::io(Any::new(other)),
            other @ (DemoError::NoRole(_) | DemoError::Stuck(_) | _) => {
                Self::new(Kind::Failed, codes::DEMO_FAILED, Any::new(other))
            }
        }
    }
}

impl From<ConformanceError> for CliError {
    fn from(error: ConformanceError) -> Self {
        match error {
            ConformanceError::Mesh(error) => error.into(),
            ConformanceError::Binary(error) => error.into(),
            ConformanceError::Server(error) => error.into(),
            other @ ConformanceError::NoAgent { .. } => Self::new(Kind::TimedOut, codes::NO_WORKER, Any::new(other))
                .hint("start its worker with the same server and namespace, or let this command start it: put its command after `--`")
                .hint("section 14 of docs/protocol.md says what a worker announces"),
            other @ ConformanceError::NothingSubmitted { .. } => {
                Self::new(Kind::TimedOut, codes::WAIT_TIMED_OUT, Any::new(other))
                    .hint("submit with the same server and namespace, or have it done: --command LINE")
                    .hint("section 11 of docs/protocol.md says how to submit")
            }
            other @ ConformanceError::InUse { .. } => Self::new(Kind::Usage, codes::USAGE, Any::new(other))
                .hint("name a new one with --namespace, or leave out --server to try on a server of its own"),
            other @ (ConformanceError::Io { .. } | _) => Self::io(Any::new(other)),
        }
    }
}

impl From<ExportError> for CliError {
    fn from(error: ExportError) -> Self {
        match error {
            ExportError::Io(error) => Self::io(Any::new(error)),
            other @ (ExportError::Malformed(_)
            | ExportError::NewerForm { .. }
            | ExportError::Altered { .. }
            | ExportError::Bundle(_)
            | _) => Self::new(Kind::Failed, codes::BAD_EXPORT, Any::new(other)).hint("nothing was imported"),
        }
    }
}

impl From<BenchError> for CliError {
    fn from(error: BenchError) -> Self {
        match error {
            BenchError::Mesh(error) => error.into(),
            BenchError::Agent(error) => error.into(),
            BenchError::Missing(error) => error.into(),
            BenchError::Server(error) => error.into(),
            BenchError::Interrupted => Self::say(
                Kind::Interrupted,
                codes::INTERRUPTED,
                "interrupted: nothing was measured",
            ),
            other @ BenchError::Io { .. } => Self::io(Any::new(other)),
            other @ (BenchError::Ended(_) | BenchError::Incomplete { .. } | _) => {
                Self::new(Kind::Failed, codes::FAILED, Any::new(other))
            }
        }
    }
}
