//! Puts the settings of a stream back, when a person says so. Nothing does it by itself: two builds would edit against each
//! other.

use async_nats::jetstream::stream::{Config, RetentionPolicy};
use serde::Deserialize;

use super::edits::drift;
use crate::error::Error;
use crate::server::limits::Limits;
use crate::server::mesh::Mesh;

impl Mesh {
    /// Gives a stream of the mesh the settings that a new one gets with these limits. Its messages, its copies and its metadata
    /// stay, and so does what the server takes no edit of. Says whether anything was otherwise.
    ///
    /// # Errors
    /// [`Error::NoStream`] when the mesh has no such stream, or when the server refuses.
    pub async fn restore_stream(&self, name: &str, limits: Limits) -> Result<bool, Error> {
        #[derive(Deserialize)]
        struct Info {
            config: Config,
        }
        let own = self
            .named_streams(limits)
            .into_iter()
            .find(|config| config.name == name);
        let wanted = match (own, self.agent_of_work_stream(name)) {
            (Some(config), _) => config,
            (None, Some(agent)) => self.work_stream_config(&agent, limits),
            (None, None) => return Err(Error::NoStream(name.to_owned())),
        };
        let Some(Info { config: found }) = self.stream_info(name).await? else {
            return Err(Error::NoStream(name.to_owned()));
        };
        let restored = put_back(&wanted, &found);
        // The server writes some settings in another way than they were given, so the two need not be equal.
        let is_back = drift(&restored, &found).is_empty()
            && restored.max_bytes == found.max_bytes
            && restored.allow_atomic_publish == found.allow_atomic_publish;
        if is_back {
            return Ok(false);
        }
        let updated = self.context().update_stream(restored).await;
        updated
            .map(|_| true)
            .map_err(|error| Error::api(format!("restoring stream {name}"), error))
    }
}

/// A stream as it is, with every setting as it should be that the server takes an edit of.
pub(crate) fn put_back(wanted: &Config, found: &Config) -> Config {
    let is_log = |config: &Config| config.retention != RetentionPolicy::WorkQueue;
    let more = |wanted: i64, found: i64| if wanted > 0 { wanted.max(found) } else { -1 };
    Config {
        subjects: wanted.subjects.clone(),
        // The server makes no queue of a log, and no log of a queue.
        retention: if is_log(wanted) && is_log(found) {
            wanted.retention
        } else {
            found.retention
        },
        discard: wanted.discard,
        discard_new_per_subject: wanted.discard_new_per_subject,
        // The server never turns it off again.
        allow_message_ttl: wanted.allow_message_ttl || found.allow_message_ttl,
        max_age: wanted.max_age,
        max_bytes: more(wanted.max_bytes, found.max_bytes),
        max_messages: wanted.max_messages,
        max_messages_per_subject: wanted.max_messages_per_subject,
        max_message_size: wanted.max_message_size,
        duplicate_window: wanted.duplicate_window,
        no_ack: wanted.no_ack,
        allow_direct: wanted.allow_direct,
        allow_rollup: wanted.allow_rollup,
        allow_atomic_publish: wanted.allow_atomic_publish,
        compression: wanted.compression.clone().or_else(|| found.compression.clone()),
        republish: wanted.republish.clone(),
        subject_transform: wanted.subject_transform.clone(),
        sources: wanted.sources.clone(),
        ..found.clone()
    }
}
