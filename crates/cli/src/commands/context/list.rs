//! `baton context list`: the objects that an intent names: what its hops remember, large payloads and results.

use std::collections::BTreeSet;

use baton_envelope::context::Reach;
use baton_envelope::{IntentId, ObjectRef};
use baton_jetstream::{Error, Mesh};
use clap::Args;
use serde::Serialize;

use super::{Place, Trail};
use crate::app::App;
use crate::error::CliError;
use crate::output::Table;

/// `baton context list`.
#[derive(Debug, Clone, Args)]
pub(crate) struct ListArgs {
    /// The intent.
    #[arg(value_name = "ID")]
    id: IntentId,
}

#[derive(Serialize)]
struct Document<'a> {
    intent: &'a IntentId,
    tree: &'a IntentId,
    objects: Vec<Named>,
    /// How many messages hold the objects of the whole tree, without those that are archived.
    messages: usize,
}

/// An object that a record names.
#[derive(Serialize)]
struct Named {
    /// What `baton context get` takes.
    object: String,
    /// `payload`, `result`, `step` with its name, or `memory` with its key.
    what: String,
    hop: u32,
    bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    media: Option<String>,
    /// Whether it is there, as far as its first message goes.
    is_there: bool,
    /// Whether it is there in the archive alone.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    is_archived: bool,
}

/// Shows them.
pub(crate) async fn run(args: ListArgs, app: &App) -> Result<(), CliError> {
    let mesh = app.connect().await?;
    let trail = Trail::of(&mesh, &args.id).await?;
    let tree = trail.tree();
    let there = match mesh.objects_of(tree).await {
        Ok(there) => there,
        // Nobody has made the stream yet, so nothing is in it.
        Err(Error::NoStream(_)) => Vec::new(),
        Err(error) => return Err(error.into()),
    };
    let tokens: BTreeSet<String> = there.iter().map(|one| one.hash.token(one.place)).collect();
    let memories = memories(&mesh, &trail).await?;
    let named = named(&trail).map(|(what, hop, object)| (what, hop, object.clone()));
    let named: Vec<_> = memories.into_iter().chain(named).collect();
    let token = |object: &ObjectRef| {
        let place = Place::of(tree, object);
        place.hash.token(place.place)
    };
    let mut elsewhere: BTreeSet<String> = named.iter().map(|(_, _, object)| token(object)).collect();
    elsewhere.retain(|token| !tokens.contains(token));
    let archived = match elsewhere.is_empty() {
        true => BTreeSet::new(),
        false => mesh.archived_tokens(tree, &elsewhere).await?,
    };
    let objects: Vec<Named> = named
        .into_iter()
        .map(|(what, hop, object)| {
            let (place, token) = (Place::of(tree, &object), token(&object));
            let is_archived = archived.contains(&token);
            Named {
                is_there: is_archived || tokens.contains(&token),
                is_archived,
                object: place.to_string(),
                what,
                hop,
                bytes: object.bytes,
                media: object.media,
            }
        })
        .collect();
    let document = Document {
        intent: &args.id,
        tree,
        objects,
        messages: there.len(),
    };
    app.output.show(&document, || {
        if document.objects.is_empty() {
            return format!("intent {} names no object: what it carries is in its records", args.id);
        }
        let mut table = Table::new(&["OBJECT", "WHAT", "HOP", "BYTES", "MEDIA", "THERE"]);
        for one in &document.objects {
            table.row([
                one.object.clone(),
                one.what.clone(),
                one.hop.to_string(),
                one.bytes.to_string(),
                one.media.clone().unwrap_or_default(),
                match (one.is_archived, one.is_there) {
                    (true, _) => "archived",
                    (false, true) => "yes",
                    (false, false) => "no",
                }
                .to_owned(),
            ]);
        }
        table.render()
    })
}

/// What the hops up to the last one have remembered.
async fn memories(mesh: &Mesh, trail: &Trail) -> Result<Vec<(String, u32, ObjectRef)>, CliError> {
    let Some(head) = trail.newest_link()? else {
        return Ok(Vec::new());
    };
    let chain = mesh.context_chain(trail.tree(), &[head], Reach::Catalogue).await?;
    let found = chain.entries().iter().map(|entry| {
        let memory = &entry.memory;
        let media = memory.media.as_deref().unwrap_or("text/plain");
        let object = ObjectRef::new(
            memory.hash.clone(),
            usize::try_from(memory.bytes).unwrap_or(usize::MAX),
            media,
        );
        (format!("memory {}", memory.key), entry.hop, object)
    });
    Ok(found.collect())
}

/// The payload of each hop, the results of its steps, and the result.
fn named(trail: &Trail) -> impl Iterator<Item = (String, u32, &ObjectRef)> {
    let mut hops = BTreeSet::new();
    let payloads = trail.heads.iter().filter_map(move |head| {
        let envelope = head.record.envelope.as_ref()?;
        let payload = envelope.payload_ref.as_deref()?;
        hops.insert((envelope.hop, payload.hash.clone()))
            .then(|| ("payload".to_owned(), envelope.hop, payload))
    });
    let steps = trail.heads.iter().filter_map(|head| {
        let step = head.record.step.as_ref()?;
        let result = step.result_ref.as_deref()?;
        Some((format!("step {}", step.name), head.record.snapshot.hop, result))
    });
    let snapshot = &trail.last.record.snapshot;
    let result = snapshot.result_ref.as_deref();
    let result = result.map(|result| ("result".to_owned(), snapshot.hop, result));
    payloads.chain(steps).chain(result)
}
