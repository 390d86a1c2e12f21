//! What a hop leaves of what the tree remembers: its link, and the view that a handoff gives its receiver.

use std::collections::HashSet;

use baton_envelope::codes;
use baton_envelope::context::{
    AssembleError, Catalogue, Chain, ContextLink, Entry, EnvelopeContext, Fixed, Gap, MOST_GAPS, MOST_PREVIOUS,
    ManifestAt, Memory, MemoryKey, Reach, Request, carried_gaps, view_budget,
};
use baton_envelope::{Envelope, ErrorInfo, HistoryEntry, Json, MemoryRef, ObjectHash, ViewSize};
use baton_jetstream::{Error, MadeView};

use crate::claim::Claim;
use crate::commit::{Verdict, park};
use crate::fault::Fault;
use crate::memory::{HandedOn, LeftBehind, Seen, token_counter};
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
        (next, size): (Box<Envelope>, Option<&ViewSize>),
        handed_on: HandedOn,
    ) -> Result<Box<Envelope>, Box<Verdict>> {
        match self.view_of(envelope, (next, size), handed_on).await {
            Ok(next) => Ok(next),
            Err(error) => Err(self.without_view(at, envelope, error).await),
        }
    }

    /// What the tree remembers when the hop is left without a handoff, as the children that it asks begin with it, or whoever has
    /// asked for it takes it over; or what becomes of the hop.
    pub(crate) async fn left_behind(
        &self,
        at: &Claim,
        envelope: &Envelope,
        handed_on: HandedOn,
    ) -> Result<Option<Json>, Box<Verdict>> {
        match self.linked(envelope, handed_on).await {
            Ok(context) => Ok(context.for_hop(envelope.hop.saturating_add(1)).json()),
            Err(error) => Err(self.without_view(at, envelope, error).await),
        }
    }

    async fn without_view(&self, at: &Claim, envelope: &Envelope, error: NoView) -> Box<Verdict> {
        Box::new(match error {
            NoView::Assemble(error) => match error.code() {
                codes::BAD_MEMORY => {
                    let fault = Fault::terminal(codes::BAD_MEMORY, error.to_string());
                    self.act_on_fault(at, envelope, fault).await
                }
                code => park(ErrorInfo::new(code, error.to_string())),
            },
            NoView::Bad(fault) => self.act_on_fault(at, envelope, fault).await,
            NoView::Mesh(error) if error.is_of_object() => park(ErrorInfo::new(error.code(), error.to_string())),
            NoView::Mesh(error) => self.without_room(at, envelope, &error).await,
        })
    }

    async fn view_of(
        &self,
        envelope: &Envelope,
        (mut next, size): (Box<Envelope>, Option<&ViewSize>),
        handed_on: HandedOn,
    ) -> Result<Box<Envelope>, NoView> {
        let HandedOn {
            memories,
            joined,
            seen,
            view,
            // It is in the envelope.
            task: _,
        } = handed_on;
        let tree = envelope.root();
        let before = context_of(envelope)?;
        let (heads, of_children) = taken_over(joined);
        let chain = self.chain_of(envelope, &before, heads).await?;
        let mut link = ContextLink {
            payload: next.payload_ref.as_ref().map(|payload| payload.hash.clone()),
            history: self.entry_of(envelope, &next),
            ..self.link(envelope, &chain, memories)
        };
        let most = size.and_then(|size| size.view_tokens);
        let budget = |asked| view_budget(asked, next.constraints.as_ref(), most);
        let mut request = match view {
            Some(view) => view.request(budget).map_err(NoView::Bad)?,
            None => Request::trim(budget(None)),
        };
        if let Some(size) = size {
            request = request.for_factor(size.factor());
        }
        let candidates = chain.candidates_with(&link);
        let fixed = Fixed::of(&next);
        let made = self
            .mesh
            .made_view(tree, (&request, &fixed), &candidates, token_counter);
        let MadeView {
            assembled,
            contents,
            gaps,
        } = made.await?.map_err(NoView::Assemble)?;
        if let ManifestAt::Object(_) = &assembled.view.manifest {
            let manifest = assembled.manifest.encode().into();
            link.manifest = Some(self.mesh.put_named(tree, manifest, JSON).await?);
        }
        // It is closed once it can be read, or another content has taken its place; what is only left out of this view is not.
        let is_closed =
            |gap: &Gap| contents.contains_key(&gap.hash) || candidates.iter().all(|one| one.memory.hash != gap.hash);
        let known = known_gaps(&before.gaps, seen.as_deref(), &of_children);
        let gaps = told(carried_gaps(&known, &gaps, is_closed))?;
        let context = EnvelopeContext {
            view: Some(Box::new(assembled.view.clone())),
            gaps,
            hop: Some(next.hop),
            ..self.grown(before, &chain, &mut link).await?
        };
        tracing::info!(
            intent = %envelope.intent, hop = next.hop, from = %self.agent, to = %next.to, root = %tree,
            head = context.head.as_ref().map(tracing::field::display), used = assembled.view.used,
            budget = assembled.view.budget, given = assembled.refs.len(), dropped = assembled.view.dropped,
            "handed on with its context"
        );
        next.context = context.json();
        // What a client refers to that no hop has remembered goes on as it is.
        let keys: HashSet<&str> = candidates.iter().map(|one| one.memory.key.as_str()).collect();
        let is_foreign = |given: &&MemoryRef| !keys.contains(given.key.as_str());
        next.memory = assembled.refs;
        next.memory.extend(envelope.memory.iter().filter(is_foreign).cloned());
        Ok(next)
    }

    /// What the tree remembers once this hop has added its own.
    async fn linked(&self, envelope: &Envelope, handed_on: HandedOn) -> Result<EnvelopeContext, NoView> {
        let before = context_of(envelope)?;
        let is_more = handed_on.adds();
        let (heads, of_children) = taken_over(handed_on.joined);
        let gaps = known_gaps(&before.gaps, handed_on.seen.as_deref(), &of_children);
        if !is_more {
            let gaps = told(gaps)?;
            return Ok(EnvelopeContext { gaps, ..before });
        }
        let chain = self.chain_of(envelope, &before, heads).await?;
        let mut link = self.link(envelope, &chain, handed_on.memories);
        let candidates = chain.candidates_with(&link);
        let is_closed = |gap: &Gap| candidates.iter().all(|one| one.memory.hash != gap.hash);
        let gaps = told(carried_gaps(&gaps, &[], is_closed))?;
        Ok(EnvelopeContext {
            gaps,
            ..self.grown(before, &chain, &mut link).await?
        })
    }

    /// The chain that a hop goes on from: its own, and those of the children that it has joined.
    async fn chain_of(
        &self,
        envelope: &Envelope,
        before: &EnvelopeContext,
        joined: Vec<ObjectHash>,
    ) -> Result<Chain, Error> {
        let mut heads: Vec<ObjectHash> = Vec::new();
        let mut seen = HashSet::new();
        for head in before.head.iter().cloned().chain(joined) {
            if seen.insert(head.clone()) {
                heads.push(head);
            }
        }
        if heads.len() > MOST_PREVIOUS {
            let (children, most) = (heads.len(), MOST_PREVIOUS);
            tracing::warn!(intent = %envelope.intent, children, most, "the hop takes over what the first of its children remember");
            heads.truncate(MOST_PREVIOUS);
        }
        self.mesh.context_chain(envelope.root(), &heads, Reach::Catalogue).await
    }

    /// The link of a hop, with those of its memories that no link has yet: what it remembered before it called others is with
    /// them.
    fn link(&self, envelope: &Envelope, chain: &Chain, mut memories: Vec<Memory>) -> ContextLink {
        let (tree, by) = (envelope.root().clone(), format!("{}@{}", self.agent, self.version));
        let first = ContextLink::first(
            tree,
            envelope.intent.clone(),
            envelope.hop,
            envelope.id,
            by,
            self.mesh.now(),
        );
        let is_own = |entry: &&Entry| entry.intent == envelope.intent && entry.hop == envelope.hop;
        let linked: HashSet<&MemoryKey> = chain
            .entries()
            .iter()
            .filter(is_own)
            .map(|entry| &entry.memory.key)
            .collect();
        memories.retain(|memory| !linked.contains(&memory.key));
        ContextLink {
            memories,
            ..first.after(&chain.heads())
        }
    }

    /// What the hop says of itself in the history.
    fn entry_of(&self, envelope: &Envelope, next: &Envelope) -> Option<HistoryEntry> {
        let of_hop = |entry: &&HistoryEntry| entry.hop == Some(envelope.hop) && entry.agent == self.agent;
        next.history.iter().rfind(of_hop).cloned()
    }

    /// What the tree remembers with this link, which is stored where it says anything. Without that the newest link stays what it
    /// is; where there are several, a link joins them.
    async fn grown(
        &self,
        before: EnvelopeContext,
        chain: &Chain,
        link: &mut ContextLink,
    ) -> Result<EnvelopeContext, Error> {
        let mut heads = chain.heads();
        let says = !link.memories.is_empty() || link.manifest.is_some() || link.payload.is_some();
        let (head, links) = match heads.pop().filter(|_| heads.is_empty() && !says) {
            Some((head, depth)) => (Some(head), depth),
            None if says || !link.previous.is_empty() => (Some(self.put_link(chain, link).await?), link.depth),
            None => (before.head, before.links),
        };
        let of_chain = chain.entries().iter().map(|entry| &entry.memory);
        Ok(EnvelopeContext {
            links,
            memories: u32::try_from(chain.entries().len() + link.memories.len()).unwrap_or(u32::MAX),
            bytes: of_chain.chain(&link.memories).map(|memory| memory.bytes).sum(),
            head,
            ..before
        })
    }

    /// Stores a link, and the catalogue of what is before it where that is due.
    async fn put_link(&self, chain: &Chain, link: &mut ContextLink) -> Result<ObjectHash, Error> {
        if link.wants_catalogue() {
            let catalogue = Catalogue::of(link.tree.clone(), chain.entries().to_vec()).encode();
            link.catalogue = Some(self.mesh.put_named(&link.tree, catalogue.into(), JSON).await?);
        }
        self.mesh.put_named(&link.tree, link.encode().into(), JSON).await
    }
}

/// What a hop takes over of the children that it has joined: the newest links, and the gaps.
fn taken_over(joined: Vec<LeftBehind>) -> (Vec<ObjectHash>, Vec<Gap>) {
    let (heads, gaps): (Vec<_>, Vec<_>) = joined.into_iter().map(|left| (left.head, left.gaps)).unzip();
    (heads, gaps.concat())
}

/// The gaps that a hop knows of: those of its envelope, what it could not read of its own view, and those of the children that it
/// takes over. A gap is closed where the hop has read its content.
fn known_gaps(before: &[Gap], seen: Option<&Seen>, of_children: &[Gap]) -> Vec<Gap> {
    let is_found_again = |gap: &Gap| seen.is_some_and(|seen| seen.found_again.contains(&gap.hash));
    let own = seen.map(|seen| &seen.gaps[..]).unwrap_or_default();
    let known = carried_gaps(before, own, is_found_again);
    let of_children: Vec<Gap> = of_children.iter().filter(|gap| !is_found_again(gap)).cloned().collect();
    carried_gaps(&known, &of_children, |_| false)
}

/// The gaps, where they are not more than whoever comes next would read. What cannot be had may come back, so the hop is tried again.
fn told(gaps: Vec<Gap>) -> Result<Vec<Gap>, NoView> {
    match gaps.len() <= MOST_GAPS {
        true => Ok(gaps),
        false => {
            let text = format!(
                "{} memories cannot be had, \"{}\" the first of them, and {MOST_GAPS} are the most that an envelope tells of",
                gaps.len(),
                gaps.first().map(|gap| gap.key.as_str()).unwrap_or_default(),
            );
            Err(NoView::Bad(Fault::retry(text).with_code(codes::CONTEXT_MISSING)))
        }
    }
}

fn context_of(envelope: &Envelope) -> Result<EnvelopeContext, NoView> {
    EnvelopeContext::counted(envelope)
        .map_err(|error| NoView::Bad(Fault::terminal(codes::CONTEXT_CORRUPT, error.to_string())))
}

#[cfg(test)]
mod tests {
    use baton_envelope::context::Kind;

    use super::*;

    fn gap(number: usize) -> Gap {
        let key: MemoryKey = format!("ms-{number}").parse().expect("a key");
        Gap::of(
            &Memory::new(key, Kind::Fact, number.to_string().as_bytes()),
            codes::CONTEXT_MISSING,
        )
    }

    #[test]
    fn no_more_gaps_are_told_than_a_reader_takes() {
        let most: Vec<Gap> = (0..MOST_GAPS).map(gap).collect();
        assert!(told(most.clone()).is_ok_and(|told| told == most));
        let more = (0..=MOST_GAPS).map(gap).collect();
        let Err(NoView::Bad(fault)) = told(more) else {
            panic!("a reader refuses them")
        };
        assert_eq!(fault.code(), codes::CONTEXT_MISSING);
        let text = fault.message();
        assert!(text.contains("257 memories") && text.contains("\"ms-0\""), "{text}");
    }

    #[test]
    fn gaps_of_children_are_known_once_and_until_their_content_was_read() {
        let seen = Seen {
            gaps: vec![gap(2)],
            found_again: vec![gap(1).hash, gap(4).hash],
        };
        let known = known_gaps(&[gap(0), gap(1)], Some(&seen), &[gap(0), gap(3), gap(4)]);
        assert_eq!(known, [gap(0), gap(2), gap(3)]);
    }
}
