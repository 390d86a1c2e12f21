//! How far the limits of the server and of the account are, as far as an ordinary client is told.

use std::time::Duration;

use async_nats::Request;
use async_nats::jetstream::stream::Config;
use baton_envelope::AgentName;
use serde::Deserialize;

use super::{Finding, Level};
use crate::error::Error;
use crate::server::Mesh;

/// Consumers that a server from 2.15 on allows a stream where nothing else is said.
const CONSUMERS_BY_DEFAULT: i64 = 1000;
/// A stream that has less room than this, in bytes, is full: as much as a payload takes that is kept whole in a message.
const ROOM: i64 = 64 * 1024;
/// Connections that a server allows where nothing else is said. It does not tell its own limit.
const CONNECTIONS_BY_DEFAULT: i64 = 65_536;
/// How long the server may take to tell of an account; a user who may not ask gets no answer at all.
const PATIENCE: Duration = Duration::from_secs(1);

/// Whether more than 80 % of a limit are used. Zero and less are no limit.
pub(super) fn is_near(used: i64, limit: Option<i64>) -> bool {
    limit.is_some_and(|limit| limit > 0 && used.saturating_mul(5) > limit.saturating_mul(4))
}

/// What is used of a limit, for people.
pub(super) fn of(used: i64, limit: Option<i64>, what: &str) -> String {
    match limit.filter(|limit| *limit > 0) {
        Some(limit) => format!("{used} of {limit} {what}"),
        None => format!("{used} {what}"),
    }
}

/// What a stream that is nearly or quite full is told; `None` while there is room.
pub(super) fn room(check: &str, wanted: &Config, found: &Config, bytes: u64) -> Option<Finding> {
    let (used, limit) = (i64::try_from(bytes).unwrap_or(i64::MAX), found.max_bytes);
    let told = of(used, Some(limit), "bytes");
    if !is_full(used, limit) {
        if !is_near(used, Some(limit)) {
            return None;
        }
        let remedy = "raise max_bytes or let work finish: a full stream refuses new messages";
        return Some(Finding::new(check, Level::Warning, told, remedy));
    }
    // More is configured than the stream has: then somebody edited it.
    let remedy = if wanted.max_bytes <= 0 || wanted.max_bytes > limit {
        format!("`baton doctor --restore {}`, or let work finish", found.name)
    } else {
        let more = limit.saturating_mul(2);
        format!(
            "`nats stream edit {} --max-bytes={more}`, or let work finish",
            found.name
        )
    };
    let told = format!("{told}: it is full, and refuses new messages");
    Some(Finding::new(check, Level::Problem, told, remedy))
}

/// Whether a message of a usual size is refused.
fn is_full(used: i64, limit: i64) -> bool {
    limit > 0 && limit.saturating_sub(used) < ROOM
}

/// What JetStream tells of the account.
#[derive(Debug, Deserialize)]
pub(super) struct Account {
    #[serde(default)]
    streams: i64,
    #[serde(default)]
    consumers: i64,
    #[serde(default)]
    storage: i64,
    #[serde(default)]
    memory: i64,
    #[serde(default)]
    reserved_storage: i64,
    #[serde(default)]
    limits: AccountLimits,
}

/// Not positive: no limit.
#[derive(Debug, Default, Deserialize)]
struct AccountLimits {
    #[serde(default)]
    max_streams: i64,
    #[serde(default)]
    max_consumers: i64,
    #[serde(default)]
    max_storage: i64,
    #[serde(default)]
    max_memory: i64,
}

impl Account {
    pub(super) async fn ask(mesh: &Mesh) -> Result<Self, Error> {
        Ok(mesh.ask::<Self>("INFO", &serde_json::json!({})).await??)
    }

    /// How many consumers a stream may have; `None` where nothing bounds them.
    pub(super) fn consumers_of_a_stream(&self, mesh: &Mesh, config: &Config) -> Option<i64> {
        let own = Some(i64::from(config.max_consumers)).filter(|limit| *limit > 0);
        let accounts = Some(self.limits.max_consumers).filter(|limit| *limit > 0);
        let servers = mesh
            .client()
            .is_server_compatible(2, 15, 0)
            .then_some(CONSUMERS_BY_DEFAULT);
        own.or(accounts).or(servers)
    }

    pub(super) fn finding(&self) -> Finding {
        let Self { limits, .. } = self;
        let all = [
            (
                self.streams,
                limits.max_streams,
                "streams",
                "raise max_streams of the account: each agent has a work stream of its own",
            ),
            (
                self.consumers,
                limits.max_consumers,
                "consumers",
                "retire old versions, or raise max_consumers of the account: each version takes three",
            ),
            (
                self.storage.max(self.reserved_storage),
                limits.max_storage,
                "bytes stored or reserved",
                "raise max_storage of the account or shorten [archive] max_age: a full store refuses new work",
            ),
            (
                self.memory,
                limits.max_memory,
                "bytes in memory",
                "raise max_memory of the account: controllers follow the ledger by consumers in memory",
            ),
        ];
        let found: Vec<String> = all
            .iter()
            .map(|(used, limit, what, _)| of(*used, Some(*limit), what))
            .collect();
        let remedies: Vec<&str> = all
            .iter()
            .filter(|(used, limit, ..)| is_near(*used, Some(*limit)))
            .map(|(.., remedy)| *remedy)
            .collect();
        let level = if remedies.is_empty() { Level::Ok } else { Level::Warning };
        Finding::new("JetStream", level, found.join(", "), remedies.join("; "))
    }
}

/// The connections of this account on the server that answers. The server tells no limit of its own.
pub(super) async fn connections(mesh: &Mesh) -> Finding {
    #[derive(Deserialize)]
    struct Answer {
        data: Data,
    }
    #[derive(Deserialize)]
    struct Data {
        #[serde(default)]
        account_statz: Vec<Statistics>,
    }
    #[derive(Deserialize)]
    struct Statistics {
        #[serde(default)]
        conns: i64,
        #[serde(default)]
        num_subscriptions: i64,
        #[serde(default)]
        slow_consumers: i64,
    }
    let request = Request::new().payload("{}".into()).timeout(Some(PATIENCE));
    let reply = mesh.client().send_request("$SYS.REQ.ACCOUNT.PING.STATZ", request).await;
    let told = reply
        .ok()
        .and_then(|reply| serde_json::from_slice::<Answer>(&reply.payload).ok());
    let Some(Statistics {
        conns,
        num_subscriptions,
        slow_consumers,
    }) = told.and_then(|answer| answer.data.account_statz.into_iter().next())
    else {
        let found = "unknown: this user may not ask $SYS.REQ.ACCOUNT.PING.STATZ";
        return Finding::new("connections", Level::Ok, found, "");
    };
    let found = format!(
        "{}, {num_subscriptions} subscriptions, {slow_consumers} slow clients so far",
        of(conns, Some(CONNECTIONS_BY_DEFAULT), "connections")
    );
    if is_near(conns, Some(CONNECTIONS_BY_DEFAULT)) {
        let remedy = "raise max_connections of the server, 65,536 by default, and its limit on open files";
        return Finding::new("connections", Level::Warning, found, remedy);
    }
    Finding::new("connections", Level::Ok, found, "")
}

/// The pulls that wait at the fullest consumer of all agents; `None` without any. A worker has up to two for each band.
pub(super) async fn pulls<'a>(mesh: &Mesh, agents: impl Iterator<Item = &'a AgentName>) -> Option<Finding> {
    let mut fullest: Option<(i64, i64, String)> = None;
    for agent in agents {
        // A list that cannot be read is a finding of the stream's.
        for (waiting, limit, name) in waiting_pulls(mesh, agent).await.unwrap_or_default() {
            let is_fuller = fullest
                .as_ref()
                .is_none_or(|(most, bound, _)| waiting.saturating_mul(*bound) > most.saturating_mul(limit));
            if is_fuller {
                fullest = Some((waiting, limit, name));
            }
        }
    }
    let (waiting, limit, name) = fullest?;
    let found = of(waiting, Some(limit), "waiting pulls");
    Some(if is_near(waiting, Some(limit)) {
        let found = format!("{found} at {name}");
        let remedy = "run fewer workers of that version with more slots each: beyond the limit the server ends pulls, which workers send again";
        Finding::new("pulls", Level::Warning, found, remedy)
    } else {
        Finding::new("pulls", Level::Ok, format!("{found} at the fullest consumer"), "")
    })
}

/// Each consumer of an agent's work stream: pulls that wait, how many may, its name.
async fn waiting_pulls(mesh: &Mesh, agent: &AgentName) -> Result<Vec<(i64, i64, String)>, Error> {
    #[derive(Deserialize)]
    struct Consumer {
        name: String,
        #[serde(default)]
        num_waiting: i64,
        config: Waiting,
    }
    #[derive(Deserialize)]
    struct Waiting {
        #[serde(default)]
        max_waiting: i64,
    }
    let stream = mesh.subjects().work_stream(agent);
    let what = format!("CONSUMER.LIST.{stream}");
    let consumers: Vec<Consumer> = mesh.ask_list(&what, "consumers").await??;
    let waiting = consumers.into_iter().map(|one| {
        let name = format!("{stream} {}", one.name);
        (one.num_waiting, one.config.max_waiting.max(1), name)
    });
    Ok(waiting.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(limits: AccountLimits) -> Account {
        Account {
            streams: 81,
            consumers: 5,
            storage: 10,
            memory: 0,
            reserved_storage: 90,
            limits,
        }
    }

    #[test]
    fn only_what_is_above_four_fifths_of_a_limit_is_warned_of() {
        assert!(is_near(81, Some(100)) && !is_near(80, Some(100)));
        assert!(!is_near(i64::MAX, None) && !is_near(5, Some(0)) && !is_near(5, Some(-1)));
        assert_eq!(of(5, Some(-1), "streams"), "5 streams");
        assert!(is_full(0, 1) && is_full(ROOM, ROOM) && !is_full(0, ROOM) && !is_full(i64::MAX, -1));
        let unlimited = account(AccountLimits::default()).finding();
        assert_eq!((unlimited.level, unlimited.remedy.as_str()), (Level::Ok, ""));
        let near = account(AccountLimits {
            max_streams: 100,
            max_storage: 100,
            max_consumers: 100,
            max_memory: -1,
        });
        let near = near.finding();
        assert_eq!(near.level, Level::Warning);
        assert!(
            near.found.contains("81 of 100 streams") && near.found.contains("90 of 100 bytes"),
            "{}",
            near.found
        );
        assert!(
            near.remedy.contains("max_streams") && near.remedy.contains("max_storage"),
            "{}",
            near.remedy
        );
        assert!(!near.remedy.contains("max_consumers"), "{}", near.remedy);
    }
}
