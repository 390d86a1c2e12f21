//! Reading what the hops of a tree remember: the chain of their links, and the view that an envelope gives its receiver.

use std::collections::{HashMap, HashSet};

use baton_envelope::context::{
    AssembleError, Assembled, Candidate, Chain, ChainError, ChainFault, Completeness, ContextLink, Counter,
    EnvelopeContext, Fixed, Gap, Level, Manifest, ManifestAt, ManifestItem, Memory, Position, Reach, Request, View,
    Walk, assemble, carried_gaps, levels, planned, render, uncounted, view_budget,
};
use baton_envelope::{Envelope, IntentId, MemoryRef, ObjectHash, PIECE_BYTES, ViewSize};
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _};

use crate::error::Error;
use crate::server::Mesh;

/// How many bytes are asked for at once: the answer has no flow control.
const TOGETHER_BYTES: u64 = 4 * 1024 * 1024;
/// How many objects at once: the server answers for no more.
const TOGETHER: usize = 1_000;

/// How many objects are read at the same time when all are.
const AT_ONCE: usize = 16;

/// A view as its receiver has it.
#[derive(Debug, Clone)]
pub struct ReceivedView {
    /// The text, as a model can read it.
    pub text: String,
    /// What the envelope says of its context.
    pub context: EnvelopeContext,
    /// All that the tree remembers, in the order of the chain, and how much of each the view holds.
    pub items: Vec<(Candidate, Level)>,
    /// Why what is not in it in full is not.
    pub manifest: Vec<ManifestItem>,
    /// What was to be in it in full and cannot be had.
    pub gaps: Vec<Gap>,
    /// How much of what was to be in it in full could be had.
    pub completeness: Completeness,
    contents: HashMap<ObjectHash, Bytes>,
}

/// A view, and what it was made of.
#[derive(Debug)]
pub struct MadeView {
    /// The view.
    pub assembled: Assembled,
    /// The contents that were read for it.
    pub contents: HashMap<ObjectHash, Bytes>,
    /// What was to be read for it and cannot be had.
    pub gaps: Vec<Gap>,
}

impl ReceivedView {
    /// The view of an envelope that gives none: its task, its constraints and its history.
    pub fn without_memories(envelope: &Envelope, context: EnvelopeContext) -> Self {
        let none = |_: &ObjectHash| None;
        Self {
            text: render(&Fixed::of(envelope), [], &none),
            context,
            items: Vec::new(),
            manifest: Vec::new(),
            gaps: Vec::new(),
            completeness: Completeness::default(),
            contents: HashMap::new(),
        }
    }

    /// The view in numbers, where the envelope gives one.
    pub fn view(&self) -> Option<&View> {
        self.context.view.as_deref()
    }

    /// The content of a memory that the view holds in full.
    pub fn content(&self, hash: &ObjectHash) -> Option<&Bytes> {
        self.contents.get(hash)
    }
}

impl Mesh {
    /// The chain of links that ends with these.
    ///
    /// # Errors
    /// [`Error::ObjectMissing`] and [`Error::ObjectCorrupt`], which name the link, or when the server does not answer.
    pub async fn context_chain(&self, tree: &IntentId, heads: &[ObjectHash], reach: Reach) -> Result<Chain, Error> {
        self.chain_after(tree, heads, reach, &HashMap::new()).await
    }

    /// The same, where some of its links are read already.
    async fn chain_after(
        &self,
        tree: &IntentId,
        heads: &[ObjectHash],
        reach: Reach,
        read: &HashMap<ObjectHash, Bytes>,
    ) -> Result<Chain, Error> {
        let mut walk = Walk::new(tree.clone(), heads, reach);
        loop {
            let needed: Vec<ObjectHash> = walk.needs().cloned().collect();
            if needed.is_empty() {
                return walk.finish().map_err(broken);
            }
            let unread: Vec<&ObjectHash> = needed.iter().filter(|hash| !read.contains_key(*hash)).collect();
            let found = match unread.is_empty() {
                true => HashMap::new(),
                false => self.verified_pieces(tree, unread.into_iter()).await,
            };
            for hash in needed {
                let bytes = match found.get(&hash).or_else(|| read.get(&hash)) {
                    Some(bytes) => bytes.clone(),
                    // A replica lags, or it is large.
                    None => self.get_object_at(tree, &hash, 1).await?,
                };
                walk.take(&hash, Some(&bytes)).map_err(broken)?;
            }
        }
    }

    /// Stores what work is given to begin with, and lets its first envelope name it. Nothing is stored where there is none.
    ///
    /// # Errors
    /// As [`Mesh::put_named`].
    pub async fn begin_with(
        &self,
        envelope: &mut Envelope,
        memories: Vec<(Memory, Vec<u8>)>,
        (by, counter): (&str, fn() -> Counter<'static>),
    ) -> Result<(), Error> {
        if memories.is_empty() {
            return Ok(());
        }
        let tree = envelope.root().clone();
        let intent = envelope.intent.clone();
        let mut link = ContextLink::first(
            tree.clone(),
            intent,
            envelope.hop,
            envelope.id,
            by.to_owned(),
            self.now(),
        );
        for (memory, content) in memories {
            link.memories.push(memory.counted(by, &content, &counter()));
            let media = link.memories.last().and_then(|memory| memory.media.clone());
            let media = media.as_deref().unwrap_or("text/plain");
            self.put_named(&tree, content.into(), media).await?;
        }
        let head = self.put_named(&tree, link.encode().into(), "application/json").await?;
        let context = EnvelopeContext {
            head: Some(head),
            links: link.depth,
            memories: u32::try_from(link.memories.len()).unwrap_or(u32::MAX),
            bytes: link.memories.iter().map(|memory| memory.bytes).sum(),
            hop: Some(envelope.hop),
            ..EnvelopeContext::default()
        };
        envelope.context = context.json();
        Ok(())
    }

    /// The contents of these memories, those that can be had; of each other one, why it cannot.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn memory_contents(
        &self,
        tree: &IntentId,
        memories: &[&Memory],
    ) -> Result<(HashMap<ObjectHash, Bytes>, Vec<Gap>), Error> {
        let mut found = HashMap::new();
        for part in parts(memories) {
            found.extend(
                self.verified_together(tree, part.iter().map(|memory| &memory.hash))
                    .await,
            );
        }
        // Of larger ones the list is there: nobody asks the archive for what is not missing.
        let whole = memories.iter().filter(|memory| memory.bytes <= PIECE_BYTES as u64);
        self.add_archived(tree, whole.map(|memory| &memory.hash), &mut found)
            .await;
        let mut gaps = Vec::new();
        for memory in memories {
            if found.contains_key(&memory.hash) {
                continue;
            }
            match self.get_object_at(tree, &memory.hash, 1).await {
                Ok(content) => {
                    found.insert(memory.hash.clone(), content);
                }
                Err(error) if error.is_of_object() => gaps.push(Gap::of(memory, error.code())),
                Err(error) => return Err(error),
            }
        }
        Ok((found, gaps))
    }

    /// The chain of links that ends with these, walked to its first link, with everything that it names read and compared.
    ///
    /// # Errors
    /// [`Error::ObjectMissing`] and [`Error::ObjectCorrupt`] for the newest fault, with its place in the chain, or when the
    /// server does not answer.
    pub async fn verify_context(&self, tree: &IntentId, heads: &[ObjectHash]) -> Result<Chain, Error> {
        // What is in both is read from the context stream.
        let (mut raw, damaged) = self.all_archived(tree).await?;
        let there = self.objects_of(tree).await?;
        let reads = there.into_iter().filter(|one| one.place == 1).map(|one| async move {
            let stored = self.stored_object(tree, one.hash.as_str()).await?;
            Ok::<_, Error>(stored.map(|stored| (one.hash, stored)))
        });
        let reads: Vec<_> = reads.collect();
        let mut reads = futures::stream::iter(reads).buffer_unordered(AT_ONCE);
        while let Some(stored) = reads.try_next().await? {
            raw.extend(stored);
        }
        drop(reads);
        let reads = raw.into_iter().map(|(hash, raw)| async move {
            if ObjectHash::of(&raw) == hash {
                return Ok((hash, raw));
            }
            match self.get_object_at(tree, &hash, 1).await {
                Ok(content) => Ok((hash, content)),
                // What is there is told of, by its own hash.
                Err(error) if error.is_of_object() => Ok((hash, raw)),
                Err(error) => Err(error),
            }
        });
        let reads: Vec<_> = reads.collect();
        let found: HashMap<ObjectHash, Bytes> = futures::stream::iter(reads)
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await?;
        let load = |hash: &ObjectHash| found.get(hash).cloned().map(Vec::from);
        match (Chain::verify(tree.clone(), heads, &load).map_err(broken), damaged) {
            (Err(Error::ObjectMissing { .. }), Some(damaged)) => Err(damaged),
            (verified, _) => verified,
        }
    }

    /// What the views of the version are cut to that the envelope goes to.
    async fn view_size(&self, envelope: &Envelope) -> Result<ViewSize, Error> {
        let route = self.route(&envelope.to).await?;
        let entry = route.and_then(|(mut route, _)| route.versions.remove(envelope.to_version.as_ref()?));
        Ok(entry.and_then(|entry| entry.context).unwrap_or_default())
    }

    /// The view that an envelope gives its receiver. One that names what is remembered and gives no view, as that of a child does,
    /// gets the view that a handoff makes where it asks for nothing. What such a view is cut to the receiver knows of itself; where
    /// nobody says it, the route of the receiver does, which costs one message more. Where nobody remembers anything it costs none.
    ///
    /// # Errors
    /// [`Error::ObjectMissing`] and [`Error::ObjectCorrupt`] where the links or the manifest cannot be had, and where they
    /// do not belong to the envelope; [`Error::NoView`] where what must be in it does not fit; or when the server does not answer.
    pub async fn received_view(
        &self,
        envelope: &Envelope,
        size: Option<&ViewSize>,
        counter: fn() -> Counter<'static>,
    ) -> Result<ReceivedView, Error> {
        let tree = envelope.root();
        let corrupt = |problem: String| Error::ObjectCorrupt {
            tree: tree.clone(),
            object: envelope.id.to_string(),
            problem,
        };
        let context = EnvelopeContext::counted(envelope).map_err(|error| corrupt(error.to_string()))?;
        let Some(head) = context.head.clone() else {
            return Ok(ReceivedView::without_memories(envelope, context));
        };
        let mut contents = self.read_ahead(envelope, &context, &head).await;
        let heads = std::slice::from_ref(&head);
        let chain = self.chain_after(tree, heads, Reach::Catalogue, &contents).await?;
        contents.remove(&head);
        let candidates = chain.candidates();
        // Other references are a client's, to something that no hop has remembered.
        let keys: HashSet<&str> = candidates.iter().map(|one| one.memory.key.as_str()).collect();
        let is_known = |given: &&MemoryRef| keys.contains(given.key.as_str());
        let given: Vec<MemoryRef> = envelope.memory.iter().filter(is_known).cloned().collect();
        // A submitter that knows of no context gives a child the view of its parent, and no references.
        let is_own = |view: &&View| envelope.parent.is_none() || view.kept as usize == given.len();
        let manifest = match context.view.as_deref().filter(is_own).map(|view| &view.manifest) {
            Some(ManifestAt::Inline(manifest)) => (**manifest).clone(),
            Some(ManifestAt::Object(hash)) => {
                let bytes = self.get_object_at(tree, hash, 1).await?;
                Manifest::decode(&bytes).map_err(|error| corrupt(error.to_string()))?
            }
            None => {
                let request = match size {
                    Some(size) => own_request(envelope, size),
                    None => own_request(envelope, &self.view_size(envelope).await?),
                };
                let made = self.own_view(envelope, &request, &candidates, counter).await?;
                return self.rendered_own(envelope, (context, candidates), made).await;
            }
        };
        self.rendered(envelope, (context, candidates), (given, manifest), contents)
            .await
    }

    /// The newest link and what the references of a given view are to, in one question: a receiver that waits for the link first
    /// waits twice. What is not among it is read as everything else is.
    async fn read_ahead(
        &self,
        envelope: &Envelope,
        context: &EnvelopeContext,
        head: &ObjectHash,
    ) -> HashMap<ObjectHash, Bytes> {
        let of_view: Vec<ObjectHash> = match &context.view {
            Some(_) if context.bytes <= TOGETHER_BYTES => {
                let named = envelope.memory.iter().filter_map(|given| given.hash.as_deref());
                named.filter_map(|hash| hash.parse().ok()).take(TOGETHER).collect()
            }
            // Nobody knows what is in it, or it is too much to be asked for at once.
            Some(_) | None => Vec::new(),
        };
        match of_view.is_empty() {
            true => HashMap::new(),
            false => {
                let all = of_view.iter().chain([head]);
                self.verified_together(envelope.root(), all).await
            }
        }
    }

    /// A view with memories that its receiver has beside it, each with who wrote it: made anew with what they take, by the
    /// strategy and within the budget of the view.
    ///
    /// # Errors
    /// As [`Mesh::received_view`].
    pub async fn view_with(
        &self,
        envelope: &Envelope,
        view: ReceivedView,
        own: Vec<(Memory, String)>,
        (size, counter): (&ViewSize, fn() -> Counter<'static>),
    ) -> Result<ReceivedView, Error> {
        let ReceivedView { context, items, .. } = view;
        let depth = context.links.saturating_add(1);
        let own = own.into_iter().zip(0..).map(|((memory, by), index)| Candidate {
            memory,
            position: Position {
                depth,
                intent: envelope.intent.clone(),
                hop: envelope.hop,
                index,
            },
            by,
            out: None,
        });
        let own: Vec<Candidate> = own.collect();
        let is_older = |one: &Candidate| own.iter().any(|newer| newer.memory.key == one.memory.key);
        let of_chain = items.into_iter().map(|(candidate, _)| candidate);
        let mut candidates: Vec<Candidate> = of_chain.filter(|one| !is_older(one)).collect();
        candidates.extend(own);
        let mut request = own_request(envelope, size);
        if let Some(view) = context.view.as_deref() {
            (request.strategy, request.budget) = (view.strategy.clone(), view.budget);
        }
        let made = self.own_view(envelope, &request, &candidates, counter).await?;
        self.rendered_own(envelope, (context, candidates), made).await
    }

    /// What a receiver makes of what is remembered where its envelope gives it no view.
    async fn own_view(
        &self,
        envelope: &Envelope,
        request: &Request,
        candidates: &[Candidate],
        counter: fn() -> Counter<'static>,
    ) -> Result<MadeView, Error> {
        let fixed = Fixed::of(envelope);
        let made = self.made_view(envelope.root(), (request, &fixed), candidates, counter);
        made.await?.map_err(|error| Error::NoView {
            intent: envelope.intent.clone(),
            source: error,
        })
    }

    /// Makes a view: reads what nobody has counted with this counter, plans, and reads what the view has in full.
    ///
    /// # Errors
    /// When the server does not answer; or that no view can be made.
    pub async fn made_view(
        &self,
        tree: &IntentId,
        (request, fixed): (&Request, &Fixed),
        candidates: &[Candidate],
        counter: fn() -> Counter<'static>,
    ) -> Result<Result<MadeView, AssembleError>, Error> {
        let foreign = uncounted(request, candidates, &counter());
        let (mut contents, mut gaps) = self.memory_contents(tree, &foreign).await?;
        let content = |hash: &ObjectHash| contents.get(hash).map(|content| &content[..]);
        let mut memories = match planned(request, fixed, candidates, &counter(), &content) {
            Ok(memories) => memories,
            Err(error) => return Ok(Err(error)),
        };
        memories.retain(|memory| !contents.contains_key(&memory.hash));
        let (read, missing) = self.memory_contents(tree, &memories).await?;
        contents.extend(read);
        gaps.extend(missing);
        let content = |hash: &ObjectHash| contents.get(hash).map(|content| &content[..]);
        let made = assemble(request, fixed, candidates, &counter(), &content);
        Ok(made.map(|assembled| MadeView {
            assembled,
            contents,
            gaps,
        }))
    }

    /// A view that its receiver has made. What it could not count has a gap, too.
    async fn rendered_own(
        &self,
        envelope: &Envelope,
        (mut context, candidates): (EnvelopeContext, Vec<Candidate>),
        made: MadeView,
    ) -> Result<ReceivedView, Error> {
        let Assembled {
            view, refs, manifest, ..
        } = made.assembled;
        context.view = Some(Box::new(view));
        let of_envelope = (context, candidates);
        let mut view = self
            .rendered(envelope, of_envelope, (refs, manifest), made.contents)
            .await?;
        view.gaps = carried_gaps(&view.gaps, &made.gaps, |_| false);
        Ok(view)
    }

    /// The text of a view, with the contents that it has in full; those that were read already are not read again.
    async fn rendered(
        &self,
        envelope: &Envelope,
        (context, candidates): (EnvelopeContext, Vec<Candidate>),
        (given, manifest): (Vec<MemoryRef>, Manifest),
        mut contents: HashMap<ObjectHash, Bytes>,
    ) -> Result<ReceivedView, Error> {
        let tree = envelope.root();
        let levels = levels(&candidates, &given, &manifest).map_err(|error| Error::ObjectCorrupt {
            tree: tree.clone(),
            object: envelope.id.to_string(),
            problem: error.to_string(),
        })?;
        let items: Vec<(Candidate, Level)> = candidates.into_iter().zip(levels).collect();
        let full = items.iter().filter(|(_, level)| *level == Level::Full);
        let full: Vec<&Memory> = full.map(|(candidate, _)| &candidate.memory).collect();
        let unread: Vec<&Memory> = full
            .iter()
            .copied()
            .filter(|memory| !contents.contains_key(&memory.hash))
            .collect();
        let (read, gaps) = self.memory_contents(tree, &unread).await?;
        contents.extend(read);
        let completeness = Completeness::of((full.len() - gaps.len()) as u64, full.len() as u64);
        let given = items.iter().map(|(candidate, level)| (candidate, level.clone()));
        let content = |hash: &ObjectHash| contents.get(hash).map(|content| &content[..]);
        Ok(ReceivedView {
            text: render(&Fixed::of(envelope), given, &content),
            context,
            items,
            manifest: manifest.items,
            gaps,
            completeness,
            contents,
        })
    }
}

/// What a receiver asks for that is given no view.
fn own_request(envelope: &Envelope, size: &ViewSize) -> Request {
    let budget = view_budget(None, envelope.constraints.as_ref(), size.view_tokens);
    Request::trim(budget).for_factor(size.factor())
}

/// The memories that are small enough for one message each, in parts that may be asked for at once.
fn parts<'m>(memories: &[&'m Memory]) -> Vec<Vec<&'m Memory>> {
    let mut parts: Vec<Vec<&Memory>> = Vec::new();
    let mut bytes = TOGETHER_BYTES;
    for memory in memories.iter().filter(|memory| memory.bytes <= PIECE_BYTES as u64) {
        bytes += memory.bytes;
        match parts.last_mut() {
            Some(part) if bytes <= TOGETHER_BYTES && part.len() < TOGETHER => part.push(memory),
            Some(_) | None => {
                bytes = memory.bytes;
                parts.push(vec![memory]);
            }
        }
    }
    parts
}

fn broken(error: ChainError) -> Error {
    let (tree, object) = (error.tree.clone(), error.hash.to_string());
    match error.fault == ChainFault::Missing {
        true => Error::ObjectMissing { tree, object },
        false => Error::ObjectCorrupt {
            tree,
            object,
            problem: error.to_string(),
        },
    }
}
