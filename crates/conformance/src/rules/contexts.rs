//! Context: what a hop remembers reaches whoever comes after it, and what it is given it can read.

use std::collections::HashMap;

use baton_envelope::context::{
    Candidate, ContextLink, Counter, EnvelopeContext, Fixed, Kind, Memory, Reach, Request, assemble,
};
use baton_envelope::{Envelope, IntentId, ObjectHash, codes};
use baton_jetstream::{Error, ReceivedView};
use serde_json::json;

use crate::court::{Court, Plan, SINK, Work};
use crate::fault::{Fault, expect};
use crate::record::{Stored, story};
use crate::rules::patterns::{completes, hands_over, has_word};
use crate::script::Script;

/// What the agent remembers: key and content.
const OWN: (&str, &str) = ("decision-1", "We ship on Friday, whatever the weather says.");
/// What was remembered before, and its content is there.
const BEFORE: (&str, &str) = ("ms-4821", "The customer has two plants, in Ulm and in Łódź.");
/// What was remembered before, and nobody has its content any more.
const GONE: (&str, &str) = ("ms-4822", "Somebody deleted this.");

/// Counts bytes. What a view is cut to is no matter here: all of it has room.
fn bytes() -> Counter<'static> {
    Counter {
        id: "bytes#1",
        count: &|text| text.len() as u64,
    }
}

/// What is remembered before the agent has its turn.
struct Chain {
    intent: String,
    context: EnvelopeContext,
    candidates: Vec<Candidate>,
}

impl Chain {
    /// Stores a link with these memories, and the contents of those that are there.
    async fn store(court: &Court, name: &str, memories: &[(&str, &str, bool, bool)]) -> Result<Self, Fault> {
        let intent = court.intent_id(name);
        let tree = id(&intent)?;
        let (envelope, by) = (court.mesh.clock().envelope_id(), "conformance".to_owned());
        let mut link = ContextLink::first(tree.clone(), tree.clone(), 1, envelope, by, court.mesh.now());
        for (key, content, is_pinned, is_there) in memories {
            let mut memory = memory(key, content)?;
            memory.pinned = *is_pinned;
            link.memories
                .push(memory.counted("conformance", content.as_bytes(), &bytes()));
            if *is_there {
                let stored = content.as_bytes().to_vec().into();
                court.mesh.put_named(&tree, stored, "text/plain").await?;
            }
        }
        let head = court
            .mesh
            .put_named(&tree, link.encode().into(), "application/json")
            .await?;
        let chain = court
            .mesh
            .context_chain(&tree, std::slice::from_ref(&head), Reach::Catalogue)
            .await?;
        let context = EnvelopeContext {
            head: Some(head),
            links: 1,
            memories: u32::try_from(memories.len()).unwrap_or(u32::MAX),
            bytes: link.memories.iter().map(|memory| memory.bytes).sum(),
            hop: Some(1),
            ..EnvelopeContext::default()
        };
        Ok(Self {
            intent,
            context,
            candidates: chain.candidates(),
        })
    }

    /// Work of an intent of which this is remembered.
    fn plan(&self, script: Script, more: &str) -> Plan {
        let context = self.context.json();
        let context = context.map_or_else(String::new, |context| format!(r#","context":{}"#, context.get()));
        Plan {
            script,
            envelope: format!("{context}{more}"),
            intent: Some(self.intent.clone()),
            ..Plan::default()
        }
    }
}

fn id(intent: &str) -> Result<IntentId, Fault> {
    intent.parse().map_err(|_| Fault::Skipped("no id".to_owned()))
}

fn memory(key: &str, content: &str) -> Result<Memory, Fault> {
    let key = key.parse().map_err(|_| Fault::Skipped("no key".to_owned()))?;
    Ok(Memory::new(key, Kind::Decision, content.as_bytes()))
}

/// What a record says in the envelope that it puts before the next agent.
fn next(head: &Stored) -> Result<Envelope, Fault> {
    let text = head.raw(&["envelope"]).unwrap_or_default();
    Envelope::decode(text.as_bytes()).map_err(|error| broken("an envelope that can be read", error.to_string()))
}

/// What an envelope says of its context.
fn context_of(envelope: &Envelope) -> Result<EnvelopeContext, Fault> {
    EnvelopeContext::of(envelope).map_err(|error| broken("a context", error.to_string()))
}

fn broken(expected: impl Into<String>, seen: impl Into<String>) -> Fault {
    Fault::Broken {
        expected: expected.into(),
        seen: seen.into(),
    }
}

/// What of an object that cannot be had is the fault of the agent that has named it.
fn unread(error: Error) -> Fault {
    match error.is_of_object() {
        true => broken("objects that are stored under their hashes", error.to_string()),
        false => error.into(),
    }
}

/// What the receiver of an envelope is given, as the protocol has it.
async fn received(court: &Court, envelope: &Envelope) -> Result<ReceivedView, Fault> {
    let view = court.mesh.received_view(envelope, None, bytes).await;
    view.map_err(unread)
}

/// Breaks the rule unless the text has each of these.
fn tells(text: &str, contents: &[&str]) -> Result<(), Fault> {
    let missing: Vec<&str> = contents
        .iter()
        .copied()
        .filter(|content| !text.contains(content))
        .collect();
    expect(
        missing.is_empty(),
        format!("a view with each of {contents:?}"),
        format!("{text:?}"),
    )
}

/// A hop that remembers something writes it down, and the next envelope names it.
pub(super) async fn remembers(court: &Court) -> Result<(), Fault> {
    court.reads(7)?;
    let (key, content) = OWN;
    let script = Script::new().remember(key, content).hand_off(SINK, "1");
    let (work, _) = court.send("remember", script).await?;
    let head = hands_over(court, &work).await?;
    let own = court.own(&work).await?;
    let name = format!("memory:{key}");
    let step = own.iter().find(|record| record.text("/step/name") == name);
    let step = step.ok_or_else(|| broken(format!("a step \"{name}\""), story(&own)))?;
    let hash = ObjectHash::of(content.as_bytes());
    let is_recorded = step.at("/step/result/place") == &json!(0)
        && step.text("/step/result/memory/key") == key
        && step.text("/step/result/memory/hash") == hash.as_str();
    expect(
        is_recorded,
        format!("the result {{\"place\":0,\"memory\":…}} with the hash {hash}"),
        step.raw(&["step", "result"]).unwrap_or_default(),
    )?;
    let (envelope, link) = linked(court, &work, &head).await?;
    expect(
        link.previous.is_empty() && link.depth == 1,
        "the first link of its tree, with `depth` 1",
        format!("`depth` {}, `previous` {:?}", link.depth, link.previous),
    )?;
    let context = context_of(&envelope)?;
    let is_counted =
        context.links == 1 && context.memories == 1 && context.bytes == content.len() as u64 && context.hop == Some(2);
    expect(
        is_counted,
        format!(
            "`links` 1, `memories` 1, `bytes` {} and `hop` 2 in `context`",
            content.len()
        ),
        head.at("/envelope/context").to_string(),
    )?;
    let view = received(court, &envelope).await?;
    tells(&view.text, &[content])
}

/// The link that a handoff has written, and the envelope that names it.
async fn linked(court: &Court, work: &Work, head: &Stored) -> Result<(Envelope, ContextLink), Fault> {
    let envelope = next(head)?;
    let context = context_of(&envelope)?;
    let newest = context
        .head
        .clone()
        .ok_or_else(|| broken("`head` in `context` of the next envelope", "none"))?;
    let tree = id(&work.intent)?;
    let bytes = court.mesh.get_object_at(&tree, &newest, 1).await.map_err(unread)?;
    let link = ContextLink::decode(&bytes).map_err(|error| broken("a link", error.to_string()))?;
    let by = format!("{}@{}", court.agent, court.version);
    let is_own = link.intent == tree && link.hop == 1 && link.envelope.to_string() == work.envelope && link.by == by;
    expect(
        is_own,
        format!("a link of hop 1 and envelope {}, by {by}", work.envelope),
        format!("hop {}, envelope {}, by {}", link.hop, link.envelope, link.by),
    )?;
    let is_there = link.memories.iter().any(|memory| memory.key.as_str() == OWN.0);
    expect(
        is_there,
        format!("a link with the memory \"{}\"", OWN.0),
        format!("{:?}", link.memories),
    )?;
    Ok((envelope, link))
}

/// What was remembered before stays in the chain, and what cannot be had of it is told.
pub(super) async fn adds_to_the_chain(court: &Court) -> Result<(), Fault> {
    court.reads(7)?;
    let memories = [(BEFORE.0, BEFORE.1, true, true), (GONE.0, GONE.1, false, false)];
    let chain = Chain::store(court, "chain", &memories).await?;
    let script = Script::new().remember(OWN.0, OWN.1).hand_off(SINK, "1");
    let (work, _) = court.send("chain", chain.plan(script, "")).await?;
    let head = hands_over(court, &work).await?;
    let (envelope, link) = linked(court, &work, &head).await?;
    let before: Vec<ObjectHash> = chain.context.head.iter().cloned().collect();
    expect(
        link.depth == 2 && link.previous == before,
        format!("a link behind {before:?}, with `depth` 2"),
        format!("`depth` {}, `previous` {:?}", link.depth, link.previous),
    )?;
    let view = received(court, &envelope).await?;
    tells(&view.text, &[BEFORE.1, OWN.1])?;
    // Who makes no view does not find out.
    if context_of(&envelope)?.view.is_none() {
        return Ok(());
    }
    let gone = ObjectHash::of(GONE.1.as_bytes());
    let is_told = view.context.gaps.iter().any(|gap| gap.hash == gone);
    expect(
        is_told,
        format!("a gap \"{}\" in `context`, since its content cannot be had", GONE.0),
        head.at("/envelope/context").to_string(),
    )
}

/// A hop that remembers nothing and looks at nothing passes on what it was given.
pub(super) async fn passes_it_on(court: &Court) -> Result<(), Fault> {
    court.reads(7)?;
    let chain = Chain::store(court, "context-kept", &[(BEFORE.0, BEFORE.1, false, true)]).await?;
    let script = Script::new().hand_off(SINK, r#""on""#);
    let (work, _) = court.send("context-kept", chain.plan(script, "")).await?;
    let head = hands_over(court, &work).await?;
    let envelope = next(&head)?;
    let context = context_of(&envelope)?;
    expect(
        context.hop == Some(2) && context.unlinked == 0,
        "`hop` 2 in `context`, as whoever wrote it knows of it, and no `unlinked`",
        head.at("/envelope/context").to_string(),
    )?;
    let view = received(court, &envelope).await?;
    tells(&view.text, &[BEFORE.1])
}

/// The handler is given the text that the protocol makes of its envelope.
pub(super) async fn shows_the_view(court: &Court) -> Result<(), Fault> {
    court.reads(7)?;
    for is_given in [true, false] {
        let name = if is_given { "view-given" } else { "view-own" };
        let memories = [(BEFORE.0, BEFORE.1, false, true), (OWN.0, OWN.1, true, true)];
        let mut chain = Chain::store(court, name, &memories).await?;
        let script = Script::new().view().complete();
        let more = if is_given {
            given(court, &mut chain, &script)?
        } else {
            String::new()
        };
        let (work, _) = court.send(name, chain.plan(script, &more)).await?;
        let head = completes(court, &work).await?;
        let text = head.text("/snapshot/result/view");
        tells(text, &[BEFORE.1, OWN.1])?;
        if is_given {
            let envelope = work.envelope_raw(&[]).unwrap_or_default();
            let envelope = Envelope::decode(envelope.as_bytes());
            let envelope = envelope.map_err(|error| broken("an envelope", error.to_string()))?;
            let wanted = received(court, &envelope).await?.text;
            expect(text == wanted, format!("the view {wanted:?}"), format!("{text:?}"))?;
        }
    }
    Ok(())
}

/// The members of an envelope that give its receiver a view of everything, in its context and beside it.
fn given(court: &Court, chain: &mut Chain, script: &Script) -> Result<String, Fault> {
    let tree = id(&chain.intent)?;
    let payload = baton_envelope::Json::parse(&script.text()).map_err(|_| Fault::Skipped("no payload".to_owned()))?;
    let envelope = Envelope::first(court.mesh.clock().envelope_id(), tree, court.agent.clone(), payload);
    let contents: HashMap<ObjectHash, &str> = [BEFORE.1, OWN.1]
        .into_iter()
        .map(|content| (ObjectHash::of(content.as_bytes()), content))
        .collect();
    let content = |hash: &ObjectHash| contents.get(hash).map(|content| content.as_bytes());
    let request = Request::trim(16_000);
    let made = assemble(&request, &Fixed::of(&envelope), &chain.candidates, &bytes(), &content);
    let made = made.map_err(|error| Fault::Skipped(error.to_string()))?;
    chain.context.view = Some(Box::new(made.view));
    Ok(format!(r#","memory":{}"#, json!(made.refs)))
}

/// What must be in the view and cannot be had fails the attempt: it may come back.
pub(super) async fn misses_what_is_pinned(court: &Court) -> Result<(), Fault> {
    court.reads(7)?;
    let chain = Chain::store(court, "pinned-gap", &[(GONE.0, GONE.1, true, false)]).await?;
    let script = Script::new().view().complete();
    let (work, _) = court.send("pinned-gap", chain.plan(script, "")).await?;
    let is_done = |head: &Stored| head.is_over() || head.event() == "retry_scheduled";
    let head = court.until(&work, "the attempt fails", is_done).await?;
    has_word(&head)?;
    let is_so = head.event() == "retry_scheduled" && head.text("/error/code") == codes::CONTEXT_MISSING;
    let expected = format!("`retry_scheduled` with {}", codes::CONTEXT_MISSING);
    let seen = format!("{}, error {}", head.in_words(), head.at("/error"));
    if head.has_ticket() {
        court.close(&work).await?;
    }
    expect(is_so, expected, seen)
}
