//! What the tests of drains share: agent `code`, whose new work goes from version 1.0.0 to 2.0.0; what controllers say
//! of it; records that nothing writes yet, or that a sender with an old route wrote; and what must be true of a drain.

use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use baton_agent::{Agent, AgentBuilder, Fault, Json, Outcome};
use baton_envelope::control::{DrainView, StatusView};
use baton_envelope::{
    AgentName, AgentVersion, Author, Envelope, ErrorInfo, Event, IntentId, Record, Role, Successor, Timestamp, Undoing,
    VersionState, holds,
};
use baton_jetstream::{Filter, Head};
use baton_testkit::eventually;
use baton_testkit::records;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::chaos::{ByEnvelope, Running, SOON};
use crate::{TestMesh, baton};

/// The agent.
pub const AGENT: &str = "code";
/// The version that drains.
pub const OLD: &str = "1.0.0";
/// The version that takes the new work.
pub const NEW: &str = "2.0.0";
/// Within this time of its last work's end a version is said to be drained: a few rounds of the leader, on a busy machine.
/// Less than the ack wait (10 s): no ticket may have to wait for that first.
pub const PROMPT: Duration = Duration::from_secs(7);
/// So long it is watched that something does not happen: four rounds of the leader (0.5 s), each of which would do it.
const ROUNDS: Duration = Duration::from_secs(2);

/// The agent's name.
#[must_use]
pub fn code() -> AgentName {
    AGENT.parse().expect("agent name")
}

/// A version.
#[must_use]
pub fn version(text: &str) -> AgentVersion {
    text.parse().expect("version")
}

/// An intent id.
#[must_use]
pub fn id(text: &str) -> IntentId {
    text.parse().expect("intent id")
}

/// The handlers of all versions, and what they ran. What they do, the payload says: `"wait"` waits for the gate, `"fail"`
/// fails until the gate is open, `"20s"` and `"60s"` fail and ask for another attempt after that time, `"code"` hands off
/// to that agent once the gate is open; anything else completes.
#[derive(Debug, Clone)]
pub struct Stage {
    gate: Arc<watch::Sender<bool>>,
    ran: Arc<Mutex<Vec<(String, IntentId)>>>,
}

impl Default for Stage {
    fn default() -> Self {
        Self {
            gate: Arc::new(watch::Sender::new(false)),
            ran: Arc::default(),
        }
    }
}

impl Stage {
    /// An agent of this stage.
    #[must_use]
    pub fn agent(&self, name: &str, version: &str) -> AgentBuilder {
        let (stage, own) = (self.clone(), version.to_owned());
        let run = move |envelope: Envelope| {
            let (stage, own) = (stage.clone(), own.clone());
            async move { stage.run(own, &envelope).await }
        };
        Agent::builder(name, version)
            .expect("agent")
            .handler(ByEnvelope::new(run))
    }

    async fn run(&self, version: String, envelope: &Envelope) -> Result<Outcome, Fault> {
        let runs = {
            let mut ran = self.ran.lock().expect("not poisoned");
            ran.push((version.clone(), envelope.intent.clone()));
            ran.iter().filter(|(_, intent)| *intent == envelope.intent).count()
        };
        let delay = |seconds| Fault::retry("not yet").after(Duration::from_secs(seconds));
        match envelope.payload.get() {
            "\"wait\"" | "\"code\"" => {
                let mut gate = self.gate.subscribe();
                gate.wait_for(|open| *open).await.map_err(|_| Fault::retry("no gate"))?;
            }
            "\"fail\"" if !*self.gate.borrow() => return Err(Fault::retry("not as long as the gate is shut")),
            "\"20s\"" if runs == 1 => return Err(delay(20)),
            "\"60s\"" if runs == 1 => return Err(delay(60)),
            _ => {}
        }
        match envelope.payload.get() {
            "\"code\"" => Outcome::hand_off(AGENT, "quick"),
            _ => Outcome::complete(&version),
        }
    }

    /// Lets everything pass from now on.
    pub fn open(&self) {
        self.gate.send_replace(true);
    }

    /// What a version's handler was started for, in order.
    #[must_use]
    pub fn ran(&self, version: &str) -> Vec<IntentId> {
        let ran = self.ran.lock().expect("not poisoned");
        let of = ran.iter().filter(|(by, _)| by == version);
        of.map(|(_, intent)| intent.clone()).collect()
    }

    /// How often any version's handler was started for an intent.
    #[must_use]
    pub fn runs(&self, intent: &IntentId) -> usize {
        let ran = self.ran.lock().expect("not poisoned");
        ran.iter().filter(|(_, of)| of == intent).count()
    }

    /// Starts a worker of `code`.
    pub async fn code(&self, mesh: &TestMesh, version: &str) -> Running {
        Running::start(mesh.server.url(), self.agent(AGENT, version)).await
    }
}

/// A line that a controller printed as a way out, as a person would paste it into a shell.
#[must_use]
pub fn pasted(mesh: &TestMesh, line: &str) -> Command {
    let binary = baton().get_program().to_owned();
    let folder = Path::new(&binary).parent().expect("a folder").to_owned();
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = mesh.baton(&[]);
    let variables: Vec<_> = command
        .get_envs()
        .filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())))
        .collect();
    command = Command::new("sh");
    // exec: the process is then the command itself, and not a shell.
    command
        .args(["-c", &format!("exec {line}")])
        .env_clear()
        .envs(variables);
    command.env("PATH", format!("{}:{path}", folder.display()));
    command.env("BATON_LOG", "info,async_nats=off");
    command
}

impl TestMesh {
    /// Waits until a version stands so, and gives how long that took.
    pub async fn until_state(&self, of: &str, state: &str, max: Duration) -> Duration {
        let started = Instant::now();
        eventually(&format!("{AGENT}@{of} is {state}"), max, async || {
            let seen = self.state(of).await;
            if seen == state {
                return Ok(());
            }
            let counts = self
                .mesh
                .agent_counts(&code())
                .await
                .map_err(|error| error.to_string())?;
            Err(format!("{seen}, {:?}", counts.get(&version(of))))
        })
        .await;
        started.elapsed()
    }

    /// Where a version of `code` stands, by the route as it is in the bucket.
    pub async fn state(&self, of: &str) -> String {
        match self.mesh.route(&code()).await {
            Ok(Some((route, _))) => route
                .state(&version(of))
                .map_or_else(|| "unknown".to_owned(), |state| state.to_string()),
            Ok(None) => "without a route".to_owned(),
            Err(error) => error.to_string(),
        }
    }

    /// Watches for a few rounds of the leader that a version stays what it is.
    pub async fn stays(&self, version: &str, states: &[&str]) {
        let until = Instant::now() + ROUNDS;
        while Instant::now() < until {
            let state = self.state(version).await;
            assert!(
                states.contains(&&*state),
                "{AGENT}@{version} is {state}, and not {states:?}"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Gives all new work of `code` to 2.0.0, with the CLI. Its worker must run.
    pub async fn roll_out(&self) {
        self.until_state(NEW, "ready", SOON).await;
        let started = self.run_baton(&["rollout", "start", AGENT, NEW, "--at-once"]).await;
        assert!(started.status.success(), "{started:?}");
        assert_eq!(self.state(NEW).await, "active");
    }

    /// What `baton rollout status code --output json` says.
    pub async fn rollout_status(&self) -> StatusView {
        let shown = self.run_baton(&["rollout", "status", AGENT, "--output", "json"]).await;
        assert!(shown.status.success(), "{shown:?}");
        serde_json::from_slice(&shown.stdout).unwrap_or_else(|error| panic!("{error}: {shown:?}"))
    }

    /// What it says of a version that drains, is drained, or is quarantined.
    pub async fn drain_of(&self, of: &str) -> Result<DrainView, String> {
        let status = self.rollout_status().await;
        let found = status.drains.iter().find(|drain| drain.version == version(of));
        found.cloned().ok_or_else(|| format!("{:?}", status.drains))
    }

    /// Retires a version with the CLI; gives the exit code and what was said.
    pub async fn retire(&self, version: &str) -> (Option<i32>, String) {
        let done = self.run_baton(&["agents", "retire", AGENT, version]).await;
        (done.status.code(), String::from_utf8_lossy(&done.stderr).into_owned())
    }

    /// Waits until `baton rollout status` says what holds a version, and checks that it may not be retired.
    pub async fn held(&self, of: &str, cause: &str, intent: &IntentId) {
        eventually(&format!("{of} is held by {cause}"), SOON, async || {
            let drain = self.drain_of(of).await?;
            let found = drain.holds.iter().any(|hold| {
                hold.cause.name() == cause
                    && hold.count == 1
                    && hold.oldest == *intent
                    && hold.intents == [intent.clone()]
            });
            (found && drain.open == 1)
                .then_some(())
                .ok_or_else(|| format!("{drain:?}"))
        })
        .await;
        let (exit, said) = self.retire(of).await;
        assert_eq!(exit, Some(4), "{said}");
        for part in [cause, intent.as_str(), OLD] {
            assert!(said.contains(part), "{part:?} is not said: {said}");
        }
    }

    /// Retires a version that is drained.
    pub async fn retires(&self, of: &str) {
        let (exit, said) = self.retire(of).await;
        assert_eq!(exit, Some(0), "{said}");
        assert_eq!(self.state(of).await, "retired");
    }

    // --- records by hand ----------------------------------------------------------------------------------------

    /// The first record of an intent as a sender writes it whose route names this version. Without `settle` no ticket is
    /// written: then nobody takes it up.
    pub async fn submitted_for(&self, version_of: &str, mut envelope: Envelope, settle: bool) -> IntentId {
        let (intent, to) = (envelope.intent.clone(), version(version_of));
        envelope.to_version = Some(to.clone());
        let by = Author::of(Role::Client, "stale");
        let record = records::submitted(self.mesh.record_id(), self.mesh.now(), by, to, envelope);
        let seq = records::put(self.mesh.url(), &record, 0).await;
        if settle {
            self.mesh.settle(&Head::new(record, seq)).await.expect("settled");
        }
        intent
    }

    /// Appends a record to an intent, guarded by its head, and settles it.
    pub async fn append(&self, intent: &IntentId, event: Event, fill: impl FnOnce(Record) -> Record) -> u64 {
        // On the heap: the state holds records and envelopes, and each caller's would hold it.
        Box::pin(async move {
            let head = self.head_of(intent).await;
            let by = Author::of(Role::Operator, "by-hand");
            let (snapshot, id) = (&head.record.snapshot, self.mesh.record_id());
            let now = self.mesh.now();
            let record = fill(records::following(
                snapshot,
                head.seq,
                id,
                intent.clone(),
                event,
                now,
                by,
            ));
            let seq = records::put(self.mesh.url(), &record, head.seq).await;
            self.mesh.settle(&Head::new(record, seq)).await.expect("settled");
            seq
        })
        .await
    }

    /// The envelope that the first record of an intent holds.
    pub async fn first_envelope(&self, intent: &IntentId) -> Envelope {
        let history = self.history_of(intent).await;
        let first = history.into_iter().next().expect("a record");
        *first.record.envelope.expect("an envelope")
    }

    /// A handoff from `plan` to `code`, as a worker of `plan` commits it whose route names this version of `code`.
    pub async fn handed_off_to(&self, version_of: &str, name: &str) -> IntentId {
        let intent = self
            .submitted_for("1.0.0", self.envelope(name, "plan", "\"code\""), false)
            .await;
        let next = self.first_envelope(&intent).await.successor(Successor {
            id: self.mesh.clock().envelope_id(),
            to: code(),
            to_version: version(version_of),
            from: "plan@1.0.0".to_owned(),
            payload: Json::string("quick"),
            kind: None,
            history: None,
        });
        let next = next.expect("within the limit");
        let appended = self.append(&intent, Event::HandedOff, |mut record| {
            record.by = Author::worker("plan".parse().expect("name"), version("1.0.0"), "stale");
            records::with_work(record, next, version(version_of))
        });
        Box::pin(appended).await;
        intent
    }

    // --- what must be true --------------------------------------------------------------------------------------

    /// When a version was last said to be drained.
    pub async fn drained_at(&self, of: &str) -> Timestamp {
        let history = self
            .mesh
            .route_history(&code())
            .await
            .expect("the history of the route");
        let said = history.iter().rev().find_map(|(_, route)| {
            let entry = route.versions.get(&version(of))?;
            (entry.state == VersionState::Drained).then_some(entry.since)?
        });
        said.unwrap_or_else(|| panic!("{of} was never said to be drained: {history:?}"))
    }

    /// All histories.
    pub async fn everything(&self) -> Vec<Vec<Head>> {
        let heads = self.mesh.list(&Filter::default()).await.expect("listed").heads;
        let intents: Vec<IntentId> = heads.into_iter().map(|head| head.record.intent).collect();
        self.histories(&intents).await
    }

    /// Checks by the ledger that a version was rightly said to be drained (I8): at that moment no intent named it whose
    /// records were written before, and no worker of it wrote anything later. All clocks here are one.
    pub async fn assert_drained_was_true(&self, of: &str) {
        let (said, of) = (self.drained_at(of).await, version(of));
        for history in self.everything().await {
            let is_late = |head: &&Head| head.record.at > said;
            for head in history.iter().filter(is_late) {
                let by = &head.record.by;
                assert!(
                    by.agent != Some(code()) || by.version.as_ref() != Some(&of),
                    "{by:?} wrote {:?} of {} after {of} was said to be drained",
                    head.record.event,
                    head.record.intent,
                );
            }
            let Some(before) = history.iter().rev().find(|head| !is_late(head)) else {
                continue;
            };
            // A sender with an old route is no part of what is promised: its work is misrouted.
            if before.record.by.instance == "stale" {
                continue;
            }
            let named = holds(&before.record.snapshot);
            let found = named.iter().find(|hold| hold.agent == code() && hold.version == of);
            assert!(
                found.is_none(),
                "{of} was said to be drained while {} held it: {found:?}",
                before.record.intent
            );
        }
    }
}

/// The record of an intent whose undoing never ends: its plan has an undo that no record names.
#[must_use]
pub fn never_undone(mut record: Record) -> Record {
    record.snapshot.undo = Some(Box::new(Undoing {
        named: 1,
        error: Some(ErrorInfo::new("CANCELLED", "by hand")),
        planned: Some(1),
        ..Undoing::default()
    }));
    record
}
