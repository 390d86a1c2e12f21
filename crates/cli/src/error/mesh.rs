//! The conversion from an error of the mesh: by its variant and by codes, never by its text.

use anyhow::Error as Any;
use baton_access::Role;
use baton_envelope::codes;
use baton_jetstream::{Error, TlsFault, Trouble};

use super::{CliError, Kind};
use crate::near::nearest;

/// How many letters the name of an agent may differ in to be the one that was meant.
const NEAR: usize = 2;

const QUORUM: &str = "start the servers of the cluster that are down: JetStream needs more than half of them";
const DOCTOR: &str = "`baton doctor` shows what is missing and how to fix it";

impl From<Error> for CliError {
    fn from(error: Error) -> Self {
        let (kind, hints) = explain(&error);
        let code = error.code().to_owned();
        let has_mesh = error.trouble() != Some(Trouble::NoStream);
        let source = Any::new(error);
        let source = if has_mesh {
            source
        } else {
            source.context("this server has no mesh in this namespace yet")
        };
        Self {
            hints,
            ..Self::new(kind, code, source)
        }
    }
}

/// The kind of a failure, and what to do about it.
pub(super) fn explain(error: &Error) -> (Kind, Vec<String>) {
    let (kind, mut hints) = explained(error);
    // What an older controller does not say is no hint.
    hints.retain(|hint| !hint.is_empty());
    (kind, hints)
}

fn explained(error: &Error) -> (Kind, Vec<String>) {
    if let Some(trouble) = error.trouble() {
        return explain_trouble(trouble, error);
    }
    of_login(error)
        .or_else(|| of_connection(error))
        .or_else(|| of_settings(error))
        .or_else(|| of_intents(error))
        .or_else(|| of_agents(error))
        .unwrap_or((Kind::Failed, Vec::new()))
}

/// What one needs who was denied something.
fn of_denied(what: &str) -> Vec<String> {
    let apply = "in config/access.toml, then `baton access apply`";
    let mut hints = match verb_of(what) {
        Some(verb) => {
            let role = Role::for_verb(verb);
            vec![
                format!("a person needs the role {role}: set `role` {apply}"),
                "a publisher asks an agent of its list `may` with `nats req mesh.intent.AGENT`, and no controller"
                    .to_owned(),
            ]
        }
        None => vec![format!(
            "in a mesh of `baton access`, `role` of a person, `may` of a publisher and `spaces` of an agent say what is allowed: set it {apply}"
        )],
    };
    hints.push(
        "elsewhere grant this user the permission (config/nats/secure.conf shows those of each role), or connect as another user"
            .to_owned(),
    );
    hints
}

/// The question to a controller that a denied subject stands for.
fn verb_of(what: &str) -> Option<&str> {
    let (_, rest) = what.split_once(".control.")?;
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '-' || c == '_';
    let verb = rest.split(|c| !is_part(c)).next()?.trim_end_matches('.');
    (!verb.is_empty()).then_some(verb)
}

/// Who connects, and what the server lets it do.
#[expect(clippy::wildcard_enum_match_arm, reason = "the others are explained below")]
fn of_login(error: &Error) -> Option<(Kind, Vec<String>)> {
    if let Error::Denied { what } = error {
        return Some((Kind::Refused, of_denied(what)));
    }
    let (kind, hint) = match error {
        Error::LoginRefused { .. } => (
            Kind::Refused,
            "check --user and --password, --nkey, --creds, or the context; the log of nats-server says why".to_owned(),
        ),
        Error::InboxDenied { .. } => (
            Kind::Refused,
            "set the prefix that the server grants this user: --inbox-prefix, BATON_INBOX_PREFIX, or `inbox_prefix` in \
             [connection]; for a user of `baton access` it is _INBOX_ and the user's name"
                .to_owned(),
        ),
        Error::BadInboxPrefix(_) => (
            Kind::BadConfig,
            "correct --inbox-prefix, BATON_INBOX_PREFIX, `inbox_prefix` in [connection], or the context".to_owned(),
        ),
        Error::BadTlsFile { setting, .. } => (
            Kind::BadConfig,
            format!(
                "correct `{setting}` in [connection], BATON_{}, --{}, or the context",
                setting.to_ascii_uppercase(),
                setting.replace('_', "-")
            ),
        ),
        Error::BadCredentials { .. } => (
            Kind::BadConfig,
            "correct --nkey, BATON_NKEY, --creds, BATON_CREDS, [connection], or the context".to_owned(),
        ),
        _ => return None,
    };
    Some((kind, vec![hint]))
}

/// The way to the server, and whether the server can do its part.
#[expect(clippy::wildcard_enum_match_arm, reason = "the others are explained above and below")]
fn of_connection(error: &Error) -> Option<(Kind, Vec<String>)> {
    let (kind, hint) = match error {
        Error::TlsFailed { fault, .. } => (Kind::Unreachable, of_tls(*fault).to_owned()),
        Error::Unreachable { .. } => (
            Kind::Unreachable,
            "start one with `baton dev`, or pass --server URL (or --context NAME)".to_owned(),
        ),
        Error::BadAddress { .. } => (
            Kind::BadConfig,
            "correct --server, BATON_SERVER, NATS_URL, or `server` in [connection]; separate several with commas"
                .to_owned(),
        ),
        Error::ReloadRefused { .. } => (
            Kind::Failed,
            "what it says is not supported needs a restart of the server; it goes on as before meanwhile".to_owned(),
        ),
        Error::Unmade { .. } => (
            Kind::Refused,
            "start `baton controller`, which makes it when it hears of this agent".to_owned(),
        ),
        Error::NoQuorum { .. } => (Kind::Unreachable, QUORUM.to_owned()),
        Error::NotStored { .. } => {
            let disk = "check whether the disk of nats-server is full; make room, then restart the server: it does not start \
                        to store again by itself";
            let copies = "in a cluster, check that more than half of the servers run";
            return Some((
                Kind::Unreachable,
                vec![disk.to_owned(), copies.to_owned(), DOCTOR.to_owned()],
            ));
        }
        Error::TooFewServers { copies, .. } => (
            Kind::Refused,
            format!("start {copies} servers of the cluster, each with JetStream"),
        ),
        Error::TooOld { needed, .. } => (
            Kind::Unreachable,
            format!("install nats-server {needed} or newer, or run `baton dev`, which fetches one"),
        ),
        Error::TooOldToSecure { needed, .. } => (
            Kind::Unreachable,
            format!("install nats-server {needed} or newer; on older ones a client can name somebody else as who asks"),
        ),
        Error::Unsecured { .. } => (
            Kind::BadConfig,
            "set `secured = true` in [security], as on every controller of the mesh".to_owned(),
        ),
        Error::NoJetStream { .. } => (
            Kind::Unreachable,
            "start nats-server with -js, and check that JetStream is enabled for this account".to_owned(),
        ),
        Error::BadContext { .. } => (
            Kind::BadConfig,
            "`nats context ls` lists the contexts; or pass --server, --creds, --user".to_owned(),
        ),
        Error::Refused(_) => (Kind::Refused, DOCTOR.to_owned()),
        Error::TooLarge { .. } => (
            Kind::Refused,
            "store the data elsewhere and send a reference to it, or raise max_payload of the server".to_owned(),
        ),
        Error::NoAnswer { .. } => (
            Kind::Unreachable,
            format!("start `baton controller` if the mesh was never set up; {DOCTOR}"),
        ),
        Error::Api { .. } | Error::Missing { .. } | Error::NoStream(_) => (Kind::Failed, DOCTOR.to_owned()),
        _ => return None,
    };
    Some((kind, vec![hint]))
}

/// What the processes of a mesh share, and what it cannot do without.
#[expect(clippy::wildcard_enum_match_arm, reason = "the others are explained above and below")]
fn of_settings(error: &Error) -> Option<(Kind, Vec<String>)> {
    let (kind, hint) = match error {
        // No configuration has it: another build decided.
        Error::SettingDiffers(differs) if differs.setting == "shards" => (
            Kind::BadConfig,
            "install the build that the other processes of this mesh run".to_owned(),
        ),
        // What reads needs no key, and "accept" is enough: the mesh has decided already.
        Error::SettingDiffers(differs) if differs.setting == "signatures" => {
            let keys = "set `signatures = \"accept\"` and `trust` in [connection], and `signing_key` where this process writes";
            let more = "\"Signed records\" in docs/operations.md shows both files";
            return Some((Kind::BadConfig, vec![keys.to_owned(), more.to_owned()]));
        }
        Error::SettingDiffers(differs) => (
            Kind::BadConfig,
            format!(
                "set `{} = \"{}\"` in [connection], as in every process of the mesh",
                differs.setting, differs.mesh
            ),
        ),
        Error::TopologyTooNew { .. } => (
            Kind::BadConfig,
            "install the build that the other controllers of this mesh run".to_owned(),
        ),
        Error::LedgerLost { .. } => (
            Kind::Failed,
            "restore the stream from a backup; or start one controller with --make-ledger: every open intent is lost then"
                .to_owned(),
        ),
        Error::TooManyVersions { agent, .. } => (Kind::Refused, format!("baton agents retire {agent} VERSION")),
        Error::RouteLost { agent, .. } => (Kind::Failed, format!("set it: baton route set {agent} VERSION")),
        Error::BadKeys { .. } => (
            Kind::BadConfig,
            "`baton audit keygen FILE` makes a key; docs/operations.md shows the file of trusted keys".to_owned(),
        ),
        Error::NoSigningKey { .. } => (
            Kind::BadConfig,
            "set `connection.signing_key` to the file of a key that the mesh trusts; `baton audit keygen FILE` makes one"
                .to_owned(),
        ),
        Error::NoController => (
            Kind::Unreachable,
            "start one: `baton controller` (or `baton dev`); work in flight goes on without one".to_owned(),
        ),
        Error::Decode(decode) => (Kind::Failed, decode.fix()),
        _ => return None,
    };
    Some((kind, vec![hint]))
}

/// What to set of TLS.
const fn of_tls(fault: TlsFault) -> &'static str {
    match fault {
        TlsFault::UnknownAuthority => {
            "name the authority that has signed the server's certificate: --tls-ca, BATON_TLS_CA, or `tls_ca` in [connection]"
        }
        TlsFault::ServerCertificate => {
            "connect by a name that is in the server's certificate (--server), or give the server a certificate that is valid"
        }
        TlsFault::OwnCertificate => {
            "show a certificate that the server trusts: --tls-cert and --tls-key, BATON_TLS_CERT and BATON_TLS_KEY, or `tls_cert` \
             and `tls_key` in [connection]"
        }
    }
}

/// One intent, and what may be done with it.
#[expect(clippy::wildcard_enum_match_arm, reason = "the others are explained above and below")]
fn of_intents(error: &Error) -> Option<(Kind, Vec<String>)> {
    let (kind, hint) = match error {
        Error::NoIntent(_) => (
            Kind::NotFound,
            "`baton intents list` shows the intents of this namespace; work that is held until an agent can do it is not \
             listed"
                .to_owned(),
        ),
        Error::NoneReadable { .. } => (
            Kind::Failed,
            "Baton did not write this record: see who else may publish to the subjects of the ledger".to_owned(),
        ),
        Error::Archived { intent, .. } => (
            Kind::Refused,
            format!("`baton intents get {intent}` shows it; to do the work again, submit it under another id"),
        ),
        Error::Bundle(_) => (
            Kind::Failed,
            "the bundle in the archive is corrupt: restore the archive from a backup".to_owned(),
        ),
        Error::WrongStatus { intent, .. } => (
            Kind::Refused,
            format!("`baton intents get {intent}` shows how it got there"),
        ),
        Error::NoEnvelope(intent) => (
            Kind::Refused,
            format!("`baton intents get {intent}` shows its history; submit the work again under another id"),
        ),
        Error::ObjectMissing { tree, .. } => (
            Kind::NotFound,
            format!("`baton context list {tree}` shows what is there; a day after an intent is archived its objects go"),
        ),
        Error::ObjectCorrupt { tree, .. } => (
            Kind::Failed,
            format!("`baton context list {tree}` shows what is there; submit the work again if its bytes are lost"),
        ),
        Error::NoView { intent, .. } => (
            Kind::Refused,
            format!("`baton context verify {intent}` shows what is remembered"),
        ),
        Error::ObjectsFull { .. } => (
            Kind::Refused,
            "store the data elsewhere and send a reference of your own, or give stream MESH_CONTEXT more room".to_owned(),
        ),
        Error::NoMemory { space, .. } => (
            Kind::NotFound,
            format!("`baton memory list {space}` shows what is there"),
        ),
        Error::MemoryChanged { space, id, found, .. } => (
            Kind::Refused,
            match found.as_deref().filter(|found| !found.is_forgotten) {
                Some(found) => format!(
                    "`baton memory show {space} {id}` shows what it says now; --expect {} writes over that",
                    found.revision
                ),
                None => format!("leave --expect out to write it anew; `baton memory list {space}` shows what is there"),
            },
        ),
        Error::Raced(intent) => (
            Kind::Refused,
            format!("look at it with `baton intents get {intent}`, then try again"),
        ),
        Error::BadEnvelope { .. } | Error::BadName(_) | Error::BadText(_) => return Some((Kind::Usage, Vec::new())),
        Error::Illegal(_) => (
            Kind::Refused,
            "the intent has changed since it was read: look at it again".to_owned(),
        ),
        _ => return None,
    };
    Some((kind, vec![hint]))
}

/// Agents, their versions and workers, and who gets work.
#[expect(clippy::wildcard_enum_match_arm, reason = "the others are explained above")]
fn of_agents(error: &Error) -> Option<(Kind, Vec<String>)> {
    let (kind, hint) = match error {
        Error::UnknownAgent { agent, known } => {
            let meant = nearest(agent, known.iter().map(String::as_str), NEAR);
            let start = format!(
                "start it: baton worker --agent {agent} --version 1.0.0 --exec 'CMD…' (a controller must run to see it)"
            );
            let hints = meant.map(|near| format!("did you mean \"{near}\"?")).into_iter();
            return Some((Kind::NotFound, hints.chain([start]).collect()));
        }
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
        Error::BreakerOpen { agent, .. } => (
            Kind::Refused,
            format!(
                "`baton agents breaker {agent}` shows why it is open; `baton agents policy {agent} --on-open wait` keeps new work"
            ),
        ),
        Error::Decision(refused) => (refused_by_controller(refused.code), refused.fix.clone()),
        Error::Control(refused) => (refused_by_controller(&refused.code), refused.fix.clone()),
        _ => return None,
    };
    Some((kind, vec![hint]))
}

/// What to do about what the server says is in the way.
fn explain_trouble(trouble: Trouble, error: &Error) -> (Kind, Vec<String>) {
    let refused = if let Error::Refused(_) = error {
        Kind::Refused
    } else {
        Kind::Failed
    };
    let (kind, hint) = match trouble {
        Trouble::NoStream => (
            Kind::Unreachable,
            "start `baton controller` (or `baton dev`), which creates the mesh, or pass another --namespace",
        ),
        Trouble::NoQuorum => (Kind::Unreachable, QUORUM),
        Trouble::Full => (
            refused,
            "the stream is full and refuses new work: let open work finish, or raise its limit with `nats stream edit`",
        ),
        Trouble::TooManyConsumers => (
            refused,
            "raise `default_max_consumers` in the `jetstream` limits of nats-server",
        ),
    };
    (kind, vec![hint.to_owned()])
}

/// What a controller's code means for the exit code. One that is not known here is of a newer controller.
fn refused_by_controller(code: &str) -> Kind {
    match code {
        codes::NOT_FOUND
        | codes::NO_SUBSCRIBERS
        | codes::UNKNOWN_AGENT
        | codes::UNKNOWN_SCHEDULE
        | codes::UNKNOWN_VERSION
        | codes::UNKNOWN_VERB => Kind::NotFound,
        codes::BAD_REQUEST | codes::BAD_SCHEDULE | codes::NEVER_FIRES | codes::UNKNOWN_ZONE => Kind::Usage,
        _ => Kind::Refused,
    }
}

#[cfg(test)]
mod tests {
    use baton_envelope::control::ControlError;

    use super::*;

    #[test]
    fn an_agent_that_is_misspelt_is_known_by_its_letters() {
        let unknown = |agent: &str| {
            let known = vec!["code".to_owned(), "research".to_owned()];
            let agent = agent.to_owned();
            explain(&Error::UnknownAgent { agent, known }).1
        };
        assert_eq!(
            unknown("reserch").first().map(String::as_str),
            Some("did you mean \"research\"?")
        );
        assert_eq!(unknown("billing").len(), 1);
    }

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
            (refused(codes::NOT_FOUND), 3),
            (refused(codes::UNKNOWN_VERSION), 3),
            (refused(codes::BAD_REQUEST), 2),
            (refused(codes::ROLLOUT_OWNED), 4),
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
            assert!(shown.explained().is_some(), "{shown:?}");
        }
    }
}
