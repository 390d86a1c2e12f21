//! The one error of this command: what kind, what happened, why, and what to do about it.

mod convert;
mod local;
mod mesh;

use std::process::ExitCode;

use baton_envelope::codes;
use serde::Serialize;

/// What kind of failure, which decides the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// The operation failed.
    Failed,
    /// The arguments are wrong.
    Usage,
    /// What was named does not exist.
    NotFound,
    /// It was refused, or conflicts with what is there.
    Refused,
    /// The time was up.
    TimedOut,
    /// The configuration is wrong.
    BadConfig,
    /// There is no usable mesh there.
    Unreachable,
    /// A mistake in Baton itself.
    Bug,
    /// A person wanted it to stop at once.
    Interrupted,
    /// Whoever read the output has gone: nothing to tell, and nobody to tell it to.
    OutputClosed,
}

impl Kind {
    /// The exit code.
    pub(crate) const fn exit(self) -> u8 {
        match self {
            Self::OutputClosed => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::NotFound => 3,
            Self::Refused => 4,
            Self::TimedOut => 5,
            Self::BadConfig => 64,
            Self::Unreachable => 69,
            Self::Bug => 70,
            Self::Interrupted => 130,
        }
    }
}

/// A failure as it is shown.
#[derive(Debug)]
pub(crate) struct CliError {
    /// What kind.
    pub(crate) kind: Kind,
    /// What a program branches on: one of [`codes`], or one that an agent or a newer controller gave.
    pub(crate) code: String,
    /// What happened, and why.
    pub(crate) source: anyhow::Error,
    /// What to do about it.
    pub(crate) hints: Vec<String>,
}

impl CliError {
    /// A failure of a kind, with its code.
    pub(crate) fn new(kind: Kind, code: impl Into<String>, source: anyhow::Error) -> Self {
        Self {
            kind,
            code: code.into(),
            source,
            hints: Vec::new(),
        }
    }

    /// A failure of a kind, in words.
    pub(crate) fn say(kind: Kind, code: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(kind, code, anyhow::Error::msg(message.into()))
    }

    /// Something that the operating system refused.
    pub(crate) fn io(source: anyhow::Error) -> Self {
        Self::new(Kind::Failed, codes::IO_FAILED, source)
    }

    /// A mistake in Baton itself; what happened was said by the panic.
    pub(crate) fn bug() -> Self {
        Self::say(Kind::Bug, codes::BUG, "this is a bug in Baton").hint("report it with the lines above")
    }

    /// Stopped at once by a person.
    pub(crate) fn interrupted() -> Self {
        Self::say(
            Kind::Interrupted,
            codes::INTERRUPTED,
            "interrupted: stopped at once by a second signal",
        )
        .hint("the work in progress goes to another worker; nothing is lost")
    }

    /// Says what to do about it.
    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        let hint = hint.into();
        if !hint.is_empty() {
            self.hints.push(hint);
        }
        self
    }

    /// The exit code of the process.
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.kind.exit())
    }

    /// How to read more about the code; `None` for one that Baton does not give itself.
    pub(crate) fn explained(&self) -> Option<String> {
        codes::find(&self.code).map(|_| format!("`baton explain {}` says more", self.code))
    }

    /// What happened.
    pub(crate) fn message(&self) -> String {
        self.source.to_string()
    }

    /// Why, outermost first; a cause that only repeats what was said is left out.
    pub(crate) fn causes(&self) -> Vec<String> {
        let mut said = self.message();
        let mut causes = Vec::new();
        for cause in self.source.chain().skip(1) {
            let text = cause.to_string();
            if !said.contains(&text) {
                causes.push(text.clone());
                said = text;
            }
        }
        causes
    }
}
