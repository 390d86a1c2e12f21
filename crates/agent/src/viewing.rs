//! What a handoff gives its receiver of what the tree remembers: the link of the hop, and the view.

use std::collections::HashMap;

use baton_envelope::codes;
use baton_envelope::context::{
    AssembleError, Assembled, Candidate, Catalogue, Chain, ContextLink, EnvelopeContext, Fixed, Gap, ManifestAt,
    Memory, Reach, Request, assemble, carried_gaps, view_budget,
};
use baton_envelope::{Envelope, ErrorInfo, HistoryEntry, MemoryRef, ObjectHash};
use baton_jetstream::Error;
use bytes::Bytes;

use crate::claim::Claim;
use crate::commit::{Verdict, park};
use crate::fault::Fault;
use crate::memory::{HandedOn, counter};
use crate::run::WorkerContext;

/// The media type of links, catalogues and manifests.
const JSON: &str = "application/json";

/// Why a handoff has no view.
enum NoView {
    Assemble(AssembleError),
    Bad(Fault),
    Mesh(Error),
}

impl From<Error> for NoView {
    fn from(error: Error) -> Self {
        Self::Mesh(error)
    }
}

impl WorkerContext {
    /// The next envelope with the view of its receiver, or what becomes of the hop.
    pub(crate) async fn with_view(
        &self,
        at: &Claim,
        envelope: &Envelope,
        next: Box<Envelope>,
        handed_on: HandedOn,
    ) -> Result<Box<Envelope>, Box<Verdict>> {
        let error = match self.view_of(envelope, next, handed_on).await {
            Ok(next) => return Ok(next),
            Err(error) => error,
        };
        Err(Box::new(match error {
            NoView::Assemble(error) => {
                let code = match error {
                    AssembleError::Missing { .. } => codes::CONTEXT_MISSING,
                    AssembleError::Overflow { .. } | AssembleError::TooManyPins { .. } => codes::CONTEXT_OVERFLOW,
                    AssembleError::NotThere { .. } | AssembleError::UnknownStrategy { .. } => {
                        let fault = Fault::terminal(codes::BAD_MEMORY, error.to_string());
                        return Err(Box::new(self.act_on_fault(at, envelope, fault).await));
                    }
                };
                park(ErrorInfo::new(code, error.to_string()))
            }
            NoView::Bad(fault) => self.act_on_fault(at, envelope, fault).await,
            NoView::Mesh(error) if error.is_of_object() => park(ErrorInfo::new(error.code(), error.to_string())),
            NoView::Mesh(error) => self.without_room(at, envelope, &error).await,
        }))
    }

    async fn view_of(
        &self,
        envelope: &Envelope,
        mut next: Box<Envelope>,
        HandedOn { memories, view }: HandedOn,
    ) -> Result<Box<Envelope>, NoView> {
        let tree = envelope.root();
        let before = EnvelopeContext::of(envelope)
            .map_err(|error| NoView::Bad(Fault::terminal(codes::CONTEXT_CORRUPT, error.to_string())))?;
        let heads: Vec<ObjectHash> = before.head.clone().into_iter().collect();
        let chain = self.mesh.context_chain(tree, &heads, Reach::Catalogue).await?;
        let mut link = self.link(envelope, &next, &chain, memories);
        let budget = |asked| view_budget(asked, next.constraints.as_ref(), None);
        let request = match view {
            Some(view) => view.request(budget).map_err(NoView::Bad)?,
            None => Request::trim(budget(None)),
        };
        let candidates = chain.candidates_with(&link);
        let Made {
            given: assembled,
            contents,
            gaps,
        } = self.assembled(envelope, &next, &request, &candidates).await?;
        if let ManifestAt::Object(_) = &assembled.view.manifest {
            let manifest = assembled.manifest.encode().into();
            link.manifest = Some(self.mesh.put_named(tree, manifest, JSON).await?);
        }
        // Without anything to say, the newest link stays what it is.
        let is_new = !link.memories.is_empty() || link.manifest.is_some() || link.payload.is_some();
        let (head, depth) = match is_new {
            true => (Some(self.put_link(&chain, &mut link).await?), link.depth),
            false => (before.head, before.links),
        };
        // It is closed once it can be read, or another content has taken its place; what is only left out of this view is not.
        let is_closed =
            |gap: &Gap| contents.contains_key(&gap.hash) || candidates.iter().all(|one| one.memory.hash != gap.hash);
        let gaps = carried_gaps(&before.gaps, &gaps, is_closed);
        let added = |memory: &Memory| memory.bytes;
        let context = EnvelopeContext {
            links: depth,
            memories: u32::try_from(chain.entries().len() + link.memories.len()).unwrap_or(u32::MAX),
            bytes: chain
                .entries()
                .iter()
                .map(|entry| &entry.memory)
                .chain(&link.memories)
                .map(added)
                .sum(),
            view: Some(Box::new(assembled.view.clone())),
            gaps,
            head,
            ..before
        };
        tracing::info!(
            intent = %envelope.intent, hop = next.hop, from = %self.agent, to = %next.to, root = %tree,
            head = context.head.as_ref().map(tracing::field::display), used = assembled.view.used,
            budget = assembled.view.budget, given = assembled.refs.len(), dropped = assembled.view.dropped,
            "handed on with its context"
        );
        next.context = context.json();
        // What a client refers to that no hop has remembered goes on as it is.
        let is_foreign = |given: &&MemoryRef| candidates.iter().all(|one| one.memory.key.as_str() != given.key);
        next.memory = assembled.refs;
        next.memory.extend(envelope.memory.iter().filter(is_foreign).cloned());
        Ok(next)
    }

    fn link(&self, envelope: &Envelope, next: &Envelope, chain: &Chain, memories: Vec<Memory>) -> ContextLink {
        let (tree, by) = (envelope.root().clone(), format!("{}@{}", self.agent, self.version));
        let first = ContextLink::first(
            tree,
            envelope.intent.clone(),
            envelope.hop,
            envelope.id,
            by,
            self.mesh.now(),
        );
        let of_hop = |entry: &&HistoryEntry| entry.hop == Some(envelope.hop) && entry.agent == self.agent;
        ContextLink {
            memories,
            payload: next.payload_ref.as_ref().map(|payload| payload.hash.clone()),
            history: next.history.iter().rfind(of_hop).cloned(),
            ..first.after(&chain.heads())
        }
    }

    /// Stores a link, and the catalogue of what is before it where that is due.
    async fn put_link(&self, chain: &Chain, link: &mut ContextLink) -> Result<ObjectHash, Error> {
        if link.wants_catalogue() {
            let catalogue = Catalogue::of(link.tree.clone(), chain.entries().to_vec()).encode();
            link.catalogue = Some(self.mesh.put_named(&link.tree, catalogue.into(), JSON).await?);
        }
        self.mesh.put_named(&link.tree, link.encode().into(), JSON).await
    }

    /// The view: planned by the stored counts, then made of the contents that it has in full.
    async fn assembled(
        &self,
        envelope: &Envelope,
        next: &Envelope,
        request: &Request,
        candidates: &[Candidate],
    ) -> Result<Made, NoView> {
        let fixed = Fixed::of(next);
        let plan = assemble(request, &fixed, candidates, &counter(), &|_| None).map_err(NoView::Assemble)?;
        let is_given = |memory: &&Memory| plan.refs.iter().any(|given| given.key == memory.key.as_str());
        let memories: Vec<&Memory> = candidates
            .iter()
            .map(|candidate| &candidate.memory)
            .filter(is_given)
            .collect();
        let (contents, gaps) = self.mesh.memory_contents(envelope.root(), &memories).await?;
        let content = |hash: &ObjectHash| contents.get(hash).map(|content| &content[..]);
        let given = assemble(request, &fixed, candidates, &counter(), &content).map_err(NoView::Assemble)?;
        Ok(Made { given, contents, gaps })
    }
}

/// A view, and what it was made of.
struct Made {
    given: Assembled,
    contents: HashMap<ObjectHash, Bytes>,
    gaps: Vec<Gap>,
}
