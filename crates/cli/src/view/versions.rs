//! Versions of agents, and alarms about them.

use baton_envelope::control::{AgentView, Alarm, CapView, VersionView};
use baton_envelope::{Pause, ProtocolRange, Route, VersionState, shown};

use super::{agent_at, arguments, time};
use crate::output::Table;

/// Where a version stands; a canary with its share, whether somebody paused it, and whether its breaker is open.
pub(crate) fn version_state(agent: &AgentView, one: &VersionView) -> String {
    let canary = agent.canary.as_ref().filter(|canary| canary.version == one.version);
    let state = match canary {
        Some(canary) if one.state == VersionState::Canary => format!("{} {}", one.state, canary.percent),
        _ => one.state.to_string(),
    };
    if let Some(pause) = one.paused.as_ref().or(agent.paused.as_ref()) {
        return format!("{state}, {}", how(pause));
    }
    if one.breaker_open {
        return format!("{state}, breaker open");
    }
    state
}

fn how(pause: &Pause) -> &'static str {
    match (pause.kill, pause.is_killing()) {
        (_, true) => "being killed",
        (true, false) => "killed",
        (false, false) => "paused",
    }
}

/// Who paused or killed what, and how it goes on; two lines each.
pub(crate) fn pauses<'a>(agents: impl IntoIterator<Item = &'a AgentView>) -> String {
    let mut lines = Vec::new();
    for agent in agents {
        let of_versions = agent.versions.iter().map(|one| (Some(&one.version), &one.paused));
        for (version, pause) in std::iter::once((None, &agent.paused)).chain(of_versions) {
            let Some(pause) = pause else { continue };
            let name = agent_at(Some(&agent.agent), version);
            let reason = pause
                .reason
                .as_ref()
                .map(|reason| format!(": {reason}"))
                .unwrap_or_default();
            let line = format!(
                "PAUSED {name}: {} by {} since {}{reason}",
                how(pause),
                pause.by,
                pause.at
            );
            lines.push(shown(&line).into_owned());
            lines.push(format!(
                "  hint: baton agents resume {}",
                arguments(&agent.agent, version)
            ));
        }
    }
    lines.join("\n")
}

/// What agents have spent of their caps today, a line for each that has one.
pub(crate) fn caps<'a>(agents: impl IntoIterator<Item = &'a AgentView>) -> String {
    let caps = agents.into_iter().filter_map(|agent| agent.cap.as_ref());
    caps.map(|cap| format!("CAP {}", self::cap(cap)))
        .collect::<Vec<_>>()
        .join("\n")
}

/// What an agent has spent of its cap today, in a line.
pub(crate) fn cap(cap: &CapView) -> String {
    let under_way = match cap.granted.are_zero() {
        true => String::new(),
        false => format!(", {} under way", cap.granted),
    };
    let waiting = match cap.waiting {
        0 => String::new(),
        1 => "; 1 intent waits for room".to_owned(),
        count => format!("; {count} intents wait for room"),
    };
    format!(
        "{}: {} in a day; today {} spent{under_way}, {} left until {}{waiting}",
        cap.agent, cap.per_day, cap.spent, cap.left, cap.until
    )
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
            match route.pause_of(version) {
                Some(pause) => format!("{}, {}", entry.state, how(pause)),
                None => entry.state.to_string(),
            },
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
