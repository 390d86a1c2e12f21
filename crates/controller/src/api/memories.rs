//! Searches the memories of spaces.

use std::time::Duration;

use baton_envelope::control::{FoundMemories, FoundMemory, SearchMemories};
use baton_jetstream::Error;

use crate::context::Context;

/// How long the index may take to read what was written before the question.
const CATCH_UP: Duration = Duration::from_secs(8);

pub(super) async fn search(cx: &Context, asked: SearchMemories) -> Result<FoundMemories, Error> {
    let words = asked.checked()?;
    let Some(searched) = cx.projection.memories_caught_up(CATCH_UP).await? else {
        return Ok(FoundMemories::default());
    };
    let limit = asked.limit;
    // One more, to see whether there are more.
    let mut found = cx.projection.search_memories(&words, asked.space, limit + 1).await?;
    let more = u32::try_from(found.len()).is_ok_and(|found| found > limit);
    if more {
        found.pop();
    }
    let memories = found.into_iter().map(|(found, snippet)| FoundMemory {
        space: found.space,
        id: found.id,
        revision: found.revision,
        kind: found.kind,
        title: found.title,
        pinned: found.pinned,
        snippet,
    });
    Ok(FoundMemories {
        memories: memories.collect(),
        more,
        through: searched.through,
        behind: searched.behind,
    })
}
