//! Pipelines: the way of work from agent to agent, as a file says it.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::names::AgentName;
use crate::message::envelope::Envelope;

/// A way of work through agents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pipeline {
    /// The steps; work begins with the first.
    pub steps: Vec<PipelineStep>,
}

/// One agent of a pipeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PipelineStep {
    /// The agent.
    pub agent: AgentName,
    /// Who may follow, the usual one first; nobody where the pipeline ends.
    pub next: Vec<AgentName>,
    /// Whether the agent may complete the intent although somebody may follow.
    pub may_end: bool,
    /// The line of the file that names the step.
    pub line: usize,
}

/// Why a file is no pipeline.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem}; fix: {fix}")]
pub struct BadPipeline {
    /// The line of the file.
    pub line: usize,
    /// What is wrong there.
    pub problem: String,
    /// What to do.
    pub fix: String,
}

impl Pipeline {
    /// Checks that work can go through it and comes to an end.
    ///
    /// # Errors
    /// The first step that is there twice, leads to an agent that is no step, is reached by no other, or lies on a cycle without
    /// a way out.
    pub fn check(&self) -> Result<(), BadPipeline> {
        let bad = |line, problem: String, fix: &str| {
            let fix = fix.to_owned();
            Err(BadPipeline { line, problem, fix })
        };
        let mut steps: BTreeMap<&AgentName, &PipelineStep> = BTreeMap::new();
        for step in &self.steps {
            if let Some(before) = steps.insert(&step.agent, step) {
                let problem = format!("\"{}\" is a step already, on line {}", step.agent, before.line);
                return bad(
                    step.line,
                    problem,
                    "name each agent once; to go back to one, name it in `next`",
                );
            }
        }
        let Some(first) = self.steps.first() else {
            return bad(1, "it has no steps".to_owned(), "add [[steps]] with an `agent`");
        };
        for step in &self.steps {
            if let Some(unknown) = step.next.iter().find(|agent| !steps.contains_key(agent)) {
                let problem = format!("\"{}\" leads to \"{unknown}\", which is no step", step.agent);
                return bad(step.line, problem, "add a step for it, or name another agent in `next`");
            }
        }
        let reached = self.reached(BTreeSet::from([&first.agent]), |step, from| {
            if from.contains(&step.agent) {
                step.next.iter().collect()
            } else {
                Vec::new()
            }
        });
        if let Some(step) = self.steps.iter().find(|step| !reached.contains(&step.agent)) {
            let problem = format!("no step leads to \"{}\"", step.agent);
            return bad(step.line, problem, "name it in `next` of another step, or leave it out");
        }
        let ends = self.steps.iter().filter(|step| step.next.is_empty() || step.may_end);
        let ending = self.reached(ends.map(|step| &step.agent).collect(), |step, from| {
            let leads = step.next.iter().any(|agent| from.contains(agent));
            leads.then_some(&step.agent).into_iter().collect()
        });
        if let Some(stuck) = self.steps.iter().find(|step| !ending.contains(&step.agent)) {
            let (cycle, line) = cycle_from(stuck, &steps);
            let problem = format!("work goes round for ever: {}", cycle.join(" -> "));
            let fix = "name a step outside of the cycle in `next` of one of them, or say `may_end = true` where an agent completes";
            return bad(line, problem, fix);
        }
        Ok(())
    }

    /// The agents that a rule adds to these, until it adds none.
    fn reached<'p>(
        &'p self,
        mut found: BTreeSet<&'p AgentName>,
        adds: impl Fn(&'p PipelineStep, &BTreeSet<&'p AgentName>) -> Vec<&'p AgentName>,
    ) -> BTreeSet<&'p AgentName> {
        loop {
            let before = found.len();
            for step in &self.steps {
                found.extend(adds(step, &found));
            }
            if found.len() == before {
                return found;
            }
        }
    }

    /// The agents in a row, where nothing but the one row is possible.
    fn row(&self) -> Option<Vec<AgentName>> {
        let next_of = |agent: &AgentName| self.steps.iter().find(|step| step.agent == *agent);
        let mut row: Vec<AgentName> = Vec::new();
        let mut at = self.steps.first()?;
        loop {
            if row.contains(&at.agent) {
                return None;
            }
            row.push(at.agent.clone());
            match at.next.as_slice() {
                [] => return Some(row),
                [one] => at = next_of(one)?,
                _ => return None,
            }
        }
    }

    /// Has an envelope for the first agent go this way: what it carries is all that its hops go by, whatever becomes of the
    /// file. A pipeline without choices and cycles is an itinerary, which any version of the protocol can use up.
    pub fn put_into(&self, envelope: &mut Envelope) {
        match self.row() {
            Some(row) => envelope.itinerary = row.into_iter().skip(1).collect(),
            None => {
                let leads = self.steps.iter().filter(|step| !step.next.is_empty());
                envelope.next = leads.map(|step| (step.agent.clone(), step.next.clone())).collect();
            }
        }
    }
}

/// The cycle that work comes to from a step that leads to no end, and the line of the step that closes it.
fn cycle_from<'p>(from: &'p PipelineStep, steps: &BTreeMap<&'p AgentName, &'p PipelineStep>) -> (Vec<String>, usize) {
    let mut seen: Vec<&PipelineStep> = vec![from];
    let mut last = from;
    while let Some(step) = last.next.first().and_then(|next| steps.get(next)) {
        if let Some(at) = seen.iter().position(|before| before.agent == step.agent) {
            let round = seen.iter().skip(at).chain([step]);
            return (round.map(|step| step.agent.to_string()).collect(), last.line);
        }
        seen.push(step);
        last = step;
    }
    (vec![from.agent.to_string()], from.line)
}
