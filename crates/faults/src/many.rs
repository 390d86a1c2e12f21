//! Many intents that wait: what they cost a controller in memory, at its start and for each second, and how late many timers
//! fire. The waiting ones are written into the ledger as their workers would have left them.

use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use baton_agent::{Agent, Fault, Handler, Hop, Json, Outcome};
use baton_envelope::{
    AgentVersion, Author, Envelope, IntentId, Record, RecordId, Role, Stamp, Timestamp, WaitKind, WaitSpec, act,
};
use baton_jetstream::{Mesh, Target};
use baton_testkit::{Client, Headers, ProcessGuard, TestServer, eventually, read_stream, stream_size};
use serde::Serialize;
use tokio::time::Instant;

use crate::stage::own;

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(300);
/// Over how long to measure what waiting costs.
const IDLE: Duration = Duration::from_secs(20);
const AGENT: &str = "sleeper";
/// How many intents to write before the server has stored them: it drops what is far more than it can take.
const AHEAD: u64 = 2_000;

/// How many of each.
#[derive(Debug, Clone, Copy)]
pub struct ManyPlan {
    /// Intents that wait for a signal for a day.
    pub waiting: u32,
    /// Intents that begin later.
    pub timers: u32,
    /// Their times are spread over this.
    pub within: Duration,
}

/// What was measured.
#[derive(Debug, Serialize)]
pub struct ManySummary {
    /// Intents that waited.
    pub waiting: u32,
    /// Memory of the controller before and with them, in kilobytes.
    pub before_kb: u64,
    /// With them, after a start of the controller.
    pub with_kb: u64,
    /// The most that it used.
    pub peak_kb: u64,
    /// How long a start takes until a timer behind all of them has fired, in milliseconds.
    pub start_ms: u128,
    /// What the controller used of one processor while they waited, in percent, before and with them.
    pub idle_percent: (f64, f64),
    /// Timers that fired.
    pub fired: usize,
    /// How late they fired, in milliseconds by the server's clock: the median, 99 of 100, and the latest.
    pub late_ms: (i64, i64, i64),
    /// How early the earliest did; a negative number is early.
    pub earliest_ms: i64,
}

impl ManySummary {
    /// Whether the bounds of the design hold.
    #[must_use]
    pub fn holds(&self) -> bool {
        let costs = self.with_kb.saturating_sub(self.before_kb) < 200 * 1024 && self.start_ms < 30_000;
        costs && self.late_ms.1 < 1_000 && self.earliest_ms >= 0
    }
}

/// Completes what it gets.
struct Done;

impl Handler for Done {
    type Input = Json;

    async fn handle(&self, _: &mut Hop, _: Json) -> Result<Outcome, Fault> {
        Outcome::complete(&"done")
    }
}

/// Measures.
///
/// # Errors
/// When something does not start, or a timer does not fire.
pub async fn run(plan: &ManyPlan) -> Result<ManySummary> {
    let server = TestServer::start().await;
    let controller = || -> Result<ProcessGuard> {
        let mut command = own(&["controller"])?;
        command.env("BATON_SERVER", server.url());
        Ok(ProcessGuard::spawn("controller", command, server.dir()))
    };
    let mut first = controller()?;
    let mesh = Target::at(server.url()).connect().await?;
    let worker = Agent::builder(AGENT, "1.0.0")?
        .handler(Done)
        .concurrency(64)
        .bind(&mesh)
        .await?;
    let worker = tokio::spawn(worker.run_until(std::future::pending()));
    let writer = Writer::new(&server, mesh.clone()).await?;
    writer.probe("first").await?;
    tokio::time::sleep(IDLE).await;
    let before_kb = memory(first.pid(), "VmRSS:")?;
    let idle_before = load_of(first.pid()).await?;

    writer.waiting(plan.waiting).await?;
    first.kill();
    let begun = Instant::now();
    let second = controller()?;
    writer.probe("second").await?;
    let start_ms = begun.elapsed().as_millis();
    tokio::time::sleep(IDLE).await;
    let with_kb = memory(second.pid(), "VmRSS:")?;
    let idle_with = load_of(second.pid()).await?;

    let begin = mesh.now().plus(Duration::from_secs(30));
    let dues = writer.timers(plan, begin).await?;
    // Nothing reads the ledger before all are due, which would slow down what is measured.
    tokio::time::sleep(begin.plus(plan.within).since(mesh.now())).await;
    let late = eventually("all have fired", PATIENCE, async || lateness(&server, &dues).await).await;
    let at = |percent: usize| late.get((late.len() * percent / 100).min(late.len() - 1)).copied();
    let peak_kb = memory(second.pid(), "VmHWM:")?;
    worker.abort();
    Ok(ManySummary {
        waiting: plan.waiting,
        before_kb,
        with_kb,
        peak_kb,
        start_ms,
        idle_percent: (idle_before, idle_with),
        fired: late.len(),
        late_ms: (
            at(50).unwrap_or_default(),
            at(99).unwrap_or_default(),
            late.last().copied().unwrap_or_default(),
        ),
        earliest_ms: late.first().copied().unwrap_or_default(),
    })
}

/// Writes records as processes of the mesh would have.
struct Writer {
    mesh: Mesh,
    client: Client,
    version: AgentVersion,
}

impl Writer {
    async fn new(server: &TestServer, mesh: Mesh) -> Result<Self> {
        let version = "1.0.0".parse().map_err(|error| anyhow!("{error}"))?;
        let client = server.client().await;
        Ok(Self { mesh, client, version })
    }

    fn stamp(&self, role: Role) -> Stamp {
        let at = self.mesh.now();
        Stamp {
            id: RecordId::generate(at, self.mesh.clock().random()),
            at,
            by: Author::of(role, "many"),
        }
    }

    fn envelope(&self, intent: &IntentId) -> Result<Envelope> {
        let to = AGENT.parse().map_err(|error| anyhow!("{error}"))?;
        let id = self.mesh.clock().envelope_id();
        Ok(Envelope::first(id, intent.clone(), to, Json::string("work")))
    }

    async fn put(&self, record: &Record) -> Result<()> {
        let mut headers = Headers::new();
        headers.insert("Baton-Event", record.event.name());
        headers.insert("Baton-Status", record.snapshot.status.name());
        let subject = format!("mesh.ledger.0.{}", record.intent);
        let body = serde_json::to_vec(record)?;
        self.client.publish_with_headers(subject, headers, body.into()).await?;
        Ok(())
    }

    /// Work that begins in a moment, and waits until it has been done: the controller has come to the end of the ledger.
    async fn probe(&self, name: &str) -> Result<()> {
        let intent: IntentId = format!("probe-{name}").parse()?;
        let mut envelope = self.envelope(&intent)?;
        envelope.not_before = Some(self.mesh.now().plus(Duration::from_millis(200)));
        let by = Author::of(Role::Client, "many");
        self.mesh.submit_when_known(envelope, by, PATIENCE).await?;
        eventually("the probe is done", PATIENCE, async || {
            match self.mesh.head(&intent).await {
                Ok(Some(head)) if head.record.snapshot.status.is_terminal() => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await;
        Ok(())
    }

    async fn size(&self) -> Result<u64> {
        stream_size(&self.client, "MESH_LEDGER")
            .await
            .map_err(|error| anyhow!(error))
    }

    async fn until_size(&self, size: u64) -> Result<()> {
        eventually("the ledger has all", PATIENCE, async || match self.size().await {
            Ok(found) if found >= size => Ok(()),
            other => Err(format!("{other:?} of {size}")),
        })
        .await;
        Ok(())
    }

    /// Intents that wait for a signal for a day, two records each.
    async fn waiting(&self, count: u32) -> Result<()> {
        let begin = self.size().await?;
        let wait = WaitSpec {
            after_ms: Some(24 * 60 * 60 * 1_000),
            ..WaitSpec::new("paid", WaitKind::Signal)
        };
        // Nobody else writes now, so that the sequences are known.
        for number in 0..u64::from(count) {
            let intent: IntentId = format!("waits-{number}").parse()?;
            let seq = begin + 2 * number + 1;
            let first = act::submit(self.mesh.now(), self.version.clone(), self.envelope(&intent)?);
            let first = first.seal(intent.clone(), 0, self.stamp(Role::Client));
            let waiting = act::suspend(&first.snapshot.clone().seen_at(seq), std::slice::from_ref(&wait))?;
            let waiting = waiting.seal(intent, seq, self.stamp(Role::Worker));
            self.put(&first).await?;
            self.put(&waiting).await?;
            if number % AHEAD == 0 {
                self.until_size(seq + 1).await?;
            }
        }
        self.client.flush().await?;
        self.until_size(begin + 2 * u64::from(count)).await
    }

    /// Work that begins later; returns when each is due.
    async fn timers(&self, plan: &ManyPlan, begin: Timestamp) -> Result<Vec<(String, Timestamp)>> {
        let (mut dues, size) = (Vec::new(), self.size().await?);
        for number in 0..plan.timers {
            let due = begin.plus(plan.within.mul_f64(f64::from(number) / f64::from(plan.timers)));
            let intent: IntentId = format!("due-{number}").parse()?;
            let mut envelope = self.envelope(&intent)?;
            envelope.not_before = Some(due);
            let record = act::submit(self.mesh.now(), self.version.clone(), envelope);
            self.put(&record.seal(intent.clone(), 0, self.stamp(Role::Client)))
                .await?;
            dues.push((intent.to_string(), due));
            if u64::from(number) % AHEAD == 0 {
                self.until_size(size + u64::from(number) + 1).await?;
            }
        }
        self.client.flush().await?;
        ensure!(self.mesh.now() < begin, "writing {} took too long", plan.timers);
        Ok(dues)
    }
}

/// How late each fired, sorted, in milliseconds.
async fn lateness(server: &TestServer, dues: &[(String, Timestamp)]) -> Result<Vec<i64>, String> {
    let client = server.client().await;
    let due: std::collections::HashMap<&str, i64> = dues
        .iter()
        .map(|(intent, due)| (intent.as_str(), due.unix_millis()))
        .collect();
    let messages = read_stream(&client, "MESH_LEDGER").await?;
    let resumed = messages.iter().filter(|message| {
        let mut headers = message.headers.iter();
        headers.any(|(name, value)| name == "Baton-Event" && value == "resumed")
    });
    let mut late: Vec<i64> = resumed
        .filter_map(|message| {
            let due = due.get(message.subject.rsplit('.').next()?)?;
            let at: Timestamp = message.time.parse().ok()?;
            Some(at.unix_millis() - due)
        })
        .collect();
    late.sort_unstable();
    match late.len() >= dues.len() {
        true => Ok(late),
        false => Err(format!("only {} of {} fired", late.len(), dues.len())),
    }
}

/// A line of the status of a process, in kilobytes.
fn memory(pid: u32, name: &str) -> Result<u64> {
    let path = format!("/proc/{pid}/status");
    let text = std::fs::read_to_string(&path).context(path)?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .context(name.to_owned())?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

/// What a process uses of one processor, in percent.
async fn load_of(pid: u32) -> Result<f64> {
    let used = || -> Result<f64> {
        let text = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
        let fields: Vec<&str> = text.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks = |place: usize| fields.get(place).and_then(|field| field.parse::<f64>().ok());
        // The user's and the system's time, in hundredths of a second.
        Ok(ticks(11).unwrap_or_default() + ticks(12).unwrap_or_default())
    };
    let before = used()?;
    tokio::time::sleep(IDLE).await;
    Ok((used()? - before) / IDLE.as_secs_f64())
}
