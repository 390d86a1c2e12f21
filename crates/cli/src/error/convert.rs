//! Every conversion from a library's error, with the hints that a person needs. Nowhere else.

use anyhow::Error as Any;
use baton_agent::BuildError;
use baton_envelope::control::code;
use baton_envelope::{BadName, BadVersion, RawRejection};
use baton_jetstream::{Error, Refusal};

use super::{CliError, Kind};

const DOCTOR: &str = "`baton doctor` shows what is missing and how to mend it";

impl From<Error> for CliError {
    fn from(error: Error) -> Self {
        if is_without_mesh(&error) {
            let source = Any::new(error).context("this server has no mesh in this namespace yet");
            return Self::new(Kind::Unreachable, source)
                .hint("start `baton controller` (or `baton dev`), which makes it, or pass another --namespace");
        }
        let (kind, hints) = explain(&error);
        let code = if let Error::Control(refused) = &error {
            Some(refused.code.clone())
        } else if let Error::Decision(refused) = &error {
            Some(refused.code.to_owned())
        } else {
            None
        };
        Self {
            code,
            hints,
            ..Self::new(kind, Any::new(error))
        }
    }
}

/// Whether the server has no such stream. Bucket and batch reads tell it only in the text.
fn is_without_mesh(error: &Error) -> bool {
    if let Error::Refused(refusal) = error {
        refusal.code == 10059
    } else if let Error::Api { detail, .. } = error {
        detail.contains("error code 10059") || detail.contains("status 503")
    } else {
        false
    }
}

fn explain(error: &Error) -> (Kind, Vec<String>) {
    let (kind, hint) = match error {
        Error::Unreachable { .. } => (
            Kind::Unreachable,
            "start one with `baton dev`, or pass --server URL (or --context NAME)".to_owned(),
        ),
        Error::TooOld { needed, .. } => (
            Kind::Unreachable,
            format!("install nats-server {needed} or newer, or run `baton dev`, which fetches one"),
        ),
        Error::NoJetStream { .. } => (
            Kind::Unreachable,
            "start nats-server with -js, and see that JetStream is enabled for this account".to_owned(),
        ),
        Error::BadContext { .. } => (
            Kind::BadConfig,
            "`nats context ls` lists the contexts; or pass --server, --creds, --user".to_owned(),
        ),
        Error::Refused(refusal) => refused(refusal),
        Error::TooLarge { .. } => (
            Kind::Refused,
            "store the data elsewhere and send a reference to it, or raise max_payload of the server".to_owned(),
        ),
        Error::NoAnswer { .. } => (
            Kind::Unreachable,
            format!("start `baton controller` if the mesh was never set up; {DOCTOR}"),
        ),
        Error::UnknownAgent { agent, .. } => (
            Kind::NotFound,
            format!(
                "start it: baton worker --agent {agent} --version 1.0.0 --exec 'CMD…' (a controller must run to see it)"
            ),
        ),
        Error::NoIntent(_) => (
            Kind::NotFound,
            "`baton intents list` shows the intents of this namespace; work that is held for a capability is in the intake until then".to_owned(),
        ),
        Error::NoneReadable { .. } => (
            Kind::Failed,
            "no writer of Baton wrote this: see who else may publish on the ledger's subjects".to_owned(),
        ),
        Error::Archived { intent, .. } => (
            Kind::Refused,
            format!("`baton intents get {intent}` shows it; to do the work again, send it anew"),
        ),
        Error::Bundle(_) => (
            Kind::Failed,
            "the bundle in the archive cannot be believed: restore the archive from a backup".to_owned(),
        ),
        Error::WrongStatus { intent, .. } => (
            Kind::Refused,
            format!("`baton intents get {intent}` shows how it got there"),
        ),
        Error::NoEnvelope(intent) => (
            Kind::Refused,
            format!("`baton intents get {intent}` shows its history; submit the work again under another id"),
        ),
        Error::Raced(intent) => (
            Kind::Refused,
            format!("look at it with `baton intents get {intent}`, then try again"),
        ),
        Error::NoCommonProtocol(_) => (
            Kind::Refused,
            "`baton agents list` shows what each version reads".to_owned(),
        ),
        Error::NoneCapable { .. } => (
            Kind::NotFound,
            "`baton route explain --capability NAME` shows what each agent lacks; --when-none hold waits for one"
                .to_owned(),
        ),
        Error::NoWorker { agent, version } => (
            Kind::NotFound,
            format!("start one: baton worker --agent {agent} --version {version} --exec 'CMD…'"),
        ),
        Error::Unroutable(_) => (
            Kind::Refused,
            "`baton route explain AGENT` shows which version takes what".to_owned(),
        ),
        Error::Decision(refused) => (Kind::Refused, refused.fix.clone()),
        Error::NoController => (
            Kind::Unreachable,
            "start one: `baton controller` (or `baton dev`); work in flight goes on without one".to_owned(),
        ),
        Error::Control(error) => (refused_by_controller(&error.code), error.fix.clone()),
        Error::BadEnvelope { .. } | Error::BadName(_) | Error::BadText(_) => return (Kind::Usage, Vec::new()),
        Error::Illegal(_) => (
            Kind::Refused,
            "the intent has moved on since; look at it again".to_owned(),
        ),
        Error::Decode(decode) => (Kind::Failed, decode.fix()),
        Error::Api { .. } => (Kind::Failed, DOCTOR.to_owned()),
        _ => return (Kind::Failed, Vec::new()),
    };
    (kind, vec![hint])
}

/// What a controller's code means for the exit code. One that is not known here is of a newer controller.
fn refused_by_controller(code: &str) -> Kind {
    match code {
        code::NOT_FOUND => Kind::NotFound,
        code if code.starts_with("UNKNOWN_") => Kind::NotFound,
        code::BAD_REQUEST => Kind::Usage,
        _ => Kind::Refused,
    }
}

fn refused(refusal: &Refusal) -> (Kind, String) {
    let hint = if refusal.is_full() {
        "the stream is full and refuses new work: let open work finish, or raise its limit with `nats stream edit`"
    } else {
        DOCTOR
    };
    (Kind::Refused, hint.to_owned())
}

impl From<BadName> for CliError {
    fn from(error: BadName) -> Self {
        Self::new(Kind::Usage, Any::new(error))
    }
}

impl From<BadVersion> for CliError {
    fn from(error: BadVersion) -> Self {
        Self::new(Kind::Usage, Any::new(error))
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

impl From<RawRejection> for CliError {
    fn from(error: RawRejection) -> Self {
        let flag = FLAGS
            .iter()
            .find(|(header, _)| *header == error.field)
            .map_or(error.field.as_str(), |(_, flag)| flag);
        Self::say(Kind::Usage, format!("{flag} \"{}\": {}", error.value, error.problem))
            .code(error.code)
            .hint(error.fix)
    }
}

impl From<BuildError> for CliError {
    fn from(error: BuildError) -> Self {
        match error {
            BuildError::Mesh(error) => error.into(),
            BuildError::Name(error) => error.into(),
            BuildError::Version(error) => error.into(),
            other @ (BuildError::NoHandler(_) | _) => Self::new(Kind::Bug, Any::new(other)),
        }
    }
}

impl From<baton_controller::Error> for CliError {
    fn from(error: baton_controller::Error) -> Self {
        let (kind, hints) = match &error {
            baton_controller::Error::Prepare { source, .. } => explain(source),
            baton_controller::Error::DutyEnded { .. } => (Kind::Bug, Vec::new()),
            baton_controller::Error::Projection(_) | _ => (Kind::Failed, Vec::new()),
        };
        Self {
            hints,
            ..Self::new(kind, Any::new(error))
        }
    }
}

impl From<std::io::Error> for CliError {
    /// An error of stdout or stderr: these are the only streams that this command uses without naming a file.
    fn from(error: std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            Self::new(Kind::OutputClosed, Any::new(error))
        } else {
            Self::failed(Any::new(error).context("the output cannot be written"))
        }
    }
}

impl From<serde_json::Error> for CliError {
    /// An error of writing what this command itself put together.
    fn from(error: serde_json::Error) -> Self {
        Self::new(
            Kind::Bug,
            Any::new(error).context("the output cannot be written as JSON"),
        )
    }
}

#[cfg(test)]
mod tests {
    use baton_envelope::control::ControlError;

    use super::*;

    #[test]
    fn every_failure_of_the_mesh_has_its_exit_code() {
        let url = || "nats://127.0.0.1:1".to_owned();
        let refused = |code| Error::from(ControlError::new(code, "refused", "do something else"));
        let cases: [(Error, u8); 11] = [
            (Error::NoJetStream { url: url() }, 69),
            (
                Error::TooOld {
                    url: url(),
                    found: "2.9.0".into(),
                    needed: "2.11.0",
                },
                69,
            ),
            (
                Error::UnknownAgent {
                    agent: "a".into(),
                    known: vec!["b".into()],
                },
                3,
            ),
            (refused(code::NOT_FOUND), 3),
            (refused(code::UNKNOWN_VERSION), 3),
            (refused(code::BAD_REQUEST), 2),
            (refused(code::ROLLOUT_OWNED), 4),
            (ControlError::controller_too_old("intents.cancel").into(), 4),
            (Error::Raced("x".parse().expect("id")), 4),
            (Error::NoIntent("x".parse().expect("id")), 3),
            (
                Error::TooLarge {
                    what: "x".into(),
                    size: 2,
                    limit: 1,
                },
                4,
            ),
        ];
        for (error, exit) in cases {
            let shown = CliError::from(error);
            assert_eq!(shown.kind.exit(), exit, "{shown:?}");
            assert!(!shown.hints.is_empty(), "{shown:?}");
        }
    }
}
