//! What an operator should know of the server and of this mesh on it, each with its remedy.

mod copies;
mod drift;
mod limits;
mod lost;
mod raises;
mod storage;

use async_nats::jetstream::stream::Config;
use baton_envelope::codes;
use baton_envelope::control::{IdentityView, WhoAmI};
use serde::{Deserialize, Serialize};

use self::raises::{Raises, raises, settings, signatures};
use crate::error::Error;
use crate::server::{Drifted, Limits, Mesh, drift};

/// How long to look for a controller that says as whom it takes this user.
const IDENTITY: std::time::Duration = std::time::Duration::from_millis(500);

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
    let secured = matches!(mesh.shared_settings().await, Ok(Some(shared)) if shared.is_secured());
    let mut findings = vec![
        server(mesh, secured),
        account.finding(),
        limits::connections(mesh).await,
    ];
    if secured {
        findings.push(identity(mesh).await);
    }
    let mut streams = Vec::new();
    let lost_ledger = mesh.lost_ledger().await?;
    let made_later = mesh.subjects().context_archive_stream();
    for wanted in mesh.named_streams(limits) {
        if wanted.name == made_later && mesh.stream_info::<serde::de::IgnoredAny>(&wanted.name).await?.is_none() {
            continue;
        }
        findings.push(match &lost_ledger {
            Some(lost) if wanted.name == mesh.subjects().ledger_stream() => lost::ledger(&wanted.name, lost),
            _ => stream(mesh, &wanted, &account, &raises).await?,
        });
        streams.push(wanted.name);
    }
    for stream in mesh.controllers_streams() {
        findings.extend(consumers(mesh, &stream, &raises).await);
    }
    if let Ok(routes) = mesh.all_routes().await {
        for route in &routes {
            let wanted = mesh.work_stream_config(&route.agent, limits);
            findings.push(stream(mesh, &wanted, &account, &raises).await?);
            streams.push(wanted.name);
            findings.extend(consumers(mesh, &mesh.subjects().work_stream(&route.agent), &raises).await);
        }
        findings.extend(limits::pulls(mesh, routes.iter().map(|route| &route.agent)).await);
        findings.extend(lost::routes(mesh, &routes).await?);
    }
    findings.push(storage::storage(mesh, &streams).await);
    findings.extend(raises.findings);
    findings.push(settings(mesh, limits).await?);
    findings.push(copies::copies(mesh).await);
    findings.extend(signatures(mesh).await?);
    findings.push(clock(mesh).await?);
    findings.push(sync_interval());
    Ok(findings)
}

/// As whom the controllers of a secured mesh take this user.
async fn identity(mesh: &Mesh) -> Finding {
    const CHECK: &str = "identity";
    match mesh.ask_controller_within(IDENTITY, &WhoAmI::default()).await {
        Ok(IdentityView { by: Some(by), .. }) => Finding::new(
            CHECK,
            Level::Ok,
            format!("the mesh is secured, and controllers take you for {by}"),
            "",
        ),
        Ok(_) => {
            let found =
                "the mesh is secured, and the server does not tell controllers who you are: they refuse every change";
            let remedy = "connect from an account of your own, with the imports that `baton access render` writes";
            Finding::new(CHECK, Level::Warning, found, remedy).coded(codes::NO_IDENTITY)
        }
        Err(error) => {
            let remedy = "start `baton controller`, or let this user ask mesh.control.whoami";
            Finding::new(CHECK, Level::Warning, format!("the mesh is secured; {error}"), remedy).coded(error.code())
        }
    }
}

fn server(mesh: &Mesh, secured: bool) -> Finding {
    let info = mesh.client().server_info();
    let found = format!(
        "{} at {}, max_payload {} bytes",
        info.version,
        mesh.url(),
        info.max_payload
    );
    if secured && let Err(error) = mesh.can_be_secured() {
        let remedy = "install a newer nats-server: on this one a client can name somebody else as who asks";
        return Finding::new("server version", Level::Problem, error.to_string(), remedy).coded(error.code());
    }
    if mesh.client().is_server_compatible(2, 14, 4) {
        Finding::new("server version", Level::Ok, found, "")
    } else {
        let remedy = "upgrade nats-server to 2.14.4 or newer, which fixes compare-and-set and the recovery of replicas";
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
            let remedy = "start `baton controller` (or `baton dev`): a running controller creates what is missing within seconds";
            return Ok(Finding::new(check, Level::Problem, refusal.description, remedy));
        }
    };
    let mut drift = drift(wanted, &info.config);
    if raises.subjects.contains(&wanted.name) {
        drift.retain(|one| !ADDED.contains(&one.setting));
    }
    if !drift.is_empty() {
        let found: Vec<String> = drift.iter().map(ToString::to_string).collect();
        let remedy = drift::remedy(mesh, wanted, &info.config);
        return Ok(Finding::new(check, Level::Problem, found.join("; "), remedy));
    }
    let count = i64::try_from(info.state.consumer_count).unwrap_or(i64::MAX);
    let limit = account.consumers_of_a_stream(mesh, &info.config);
    let consumers = limits::of(count, limit, "consumers");
    if limits::is_near(count, limit) {
        let remedy = "retire old versions, which removes their consumers, or raise jetstream.limits.default_max_consumers of the server";
        return Ok(Finding::new(check, Level::Warning, consumers, remedy));
    }
    if let Some(full) = limits::room(&check, wanted, &info.config, info.state.bytes) {
        return Ok(full);
    }
    Ok(Finding::new(
        check,
        Level::Ok,
        format!("{} bytes, {consumers}", info.state.bytes),
        "",
    ))
}

/// The consumers of a stream that somebody edited. A list that cannot be read is a finding of the stream's.
async fn consumers(mesh: &Mesh, stream: &str, raises: &Raises) -> Vec<Finding> {
    let is_own = mesh.controllers_streams().iter().any(|own| own == stream);
    let mut findings = Vec::new();
    for drifted in mesh.drifted_consumers(stream).await.unwrap_or_default() {
        let Drifted {
            consumer,
            mut differences,
            paused_until,
            ..
        } = drifted;
        let check = format!("consumer {consumer} of {stream}");
        if raises.subjects.contains(&check) {
            differences.retain(|found| !WIDENED.iter().any(|field| found.starts_with(field)));
        }
        if !differences.is_empty() {
            let remedy = if is_own {
                format!(
                    "the leading controller repairs it within seconds; or `nats consumer rm -f {stream} {consumer}`: it is created again"
                )
            } else {
                format!(
                    "`nats consumer rm -f {stream} {consumer}`: it is created again within seconds, and no work is lost"
                )
            };
            findings.push(Finding::new(
                check.clone(),
                Level::Problem,
                differences.join("; "),
                remedy,
            ));
        }
        if let Some(until) = paused_until {
            let found = format!("it is paused until {until}: no raw intent is taken in");
            let remedy = format!("`nats consumer resume -f {stream} {consumer}`");
            findings.push(Finding::new(check, Level::Problem, found, remedy));
        }
    }
    findings
}

/// What a raise makes wider, as a difference of a consumer begins with it.
const WIDENED: [&str; 1] = ["max_ack_pending "];

/// What a raise adds.
const ADDED: [&str; 4] = ["subjects", "allow_direct", "allow_rollup", "republish"];

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
            "run `baton doctor` again",
        ));
    };
    let apart = server.since(before).max(before.since(server));
    let found = format!("{} ms apart from the server's", apart.as_millis());
    Ok(if apart.as_secs() >= 2 {
        Finding::new(
            "clock",
            Level::Warning,
            found,
            "synchronise both clocks with NTP: deadlines and retries depend on them",
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
