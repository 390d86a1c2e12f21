//! Whether the server stores what is written. Reads go on for as long as a server runs, so only a write shows a full disk; and
//! a stream that once could not be written stays so until the server is restarted, whatever room there is.

use serde_json::{Value, json};

use super::{Finding, Level};
use crate::error::Error;
use crate::server::Mesh;

/// The server's code for a purge that failed: a store that cannot be written says so here first, though nothing matches.
const PURGE_FAILED: u64 = 10051;
/// The server's codes for a consumer whose store cannot be made.
const NO_STORE: [u64; 2] = [10012, 10104];
/// How long the consumer of the probe lives if nobody removes it, in nanoseconds.
const PROBE_LIVES: u64 = 5_000_000_000;

const REMEDY: &str = "make room on the disk of nats-server (or repair it), then restart nats-server: it does not start to store \
                      again by itself";

/// Writes something and removes it again, then asks each stream whether its store takes writes.
pub(super) async fn storage(mesh: &Mesh, streams: &[String]) -> Finding {
    for what in ["STREAM.PURGE.", "CONSUMER.CREATE."] {
        mesh.link().expect_denials(format!("{}.{what}", mesh.api_prefix()));
    }
    let finding = |level, found: String, remedy| Finding::new("storage", level, found, remedy);
    let each_told = match broken(mesh, streams).await {
        Ok(broken) if !broken.is_empty() => return finding(Level::Problem, broken.join("; "), REMEDY),
        Ok(_) => true,
        Err(Error::Denied { .. }) => false,
        Err(error) => return finding(Level::Problem, error.to_string(), REMEDY),
    };
    match probe(mesh).await {
        Ok(Ok(())) if each_told => finding(Level::Ok, "the server stores what is written".to_owned(), ""),
        Ok(Ok(())) => finding(
            Level::Ok,
            "the server stores what is written; unknown for single streams, as this user may not purge".to_owned(),
            "",
        ),
        Ok(Err(found)) => finding(Level::Problem, found, REMEDY),
        Err(error @ Error::Denied { .. }) => finding(Level::Ok, format!("unknown: {error}"), ""),
        Err(error) => finding(Level::Problem, format!("a write is not confirmed: {error}"), REMEDY),
    }
}

/// The streams whose store takes no writes, each with the reason. Asks for the purge of a subject that no message has.
async fn broken(mesh: &Mesh, streams: &[String]) -> Result<Vec<String>, Error> {
    let nothing = mesh.client().new_inbox();
    let mut broken = Vec::new();
    for stream in streams {
        let asked = mesh
            .ask::<Value>(&format!("STREAM.PURGE.{stream}"), &json!({ "filter": nothing }))
            .await?;
        if let Err(refusal) = asked
            && refusal.code == PURGE_FAILED
        {
            broken.push(format!("stream {stream} takes no writes: {}", refusal.description));
        }
    }
    Ok(broken)
}

/// Makes a consumer that gets nothing, which the server writes to its disk, and removes it.
async fn probe(mesh: &Mesh) -> Result<Result<(), String>, Error> {
    let stream = mesh.subjects().ledger_stream();
    let name = format!("baton_doctor_{}", mesh.record_id());
    let config = json!({
        "name": name, "description": "Baton: doctor checks whether the server stores", "ack_policy": "explicit",
        "filter_subject": mesh.subjects().ledger_all().replace('*', "doctor"), "inactive_threshold": PROBE_LIVES,
        "mem_storage": false,
    });
    let request = json!({ "stream_name": stream, "config": config });
    match mesh
        .ask::<Value>(&format!("CONSUMER.CREATE.{stream}.{name}"), &request)
        .await?
    {
        Ok(_) => {
            // Should that fail, the server removes it in a moment.
            mesh.ask::<Value>(&format!("CONSUMER.DELETE.{stream}.{name}"), &json!({}))
                .await
                .ok();
            Ok(Ok(()))
        }
        Err(refusal) if NO_STORE.contains(&refusal.code) => Ok(Err(format!(
            "the server cannot write to its disk: {}",
            refusal.description
        ))),
        // As without a ledger, or with too many consumers: findings of their own.
        Err(refusal) => {
            tracing::debug!(%refusal, "the probe was refused");
            Ok(Ok(()))
        }
    }
}
