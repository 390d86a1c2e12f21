//! What an operator should know of the server and of this mesh on it, each with its remedy.

mod limits;
mod lost;
mod raises;
mod storage;

use async_nats::jetstream::stream::Config;
use baton_envelope::AgentName;
use serde::{Deserialize, Serialize};

use self::raises::{Raises, raises, settings, signatures};
use crate::error::Error;
use crate::server::{Limits, Mesh};
use crate::work::Drifted;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// As it should be.
    Ok,
    /// Works, but something is weaker than it could be.
    Warning,
    /// Something will not work.
    Problem,
}

/// One thing that was looked at.
#[derive(Debug, Clone, Serialize)]
pub struct Finding {
    /// What was looked at.
    pub check: String,
    /// How bad it is.
    pub level: Level,
    /// What was found.
    pub found: String,
    /// What to do; empty when all is well.
    pub remedy: String,
    /// The code of the error behind it, if one is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
}

impl Finding {
    /// A finding; `remedy` is empty when all is well.
    pub fn new(check: impl Into<String>, level: Level, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            check: check.into(),
            level,
            found: found.into(),
            remedy: remedy.into(),
            code: None,
        }
    }

    /// With the code of the error behind it.
    #[must_use]
    pub fn coded(mut self, code: impl Into<String>) -> Self {
        self.code = Some(code.into());
        self
    }
}

#[derive(Deserialize)]
struct StreamInfo {
    config: Config,
    state: StreamState,
}

#[derive(Deserialize)]
struct StreamState {
    #[serde(default)]
    consumer_count: usize,
    #[serde(default)]
    bytes: u64,
}

/// Looks at the server and at this mesh on it, as it should be with these limits. It writes something, to see whether the
/// server stores, and removes it again; nothing of the mesh changes.
///
/// # Errors
/// When the server does not answer.
pub async fn examine(mesh: &Mesh, limits: Limits) -> Result<Vec<Finding>, Error> {
    let account = limits::Account::ask(mesh).await?;
    let raises = raises(mesh, limits).await;
    let mut findings = vec![server(mesh), account.finding(), limits::connections(mesh).await];
    let mut streams = Vec::new();
    let lost_ledger = mesh.lost_ledger().await?;
    for wanted in mesh.base_streams(limits) {
        findings.push(match &lost_ledger {
            Some(lost) if wanted.name == mesh.subjects().ledger_stream() => lost::ledger(&wanted.name, lost),
            _ => stream(mesh, &wanted, &account, &raises).await?,
        });
        streams.push(wanted.name);
    }
    if let Ok(routes) = mesh.all_routes().await {
        for route in &routes {
            let wanted = mesh.work_stream_config(&route.agent, limits);
            findings.push(stream(mesh, &wanted, &account, &raises).await?);
            streams.push(wanted.name);
            findings.extend(consumers(mesh, &route.agent).await);
        }
        findings.extend(limits::pulls(mesh, routes.iter().map(|route| &route.agent)).await);
        findings.extend(lost::routes(mesh, &routes).await?);
    }
    findings.push(storage::storage(mesh, &streams).await);
    findings.extend(raises.findings);
    findings.push(settings(mesh, limits).await?);
    findings.extend(signatures(mesh).await?);
    findings.push(clock(mesh).await?);
    findings.push(sync_interval());
    Ok(findings)
}

fn server(mesh: &Mesh) -> Finding {
    let info = mesh.client().server_info();
    let found = format!(
        "{} at {}, max_payload {} bytes",
        info.version,
        mesh.url(),
        info.max_payload
    );
    if mesh.client().is_server_compatible(2, 14, 4) {
        Finding::new("server version", Level::Ok, found, "")
    } else {
        let remedy = "works; 2.14.4 or newer is recommended for fixes to compare-and-set and replica recovery";
        Finding::new("server version", Level::Warning, found, remedy)
    }
}

async fn stream(mesh: &Mesh, wanted: &Config, account: &limits::Account, raises: &Raises) -> Result<Finding, Error> {
    let check = format!("stream {}", wanted.name);
    let info = match mesh
        .ask::<StreamInfo>(&format!("STREAM.INFO.{}", wanted.name), &serde_json::json!({}))
        .await?
    {
        Ok(info) => info,
        Err(refusal) => {
            let remedy = "start `baton controller` (or `baton dev`): it creates what is missing; one that runs does so within seconds";
            return Ok(Finding::new(check, Level::Problem, refusal.description, remedy));
        }
    };
    let mut drift = drift(wanted, &info.config);
    if raises.streams.contains(&wanted.name) {
        drift.retain(|found| !ADDED.iter().any(|field| found.starts_with(field)));
    }
    if !drift.is_empty() {
        let remedy = format!("compare with docs/protocol.md, then `nats stream edit {}`", wanted.name);
        return Ok(Finding::new(check, Level::Problem, drift.join("; "), remedy));
    }
    let count = i64::try_from(info.state.consumer_count).unwrap_or(i64::MAX);
    let limit = account.consumers_of_a_stream(mesh, &info.config);
    let consumers = limits::of(count, limit, "consumers");
    if limits::is_near(count, limit) {
        let remedy = "retire old versions, which takes their consumers away, or raise jetstream.limits.default_max_consumers of the server";
        return Ok(Finding::new(check, Level::Warning, consumers, remedy));
    }
    if info.config.max_bytes > 0
        && limits::is_near(
            i64::try_from(info.state.bytes).unwrap_or(i64::MAX),
            Some(info.config.max_bytes),
        )
    {
        let remedy = "raise max_bytes or let work finish: a full stream refuses new messages";
        return Ok(Finding::new(
            check,
            Level::Warning,
            limits::of(
                i64::try_from(info.state.bytes).unwrap_or(i64::MAX),
                Some(info.config.max_bytes),
                "bytes",
            ),
            remedy,
        ));
    }
    Ok(Finding::new(
        check,
        Level::Ok,
        format!("{} bytes, {consumers}", info.state.bytes),
        "",
    ))
}

/// The consumers of an agent that somebody edited. A list that cannot be read is a finding of the stream's.
async fn consumers(mesh: &Mesh, agent: &AgentName) -> Vec<Finding> {
    let stream = mesh.subjects().work_stream(agent);
    let drifted = mesh.drifted_consumers(agent).await.unwrap_or_default();
    let finding = |Drifted { consumer, differences }| {
        let remedy =
            format!("`nats consumer rm {stream} {consumer}`: it is made again within seconds, and no work is lost");
        let check = format!("consumer {consumer} of {stream}");
        Finding::new(check, Level::Problem, differences.join("; "), remedy)
    };
    drifted.into_iter().map(finding).collect()
}

/// What a raise adds, as `drift` begins with it.
const ADDED: [&str; 4] = ["subjects ", "allow_direct ", "allow_rollup ", "republish "];

fn drift(wanted: &Config, found: &Config) -> Vec<String> {
    let mut drift = Vec::new();
    let mut compare = |what: &str, wanted: String, found: String| {
        if wanted != found {
            drift.push(format!("{what} is {found}, expected {wanted}"));
        }
    };
    compare(
        "subjects",
        format!("{:?}", wanted.subjects),
        format!("{:?}", found.subjects),
    );
    compare(
        "retention",
        format!("{:?}", wanted.retention),
        format!("{:?}", found.retention),
    );
    compare(
        "discard",
        format!("{:?}", wanted.discard),
        format!("{:?}", found.discard),
    );
    compare(
        "storage",
        format!("{:?}", wanted.storage),
        format!("{:?}", found.storage),
    );
    compare(
        "max_age",
        format!("{:?}", wanted.max_age),
        format!("{:?}", found.max_age),
    );
    compare(
        "allow_direct",
        wanted.allow_direct.to_string(),
        found.allow_direct.to_string(),
    );
    compare(
        "allow_rollup",
        wanted.allow_rollup.to_string(),
        found.allow_rollup.to_string(),
    );
    if wanted.compression.is_some() {
        compare(
            "compression",
            format!("{:?}", wanted.compression),
            format!("{:?}", found.compression),
        );
    }
    // No limit is written as 0 or as -1.
    let limit = |limit: i64| if limit <= 0 { -1 } else { limit };
    let of = |config: &Config| {
        [
            ("max_messages", limit(config.max_messages).to_string()),
            (
                "max_messages_per_subject",
                limit(config.max_messages_per_subject).to_string(),
            ),
            ("max_message_size", limit(config.max_message_size.into()).to_string()),
            ("duplicate_window", format!("{:?}", config.duplicate_window)),
            ("no_ack", config.no_ack.to_string()),
            ("sealed", config.sealed.to_string()),
            ("deny_purge", config.deny_purge.to_string()),
            ("mirror", config.mirror.is_some().to_string()),
            ("sources", config.sources.iter().flatten().count().to_string()),
            ("subject_transform", config.subject_transform.is_some().to_string()),
        ]
    };
    for ((what, wanted), (_, found)) in of(wanted).into_iter().zip(of(found)) {
        compare(what, wanted, found);
    }
    let republish = |config: &Config| config.republish.as_ref().map(|rule| rule.destination.clone());
    compare(
        "republish",
        format!("{:?}", republish(wanted)),
        format!("{:?}", republish(found)),
    );
    drift
}

async fn clock(mesh: &Mesh) -> Result<Finding, Error> {
    #[derive(Deserialize)]
    struct Info {
        #[serde(default)]
        ts: Option<String>,
    }
    let what = format!("STREAM.INFO.{}", mesh.subjects().ledger_stream());
    // Not `Mesh::now`, which is corrected already.
    let before = mesh.clock().now();
    let server = match mesh.ask::<Info>(&what, &serde_json::json!({})).await? {
        Ok(info) => info.ts.and_then(|text| text.parse::<baton_envelope::Timestamp>().ok()),
        Err(_) => None,
    };
    let Some(server) = server else {
        return Ok(Finding::new(
            "clock",
            Level::Warning,
            "the server's time could not be read",
            "run again later",
        ));
    };
    let apart = server.since(before).max(before.since(server));
    let found = format!("{} ms apart from the server's", apart.as_millis());
    Ok(if apart.as_secs() >= 2 {
        Finding::new(
            "clock",
            Level::Warning,
            found,
            "set both clocks by NTP: deadlines and retries use them",
        )
    } else {
        Finding::new("clock", Level::Ok, found, "")
    })
}

/// The server does not tell its sync interval to ordinary clients.
fn sync_interval() -> Finding {
    Finding::new(
        "sync_interval",
        Level::Warning,
        "not visible to a client; the server's own default is 2 minutes",
        "set jetstream { sync_interval: 1s } (or always, to survive a power cut), see config/nats/",
    )
}
