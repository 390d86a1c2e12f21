//! Memories that outlive a tree: what a hop reads of a space, and what it writes there.

use std::sync::Arc;

use baton_envelope::context::{MemoryKey, SpaceMemory, SpaceWrite};
use baton_envelope::{Json, SpaceName, codes};
use baton_jetstream::{Error, KeptMemory, WorkerMesh};
use serde::{Deserialize, Serialize};

use crate::fault::Fault;
use crate::hop::Hop;
use crate::memory::Memory;

/// What the name of a step begins with that writes into a space.
const STEP: &str = "space:";

/// What the step of a write records.
#[derive(Debug, Serialize, Deserialize)]
struct Written {
    revision: u64,
}

/// A space, as a hop sees it: memories that outlive every tree. It reads what stands there now; what must be the same in a
/// later attempt and in a replay is read in a step.
///
/// ```
/// # use baton_agent::{Fault, Hop, Kind, Memory};
/// # async fn handle(hop: &mut Hop) -> Result<(), Fault> {
/// let house = hop.space("house-rules")?;
/// let rules = hop.step("rules", || house.list()).await?;
/// if let Some(rule) = house.get("retries").await? {
///     let better = Memory::new("retries", Kind::Decision, "Retry with jitter.").pin();
///     // Refused, and the attempt is made again, where another came first.
///     house.put_over(hop, better, rule.revision).await?;
/// }
/// # drop(rules);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Space {
    mesh: WorkerMesh,
    name: SpaceName,
}

impl Hop {
    /// A space by its name.
    ///
    /// # Errors
    /// When the name can be none of a space.
    pub fn space(&self, name: &str) -> Result<Space, Fault> {
        let name = name.parse::<SpaceName>().map_err(|error| refused(error.to_string()))?;
        let mesh = self
            .mesh
            .clone()
            .ok_or_else(|| Fault::terminal(codes::REPLAY_UNSUPPORTED, "there is no mesh to read from"))?;
        Ok(Space { mesh, name })
    }

    /// What is pinned in the spaces of the agent, with its contents: the same in every attempt.
    pub(crate) async fn pinned_of_spaces(&mut self) -> Result<Vec<KeptMemory>, Fault> {
        let mut all: Vec<KeptMemory> = Vec::new();
        for name in &Arc::clone(&self.own_view).spaces {
            let space = self.space(name.as_str())?;
            let pinned = self.step(&format!("{STEP}{name}"), || space.pinned()).await?;
            all.extend(pinned);
        }
        Ok(all)
    }
}

impl Space {
    /// The newest revision of each memory that is not forgotten, in the order of their ids and without the contents.
    ///
    /// # Errors
    /// When the mesh has no memories, or the server does not answer.
    pub async fn list(&self) -> Result<Vec<KeptMemory>, Fault> {
        let list = Box::pin(self.mesh.space_memories(&self.name)).await;
        let mut memories = list.map_err(|error| unreached(&error))?.memories;
        memories.retain(|kept| !kept.record.is_forgotten());
        Ok(memories)
    }

    /// A memory with its content; `None` where there is none, or it was forgotten.
    ///
    /// # Errors
    /// When the id can be none, what stands there cannot be read, or the server does not answer.
    pub async fn get(&self, id: &str) -> Result<Option<KeptMemory>, Fault> {
        let id = id.parse::<MemoryKey>().map_err(|error| refused(error.to_string()))?;
        let found = Box::pin(self.mesh.space_memory(&self.name, &id)).await;
        let found = found.map_err(|error| unreached(&error))?;
        Ok(found.filter(|kept| !kept.record.is_forgotten()))
    }

    async fn pinned(&self) -> Result<Vec<KeptMemory>, Fault> {
        let mut pinned = Vec::new();
        for kept in self.list().await? {
            if kept.record.memory.as_ref().is_some_and(|memory| memory.pinned) {
                pinned.extend(self.get(kept.id().as_str()).await?);
            }
        }
        Ok(pinned)
    }

    /// Writes a memory that the space does not have, and gives its revision. It is a step of the hop: in every attempt the first
    /// write of this id is the same one, and the second another.
    ///
    /// # Errors
    /// With the code `MEMORY_CHANGED` when the space has it; when an attribute is refused, the server does not allow this agent
    /// to write there, or the ledger cannot be written. In a replay, when the write has no record.
    pub async fn put(&self, hop: &mut Hop, memory: Memory) -> Result<u64, Fault> {
        self.write(hop, memory, None).await
    }

    /// As [`Space::put`], over this revision.
    ///
    /// # Errors
    /// With the code `MEMORY_CHANGED` when the memory is at another revision; or as [`Space::put`].
    pub async fn put_over(&self, hop: &mut Hop, memory: Memory, revision: u64) -> Result<u64, Fault> {
        self.write(hop, memory, Some(revision)).await
    }

    async fn write(&self, hop: &mut Hop, memory: Memory, over: Option<u64>) -> Result<u64, Fault> {
        let described = memory.described()?;
        let of = format!("{STEP}{}:{}", self.name, described.key);
        let number = hop.calls.get(&of).map_or(1, |made| made.saturating_add(1));
        let name = if number == 1 {
            of.clone()
        } else {
            format!("{of}-{number}")
        };
        let revision = match hop.steps.get(&name) {
            Some(recorded) => {
                let read = recorded.read::<Written>();
                let changed = |error| {
                    Fault::terminal(
                        codes::STEP_CHANGED,
                        format!("the recorded result of \"{name}\": {error}"),
                    )
                };
                read.map_err(changed)?.revision
            }
            None => self.write_once(hop, &name, (described, memory.content), over).await?,
        };
        // Only what was written counts: after a refusal the next one is still the first.
        hop.calls.insert(of, number);
        Ok(revision)
    }

    async fn write_once(
        &self,
        hop: &mut Hop,
        name: &str,
        (memory, content): (baton_envelope::context::Memory, Vec<u8>),
        over: Option<u64>,
    ) -> Result<u64, Fault> {
        if let Some(sandbox) = hop.sandbox() {
            return Err(sandbox.new_step(name));
        }
        hop.has_room(1)?;
        let version = hop.version.as_ref().map(|version| format!("@{version}"));
        let write = SpaceWrite {
            // An intent may live a second time under its id, and its hop then writes anew.
            write: format!("{}:{name}", hop.envelope.id),
            by: format!("{}{}", hop.envelope.to, version.unwrap_or_default()),
            at: hop.clock.now(),
        };
        let record = SpaceMemory::new(self.name.clone(), memory, &content, write);
        let record = record.map_err(|bad| refused(bad.to_string()))?;
        // A holder that was taken over writes nothing.
        hop.visible().await?;
        // An attempt before may have written it and not recorded that, and others may have gone over it since.
        let before = Box::pin(self.mesh.memory_written(&record)).await;
        let written = match before.map_err(|error| unreached(&error))? {
            Some(written) => written,
            None => {
                let written = Box::pin(self.mesh.put_memory(record, over)).await;
                written.map_err(|error| unreached(&error))?
            }
        };
        let revision = written.revision;
        let result = Json::of(&Written { revision }).map_err(|error| refused(error.to_string()))?;
        hop.record_step(name, result, None).await?;
        Ok(revision)
    }
}

impl Memory {
    /// A memory of a space, to be remembered in this tree: so that the views after this hop have it, as it is now. `None` where
    /// its content was not read.
    pub fn of_space(kept: &KeptMemory) -> Option<Self> {
        let (memory, content) = (kept.record.memory.as_ref()?, kept.record.bytes()?);
        let mut of =
            Self::new(memory.key.as_str(), memory.kind.clone(), content).relevance(memory.relevance.get().into());
        if let Some(title) = &memory.title {
            of = of.title(title);
        }
        if let Some(media) = &memory.media {
            of = of.media(media);
        }
        if let Some(summary) = &memory.summary {
            of = of.summary(summary);
        }
        of = of.taken_from(kept.record.space.clone(), kept.revision);
        Some(if memory.pinned { of.pin() } else { of })
    }
}

fn refused(problem: String) -> Fault {
    Fault::terminal(codes::BAD_MEMORY, problem)
}

/// What becomes of a hop that cannot read a space or write there. Only where the server is away another worker fares no better.
fn unreached(error: &Error) -> Fault {
    match matches!(error, Error::NoAnswer { .. } | Error::NotStored { .. }) {
        true => Fault::unwritten(error),
        false => Fault::retry(error.to_string()).with_code(error.code()),
    }
}
