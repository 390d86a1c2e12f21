//! Agents that read different versions of the protocol, in one chain, in every order: each gets the newest form that it
//! reads, nothing that an author added is lost, and what one form cannot say is told exactly.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use baton_agent::{Agent, AgentBuilder, Fault, Handler, Hop, Json, Outcome};
use baton_e2e::TestMesh;
use baton_e2e::chaos::{Running, SOON};
use baton_e2e::gated::{id, result_as};
use baton_envelope::{Conversion, IntentId, Protocol, ProtocolRange};
use tempfile::TempDir;

use crate::nats_cli::{publish, worker};

type Members = BTreeMap<String, Json>;

/// Agents, and the newest protocol version that each reads; the oldest is 1.0.0.
const AGENTS: [(&str, Protocol); 3] = [
    ("one", Protocol::new(1, 0, 0)),
    ("two", Protocol::new(1, 1, 0)),
    ("three", Protocol::new(2, 0, 0)),
];
const ORDERS: [[usize; 3]; 6] = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
/// The forms in which the first envelopes are sent.
const SENT: [Protocol; 3] = [AGENTS[0].1, AGENTS[1].1, AGENTS[2].1];
/// What a router writes.
const MESH: Protocol = Protocol::new(2, 0, 0);

/// A spelling that no JSON library would produce.
const CONSTRAINTS: &str = r#"{ "max_cost": 1.50, "do_not": ["e\u006dail", "\u00e9"], "a": {} }"#;
/// The fields that only 2.0 has, and that the 2.0 envelopes here use.
const OWN: [&str; 2] = ["content.type", "due.grace_seconds"];

/// What one agent received.
#[derive(Debug, Clone)]
struct Given {
    agent: String,
    document: Json,
}

#[derive(Debug, Clone, Default)]
struct Notes(Arc<Mutex<BTreeMap<IntentId, Vec<Given>>>>);

/// Notes the document that it receives, and hands on to the next agent that the payload names.
struct Link(Notes);

impl Handler for Link {
    type Input = Vec<String>;

    async fn handle(&self, hop: &mut Hop, mut rest: Vec<String>) -> Result<Outcome, Fault> {
        let given = Given {
            agent: hop.envelope().to.to_string(),
            document: hop.document(),
        };
        let mut notes = self.0.0.lock().expect("not poisoned");
        notes.entry(hop.intent().clone()).or_default().push(given);
        if rest.is_empty() {
            return Outcome::complete("done");
        }
        let next = rest.remove(0);
        Outcome::hand_off(&next, &rest)
    }
}

fn link(name: &str, newest: Protocol, notes: &Notes) -> AgentBuilder {
    let range = ProtocolRange::new(AGENTS[0].1, newest).expect("range");
    let builder = Agent::builder(name, "1.0.0").expect("agent");
    builder.protocol(range).handler(Link(notes.clone()))
}

/// The first envelope in a form, with the author's own fields in every place where they may appear.
fn first(form: Protocol, number: usize, intent: &IntentId, to: &str, payload: &str) -> String {
    let common = format!(
        r#""protocol":"{form}","id":"0193a0f0-0000-7000-8000-{number:012}","intent":"{intent}","hop":1,
        "acme-ticket":1.50,"acme-nested":{{ "b" : [1e2, "\u0041"] }},"constraints":{CONSTRAINTS}"#
    );
    if form.major() == 1 {
        return format!(
            r#"{{{common},"to":"{to}","payload":{payload},"deadline":"2999-01-01T00:00:00.000Z",
            "content":"min\u0065","due":[1.0, {{ }}]}}"#
        );
    }
    format!(
        r#"{{{common},"to":{{"agent":"{to}","acme-zone":7.0}},
        "content":{{"type":"text/plain","data":{payload},"acme-mood":1E0}},
        "due":{{"at":"2999-01-01T00:00:00.000Z","grace_seconds":30,"acme-soft":"\u0041"}},
        "payload":"min\u0065","deadline":[-0.0]}}"#
    )
}

/// The author's own fields of a document, by their place in the form in which they arrived.
fn own_fields(document: &Json) -> BTreeMap<String, String> {
    let members: Members = document.read().expect("an object");
    let of = |name: &str| -> Members {
        members
            .get(name)
            .and_then(|value| value.read().ok())
            .unwrap_or_default()
    };
    let is_2 = form_of(document).major() == 2;
    // Names that the other form uses for something else.
    let theirs: &[&str] = if is_2 {
        &["payload", "deadline"]
    } else {
        &["content", "due"]
    };
    let mut found: Members = members
        .iter()
        .filter(|(name, _)| name.starts_with("acme-") || theirs.contains(&name.as_str()))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    if is_2 {
        for object in ["to", "content", "due"] {
            let inner = of(object).into_iter().filter(|(name, _)| name.starts_with("acme-"));
            found.extend(inner.map(|(name, value)| (format!("{object}.{name}"), value)));
        }
    }
    let kept = of(if is_2 { "baton-1" } else { "baton-2" });
    found.extend(kept.into_iter().filter(|(path, _)| !OWN.contains(&path.as_str())));
    found
        .into_iter()
        .map(|(path, value)| (path, value.get().to_owned()))
        .collect()
}

fn form_of(document: &Json) -> Protocol {
    let members: Members = document.read().expect("an object");
    members["protocol"]
        .read::<String>()
        .expect("text")
        .parse()
        .expect("a version")
}

/// The conversions that must be reported on the way, and the forms in which the envelopes are written.
fn expected(sent: Protocol, order: [usize; 3]) -> Vec<(Protocol, Option<Conversion>)> {
    let mut lost_later: Vec<&str> = if sent.major() == 2 { OWN.to_vec() } else { Vec::new() };
    let (mut writer, mut before) = (MESH, sent);
    let mut all = Vec::new();
    for index in order {
        let newest = AGENTS[index].1;
        let form = writer.min(newest);
        let crosses = form.major() != before.major();
        let lost = if form.major() == 1 {
            std::mem::take(&mut lost_later)
        } else {
            Vec::new()
        };
        let lost = lost.into_iter().map(str::to_owned).collect();
        all.push((form, crosses.then(|| Conversion::new(before, form, lost))));
        (writer, before) = (newest, form);
        // It describes the payload, and ends with it: the next agent has another payload.
        lost_later.retain(|path| *path != "content.type");
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn every_order_of_three_protocols_carries_everything_and_tells_what_it_cannot() {
    let (mesh, notes) = (TestMesh::start().await, Notes::default());
    let mut workers = Vec::new();
    for (name, newest) in AGENTS {
        workers.push(Running::start(mesh.server.url(), link(name, newest, &notes)).await);
        mesh.until_version_is(name, "1.0.0", "active").await;
    }
    let mut chains = Vec::new();
    for sent in SENT {
        for order in ORDERS {
            let names = order.map(|index| AGENTS[index].0);
            let intent = id(&format!("{}-{}", names.join("-"), sent.to_string().replace('.', "-")));
            let payload = format!(r#"["{}","{}"]"#, names[1], names[2]);
            let body = first(sent, chains.len(), &intent, names[0], &payload);
            let subject = format!("mesh.intent.{}", names[0]);
            let headers = [("Baton-Protocol", sent.to_string())];
            let headers = headers.each_ref().map(|(name, value)| (*name, value.as_str()));
            publish(&mesh.server, &subject, &headers, body.as_bytes()).await;
            chains.push((sent, order, intent, body));
        }
    }
    for (sent, order, intent, body) in chains {
        mesh.until(&intent, "completed", SOON).await;
        let history = mesh.history_of(&intent).await;
        let written: Vec<_> = history
            .iter()
            .filter_map(|head| {
                Some((
                    head.record.envelope.as_ref()?,
                    head.record.conversion.as_deref().cloned(),
                ))
            })
            .collect();
        let told: Vec<_> = written
            .iter()
            .map(|(envelope, told)| (envelope.protocol, told.clone()))
            .collect();
        assert_eq!(told, expected(sent, order), "{intent}");
        let elsewhere = history.iter().filter(|head| head.record.envelope.is_none());
        assert!(
            elsewhere.into_iter().all(|head| head.record.conversion.is_none()),
            "{intent}"
        );

        let given = notes.0.lock().expect("not poisoned")[&intent].clone();
        assert_eq!(given.len(), 3, "{intent}");
        let added = own_fields(&Json::parse(&body).expect("JSON"));
        assert_eq!(added.len(), if sent.major() == 1 { 4 } else { 7 }, "{added:?}");
        for ((index, given), (envelope, _)) in order.into_iter().zip(&given).zip(&written) {
            let (name, newest) = AGENTS[index];
            assert_eq!(
                (given.agent.as_str(), form_of(&given.document)),
                (name, newest),
                "{intent}"
            );
            assert_eq!(own_fields(&given.document), added, "{intent} at {name}");
            let members: Members = given.document.read().expect("an object");
            assert_eq!(members["constraints"].get(), CONSTRAINTS, "{intent} at {name}");
            let hash = envelope.constraints_hash.clone().expect("a hash");
            assert_eq!(
                members["constraints_hash"].read::<String>().ok(),
                Some(hash),
                "{intent} at {name}"
            );
            assert_eq!(written[0].0.constraints_hash, envelope.constraints_hash);
            // The deadline is where the form has it.
            let at = if newest.major() == 2 {
                members["due"].read::<Members>().expect("due")["at"].clone()
            } else {
                members["deadline"].clone()
            };
            assert_eq!(at.get(), r#""2999-01-01T00:00:00.000Z""#, "{intent} at {name}");
        }
        // What only 2.0 can express reaches the first agent if it reads 2.0, and no other.
        for (hop, given) in given.iter().enumerate() {
            let said = given.document.get();
            let is_there = sent.major() == 2 && hop == 0 && AGENTS[order[0]].1.major() == 2;
            assert_eq!(
                said.contains("text/plain") && said.contains("grace_seconds"),
                is_there,
                "{intent}: {said}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_is_told_the_envelope_in_the_form_that_it_reads() {
    let (mesh, dir) = (TestMesh::start().await, TempDir::new().expect("folder"));
    let script = dir.path().join("told.py");
    let text = "import json,sys\ntold=json.loads(sys.stdin.readline())\n\
                print(json.dumps({'outcome':'complete','result':told['envelope']}))\n";
    std::fs::write(&script, text).expect("the script");
    let exec = format!("python3 {}", script.display());
    let mut workers = Vec::new();
    for (name, range) in [("old", "1.0.0-1.0.0"), ("new", "1.0.0-2.0.0")] {
        workers.push(
            worker(
                &mesh,
                dir.path(),
                name,
                &["--json", "--exec", &exec, "--protocol", range],
            )
            .await,
        );
    }
    for (name, form, place) in [("old", "1.0.0", "/to"), ("new", "2.0.0", "/to/agent")] {
        let intent = mesh.submit(&format!("for-{name}"), name, "7").await;
        let head = mesh.until(&intent, "completed", SOON).await;
        let told: serde_json::Value = result_as(&head);
        assert_eq!(
            (&told["protocol"], told.pointer(place)),
            (&form.into(), Some(&name.into())),
            "{told}"
        );
    }
}
