//! How a stream that somebody edited is put back.

use async_nats::jetstream::stream::Config;

use crate::server::{Mesh, drift, put_back};

/// What puts a stream back, and what becomes of its messages where that takes a new one.
pub(super) fn remedy(mesh: &Mesh, wanted: &Config, found: &Config) -> String {
    let stream = &wanted.name;
    if drift(wanted, &put_back(wanted, found)).is_empty() {
        return format!(
            "`baton doctor --restore {stream}`: its settings are as those of a new one then, and nothing in it is lost"
        );
    }
    let s = mesh.subjects();
    let kept = [
        s.ledger_stream(),
        s.archive_stream(),
        s.context_stream(),
        s.context_archive_stream(),
        s.memory_stream(),
    ];
    if kept.contains(stream) {
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
