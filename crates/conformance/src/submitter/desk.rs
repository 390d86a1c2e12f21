//! The judge's desk: the mesh that it prepares, and what arrives.

use std::time::Duration;

use baton_envelope::{AgentName, Bands, PROTOCOL, Protocol};
use baton_jetstream::Mesh;
use serde_json::{Value, json};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::SubmitterOptions;
use super::arrival::{Arrival, Way};
use super::ending::{End, Play};
use super::job::{AGENT, Job, NOBODY};
use super::overheard::Overheard;
use super::program::Program;
use crate::error::ConformanceError;
use crate::fault::Fault;
use crate::hands::Hands;
use crate::record::Stored;

/// The version that takes new work, unless a rule changes the route.
pub(super) const ACTIVE: &str = "1.0.0";
/// The other version.
pub(super) const OTHER: &str = "2.0.0";
/// How often to look for what no message announces.
pub(super) const LOOK: Duration = Duration::from_millis(30);
/// How often to look for what is stored although nothing was overheard.
const LOOK_ANYWAY: Duration = Duration::from_millis(300);
/// The requests that change something of a stream, or make a consumer.
pub(super) const CHANGES: [&str; 11] = [
    "STREAM.CREATE",
    "STREAM.UPDATE",
    "STREAM.DELETE",
    "STREAM.PURGE",
    "STREAM.MSG.DELETE",
    "STREAM.RESTORE",
    "CONSUMER.CREATE",
    "CONSUMER.DURABLE",
    "CONSUMER.DELETE",
    "CONSUMER.PAUSE",
    "CONSUMER.RESET",
];

/// The mesh under the judge.
#[derive(Debug)]
pub(super) struct Desk {
    pub(super) mesh: Mesh,
    pub(super) hands: Hands,
    pub(super) options: SubmitterOptions,
    pub(super) overheard: Overheard,
    pub(super) program: Option<Program>,
    pub(super) seen: Mutex<Seen>,
}

/// What arrived so far.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// The next sequences of the intake, the ledger and the work stream.
    next: [u64; 3],
    pub(super) arrivals: Vec<Arrival>,
    tickets: Vec<Stored>,
    /// The intents that nobody has ended, by their place among the arrivals.
    open: Vec<usize>,
    /// How much was overheard when it was last looked for more, and when that was.
    looked: Option<(usize, Instant)>,
}

impl Desk {
    pub(super) async fn open(mesh: &Mesh, options: &SubmitterOptions) -> Result<Self, ConformanceError> {
        let hands = Hands::of(mesh);
        hands.take_new_mesh().await?;
        let namespace = mesh.subjects().namespace();
        let agent: AgentName = name(AGENT)?;
        for version in [ACTIVE, OTHER] {
            let version = version.parse().map_err(|_| missing("a version"))?;
            mesh.ensure_agent(&agent, &version, Bands::default()).await?;
        }
        // Not every request: the judge asks a lot itself, and another judge may sit beside it.
        let requests = CHANGES.iter().map(|verb| format!("$JS.API.{verb}.>"));
        let subjects: Vec<String> = [format!("{namespace}.>"), "$KV.>".to_owned(), "$JS.ACK.>".to_owned()]
            .into_iter()
            .chain(requests)
            .collect();
        let desk = Self {
            overheard: Overheard::listen(hands.wire(), &subjects).await?,
            mesh: mesh.clone(),
            options: options.clone(),
            program: options.program.clone().map(|command| Program {
                command,
                url: options.url.clone(),
                namespace: namespace.to_string(),
            }),
            seen: Mutex::new(Seen {
                next: [1; 3],
                ..Seen::default()
            }),
            hands,
        };
        desk.write_route(ACTIVE, None).await?;
        // So that neither stream is empty: a full one is one that may hold no more than it does.
        desk.hands
            .publish(&format!("{namespace}.signal.conformance.filler"), &[], String::new())
            .await?;
        desk.hands
            .publish(&desk.ledger("conformance-filler"), &[], String::new())
            .await?;
        Ok(desk)
    }

    /// Writes the route: the version that takes new work, and a share for the other one.
    pub(super) async fn write_route(&self, active: &str, canary: Option<u8>) -> Result<(), baton_jetstream::Error> {
        let mut route = self.route_to(active, canary, PROTOCOL);
        if let (Some(percent), Some(route)) = (canary, route.as_object_mut()) {
            route.insert("canary".to_owned(), json!({"version": OTHER, "percent": percent}));
        }
        self.hands.put_route(AGENT, &route).await
    }

    /// Writes the route with further members, for versions that read the protocol up to there.
    pub(super) async fn write_route_with(&self, newest: Protocol, more: &Value) -> Result<(), baton_jetstream::Error> {
        let mut route = self.route_to(ACTIVE, None, newest);
        if let (Some(more), Some(route)) = (more.as_object(), route.as_object_mut()) {
            route.extend(more.clone());
        }
        self.hands.put_route(AGENT, &route).await
    }

    fn route_to(&self, active: &str, canary: Option<u8>, newest: Protocol) -> Value {
        let range = json!({"oldest": "1.0.0", "newest": newest});
        let state = |version: &str| match (version == active, canary) {
            (true, _) => "active",
            (false, Some(_)) => "canary",
            (false, None) => "ready",
        };
        json!({
            "agent": AGENT, "active": active, "updated_at": self.mesh.now(), "updated_by": "conformance",
            "versions": {ACTIVE: {"state": state(ACTIVE), "protocol": range}, OTHER: {"state": state(OTHER), "protocol": range}},
        })
    }

    pub(super) async fn counts(&self) -> (usize, usize) {
        let seen = self.seen.lock().await;
        (seen.arrivals.len(), seen.tickets.len())
    }

    /// Takes in what arrived, and plays the router and the agent.
    pub(super) async fn attend(&self, play: Play) -> Result<(), Fault> {
        self.collect().await?;
        self.play(play).await
    }

    /// Takes in what arrived.
    pub(super) async fn collect(&self) -> Result<(), Fault> {
        let mut seen = self.seen.lock().await;
        let heard = self.overheard.count();
        if seen
            .looked
            .is_some_and(|(before, at)| before == heard && at.elapsed() < LOOK_ANYWAY)
        {
            return Ok(());
        }
        seen.looked = Some((heard, Instant::now()));
        let namespace = self.mesh.subjects().namespace();
        let streams = [
            (self.mesh.subjects().intake_stream(), format!("{namespace}.>")),
            (self.mesh.subjects().ledger_stream(), format!("{namespace}.ledger.>")),
            (self.work_stream(), format!("{namespace}.work.>")),
        ];
        for (number, (stream, subject)) in streams.iter().enumerate() {
            let first = seen.next.get(number).copied().unwrap_or(1);
            for message in self.hands.all_from(stream, first, subject).await? {
                if let Some(next) = seen.next.get_mut(number) {
                    *next = message.seq + 1;
                }
                if self.hands.is_own(&message.subject, &message.bytes) {
                    continue;
                }
                match number {
                    0 => seen.arrivals.push(Arrival::of_intake(&self.mesh, message)),
                    1 => seen.arrivals.push(Arrival::of_ledger(message)),
                    _ => {
                        seen.tickets.push(message);
                        continue;
                    }
                }
                let place = seen.arrivals.len() - 1;
                seen.open.push(place);
            }
        }
        Ok(())
    }

    /// Plays the router and the agent for what nobody has ended.
    pub(super) async fn play(&self, play: Play) -> Result<(), Fault> {
        let mut seen = self.seen.lock().await;
        if play == Play::Nothing {
            seen.open.clear();
            return Ok(());
        }
        for place in std::mem::take(&mut seen.open) {
            let Some(arrival) = seen.arrivals.get(place).cloned() else {
                continue;
            };
            let is_work = match arrival.way {
                Way::Raw | Way::Envelope => self.route(&arrival).await?,
                // Its submitter is not done before the ticket is there.
                Way::Record if !has_ticket(&seen.tickets, &arrival.intent) => {
                    seen.open.push(place);
                    false
                }
                Way::Record => true,
            };
            if is_work {
                self.end(&arrival.intent, play).await?;
            }
        }
        Ok(())
    }

    /// Without a program: completes what arrives, until nothing has arrived for a while.
    pub(super) async fn receive_what_arrives(&self) -> Result<(), ConformanceError> {
        let began = Instant::now();
        let (mut last, mut count) = (began, 0);
        loop {
            match self.attend(Play::End(End::Completed("null"))).await {
                Ok(()) => {}
                Err(Fault::Failed(error)) => return Err(error),
                Err(Fault::Broken { .. } | Fault::Skipped(_)) => {}
            }
            let (arrivals, _) = self.counts().await;
            if arrivals > count {
                (last, count) = (Instant::now(), arrivals);
            }
            let patience = if count == 0 {
                self.options.wait
            } else {
                self.options.patience
            };
            if last.elapsed() >= patience {
                break;
            }
            tokio::time::sleep(LOOK).await;
        }
        if count == 0 {
            return Err(ConformanceError::NothingSubmitted {
                subject: format!("{}.intent.{AGENT}", self.mesh.subjects().namespace()),
                waited: self.options.wait,
            });
        }
        for arrival in &mut self.seen.lock().await.arrivals {
            arrival.is_confirmed = true;
        }
        Ok(())
    }

    /// Everything that arrived.
    pub(super) async fn arrivals(&self) -> Vec<Arrival> {
        self.seen.lock().await.arrivals.clone()
    }

    /// The tickets of an intent.
    pub(super) async fn tickets(&self, intent: &str) -> Vec<Stored> {
        let seen = self.seen.lock().await;
        let of = seen
            .tickets
            .iter()
            .filter(|ticket| ticket.header("Baton-Intent") == intent);
        of.cloned().collect()
    }

    pub(super) fn work_stream(&self) -> String {
        format!(
            "{}_WORK_{AGENT}",
            self.mesh.subjects().namespace().as_str().to_uppercase()
        )
    }

    /// The two streams in which an intent arrives.
    pub(super) fn doors(&self) -> Vec<String> {
        vec![
            self.mesh.subjects().intake_stream(),
            self.mesh.subjects().ledger_stream(),
        ]
    }

    /// Skips the rule unless the program writes records.
    pub(super) async fn writes_records(&self) -> Result<(), Fault> {
        let way = match self.arrivals().await.last() {
            Some(arrival) => arrival.way,
            None => self.submitted(&Job::of("1")).await?.way,
        };
        if way == Way::Record {
            return Ok(());
        }
        Err(Fault::Skipped("the program writes no records".to_owned()))
    }

    /// The subjects that a submitter may publish raw intents on.
    pub(super) fn doorsteps(&self) -> [String; 2] {
        let namespace = self.mesh.subjects().namespace();
        [AGENT, NOBODY].map(|agent| format!("{namespace}.intent.{agent}"))
    }

    /// A new id that says which rule it is for.
    pub(super) fn new_id(&self, rule: &str) -> String {
        let id = self.mesh.clock().intent_id().to_string();
        format!("conformance-{rule}-{}", id.rsplit('-').next().unwrap_or_default())
    }
}

fn has_ticket(tickets: &[Stored], intent: &str) -> bool {
    tickets.iter().any(|ticket| ticket.header("Baton-Intent") == intent)
}

fn name(text: &str) -> Result<AgentName, baton_jetstream::Error> {
    text.parse().map_err(|_| missing("the name of an agent"))
}

fn missing(what: &str) -> baton_jetstream::Error {
    baton_jetstream::Error::Missing { what: what.to_owned() }
}
