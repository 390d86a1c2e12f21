//! What somebody edited of a stream, and how it is put back.

use std::fmt;

use async_nats::jetstream::stream::Config;

use crate::server::{Mesh, put_back};

/// A setting of a stream that is not as it should be.
#[derive(Debug)]
pub(super) struct Drift {
    /// Its name.
    pub(super) setting: &'static str,
    wanted: String,
    found: String,
}

impl fmt::Display for Drift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { setting, wanted, found } = self;
        write!(f, "{setting} is {found}, expected {wanted}")
    }
}

/// What puts a stream back, and what becomes of its messages where that takes a new one.
pub(super) fn remedy(mesh: &Mesh, wanted: &Config, found: &Config) -> String {
    let stream = &wanted.name;
    if drift(wanted, &put_back(wanted, found)).is_empty() {
        return format!(
            "`baton doctor --restore {stream}`: its settings are as those of a new one then, and nothing in it is lost"
        );
    }
    if [mesh.subjects().ledger_stream(), mesh.subjects().archive_stream()].contains(stream) {
        return format!(
            "the server takes no edit of that: stop the mesh, `nats stream backup {stream} FOLDER`, remove the stream, and \
             restore it with the settings of docs/protocol.md (`nats stream restore FOLDER --config FILE`)"
        );
    }
    format!(
        "the server takes no edit of that: `nats stream rm -f {stream}`; a running controller makes it again within seconds, \
         empty. Tickets, routes and declarations are written again; raw intents that wait in the intake are lost"
    )
}

/// Every setting that differs and matters.
pub(super) fn drift(wanted: &Config, found: &Config) -> Vec<Drift> {
    // Where nothing is said, compression is the operator's choice.
    let is_free = |setting: &str| setting == "compression" && wanted.compression.is_none();
    let pairs = settings(wanted).into_iter().zip(settings(found));
    pairs
        .filter(|((setting, wanted), (_, found))| wanted != found && !is_free(setting))
        .map(|((setting, wanted), (_, found))| Drift { setting, wanted, found })
        .collect()
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
