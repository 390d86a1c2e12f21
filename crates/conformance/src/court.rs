//! The judge's hands: the mesh that it prepares, the records and tickets that it writes, and what it waits for.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use baton_envelope::{AgentName, AgentVersion, PROTOCOL, Timestamp};
use baton_jetstream::{Error, Mesh, WireMessage};
use serde_json::{Map, Value, json};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::acks::{AckLog, Said};
use crate::error::ConformanceError;
use crate::fault::{Fault, expect};
use crate::hands::Hands;
use crate::record::{Stored, raw_of, story};
use crate::script::Script;

/// An event that a later minor version of the protocol may have. A record of it states such a version.
pub(crate) const LATER_EVENT: &str = "dreamt";

/// Who gets what the agent hands over. Nobody works for it: its tickets stay to be read.
pub(crate) const SINK: &str = "conformance-sink";
/// The version of the sink that takes new work.
pub(crate) const SINK_ACTIVE: &str = "1.0.0";
/// A version of the sink that gets only what is pinned to it.
pub(crate) const SINK_PINNED: &str = "2.0.0";
/// How often to look for what no message announces.
pub(crate) const LOOK: Duration = Duration::from_millis(30);

/// How an agent is judged.
#[derive(Debug, Clone)]
pub struct Options {
    /// How long to wait for the first heartbeat.
    pub wait: Duration,
    /// How long to wait for what the agent must do.
    pub patience: Duration,
    /// The limit on attempts that the agent runs with.
    pub attempts: u32,
    /// The names of the rules to try; all when empty.
    pub rules: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            wait: Duration::from_secs(60),
            patience: Duration::from_secs(10),
            attempts: 3,
            rules: Vec::new(),
        }
    }
}

/// An intent for the agent, before it is submitted.
#[derive(Debug, Clone, Default)]
pub(crate) struct Plan {
    pub(crate) script: Script,
    /// Further members of the envelope, as text that begins with a comma.
    pub(crate) envelope: String,
    /// Further members of the snapshot.
    pub(crate) snapshot: Map<String, Value>,
    pub(crate) max_hops: Option<u32>,
    pub(crate) deadline: Option<Timestamp>,
    /// Its id, where anything was stored for it before it is submitted.
    pub(crate) intent: Option<String>,
}

impl From<Script> for Plan {
    fn from(script: Script) -> Self {
        Self {
            script,
            ..Self::default()
        }
    }
}

/// An intent that the judge has written.
#[derive(Debug, Clone)]
pub(crate) struct Work {
    pub(crate) intent: String,
    pub(crate) envelope: String,
    /// The sequence and the body of the record that holds the envelope.
    pub(crate) seq: u64,
    pub(crate) body: String,
}

/// The mesh under the judge.
#[derive(Debug)]
pub(crate) struct Court {
    pub(crate) mesh: Mesh,
    pub(crate) agent: AgentName,
    pub(crate) version: AgentVersion,
    pub(crate) heartbeat: WireMessage,
    pub(crate) options: Options,
    pub(crate) hands: Hands,
    /// The last revision of the share that the worker was told.
    pub(crate) told: AtomicU64,
    acks: AckLog,
    works: Mutex<Vec<Work>>,
}

impl Court {
    /// Prepares the mesh, waits for a worker of the agent, and gives the agent its route.
    pub(crate) async fn open(mesh: &Mesh, agent: &AgentName, options: &Options) -> Result<Self, ConformanceError> {
        let (hands, subjects) = (Hands::of(mesh), mesh.subjects());
        hands.take_new_mesh().await?;
        let acks = AckLog::listen(hands.wire()).await?;
        let subject = format!("{}.heartbeat.{agent}.*.*", subjects.namespace());
        let mut heartbeats = hands.wire().listen(&subject).await?;
        let heard = tokio::time::timeout(options.wait, heartbeats.next()).await;
        let Ok(Some(heartbeat)) = heard else {
            return Err(ConformanceError::NoAgent {
                agent: agent.to_string(),
                subject,
                waited: options.wait,
            });
        };
        let token = heartbeat.subject.rsplit('.').nth(1).unwrap_or_default();
        let version = AgentVersion::from_token(token).map_err(|error| baton_jetstream::Error::Missing {
            what: format!("a version in the heartbeat subject {}: {error}", heartbeat.subject),
        })?;
        let court = Self {
            mesh: mesh.clone(),
            agent: agent.clone(),
            version,
            heartbeat,
            options: options.clone(),
            hands,
            told: AtomicU64::new(0),
            acks,
            works: Mutex::default(),
        };
        court.write_routes().await?;
        Ok(court)
    }

    pub(crate) fn now(&self) -> String {
        self.mesh.now().to_string()
    }

    /// An id for an intent of this name that no other has.
    pub(crate) fn intent_id(&self, name: &str) -> String {
        let unique = self.mesh.clock().envelope_id().to_string();
        format!("conformance-{name}-{}", unique.rsplit('-').next().unwrap_or_default())
    }

    /// Writes `submitted`, and no ticket yet.
    pub(crate) async fn submit(&self, name: &str, plan: impl Into<Plan>) -> Result<Work, Error> {
        let plan: Plan = plan.into();
        let (envelope, now) = (self.mesh.clock().envelope_id().to_string(), self.now());
        let intent = plan.intent.unwrap_or_else(|| self.intent_id(name));
        let (agent, version) = (self.agent.as_str(), self.version.as_str());
        let mut snapshot = json!({
            "status": {"state": "pending"}, "agent": agent, "version": version, "hop": 1, "attempt": 1, "epoch": 1,
            "envelope": envelope, "submitted_at": now, "updated_at": now,
            "path": [{"agent": agent, "version": version}],
        });
        let mut more = plan.envelope;
        if let Some(max_hops) = plan.max_hops {
            more.push_str(&format!(r#","max_hops":{max_hops}"#));
            set(&mut snapshot, "max_hops", max_hops.into());
        }
        if let Some(deadline) = plan.deadline {
            more.push_str(&format!(r#","deadline":"{deadline}""#));
            set(&mut snapshot, "deadline", deadline.to_string().into());
        }
        for (name, value) in plan.snapshot {
            set(&mut snapshot, &name, value);
        }
        let text = format!(
            r#"{{"protocol":"{PROTOCOL}","id":"{envelope}","intent":"{intent}","to":"{agent}","to_version":"{version}","hop":1,"payload":{}{more}}}"#,
            plan.script.text(),
        );
        let by = json!({"role": "client", "instance": "conformance"});
        let body = self.body(
            &intent,
            &json!({"type": "submitted"}),
            &by,
            &snapshot,
            &format!(r#","envelope":{text}"#),
        );
        let seq = self.write(&intent, 0, "submitted", "pending", body.clone()).await?;
        let work = Work {
            intent,
            envelope,
            seq,
            body,
        };
        self.works.lock().await.push(work.clone());
        Ok(work)
    }

    pub(crate) fn body(&self, intent: &str, event: &Value, by: &Value, snapshot: &Value, more: &str) -> String {
        let (id, at) = (self.mesh.record_id(), self.now());
        // What this version does not know is of a later minor one; else the record would be nobody's.
        let is_later = event.get("type").and_then(Value::as_str) == Some(LATER_EVENT);
        let protocol = if is_later {
            "1.99.0".to_owned()
        } else {
            PROTOCOL.to_string()
        };
        format!(
            r#"{{"protocol":"{protocol}","id":"{id}","intent":"{intent}","event":{event},"at":"{at}","by":{by},"snapshot":{snapshot}{more}}}"#
        )
    }

    pub(crate) async fn write(
        &self,
        intent: &str,
        after: u64,
        event: &str,
        status: &str,
        body: String,
    ) -> Result<u64, Error> {
        let after = after.to_string();
        let headers = [
            ("Nats-Expected-Last-Subject-Sequence", after.as_str()),
            ("Baton-Event", event),
            ("Baton-Status", status),
        ];
        self.hands.publish(&self.ledger(intent), &headers, body).await
    }

    fn ledger(&self, intent: &str) -> String {
        format!("{}.ledger.0.{intent}", self.mesh.subjects().namespace())
    }

    /// Writes the ticket of an intent, as a first one or one that was written again: its sequence in the work stream.
    pub(crate) async fn ticket(&self, work: &Work, reissued: bool) -> Result<u64, Error> {
        let subject = format!(
            "{}.work.{}.{}.p5",
            self.mesh.subjects().namespace(),
            self.agent,
            self.version.token()
        );
        let seq = work.seq.to_string();
        let mut id = work.envelope.clone();
        let mut headers = vec![("Baton-Intent", work.intent.as_str()), ("Baton-Ledger-Sequence", &seq)];
        if reissued {
            id = format!("{id}:{}", self.head(work).await?.map_or(0, |head| head.seq));
            headers.push(("Baton-Reissued", "1"));
        }
        headers.push(("Nats-Msg-Id", &id));
        self.hands.publish(&subject, &headers, work.body.clone()).await
    }

    /// Submits, and writes the first ticket.
    pub(crate) async fn send(&self, name: &str, plan: impl Into<Plan>) -> Result<(Work, u64), Error> {
        let work = self.submit(name, plan).await?;
        let ticket = self.ticket(&work, false).await?;
        Ok((work, ticket))
    }

    /// Writes a record as a worker that never says another word, or as an operator for what only adds. `changes` are
    /// changes of the snapshot (null takes out), `more` further members of the record.
    ///
    /// # Errors
    /// Also when the agent wrote something in between: tried again a few times on the newer head.
    pub(crate) async fn append(
        &self,
        work: &Work,
        event: Value,
        status: Option<&str>,
        changes: &Value,
        more: &str,
    ) -> Result<u64, Error> {
        let name = event.get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
        let mut last = Err(Error::Missing {
            what: format!("a record of {}", work.intent),
        });
        for _ in 0..20 {
            let Some(head) = self.head(work).await? else { break };
            let mut snapshot = head.at("/snapshot").clone();
            let state = status.unwrap_or(head.status()).to_owned();
            if let Some(status) = status {
                set(&mut snapshot, "status", json!({"state": status}));
            }
            set(&mut snapshot, "updated_at", self.now().into());
            set(&mut snapshot, "envelope_seq", work.seq.into());
            for (name, value) in changes.as_object().into_iter().flatten() {
                // A number with a sign is added to what is there.
                let value = match value
                    .as_str()
                    .and_then(|text| text.strip_prefix('+')?.parse::<u64>().ok())
                {
                    Some(added) => (head.number(&format!("/snapshot/{name}")) + added).into(),
                    None => value.clone(),
                };
                set(&mut snapshot, name, value);
            }
            let by = json!({"role": "worker", "instance": "conformance-other", "agent": self.agent.as_str(),
                            "version": self.version.as_str()});
            let body = self.body(&work.intent, &event, &by, &snapshot, more);
            last = self.write(&work.intent, head.seq, &name, &state, body).await;
            if last.is_ok() {
                break;
            }
        }
        last
    }

    /// Puts the hop before the agent once more, under a new envelope id: the work, with the record that its next ticket is of.
    pub(crate) async fn put_again(&self, work: &Work, event: &str, changes: &Value, more: &str) -> Result<Work, Error> {
        let missing = || Error::Missing {
            what: format!("the envelope of {}", work.intent),
        };
        let envelope = self.mesh.clock().envelope_id().to_string();
        let text = work.envelope_raw(&[]).ok_or_else(missing)?;
        let more = format!(r#","envelope":{}{more}"#, text.replacen(&work.envelope, &envelope, 1));
        let mut changes = changes.clone();
        set(&mut changes, "envelope", envelope.clone().into());
        // Null takes a field out of the snapshot: this record has the envelope itself.
        if let Some(members) = changes.as_object_mut() {
            members.insert("envelope_seq".to_owned(), Value::Null);
        }
        let seq = self
            .append(work, json!({"type": event}), Some("pending"), &changes, &more)
            .await?;
        let body = self.head(work).await?.ok_or_else(missing)?.body;
        Ok(Work {
            intent: work.intent.clone(),
            envelope,
            seq,
            body,
        })
    }

    /// Takes the hop from whoever holds it, as another worker would.
    pub(crate) async fn overtake(&self, work: &Work) -> Result<u64, Error> {
        let changes = json!({"epoch": "+1", "holder": "conformance-other", "given_back": null, "wake_at": null});
        self.append(work, json!({"type": "claimed"}), Some("accepted"), &changes, "")
            .await
    }

    /// Ends an intent in the agent's place, so that its ticket owes nothing any more.
    pub(crate) async fn close(&self, work: &Work) -> Result<(), Error> {
        self.append(work, json!({"type": "completed"}), Some("completed"), &json!({}), "")
            .await?;
        Ok(())
    }

    /// An answer of the JetStream API; `Null` when there is none.
    pub(crate) async fn api(&self, verb: &str) -> Result<Value, Error> {
        self.hands.api(verb, "").await
    }

    pub(crate) async fn head(&self, work: &Work) -> Result<Option<Stored>, Error> {
        self.head_of(&work.intent).await
    }

    /// The last record of an intent by its id: the agent may have written the first.
    pub(crate) async fn head_of(&self, intent: &str) -> Result<Option<Stored>, Error> {
        let question = json!({"last_by_subj": self.ledger(intent)});
        self.hands
            .stored(&self.mesh.subjects().ledger_stream(), &question)
            .await
    }

    /// All records of an intent, oldest first.
    pub(crate) async fn history(&self, work: &Work) -> Result<Vec<Stored>, Error> {
        let stream = self.mesh.subjects().ledger_stream();
        self.hands.all_from(&stream, 1, &self.ledger(&work.intent)).await
    }

    /// Waits until the head of an intent is as it must become.
    pub(crate) async fn until(
        &self,
        work: &Work,
        expected: &str,
        is_so: impl Fn(&Stored) -> bool + Send,
    ) -> Result<Stored, Fault> {
        let until = Instant::now() + self.options.patience;
        loop {
            if let Some(head) = self.head(work).await?
                && is_so(&head)
            {
                return Ok(head);
            }
            if Instant::now() >= until {
                let history = self.history(work).await?;
                let expected = format!("{expected}, within {} s", self.options.patience.as_secs());
                return Err(Fault::Broken {
                    expected,
                    seen: story(&history),
                });
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Waits until the agent has ended an intent, and breaks the rule unless it ended like this.
    pub(crate) async fn ends(&self, work: &Work, status: &str, code: &str) -> Result<Stored, Fault> {
        let expected = match code {
            "" => format!("the intent ends as `{status}`"),
            code => format!("the intent ends as `{status}` with the code {code}"),
        };
        let head = self.until(work, &expected, Stored::is_over).await?;
        let is_so = head.status() == status && (code.is_empty() || head.text("/snapshot/status/code") == code);
        expect(is_so, expected, head.in_words())?;
        Ok(head)
    }

    /// Waits until the agent works on an intent: until it wrote something, or for a moment. A fresh ticket is run without
    /// a word at first (section 12).
    pub(crate) async fn is_begun(&self, work: &Work) -> Result<(), Error> {
        let until = Instant::now() + Duration::from_secs(1);
        while Instant::now() < until {
            let head = self.head(work).await?;
            if head.is_some_and(|head| head.is_by(self.agent.as_str())) {
                break;
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }

    /// What the agent said about a ticket.
    pub(crate) fn said(&self, ticket: u64) -> Vec<Said> {
        self.acks.about(&self.mesh.subjects().work_stream(&self.agent), ticket)
    }

    /// Waits until the agent said something about a ticket.
    pub(crate) async fn says(
        &self,
        ticket: u64,
        expected: &str,
        is_so: impl Fn(&[Said]) -> bool + Send,
    ) -> Result<(), Fault> {
        let until = Instant::now() + self.options.patience;
        while !is_so(&self.said(ticket)) {
            let seen = || match self.said(ticket) {
                said if said.is_empty() => "not a word to the server about that ticket".to_owned(),
                said => format!("it said {said:?} about that ticket"),
            };
            expect(Instant::now() < until, expected, seen())?;
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }

    /// Waits until a ticket is acked.
    pub(crate) async fn acks(&self, ticket: u64) -> Result<(), Fault> {
        self.says(ticket, "the ticket is acked", |said| said.contains(&Said::Done))
            .await
    }

    /// The last ticket for the sink.
    pub(crate) async fn sink_ticket(&self, version: &str) -> Result<Option<Stored>, Error> {
        let namespace = self.mesh.subjects().namespace();
        let stream = format!("{}_WORK_{SINK}", namespace.as_str().to_uppercase());
        let subject = format!("{namespace}.work.{SINK}.{}.p5", version.replace('.', "_"));
        self.hands.stored(&stream, &json!({"last_by_subj": subject})).await
    }

    /// The records that this agent wrote for an intent.
    pub(crate) async fn own(&self, work: &Work) -> Result<Vec<Stored>, Error> {
        let mut history = self.history(work).await?;
        history.retain(|record| record.is_by(self.agent.as_str()));
        Ok(history)
    }

    /// Everything that was submitted.
    pub(crate) async fn works(&self) -> Vec<Work> {
        self.works.lock().await.clone()
    }

    /// Listens for answers.
    pub(crate) async fn listen(&self, subject: &str) -> Result<baton_jetstream::WireListener, Error> {
        self.hands.wire().listen(subject).await
    }
}

impl Work {
    /// The bytes of a field of the envelope.
    pub(crate) fn envelope_raw(&self, path: &[&str]) -> Option<String> {
        raw_of(&raw_of(&self.body, &["envelope"])?, path)
    }
}

/// Sets a member of an object; null takes it out.
fn set(object: &mut Value, name: &str, value: Value) {
    if let Some(members) = object.as_object_mut() {
        if value.is_null() {
            members.remove(name);
        } else {
            members.insert(name.to_owned(), value);
        }
    }
}
