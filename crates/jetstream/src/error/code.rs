//! The code of each failure: one map, for the command, for records and for answers.

use baton_envelope::codes;

use super::{Error, Trouble};

impl Error {
    /// What a program branches on: one of [`codes`], or what a controller gave, which may be newer than this build.
    pub fn code(&self) -> &str {
        match self.trouble() {
            Some(Trouble::NoStream) => return codes::NO_MESH,
            Some(Trouble::Full) => return codes::STREAM_FULL,
            Some(Trouble::TooManyConsumers) => return codes::TOO_MANY_CONSUMERS,
            Some(Trouble::NoQuorum) => return codes::NO_QUORUM,
            None => {}
        }
        match self {
            Self::Unreachable { .. } | Self::TlsFailed { .. } => codes::SERVER_UNREACHABLE,
            Self::BadAddress { .. }
            | Self::BadInboxPrefix(_)
            | Self::BadCredentials { .. }
            | Self::BadTlsFile { .. } => codes::BAD_CONFIG,
            Self::InboxDenied { .. } => codes::INBOX_DENIED,
            Self::ReloadRefused { .. } => codes::RELOAD_REFUSED,
            Self::LoginRefused { .. } => codes::LOGIN_REFUSED,
            Self::Denied { .. } | Self::Unmade { .. } => codes::PERMISSION_DENIED,
            Self::NoQuorum { .. } => codes::NO_QUORUM,
            Self::NotStored { .. } => codes::NOT_STORED,
            Self::TooFewServers { .. } => codes::TOO_FEW_SERVERS,
            Self::TooOld { .. } | Self::TooOldToSecure { .. } => codes::SERVER_TOO_OLD,
            Self::NoJetStream { .. } => codes::NO_JETSTREAM,
            Self::SettingDiffers(_) | Self::Unsecured { .. } => codes::SETTING_DIFFERS,
            Self::TopologyTooNew { .. } => codes::TOPOLOGY_TOO_NEW,
            Self::MeshTooOld { .. } => codes::MESH_TOO_OLD,
            Self::NoStream(_) => codes::NO_MESH,
            Self::LedgerLost { .. } => codes::LEDGER_LOST,
            Self::RouteLost { .. } => codes::ROUTE_LOST,
            Self::TooManyVersions { .. } => codes::TOO_MANY_VERSIONS,
            Self::BadKeys { .. } => codes::BAD_CONFIG,
            Self::NoSigningKey { .. } => codes::NO_SIGNING_KEY,
            Self::BadContext { .. } => codes::BAD_CONTEXT,
            Self::Refused(_) => codes::WRITE_REFUSED,
            Self::TooLarge { .. } => codes::PAYLOAD_TOO_LARGE,
            Self::NoAnswer { .. } => codes::NO_ANSWER,
            Self::UnknownAgent { .. } => codes::UNKNOWN_AGENT,
            Self::NoIntent(_) => codes::NOT_FOUND,
            Self::NoEnvelope(_) => codes::NO_ENVELOPE,
            Self::Archived { .. } => codes::ARCHIVED,
            Self::Bundle(_) => codes::BAD_BUNDLE,
            Self::WrongStatus { .. } | Self::Illegal(_) => codes::WRONG_STATUS,
            Self::Raced(_) => codes::RACED,
            Self::Unroutable(_) => codes::UNROUTABLE,
            Self::BreakerOpen { .. } => codes::BREAKER_OPEN,
            Self::NoCommonProtocol(_) => codes::NO_COMMON_PROTOCOL,
            Self::NoneCapable { .. } => codes::NONE_CAPABLE,
            Self::NoWorker { .. } => codes::NO_WORKER,
            Self::Decision(refused) => refused.code,
            Self::NoController => codes::NO_CONTROLLER,
            Self::Control(refused) => &refused.code,
            Self::BadEnvelope { field: "deadline", .. } => codes::DEADLINE_PAST,
            Self::BadEnvelope { field: "name", .. } => codes::BAD_NAME,
            Self::BadEnvelope { field: "max_hops", .. } => codes::HOP_LIMIT,
            Self::BadText(bad) if bad.field == "reply_to" => codes::BAD_REPLY_TO,
            Self::BadText(_) | Self::BadEnvelope { .. } => codes::MALFORMED_ENVELOPE,
            Self::NoneReadable { .. } => codes::CONFLICT,
            Self::Decode(_) => codes::UNREADABLE,
            Self::BadName(_) => codes::BAD_NAME,
            Self::ObjectMissing { .. } => codes::CONTEXT_MISSING,
            Self::ObjectCorrupt { .. } => codes::CONTEXT_CORRUPT,
            Self::NoView { source, .. } => source.code(),
            Self::ObjectsFull { .. } => codes::CONTEXT_FULL,
            Self::NoMemory { .. } => codes::NOT_FOUND,
            Self::MemoryChanged { .. } => codes::MEMORY_CHANGED,
            Self::Missing { .. } | Self::Api { .. } => codes::REQUEST_FAILED,
        }
    }
}
