//! Where an intent goes after the present agent, as its envelope says.

use crate::base::mutants::Mutant;
use crate::base::names::AgentName;
use crate::base::text::quoted;
use crate::message::envelope::Envelope;
use crate::message::text::BadText;
use crate::version::path::PathEntry;

/// The most names in `next` of an envelope.
pub const MOST_NEXT: usize = 256;
/// How many characters of an itinerary a refusal quotes.
const QUOTED: usize = 200;

impl Envelope {
    /// The agent that is next: the first of the itinerary; where that is used up, the first that `next` names after the agent
    /// whose work this is. `None` where nothing follows.
    pub fn next_agent(&self) -> Option<&AgentName> {
        let after = || self.next.get(self.meant_for()).and_then(|after| after.first());
        self.itinerary.first().or_else(after)
    }

    /// The agent whose work this is, whoever stands in for it.
    pub fn meant_for(&self) -> &AgentName {
        let stands_in = self.stands_in.as_deref();
        stands_in.map_or(&self.to, |stands_in| &stands_in.for_agent)
    }

    /// What is left of the itinerary when the work goes to an agent: where that is the next one, its entry is used up.
    pub fn itinerary_after(&self, to: &AgentName) -> Vec<AgentName> {
        match self.itinerary.split_first() {
            Some((first, rest)) if first == to || Mutant::P14DetoursSkip.is_on() => rest.to_vec(),
            Some(_) | None => self.itinerary.clone(),
        }
    }

    /// Every agent that the work is to go to, each once.
    pub fn agents_ahead(&self) -> Vec<&AgentName> {
        let mut ahead: Vec<&AgentName> = self.itinerary.iter().collect();
        ahead.extend(
            self.next
                .iter()
                .flat_map(|(agent, after)| std::iter::once(agent).chain(after)),
        );
        ahead.sort_unstable();
        ahead.dedup();
        ahead
    }

    /// Checks that the itinerary can be gone through.
    ///
    /// # Errors
    /// When `max_hops` ends it on the way, or `next` has too many names.
    pub fn check_itinerary(&self) -> Result<(), BadText> {
        let (count, room) = (
            self.itinerary.len(),
            self.max_hops.get().saturating_sub(self.hop) as usize,
        );
        if count > room {
            let names: Vec<&str> = self.itinerary.iter().map(AgentName::as_str).collect();
            return Err(BadText {
                field: "itinerary",
                value: quoted(&names.join(","), QUOTED),
                problem: format!(
                    "has {count} agents, and max_hops {} leaves room for {room}",
                    self.max_hops
                ),
                fix: "name fewer agents, or allow more hops (1 to 64)".to_owned(),
            });
        }
        let count: usize = self.next.values().map(|after| after.len() + 1).sum();
        if count > MOST_NEXT {
            return Err(BadText {
                field: "next",
                value: count.to_string(),
                problem: format!("names have room in it for {MOST_NEXT}"),
                fix: "make the pipeline smaller".to_owned(),
            });
        }
        Ok(())
    }
}

/// The cycle that a handoff to an agent closes, from that agent to itself, and how often the path ends with it; `None`
/// where the agent has not had the intent before.
pub fn closing_cycle<'a>(path: &'a [PathEntry], to: &'a AgentName) -> Option<(Vec<&'a AgentName>, usize)> {
    let agents: Vec<&AgentName> = path.iter().map(|entry| &entry.agent).collect();
    let at = agents.iter().rposition(|agent| *agent == to)?;
    let round = agents.get(at..)?;
    let times = agents.rchunks(round.len()).take_while(|chunk| *chunk == round).count();
    let cycle = round.iter().copied().chain([to]).collect();
    Some((cycle, times))
}
