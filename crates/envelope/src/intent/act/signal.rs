//! Somebody tells an open intent something.

use crate::base::wire::Extra;
use crate::intent::draft::Draft;
use crate::intent::event::Event;
use crate::intent::signals::tell;
use crate::intent::snapshot::Snapshot;
use crate::intent::status::IllegalTransition;
use crate::intent::waits::{SignalEntry, UnreadSignal};

/// Keeps a signal for the first wait of its name. It changes nothing else, so a holder writes on after it.
///
/// # Errors
/// When this may not follow the status of the head.
pub fn signal(head: &Snapshot, entry: SignalEntry) -> Result<Draft, IllegalTransition> {
    let mut draft = Draft::after(head, Event::Signalled)?;
    draft.snapshot.signals.push(UnreadSignal {
        name: entry.name.clone(),
        id: entry.id.clone(),
        seq: None,
        extra: Extra::new(),
    });
    tell(&mut draft.snapshot, &entry.id);
    draft.signal = Some(Box::new(entry));
    Ok(draft)
}
