//! The context of a hop: what it is given of what the hops before it remember, and what it remembers itself.

use std::sync::Arc;

use baton_envelope::context::{self, MemoryKey};
use baton_envelope::{Json, codes};
use baton_jetstream::{Error, ReceivedView, WorkerMesh};
use serde::{Deserialize, Serialize};

use crate::fault::Fault;
use crate::given::Context;
use crate::hop::{Hop, Journal};
use crate::memory::{HandedOn, Memory, token_counter};

/// What the name of a step begins with that is a memory.
const STEP: &str = "memory:";
/// The most bytes of one slice of a memory.
const SLICE: usize = 64 * 1024;
/// The most bytes that the recalls of one hop come to.
const RECALLED: usize = 4 * 1024 * 1024;

/// A memory as a step records it.
#[derive(Debug, Serialize, Deserialize)]
struct Remembered {
    /// How many the hop had remembered before.
    place: usize,
    memory: context::Memory,
}

impl Hop {
    /// What this hop was given of what the hops before it remember. The first call reads it; where nobody remembers anything,
    /// that costs no message.
    ///
    /// # Errors
    /// When an object that it needs cannot be had, or the server does not answer.
    pub async fn context(&mut self) -> Result<Context, Fault> {
        if let Some(known) = &self.context {
            return Ok(known.clone());
        }
        let size = Some(&self.own_view.size);
        let view = self.mesh()?.received_view(&self.envelope, size, token_counter);
        let view = Box::pin(view).await;
        let mut view = view.map_err(|error| unread(&error))?;
        if !self.own_view.spaces.is_empty() {
            view = Box::pin(self.with_spaces(view)).await?;
        }
        if let (Journal::Ledger(claim), 1..) = (&self.journal, view.completeness.requested) {
            claim.lock().await.read = Some(view.completeness.clone());
        }
        if let [_, ..] = &view.gaps[..] {
            self.gaps_are_allowed(&view)?;
        }
        let context = Context { view: Arc::new(view) };
        self.context = Some(context.clone());
        Ok(context)
    }

    /// The view with what is pinned in the spaces of the agent. What the tree does not have yet the hop remembers, so that the
    /// views after it have it, too.
    async fn with_spaces(&mut self, view: ReceivedView) -> Result<ReceivedView, Fault> {
        let mut pinned = self.pinned_of_spaces().await?;
        pinned.retain(|kept| {
            let hash = kept.record.memory.as_ref().map(|memory| &memory.hash);
            let mut known = view.items.iter().map(|(candidate, _)| &candidate.memory);
            !known.any(|memory| memory.key == *kept.id() && Some(&memory.hash) == hash)
        });
        for memory in pinned.iter().filter_map(Memory::of_space) {
            self.remember(memory).await?;
        }
        let mut own = Vec::new();
        for memory in self.remembered() {
            if let Some(kept) = pinned.iter().find(|kept| *kept.id() == memory.key) {
                own.push((memory, kept.record.by.clone()));
            }
        }
        if own.is_empty() {
            return Ok(view);
        }
        let size = &self.own_view.size;
        let made = self
            .mesh()?
            .view_with(&self.envelope, view, own, (size, token_counter))
            .await;
        made.map_err(|error| unread(&error))
    }

    /// A pin that cannot be had fails the attempt: the object may come back. Everything else is a gap that is told.
    fn gaps_are_allowed(&self, view: &ReceivedView) -> Result<(), Fault> {
        let is_gap = |memory: &context::Memory| view.gaps.iter().any(|gap| gap.key == memory.key);
        let mut pinned = view.items.iter().filter(|(candidate, _)| candidate.memory.pinned);
        match pinned.find(|(candidate, _)| is_gap(&candidate.memory)) {
            None => {
                let missing = view.gaps.len();
                tracing::warn!(intent = %self.intent(), hop = self.number(), missing, "the view of this hop has gaps");
                Ok(())
            }
            Some((candidate, _)) => {
                let key = &candidate.memory.key;
                let text = format!("memory \"{key}\" is pinned, and its content cannot be had");
                Err(Fault::retry(text).with_code(codes::CONTEXT_MISSING))
            }
        }
    }

    /// The content of a memory of the hops before this one, whether the view has it or not; verified, and in slices of 64 KiB:
    /// `None` behind its end. All recalls of a hop come to 4 MiB at most.
    ///
    /// # Errors
    /// When no hop before remembered it, its content cannot be had, or the hop has recalled too much.
    pub async fn recall(&mut self, key: &str, offset: usize) -> Result<Option<Vec<u8>>, Fault> {
        let refused = |problem: String| Fault::terminal(codes::BAD_MEMORY, problem);
        let key: MemoryKey = key.parse().map_err(|error| refused(format!("the recall: {error}")))?;
        let context = self.context().await?;
        let mut items = context.view.items.iter().map(|(candidate, _)| &candidate.memory);
        let Some(memory) = items.find(|memory| memory.key == key) else {
            return Err(refused(format!("no hop before this one remembered \"{key}\"")));
        };
        let content = match context.view.content(&memory.hash) {
            Some(content) => content.clone(),
            None => {
                let found = self.mesh()?.get_object_at(self.envelope.root(), &memory.hash, 1).await;
                found.map_err(|error| unread(&error))?
            }
        };
        let end = content.len().min(offset.saturating_add(SLICE));
        let Some(slice) = content
            .get(offset..end)
            .filter(|slice| !slice.is_empty() || offset == 0)
        else {
            return Ok(None);
        };
        self.recalled += slice.len();
        if self.recalled > RECALLED {
            let text = format!(
                "the hop has recalled {} bytes, and {RECALLED} are the most",
                self.recalled
            );
            return Err(refused(text));
        }
        Ok(Some(slice.to_vec()))
    }

    /// Remembers something for the agents after this one. In every attempt the same key is the same memory, stored once. In a
    /// replay nothing is written.
    ///
    /// # Errors
    /// When an attribute is refused, the tree has no room for the content, or the ledger cannot be written; or where an attempt
    /// before has remembered something else under this key.
    pub async fn remember(&mut self, memory: Memory) -> Result<(), Fault> {
        let described = memory.described()?;
        let name = format!("{STEP}{}", described.key);
        if let Some(recorded) = self.steps.get(&name) {
            let known: Option<Remembered> = recorded.read().ok();
            return match known.is_some_and(|known| known.memory.hash == described.hash) {
                true => Ok(()),
                false => Err(Fault::terminal(
                    codes::STEP_CHANGED,
                    format!("the hop has remembered another content under \"{}\"", described.key),
                )),
            };
        }
        if let Some(sandbox) = self.sandbox() {
            return Err(sandbox.new_step(&name));
        }
        let version = self.version.as_ref().map(|version| format!("@{version}"));
        let by = format!("{}{}", self.envelope.to, version.unwrap_or_default());
        let described = described.counted(&by, &memory.content, &token_counter());
        self.has_room(1)?;
        // A holder that was taken over stores nothing.
        self.visible().await?;
        let media = described.media.as_deref().unwrap_or("text/plain");
        let stored = self
            .mesh()?
            .put_object(self.envelope.root(), memory.content.into(), media);
        let object = Box::pin(stored).await.map_err(|error| Fault::unstored(&error))?;
        if object.at.is_some() {
            let text = format!("the place of memory \"{}\" has other bytes", described.key);
            return Err(Fault::terminal(codes::CONTEXT_CORRUPT, text));
        }
        let remembered = Remembered {
            place: self.remembered().len(),
            memory: described,
        };
        let result = Json::of(&remembered).map_err(|error| Fault::terminal(codes::NOT_JSON, error.to_string()))?;
        self.record_step(&name, result, None).await
    }

    /// What it hands on to whoever comes after it.
    pub(crate) fn handed_on(&mut self) -> HandedOn {
        HandedOn {
            memories: match self.steps.is_empty() {
                true => Vec::new(),
                false => self.remembered(),
            },
            joined: std::mem::take(&mut self.joined),
            seen: self.context.as_ref().map(|context| Box::new(context.seen())),
            view: None,
            task: None,
        }
    }

    /// What it has remembered, in its order.
    pub(crate) fn remembered(&self) -> Vec<context::Memory> {
        let steps = self
            .steps
            .range(STEP.to_owned()..)
            .take_while(|(name, _)| name.starts_with(STEP));
        let mut found: Vec<Remembered> = steps.filter_map(|(_, result)| result.read().ok()).collect();
        found.sort_by_key(|one| one.place);
        found.into_iter().map(|one| one.memory).collect()
    }

    fn mesh(&self) -> Result<&WorkerMesh, Fault> {
        self.mesh
            .as_ref()
            .ok_or_else(|| Fault::terminal(codes::REPLAY_UNSUPPORTED, "there is no mesh to read from"))
    }
}

/// What becomes of a hop that cannot read its context.
fn unread(error: &Error) -> Fault {
    match error.is_of_object() || matches!(error, Error::NoView { .. }) {
        true => Fault::retry(error.to_string()).with_code(error.code()),
        false => Fault::unwritten(error),
    }
}
