//! What is undone, with every field set.

use baton_envelope::*;

use super::{agent, full_object_ref, json};

pub(crate) fn full_undo() -> Undo {
    Undo {
        kind: Some("flight.cancel.v1".to_owned()),
        payload_encoding: Some("base64".to_owned()),
        ..Undo::new(agent("cancel-flight"), json("\"Zg==\""))
    }
}

/// What is undone, with every field set.
pub(crate) fn full_undoing() -> Undoing {
    Undoing {
        named: 3,
        error: Some(ErrorInfo::new("NO_CARS", "none is left")),
        fails: true,
        planned: Some(3),
        done: 1,
        again: 2,
        extra: Extra::new(),
    }
}

pub(crate) fn full_planned_undo() -> PlannedUndo {
    PlannedUndo {
        hop: 3,
        step: Some("flight".to_owned()),
        agent: agent("cancel-flight"),
        extra: Extra::new(),
    }
}

pub(crate) fn full_step() -> StepEntry {
    StepEntry {
        undo: Some(Box::new(full_undo())),
        result_ref: Some(Box::new(full_object_ref())),
        ..StepEntry::new("ocr", json("[1]"))
    }
}
