//! Which requests are recorded: one that comes again changes nothing.

use crate::intent::signals::short;

/// How many requests are remembered.
const MOST_TOPPED: usize = 64;

/// Whether a request is among those that are remembered.
pub(super) fn knows(topped: Option<&str>, id: &str) -> bool {
    let hash = short(id);
    let topped = topped.unwrap_or_default();
    topped
        .as_bytes()
        .chunks(hash.len())
        .any(|known| known == hash.as_bytes())
}

/// Remembers a request, and forgets the oldest beyond the most.
pub(super) fn remember(topped: &mut Option<String>, id: &str) {
    let hash = short(id);
    let mut all = topped.take().unwrap_or_default() + &hash;
    let most = MOST_TOPPED * hash.len();
    if all.len() > most {
        all = all.split_off(all.len() - most);
    }
    *topped = Some(all);
}
