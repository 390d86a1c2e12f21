//! What somebody edited of a stream.

use std::fmt;

use async_nats::jetstream::stream::Config;

/// A setting of a stream that is not as it should be.
#[derive(Debug)]
pub(crate) struct Drift {
    /// Its name.
    pub(crate) setting: &'static str,
    wanted: String,
    found: String,
}

impl fmt::Display for Drift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { setting, wanted, found } = self;
        write!(f, "{setting} is {found}, expected {wanted}")
    }
}

/// Every setting that differs and matters.
pub(crate) fn drift(wanted: &Config, found: &Config) -> Vec<Drift> {
    // Where nothing is said, compression is the operator's choice.
    let is_free = |setting: &str| setting == "compression" && wanted.compression.is_none();
    let pairs = settings(wanted).into_iter().zip(settings(found));
    // What is written once must stay: anything by which a publisher could take it away counts.
    let is_written_once = wanted.discard_new_per_subject;
    let more = once(wanted).into_iter().zip(once(found)).filter(|_| is_written_once);
    pairs
        .chain(more)
        .filter(|((setting, wanted), (_, found))| wanted != found && !is_free(setting))
        .map(|((setting, wanted), (_, found))| Drift { setting, wanted, found })
        .collect()
}

fn once(config: &Config) -> Vec<(&'static str, String)> {
    vec![
        ("deny_delete", config.deny_delete.to_string()),
        ("allow_atomic", config.allow_atomic_publish.to_string()),
        ("allow_msg_ttl", config.allow_message_ttl.to_string()),
    ]
}

fn settings(config: &Config) -> Vec<(&'static str, String)> {
    // No limit is written as 0 or as -1.
    let limit = |limit: i64| if limit <= 0 { -1 } else { limit }.to_string();
    let republish = config.republish.as_ref().map(|rule| &rule.destination);
    vec![
        ("subjects", format!("{:?}", config.subjects)),
        ("retention", format!("{:?}", config.retention)),
        ("discard", format!("{:?}", config.discard)),
        ("storage", format!("{:?}", config.storage)),
        ("max_age", format!("{:?}", config.max_age)),
        ("allow_direct", config.allow_direct.to_string()),
        ("allow_rollup", config.allow_rollup.to_string()),
        ("compression", format!("{:?}", config.compression)),
        ("max_messages", limit(config.max_messages)),
        ("max_messages_per_subject", limit(config.max_messages_per_subject)),
        ("discard_new_per_subject", config.discard_new_per_subject.to_string()),
        ("max_message_size", limit(config.max_message_size.into())),
        ("duplicate_window", format!("{:?}", config.duplicate_window)),
        ("no_ack", config.no_ack.to_string()),
        ("sealed", config.sealed.to_string()),
        ("deny_purge", config.deny_purge.to_string()),
        ("mirror", config.mirror.is_some().to_string()),
        ("sources", config.sources.iter().flatten().count().to_string()),
        ("subject_transform", config.subject_transform.is_some().to_string()),
        ("republish", format!("{republish:?}")),
    ]
}
