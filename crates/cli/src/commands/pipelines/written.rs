//! A pipeline as its file is written. `crates/fuzz` compiles this file, too.

use std::ops::Range;

use baton_envelope::{AgentName, BadPipeline, Pipeline, PipelineStep};
use serde::Deserialize;
use toml::Spanned;

/// A file as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    steps: Vec<WrittenStep>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenStep {
    agent: Spanned<AgentName>,
    /// Without it the step below follows, and after the last none.
    #[serde(default)]
    next: Option<Vec<AgentName>>,
    #[serde(default)]
    may_end: bool,
}

/// The description and the steps of a file.
///
/// # Errors
/// When it is no TOML, or work cannot go through it.
pub(crate) fn parsed(text: &str) -> Result<(Option<String>, Pipeline), BadPipeline> {
    let line = |span: Option<Range<usize>>| {
        let before = text.get(..span.map_or(0, |span| span.start)).unwrap_or_default();
        before.matches('\n').count() + 1
    };
    let written: Written = toml::from_str(text).map_err(|error| BadPipeline {
        line: line(error.span()),
        problem: error.message().to_owned(),
        fix: "write it as docs/operations.md says: [[steps]] with `agent`, and where needed `next` and `may_end`"
            .to_owned(),
    })?;
    let below = written
        .steps
        .iter()
        .skip(1)
        .map(|step| Some(step.agent.get_ref().clone()));
    let below: Vec<Option<AgentName>> = below.chain([None]).collect();
    let steps = written.steps.into_iter().zip(below).map(|(step, below)| PipelineStep {
        line: line(Some(step.agent.span())),
        agent: step.agent.into_inner(),
        next: step.next.unwrap_or_else(|| below.into_iter().collect()),
        may_end: step.may_end,
    });
    let pipeline = Pipeline { steps: steps.collect() };
    pipeline.check()?;
    Ok((written.description, pipeline))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOP: &str = "[[steps]]\nagent = \"write\"\n\n[[steps]]\nagent = \"review\"\nnext = [\"write\"]\n";

    fn said(text: &str) -> String {
        match parsed(text) {
            Ok((_, pipeline)) => format!("{pipeline:?}"),
            Err(bad) => format!("{}: {}", bad.line, bad.problem),
        }
    }

    #[test]
    fn a_step_without_next_leads_to_the_one_below() {
        let (description, pipeline) = parsed(
            "description = \"x\"\n[[steps]]\nagent = \"write\"\n[[steps]]\nagent = \"review\"\nnext = [\"publish\", \"write\"]\n[[steps]]\nagent = \"publish\"\n",
        )
        .expect("a pipeline");
        assert_eq!(description.as_deref(), Some("x"));
        let steps: Vec<(&str, usize, usize)> = pipeline
            .steps
            .iter()
            .map(|step| (step.agent.as_str(), step.next.len(), step.line))
            .collect();
        assert_eq!(steps, [("write", 1, 3), ("review", 2, 5), ("publish", 0, 8)]);
    }

    #[test]
    fn what_cannot_be_gone_through_is_refused_with_its_line() {
        assert_eq!(said(LOOP), "5: work goes round for ever: write -> review -> write");
        assert!(!said(&format!("{LOOP}may_end = true\n")).contains("for ever"));
        for (text, expected) in [
            ("", "1: it has no steps"),
            ("[[steps]]\nagent = \"a.b\"\n", "2: "),
            ("[[steps]]\nagent = \"a\"\nnxt = []\n", "3: unknown field `nxt`"),
            (
                "[[steps]]\nagent = \"a\"\nnext = [\"b\"]\n",
                "2: \"a\" leads to \"b\", which is no step",
            ),
            (
                "[[steps]]\nagent = \"a\"\n[[steps]]\nagent = \"a\"\n",
                "4: \"a\" is a step already, on line 2",
            ),
            (
                "[[steps]]\nagent = \"a\"\nnext = []\n[[steps]]\nagent = \"b\"\n",
                "5: no step leads to \"b\"",
            ),
            (
                "[[steps]]\nagent = \"a\"\nnext = [\"a\"]\n",
                "2: work goes round for ever: a -> a",
            ),
        ] {
            let said = said(text);
            assert!(said.starts_with(expected), "{said:?}, and not {expected:?}");
        }
    }
}
