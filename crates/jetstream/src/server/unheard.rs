//! What it means that nobody listens on a subject: that this account does not import it, or that what should listen is away.
//!
//! Where accounts keep roles apart, a subject that an account does not import is one that nobody listens on. The server says so
//! at once ("no responders"), and in the same words while a stream has no leader. Something that must listen tells the two
//! apart.

use std::time::Duration;

use async_nats::{Request, RequestErrorKind};
use baton_envelope::control::{FindArchived, Question, WhoAmI};
use serde::Deserialize;
use tokio::time::Instant;

use super::link::NoReply;
use super::mesh::Mesh;
use crate::error::Error;

/// How long what must listen may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often, and for how long, nobody must have listened beside a stream that was there. A leader that was just elected may
/// be told of before its subjects are heard.
const TIMES: u32 = 3;
const FOR: Duration = Duration::from_millis(500);

/// How often nobody has listened on the subject of a stream that was there.
#[derive(Debug, Default)]
pub(crate) struct Unheard {
    times: u32,
    since: Option<Instant>,
}

impl Unheard {
    /// Takes note that nobody listened on a subject that a stream should take. Gives the denial once that is certain.
    pub(crate) async fn on(&mut self, mesh: &Mesh, subject: &str, stream: &str) -> Option<Error> {
        let info = format!("STREAM.INFO.{stream}");
        match mesh.ask::<serde::de::IgnoredAny>(&info, &serde_json::json!({})).await {
            Ok(Ok(_)) => self.times += 1,
            // Whoever may not even ask of the stream may not write to it: nothing else makes both so.
            Err(Error::Denied { .. }) => return Some(not_imported(subject)),
            Ok(Err(_)) | Err(_) => (self.times, self.since) = (0, None),
        }
        let since = *self.since.get_or_insert_with(Instant::now);
        (self.times >= TIMES && since.elapsed() >= FOR).then(|| not_imported(subject))
    }
}

/// The denial of a subject that the account of this connection does not import.
pub(crate) fn not_imported(subject: &str) -> Error {
    Error::Denied {
        what: format!("publish to {subject}: its account does not import it"),
    }
}

impl Mesh {
    /// Why nobody listens for a request to the JetStream API: where JetStream answers, this account lacks the subject.
    pub(super) async fn why_unheard(&self, what: &str) -> Error {
        if what != "INFO" && self.answers("INFO").await {
            return not_imported(&format!("{}.{what}", self.api_prefix()));
        }
        Error::no_answer(what, "nobody listens on its subject")
    }

    /// Why nobody listens for a direct get of a stream, which its replicas answer themselves: it is missing, or this account
    /// does not import the subject.
    pub(crate) async fn why_unread(&self, stream: &str, what: &str) -> Error {
        #[derive(Deserialize)]
        struct Info {
            config: Config,
        }
        #[derive(Deserialize)]
        struct Config {
            #[serde(default)]
            allow_direct: bool,
        }
        let info = format!("STREAM.INFO.{stream}");
        match self.ask::<Info>(&info, &serde_json::json!({})).await {
            Ok(Ok(info)) if info.config.allow_direct => not_imported(&format!("{}.{what}", self.api_prefix())),
            Err(denied @ Error::Denied { .. }) => denied,
            Ok(_) | Err(_) => Error::NoStream(stream.to_owned()),
        }
    }

    /// Whether somebody answers a request to the JetStream API that needs no body.
    async fn answers(&self, what: &str) -> bool {
        let request = Request::new().timeout(Some(PATIENCE));
        let subject = format!("{}.{what}", self.api_prefix());
        self.link().request(subject.into(), request).await.is_ok()
    }

    /// Whether the server says that nobody listens for the JetStream API in this account.
    pub(super) async fn is_api_unheard(&self) -> bool {
        let request = Request::new().timeout(Some(PATIENCE));
        let subject = format!("{}.INFO", self.api_prefix());
        let reply = self.link().request(subject.into(), request).await;
        matches!(reply, Err(NoReply::Failed(error)) if error.kind() == RequestErrorKind::NoResponders)
    }

    /// Whether a controller answers a question that every person may ask, or the one that every agent may.
    pub(crate) async fn is_controller_there(&self) -> bool {
        for verb in [WhoAmI::VERB, FindArchived::VERB] {
            let request = Request::new().payload("{}".into()).timeout(Some(PATIENCE));
            let subject = self.subjects().control(verb);
            if self.link().request(subject.into(), request).await.is_ok() {
                return true;
            }
        }
        false
    }

    /// Why nobody listens for questions, where a controller is not known to be there. Whoever may ask one sees the ledger, too:
    /// an account that does not is a publisher's, and none of its questions would be heard.
    pub(crate) async fn why_no_controller(&self, subject: &str) -> Error {
        let info = format!("STREAM.INFO.{}", self.subjects().ledger_stream());
        match self.ask::<serde::de::IgnoredAny>(&info, &serde_json::json!({})).await {
            Err(Error::Denied { .. }) => not_imported(subject),
            Ok(_) | Err(_) => Error::NoController,
        }
    }
}
