//! What could not be had is told by each envelope after it and by the last record, until a hop has its content.

use baton_agent::{Agent, Fault, Handler, Hop, Kind, Memory, Outcome, View};
use baton_e2e::TestMesh;
use baton_e2e::chaos::{Running, SOON, TAKEOVER};
use baton_envelope::context::EnvelopeContext;
use baton_envelope::{IntentId, ObjectHash};
use baton_testkit::eventually;
use serde_json::json;

/// What nobody can read for a while.
const LOST: &str = "what was found on Friday";

/// Remembers two things, and hands on.
struct Gives;

impl Handler for Gives {
    type Input = String;

    async fn handle(&self, hop: &mut Hop, word: String) -> Result<Outcome, Fault> {
        for (key, content) in [("kept", "retry with jitter"), ("lost", LOST)] {
            hop.remember(Memory::new(key, Kind::Fact, content)).await?;
        }
        Outcome::hand_off("looks", &word)
    }
}

/// Looks at its view, and gives nobody anything in full.
struct Looks;

impl Handler for Looks {
    type Input = String;

    async fn handle(&self, hop: &mut Hop, word: String) -> Result<Outcome, Fault> {
        let keys: Vec<String> = hop
            .context()
            .await?
            .gaps()
            .iter()
            .map(|gap| gap.key.to_string())
            .collect();
        assert_eq!(keys, ["lost"]);
        Ok(Outcome::hand_off("passes", &word)?.with_context(View::lazy()))
    }
}

/// Hands on without a look: of `back` everything in full, of anything else nothing.
struct Passes;

impl Handler for Passes {
    type Input = String;

    async fn handle(&self, _: &mut Hop, word: String) -> Result<Outcome, Fault> {
        let view = match word.as_str() {
            "back" => View::trim(),
            _ => View::lazy(),
        };
        Ok(Outcome::hand_off("ends", &word)?.with_context(view))
    }
}

/// Looks at its view, and completes.
struct Ends;

impl Handler for Ends {
    type Input = String;

    async fn handle(&self, hop: &mut Hop, _: String) -> Result<Outcome, Fault> {
        let gaps = hop.context().await?.gaps().len();
        Outcome::complete(&gaps)
    }
}

/// Asks another agent, and completes without a look at what it is given.
struct Asks;

impl Handler for Asks {
    type Input = String;

    async fn handle(&self, hop: &mut Hop, word: String) -> Result<Outcome, Fault> {
        let called = hop.call("gives", &word).await?;
        Outcome::complete(called.state())
    }
}

async fn started(mesh: &TestMesh, name: &str, handler: impl Handler + 'static) -> Running {
    let builder = Agent::builder(name, "1.0.0").expect("agent").handler(handler);
    let running = Running::start(mesh.server.url(), builder).await;
    mesh.until_version_is(name, "1.0.0", "active").await;
    running
}

/// Runs the hop of one agent in both intents, and no other.
async fn runs(mesh: &TestMesh, name: &str, handler: impl Handler + 'static, (intents, hop): (&[IntentId], u32)) {
    let running = started(mesh, name, handler).await;
    for intent in intents {
        eventually(&format!("{name} hands {intent} on"), TAKEOVER, async || {
            match mesh.head_of(intent).await.record.snapshot.hop {
                found if found == hop => Ok(()),
                found => Err(format!("hop {found}")),
            }
        })
        .await;
    }
    running.stop().await;
}

fn keys(context: &EnvelopeContext) -> Vec<&str> {
    context.gaps.iter().map(|gap| gap.key.as_str()).collect()
}

/// What the envelope of a hop says, and what the record that holds it says of the hop before: how many of how many it could read.
async fn told(mesh: &TestMesh, intent: &IntentId, hop: u32) -> (EnvelopeContext, Option<(u64, u64)>) {
    let history = mesh.history_of(intent).await;
    let held = history.iter().rev().map(|head| &head.record);
    let mut held = held.filter_map(|record| Some((record, record.envelope.as_ref()?)));
    let (record, envelope) = held.find(|(_, envelope)| envelope.hop == hop).expect("the hop");
    let read = record.context.as_ref().map(|read| (read.resolved, read.requested));
    (EnvelopeContext::of(envelope).expect("a context"), read)
}

/// C11, by workers: also a gap that the view of the next hop says nothing of.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gap_is_told_until_a_hop_has_the_content_whatever_the_views_between_have() {
    let mesh = TestMesh::start().await;
    // Each has a route before anybody hands on to it.
    started(&mesh, "gives", Gives).await.stop().await;
    started(&mesh, "looks", Looks).await.stop().await;
    started(&mesh, "passes", Passes).await.stop().await;
    started(&mesh, "ends", Ends).await.stop().await;
    let mut intents = Vec::new();
    for word in ["stays", "back"] {
        intents.push(mesh.submit(word, "gives", &format!("\"{word}\"")).await);
    }
    runs(&mesh, "gives", Gives, (&intents, 2)).await;
    for intent in &intents {
        let filter = json!({"filter": format!("mesh.context.{intent}.{}", ObjectHash::of(LOST.as_bytes()))});
        mesh.server.api("STREAM.PURGE.MESH_CONTEXT", &filter).await;
    }
    runs(&mesh, "looks", Looks, (&intents, 3)).await;
    for intent in &intents {
        let (context, read) = told(&mesh, intent, 3).await;
        assert_eq!((keys(&context), read), (vec!["lost"], Some((1, 2))), "{intent}");
    }
    runs(&mesh, "passes", Passes, (&intents, 4)).await;
    for intent in &intents {
        let (context, read) = told(&mesh, intent, 4).await;
        assert_eq!((keys(&context), read), (vec!["lost"], None), "{intent}");
    }
    let back = &intents[1];
    mesh.mesh
        .put_object(back, LOST.into(), "text/plain")
        .await
        .expect("stored");
    let ends = started(&mesh, "ends", Ends).await;
    for (intent, gaps, read) in [(&intents[0], vec!["lost"], None), (back, Vec::new(), Some((2, 2)))] {
        let head = mesh.until(intent, "completed", SOON).await;
        let context = head.record.snapshot.context.as_ref().expect("a context");
        let context = EnvelopeContext::read(context).expect("read");
        let could = head.record.context.as_ref().map(|read| (read.resolved, read.requested));
        assert_eq!((keys(&context), could), (gaps, read), "{intent}");
    }
    ends.stop().await;
}

/// C11, by a call: the parent takes over what its child knew, and what nobody could read of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_parent_tells_the_gaps_of_the_children_that_it_joins() {
    let mesh = TestMesh::start().await;
    started(&mesh, "looks", Looks).await.stop().await;
    started(&mesh, "passes", Passes).await.stop().await;
    started(&mesh, "ends", Ends).await.stop().await;
    started(&mesh, "gives", Gives).await.stop().await;
    let asks = started(&mesh, "asks", Asks).await;
    let parent = mesh.submit("family", "asks", "\"stays\"").await;
    let child = [IntentId::of_child(&parent, 1, "gives", 0)];
    eventually("the child is there", SOON, async || {
        mesh.history_of(&child[0])
            .await
            .first()
            .map(|_| ())
            .ok_or_else(|| "not yet".to_owned())
    })
    .await;
    runs(&mesh, "gives", Gives, (&child, 3)).await;
    let filter = json!({"filter": format!("mesh.context.{parent}.{}", ObjectHash::of(LOST.as_bytes()))});
    mesh.server.api("STREAM.PURGE.MESH_CONTEXT", &filter).await;
    runs(&mesh, "looks", Looks, (&child, 4)).await;
    runs(&mesh, "passes", Passes, (&child, 5)).await;
    let ends = started(&mesh, "ends", Ends).await;
    for intent in [&child[0], &parent] {
        let head = mesh.until(intent, "completed", SOON).await;
        let context = head.record.snapshot.context.as_ref().expect("a context");
        let context = EnvelopeContext::read(context).expect("read");
        assert_eq!(keys(&context), ["lost"], "{intent}");
    }
    ends.stop().await;
    asks.stop().await;
}
