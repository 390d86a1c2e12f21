//! The alarms that the leading controller knows of; what is new among them is told once.

use std::collections::BTreeMap;

use baton_envelope::{AgentName, AgentVersion};
use baton_jetstream::control::Alarm;

/// Agent, version and code.
type Key = (AgentName, AgentVersion, String);

/// The alarms that there are.
#[derive(Debug, Default)]
pub(crate) struct Alarms {
    known: BTreeMap<Key, Alarm>,
}

impl Alarms {
    /// Replaces the alarms of an agent; gives those that are new.
    pub(crate) fn replace(&mut self, agent: &AgentName, now: Vec<Alarm>) -> Vec<Alarm> {
        let before = std::mem::take(&mut self.known);
        let mut new = Vec::new();
        for mut alarm in now {
            let key = (alarm.agent.clone(), alarm.version.clone(), alarm.code.clone());
            match before.get(&key) {
                Some(known) => alarm.since = known.since,
                None => new.push(alarm.clone()),
            }
            self.known.insert(key, alarm);
        }
        let others = before.into_iter().filter(|(_, alarm)| alarm.agent != *agent);
        self.known.extend(others);
        new
    }

    /// All of them.
    pub(crate) fn all(&self) -> Vec<Alarm> {
        self.known.values().cloned().collect()
    }

    /// Forgets all: another controller leads.
    pub(crate) fn clear(&mut self) {
        self.known.clear();
    }
}
