//! A worker process of the load: does what the payload says, and leaves a trace of everything that it really does.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};
use baton_agent::{Agent, Amounts, Fault, Handler, Hop, Kind, Memory, Outcome, RetryPolicy, Wait, shutdown_signal};
use baton_checker::Effect;
use baton_envelope::{Json, Signatures, Timestamp};
use baton_jetstream::{Clock, Signing, SystemClock, Target, TicketPersistence};
use clap::Args;

use crate::asking::{calls, check, given};
use crate::work::{Asks, End, Trace, Turn, Work};

/// The code of an undo that fails on purpose.
const STUCK: &str = "STUCK";
/// The code of a hop that does not know what an earlier one remembers. No work may end with it.
const FORGOTTEN: &str = "FORGOTTEN";
/// How often to read the file with the clock's shift.
const CLOCK_PAUSE: Duration = Duration::from_millis(50);
/// How long an attempt waits for the next one, unless the payload says otherwise.
const RETRY: RetryPolicy = RetryPolicy {
    max_attempts: 3,
    unit: Duration::from_millis(100),
    longest: Duration::from_secs(2),
    attempt_timeout: None,
};

/// `baton-faults worker`, which the runner starts.
#[derive(Debug, Clone, Args)]
pub struct WorkerArgs {
    /// The servers, separated by commas.
    #[arg(long)]
    server: String,
    /// The agent.
    #[arg(long)]
    agent: String,
    /// Its version.
    #[arg(long)]
    version: String,
    /// The name of this process.
    #[arg(long)]
    instance: String,
    /// The file that traces are appended to.
    #[arg(long)]
    effects: PathBuf,
    /// The file that says by how many milliseconds the clock is off.
    #[arg(long)]
    clock: PathBuf,
    /// How many hops run at a time.
    #[arg(long)]
    slots: u32,
    /// How many copies streams keep.
    #[arg(long)]
    replicas: usize,
    /// When the server writes tickets to disk.
    #[arg(long)]
    tickets: TicketPersistence,
    /// The file with the key that it signs with.
    #[arg(long, requires = "trust")]
    signing_key: Option<PathBuf>,
    /// The file with the trusted keys.
    #[arg(long)]
    trust: Option<PathBuf>,
    /// A channel that it declares.
    #[arg(long)]
    channel: Vec<String>,
}

/// Works until told to stop.
///
/// # Errors
/// When the mesh is unreachable or the file of traces cannot be opened.
pub async fn run(args: WorkerArgs) -> Result<()> {
    let traces = OpenOptions::new().create(true).append(true).open(&args.effects);
    let does = Does {
        traces: traces.context("the file of traces")?,
        agent: args.agent.clone(),
        version: args.version.clone(),
        instance: args.instance.clone(),
        count: AtomicU64::new(0),
    };
    let target = Target {
        replicas: Some(args.replicas),
        tickets: args.tickets,
        patience: Duration::from_secs(60),
        name: args.instance.clone(),
        signing: Signing {
            signatures: match &args.signing_key {
                Some(_) => Signatures::Require,
                None => Signatures::Off,
            },
            key: args.signing_key.clone(),
            trust: args.trust.clone(),
        },
        ..Target::at(args.server)
    };
    let clock = ShiftedClock::following(&args.clock);
    let builder = || {
        let builder = Agent::builder(&args.agent, &args.version)?;
        let builder = args.channel.iter().fold(builder, |builder, name| builder.channel(name));
        anyhow::Ok(builder.instance(&args.instance).concurrency(args.slots).retry(RETRY))
    };
    let does = Arc::new(does);
    let stop = shutdown_signal();
    tokio::pin!(stop);
    let worker = loop {
        // A server that is briefly away is expected; a worker that gives up is not.
        let bound = async {
            let mesh = target.connect_with(Arc::clone(&clock)).await?;
            let handler = Shared(Arc::clone(&does));
            let bind = builder()?
                .drain_timeout(Duration::from_secs(3))
                .handler(handler)
                .bind(&mesh);
            anyhow::Ok(bind.await?)
        };
        let bound = tokio::select! {
            () = &mut stop => return Ok(()),
            bound = bound => bound,
        };
        match bound {
            Ok(worker) => break worker,
            Err(error) => tracing::warn!(error = format!("{error:#}"), "cannot bind yet"),
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    };
    tracing::info!("worker ready");
    let summary = worker.run_until(stop).await?;
    tracing::info!(?summary, "worker stopped");
    Ok(())
}

/// A clock that is off by the content of a file.
#[derive(Debug)]
struct ShiftedClock {
    off_ms: Arc<AtomicI64>,
}

impl ShiftedClock {
    fn following(path: &Path) -> Arc<dyn Clock> {
        let off_ms = Arc::new(AtomicI64::new(0));
        let (path, shared) = (path.to_owned(), Arc::clone(&off_ms));
        // A thread of its own: it lives as long as the process, whatever happens to the runtime.
        std::thread::spawn(move || {
            loop {
                let read = std::fs::read_to_string(&path).unwrap_or_default();
                shared.store(read.trim().parse().unwrap_or(0), Ordering::Relaxed);
                std::thread::sleep(CLOCK_PAUSE);
            }
        });
        Arc::new(Self { off_ms })
    }
}

impl Clock for ShiftedClock {
    fn now(&self) -> Timestamp {
        let off = self.off_ms.load(Ordering::Relaxed);
        Timestamp::from_unix_millis(SystemClock.now().unix_millis().saturating_add(off))
    }

    fn random(&self) -> [u8; 10] {
        SystemClock.random()
    }
}

/// What all hops of the process share.
struct Does {
    traces: File,
    agent: String,
    version: String,
    instance: String,
    count: AtomicU64,
}

impl Does {
    /// Appends a line with one write. A kill can tear it; the newline before each line keeps the next one whole.
    fn trace(&self, effect: &Effect) -> std::io::Result<()> {
        let line = format!("\n{}\n", serde_json::to_string(effect)?);
        (&self.traces).write_all(line.as_bytes())
    }

    /// A token that no other effect has.
    fn token(&self) -> String {
        format!("{}-{}", self.instance, self.count.fetch_add(1, Ordering::Relaxed))
    }

    async fn act(&self, hop: &mut Hop, mut work: Work) -> Result<Outcome, Fault> {
        let (intent, number) = (hop.intent().to_string(), hop.number());
        let _running = Running {
            does: self,
            intent: intent.clone(),
            epoch: hop.epoch(),
            envelope: hop.envelope().id.to_string(),
        };
        self.trace(&Effect::Run {
            intent: intent.clone(),
            key: work.key.clone(),
            hop: u64::from(number),
            attempt: u64::from(hop.attempt()),
            epoch: hop.epoch(),
            envelope: hop.envelope().id.to_string(),
            agent: self.agent.clone(),
            version: self.version.clone(),
            instance: self.instance.clone(),
            at_ms: SystemClock.now().unix_millis(),
        })?;
        let index = usize::try_from(number.saturating_sub(work.after)).unwrap_or(usize::MAX);
        let turn = work.turns.get(index.saturating_sub(1)).cloned().unwrap_or_default();
        let steps = self.steps(hop, &work, &turn).await?;
        if work.remembers {
            remember(hop, &work).await?;
        }
        match &turn.asks {
            None => {}
            Some(Asks::Signal(time)) => {
                hop.wait(Wait::signal("go").within(Duration::from_millis(*time)))
                    .await?;
            }
            Some(Asks::Either(time)) => {
                let within = |name| Wait::signal(name).within(Duration::from_millis(*time));
                hop.wait_any(["go", "stop"].map(within)).await?;
            }
            Some(Asks::Sleep(time)) => hop.sleep("nap", Duration::from_millis(*time)).await?,
            Some(Asks::Others(others)) => {
                let is_bounded = hop.budget().await.is_some();
                let joined = hop.join(calls(number, others, is_bounded)?).await?;
                check(&joined, Some(others))?;
            }
        }
        if turn.slow_ms > 0 {
            tokio::time::sleep(Duration::from_millis(turn.slow_ms)).await;
        }
        work.trail.push(Trace { hop: number, steps });
        let is_bounded = hop.budget().await.is_some();
        end(hop, &work, turn, is_bounded)
    }

    /// Runs the steps of a turn, and gives their tokens. What takes something back does so in a step as well.
    async fn steps(&self, hop: &mut Hop, work: &Work, turn: &Turn) -> Result<BTreeMap<String, String>, Fault> {
        let (intent, number, epoch) = (hop.intent().to_string(), hop.number(), hop.epoch());
        // One of eight undos fails. Tried again it is another intent, which has its own luck.
        if work.takes_back.is_some() && intent.starts_with(['0', '1']) {
            return Err(Fault::terminal(STUCK, "it cannot be taken back"));
        }
        let mut steps = BTreeMap::new();
        let own = (0..turn.steps).map(|step| (format!("step{step}"), None));
        let back = work
            .takes_back
            .clone()
            .map(|token| ("take-back".to_owned(), Some(token)));
        for (name, takes_back) in own.chain(back) {
            let effect = || async {
                let token = self.token();
                self.trace(&Effect::Step {
                    intent: intent.clone(),
                    hop: u64::from(number),
                    step: name.clone(),
                    token: token.clone(),
                    epoch,
                    instance: self.instance.clone(),
                    takes_back,
                })?;
                Ok::<_, Fault>(token)
            };
            let token = match &turn.undo {
                Some(agent) => {
                    let undo = |token: &String| taking_back(work, token.clone());
                    hop.step_undoable(&name, effect, agent, undo).await?
                }
                None => {
                    let most = Amounts::tokens(10);
                    hop.spend(&name, most, |permit| {
                        permit.spent(Amounts::tokens(7));
                        effect()
                    })
                    .await?
                }
            };
            steps.insert(name.clone(), token);
        }
        Ok(steps)
    }
}

/// Remembers that the hop was there. What those before it remember must be known to it.
async fn remember(hop: &mut Hop, work: &Work) -> Result<(), Fault> {
    let name = |hop: u32| format!("seen-{hop}");
    let context = hop.context().await?;
    let is_known = |key: &str| {
        let mut all = context.memories().chain(context.dropped());
        all.any(|given| given.memory.key.as_str() == key)
    };
    if let Some(forgotten) = work
        .trail
        .iter()
        .map(|trace| name(trace.hop))
        .find(|key| !is_known(key))
    {
        return Err(Fault::terminal(
            FORGOTTEN,
            format!("{forgotten} is not among what it was given"),
        ));
    }
    let number = hop.number();
    let memory = Memory::new(name(number), Kind::Fact, format!("{} was at hop {number}", work.key));
    hop.remember(memory).await
}

/// The work that takes an effect back.
fn taking_back(work: &Work, token: String) -> Work {
    let ends = ["completed", "failed:STUCK", "failed:EXHAUSTED", "failed:POISON"];
    Work {
        key: format!("{}-undo", work.key),
        takes_back: Some(token),
        expect: ends.map(str::to_owned).to_vec(),
        ..Work::default()
    }
}

/// A run of the handler, until it returns or is dropped.
struct Running<'a> {
    does: &'a Does,
    intent: String,
    epoch: u64,
    envelope: String,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let ended = Effect::Ended {
            intent: std::mem::take(&mut self.intent),
            epoch: self.epoch,
            envelope: std::mem::take(&mut self.envelope),
            instance: self.does.instance.clone(),
            at_ms: SystemClock.now().unix_millis(),
        };
        if let Err(error) = self.does.trace(&ended) {
            tracing::error!(%error, "the end of a run leaves no trace");
        }
    }
}

fn end(hop: &Hop, work: &Work, turn: Turn, is_bounded: bool) -> Result<Outcome, Fault> {
    let delayed = |fault: Fault| match turn.delay_ms {
        0 => fault,
        delay => fault.after(Duration::from_millis(delay)),
    };
    if hop.attempt() <= turn.fails {
        return Err(delayed(Fault::retry("not yet")));
    }
    match turn.end {
        End::Complete => Outcome::complete(work),
        End::HandOff(to) => {
            let outcome = Outcome::hand_off(&to, work)?;
            match turn.undo_hop {
                None => Ok(outcome),
                // No effect has this token: the plan of what is undone is judged, and not what became of it.
                Some(agent) => outcome.with_undo(&agent, &taking_back(work, format!("{} to {to}", hop.number()))),
            }
        }
        End::Next => Outcome::next(work),
        End::FanOut(to, others) => Outcome::fan_out(calls(hop.number(), &others, is_bounded)?).then(&to),
        End::Broadcast(channel, copy) => {
            let after = hop.number();
            Outcome::broadcast(&channel, &Work { after, ..*copy })
        }
        End::Fail(code) => Err(Fault::terminal(code, "as the payload says")),
        End::Reject(code) => Ok(Outcome::reject(code, "as the payload says")),
        End::Park(code) => Err(delayed(Fault::retry("as the payload says").with_code(code))),
        // A redriven envelope names the one before it.
        End::ParkOnce if hop.envelope().previous.is_none() => Err(delayed(Fault::retry("not before a redrive"))),
        End::ParkOnce => Outcome::complete(work),
    }
}

struct Shared(Arc<Does>);

impl Handler for Shared {
    type Input = Json;

    async fn handle(&self, hop: &mut Hop, payload: Json) -> Result<Outcome, Fault> {
        // A replay is no run: it writes nothing, so it leaves no trace.
        if hop.is_replay() {
            return Err(Fault::terminal("NO_REPLAY", "this worker leaves traces"));
        }
        self.0.act(hop, given(&payload)?).await
    }
}
