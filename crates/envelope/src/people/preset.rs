//! The presets: one table of choices, form and effect. `docs/protocol.md` has the same table; a test compares them.

use crate::base::json::Json;
use crate::base::wire_enum::wire_enum;
use crate::people::approval::{Choice, Weight};

wire_enum! {
    /// What kind of question it is.
    pub enum Preset {
        /// May this go on?
        Approval = "approval",
        /// Is this what you want?
        Confirmation = "confirmation",
        /// Is this good enough?
        Review = "review",
        /// What did you mean?
        Clarification = "clarification",
        /// Please fill this in.
        Form = "form",
        /// An operator gives a seat to somebody else.
        Assignment = "assignment",
        /// An operator decides in the place of all.
        Override = "override",
    }
}

/// One row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PresetRow {
    /// The preset.
    pub preset: &'static Preset,
    /// The choices that accept.
    pub accepts: &'static [&'static str],
    /// The choices against it.
    pub rejects: &'static [&'static str],
    /// The JSON schema of the answer; empty for none, `*` for the one that the approval must give.
    pub form: &'static str,
    /// What becomes of it.
    pub effect: &'static str,
}

const COMMENT: &str = r#"{"type":"object","properties":{"comment":{"type":"string"}}}"#;
const ANSWER: &str = r#"{"type":"object","properties":{"answer":{"type":"string"}},"required":["answer"]}"#;

/// The table.
pub const PRESETS: [PresetRow; 7] = [
    PresetRow {
        preset: &Preset::Approval,
        accepts: &["approve"],
        rejects: &["reject"],
        form: "",
        effect: "the hop goes on and finds whether it was accepted",
    },
    PresetRow {
        preset: &Preset::Confirmation,
        accepts: &["confirm"],
        rejects: &["cancel"],
        form: "",
        effect: "the hop goes on and finds whether it was accepted",
    },
    PresetRow {
        preset: &Preset::Review,
        accepts: &["approve", "revise"],
        rejects: &["reject"],
        form: COMMENT,
        effect: "the hop goes on with the choice and the comment",
    },
    PresetRow {
        preset: &Preset::Clarification,
        accepts: &["answer"],
        rejects: &[],
        form: ANSWER,
        effect: "the hop goes on with the answer",
    },
    PresetRow {
        preset: &Preset::Form,
        accepts: &["submit"],
        rejects: &["decline"],
        form: "*",
        effect: "the hop goes on with the form",
    },
    PresetRow {
        preset: &Preset::Assignment,
        accepts: &[],
        rejects: &[],
        form: "",
        effect: "a seat goes to somebody else and has no vote any more",
    },
    PresetRow {
        preset: &Preset::Override,
        accepts: &[],
        rejects: &[],
        form: "",
        effect: "the choice of the operator is the outcome, whatever the votes are",
    },
];

impl Preset {
    /// Its row; that of `approval` for a preset of a newer version.
    pub fn row(&self) -> &'static PresetRow {
        let [first, ..] = &PRESETS;
        PRESETS.iter().find(|row| row.preset == self).unwrap_or(first)
    }
}

impl PresetRow {
    /// The choices, those that accept first.
    pub fn choices(&self) -> Vec<Choice> {
        let accepts = self.accepts.iter().map(|name| Choice::accepts(*name));
        let rejects = self.rejects.iter().map(|name| Choice::rejects(*name));
        accepts.chain(rejects).collect()
    }

    /// The form, where the preset has one of its own.
    pub fn form(&self) -> Option<Json> {
        Json::parse(self.form).ok()
    }

    /// Whether a choice of it accepts.
    pub fn weight(&self, choice: &str) -> Option<Weight> {
        let found = self.choices().into_iter().find(|offered| offered.name == choice);
        found.map(|offered| offered.counts)
    }
}
