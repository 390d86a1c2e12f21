//! The end of a run: heals everything, starts what is down, redrives what faults parked, and waits until all work is
//! closed or parked as it should be. Then it tests the order of priorities and dumps the streams.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use base64::Engine as _;
use baton_checker::{Journal as Line, Message};
use baton_jetstream::{Filter, Mesh};
use baton_testkit::{Client, StoredMessage, consumers, read_stream, stream_names, stream_size};
use futures::StreamExt as _;
use tokio::time::{Instant, sleep, timeout};

use crate::apply::Disturber;
use crate::control::{let_go, resume_intents};
use crate::journal::{Journal, now_ms};
use crate::load::Load;
use crate::operations::{Operator, stays};
use crate::stage::{Member, Stage};
use crate::work::{LINE, burst};

/// How long all work may take to end once nothing is wrong any more.
pub const CLOSING: Duration = Duration::from_secs(90);
/// The burst that tests the order: low ones, and high ones.
const BURST: (usize, usize) = (24, 48);

impl Stage {
    /// Starts every process that is down, and names them.
    ///
    /// # Errors
    /// When a process does not start.
    pub async fn heal(&self) -> Result<Vec<String>> {
        let mut started = Vec::new();
        for seat in &self.workers {
            let mut member = seat.member.lock().await;
            if is_down(&mut member) {
                self.launch_worker(seat, &mut member)?;
                started.push(member.name.clone());
            }
        }
        for seat in &self.controllers {
            let mut member = seat.lock().await;
            if is_down(&mut member) {
                self.launch_controller(&mut member)?;
                started.push(member.name.clone());
            }
        }
        Ok(started)
    }

    /// Does something while no controller runs: they are frozen, in the middle of whatever they do.
    ///
    /// # Errors
    /// What that thing fails with.
    pub async fn while_controllers_freeze<T>(&self, act: impl Future<Output = Result<T>>) -> Result<T> {
        let mut held = Vec::new();
        for seat in &self.controllers {
            let mut member = seat.lock().await;
            if let Some(process) = &mut member.process
                && process.try_wait().is_none()
            {
                process.pause();
                held.push(member);
            }
        }
        let done = act.await;
        for member in &mut held {
            if let Some(process) = &mut member.process {
                process.resume();
            }
        }
        done
    }

    /// Tells every process to stop.
    pub async fn stop_all(&self) {
        for seat in &self.workers {
            end(&mut *seat.member.lock().await);
        }
        for seat in &self.controllers {
            end(&mut *seat.lock().await);
        }
    }
}

fn is_down(member: &mut Member) -> bool {
    member
        .process
        .as_mut()
        .is_none_or(|process| process.try_wait().is_some())
}

fn end(member: &mut Member) {
    if let Some(mut process) = member.process.take() {
        process.kill();
    }
}

/// Waits until all work is closed, or parked on purpose; redrives the rest as it waits.
///
/// # Errors
/// When that takes longer than `within`; the text lists what is still open.
pub async fn until_closed(stage: &Stage, operator: &Operator, within: Duration) -> Result<()> {
    let until = Instant::now() + within;
    loop {
        let open = match timeout(Duration::from_secs(30), still_open(stage, operator)).await {
            Ok(Ok(open)) if open.is_empty() => return Ok(()),
            Ok(Ok(open)) => open,
            Ok(Err(error)) => format!("{error:#}"),
            Err(_) => "the server does not answer".to_owned(),
        };
        if Instant::now() > until {
            bail!("not closed within {within:?}: {open}");
        }
        stage.heal().await?;
        sleep(Duration::from_millis(500)).await;
    }
}

async fn still_open(stage: &Stage, operator: &Operator) -> Result<String> {
    let held = let_go(&operator.mesh).await? + resume_intents(&operator.mesh).await?;
    if held > 0 {
        return Ok(format!("{held} were paused or limited"));
    }
    let redriven = Box::pin(operator.redrive_all()).await?;
    if redriven.count > 0 {
        return Ok(format!("{} were parked and put back", redriven.count));
    }
    let client = stage.client.clone();
    for name in queues(&client).await? {
        let consumers = consumers(&client, &name).await.map_err(anyhow::Error::msg)?;
        if consumers
            .iter()
            .any(|consumer| consumer.pending > 0 || consumer.unacked > 0)
        {
            return Ok(format!("messages in {name}: {consumers:?}"));
        }
    }
    let heads = operator.mesh.list(&Filter::default()).await?.heads;
    let open: Vec<String> = heads
        .iter()
        .filter(|head| !head.record.snapshot.status.is_terminal() && !stays(head))
        .filter(|head| !redriven.lost.contains(&head.record.intent))
        .map(|head| format!("{} is {}", head.record.intent, head.record.snapshot.status))
        .collect();
    let shown: Vec<&str> = open.iter().take(5).map(String::as_str).collect();
    Ok(match open.len() {
        0 => String::new(),
        count => format!("{count} are open: {}", shown.join(", ")),
    })
}

/// The work queues of the mesh.
async fn queues(client: &Client) -> Result<Vec<String>> {
    let names = stream_names(client).await.map_err(anyhow::Error::msg)?;
    let is_queue = |name: &String| name == "MESH_INTAKE" || name.starts_with("MESH_WORK_");
    Ok(names.into_iter().filter(is_queue).collect())
}

/// How many messages are in the queues although their consumers are done with them. A server whose disk was full, or
/// one that keeps tickets asynchronously and was killed, can lose the removal of an acknowledged message: after a restart the
/// message is back, and nobody gets it.
///
/// # Errors
/// When the server does not answer.
pub async fn leftovers(stage: &Stage) -> Result<u64> {
    let client = stage.client.clone();
    let mut count = 0;
    for name in queues(&client).await? {
        count += stream_size(&client, &name).await.map_err(anyhow::Error::msg)?;
    }
    Ok(count)
}

/// Queues low work and then high work for one worker with one slot, and runs the worker.
///
/// # Errors
/// When the worker does not start or the work does not end.
pub async fn order(stage: &Stage, disturber: &Disturber, load: &Load, journal: &Journal, seed: u64) -> Result<()> {
    let seat = stage.seat(LINE, "1.0.0", 0).await?;
    let mut member = seat.member.lock().await;
    // Started once, so that the agent is known.
    stage.launch_worker_with(&seat, &mut member, 1)?;
    let mut pieces = burst(seed, "known", 1, 0)
        .into_iter()
        .chain(burst(seed, "order", BURST.0, BURST.1));
    let first = pieces.next().context("a burst")?;
    anyhow::ensure!(
        Box::pin(load.submit(first)).await?,
        "the first of the line was not taken"
    );
    disturber.stop_worker(&seat, &mut member).await?;
    let mut submits = futures::stream::iter(pieces)
        .map(|piece| load.submit(piece))
        .buffered(16);
    while let Some(done) = submits.next().await {
        anyhow::ensure!(done?, "a piece of the burst was not acknowledged");
    }
    journal.write(&Line::Burst {
        group: "order".to_owned(),
        ready_ms: now_ms(),
        slots: 1,
    })?;
    stage.launch_worker_with(&seat, &mut member, 1)?;
    let until = Instant::now() + CLOSING;
    let client = stage.client.clone();
    while stream_size(&client, &format!("MESH_WORK_{LINE}"))
        .await
        .map_err(anyhow::Error::msg)?
        > 0
    {
        anyhow::ensure!(Instant::now() < until, "the burst did not end");
        sleep(Duration::from_millis(100)).await;
    }
    disturber.stop_worker(&seat, &mut member).await
}

/// Dumps every message of every stream of the mesh to a file, byte for byte.
///
/// # Errors
/// When a stream cannot be read completely.
pub async fn dump(client: &Client, path: &Path) -> Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    for message in read_all(client).await? {
        writeln!(file, "{}", serde_json::to_string(&message)?)?;
    }
    file.flush()?;
    Ok(())
}

/// Every message of every stream of the mesh.
///
/// # Errors
/// When a stream cannot be read completely.
pub async fn read_all(client: &Client) -> Result<Vec<Message>> {
    let mut found = Vec::new();
    for stream in stream_names(client).await.map_err(anyhow::Error::msg)? {
        found.extend(read_messages(client, &stream).await?);
    }
    Ok(found)
}

/// Every message of a stream.
///
/// # Errors
/// When it cannot be read completely.
pub async fn read_messages(client: &Client, stream: &str) -> Result<Vec<Message>> {
    let found = read_stream(client, stream).await.map_err(anyhow::Error::msg)?;
    found.into_iter().map(|message| line(stream, message)).collect()
}

fn line(stream: &str, message: StoredMessage) -> Result<Message> {
    let time = time::OffsetDateTime::parse(&message.time, &time::format_description::well_known::Rfc3339);
    let time = time.with_context(|| format!("the time {:?}", message.time))?;
    let (body, body_base64) = match std::str::from_utf8(&message.body) {
        Ok(text) => (Some(text.to_owned()), None),
        Err(_) => (
            None,
            Some(base64::engine::general_purpose::STANDARD.encode(&message.body)),
        ),
    };
    Ok(Message {
        stream: stream.to_owned(),
        seq: message.seq,
        subject: message.subject,
        time_ms: i64::try_from(time.unix_timestamp_nanos() / 1_000_000)?,
        headers: message.headers,
        body,
        body_base64,
    })
}

/// Waits until the agents are known and every version may take work.
///
/// # Errors
/// When that takes too long.
pub async fn until_ready(mesh: &Mesh, agents: &[&str], versions: &[&str]) -> Result<()> {
    let until = Instant::now() + Duration::from_secs(90);
    loop {
        let mut missing = Vec::new();
        for agent in agents {
            let route = mesh.route(&agent.parse()?).await;
            for version in versions {
                let version = version.parse()?;
                let state = route.as_ref().ok().and_then(|found| found.as_ref()?.0.state(&version));
                if state.as_ref().is_none_or(|state| state.to_string() == "declared") {
                    missing.push(format!("{agent}@{version} is {state:?}"));
                }
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        anyhow::ensure!(Instant::now() < until, "not ready: {}", missing.join(", "));
        sleep(Duration::from_millis(100)).await;
    }
}
