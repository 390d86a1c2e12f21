//! Versions of agents, and alarms about them.

use baton_envelope::control::{AgentView, Alarm, VersionView};
use baton_envelope::{ProtocolRange, Route, VersionState, shown};

use super::time;
use crate::output::Table;

/// Where a version stands; a canary with its share, and whether its breaker is open.
pub(crate) fn version_state(agent: &AgentView, one: &VersionView) -> String {
    let canary = agent.canary.as_ref().filter(|canary| canary.version == one.version);
    let state = match canary {
        Some(canary) if one.state == VersionState::Canary => format!("{} {}", one.state, canary.percent),
        _ => one.state.to_string(),
    };
    if one.breaker_open {
        return format!("{state}, breaker open");
    }
    state
}

/// `1.0.0 - 1.1.0`, or the one version.
pub(crate) fn protocol(range: ProtocolRange) -> String {
    if range.oldest == range.newest {
        range.oldest.to_string()
    } else {
        format!("{} - {}", range.oldest, range.newest)
    }
}

/// The versions that a route knows, as a table.
pub(crate) fn versions(route: &Route) -> String {
    let mut table = Table::new(&["AGENT", "VERSION", "STATE", "SINCE", "REASON"]);
    for (version, entry) in &route.versions {
        table.row([
            route.agent.to_string(),
            version.to_string(),
            entry.state.to_string(),
            time(entry.since),
            entry.reason.clone().unwrap_or_default(),
        ]);
    }
    table.render()
}

/// Alarms with their hints, one line each.
pub(crate) fn alarms<'a>(alarms: impl IntoIterator<Item = &'a Alarm>) -> String {
    let mut lines = Vec::new();
    for alarm in alarms {
        lines.push(format!("ALARM {}: {}", shown(&alarm.code), shown(&alarm.message)));
        lines.extend(
            alarm
                .ways_out
                .iter()
                .map(|command| format!("  hint: {}", shown(command))),
        );
    }
    lines.join("\n")
}

/// The workers whose clock is off, one line each.
pub(crate) fn clocks<'a>(agents: impl IntoIterator<Item = &'a AgentView>) -> String {
    let mut lines = Vec::new();
    for agent in agents {
        for version in &agent.versions {
            let clocks = version
                .workers
                .iter()
                .filter_map(|worker| Some((worker, worker.clock()?)));
            lines.extend(clocks.map(|(worker, clock)| {
                let (agent, version) = (&agent.agent, &version.version);
                shown(&format!("CLOCK {agent}@{version} worker {}: {clock}", worker.instance)).into_owned()
            }));
        }
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::route;
    use super::*;

    #[test]
    fn a_quarantined_version_is_shown_with_its_reason() {
        let text = versions(&route());
        let line = text.lines().find(|line| line.contains("2.0.0")).expect("a line");
        assert!(line.contains("quarantined") && line.contains("bad build"), "{text}");
    }
}
