//! A rollout as a page: where it stands, what was seen, and what holds the old version.

use baton_envelope::control::{DrainView, EvidenceView, StatusView};
use baton_envelope::{Phase, Rollout, Tally, shown};

use super::versions::alarms;
use super::{paragraphs, seconds};
use crate::output::Table;

/// The whole page.
pub(crate) fn rollout_status(status: &StatusView) -> String {
    let mut parts = vec![headline(status)];
    if let (Some(rollout), Some(seen)) = (&status.rollout, &status.evidence) {
        parts.push(evidence(rollout, seen));
    }
    parts.push(shown(status.verdict.as_deref().unwrap_or_default()).into_owned());
    parts.extend(status.drains.iter().map(drain));
    parts.push(alarms(&status.alarms));
    if status.behind > 0 {
        parts.push(format!(
            "the projection is {} behind",
            super::count_of(status.behind, "record", "records")
        ));
    }
    paragraphs(parts)
}

fn headline(status: &StatusView) -> String {
    match &status.rollout {
        Some(rollout) => {
            let canary = status.canary.as_ref();
            let share = canary.map(|canary| format!(", {} has {} of it", canary.version, canary.percent));
            format!(
                "{}: {}\n{} takes the new work{}",
                status.agent,
                rollout_line(rollout),
                status.active,
                share.unwrap_or_default()
            )
        }
        None => format!(
            "{}: {} takes the new work; nothing was rolled out yet",
            status.agent, status.active
        ),
    }
}

/// `1.4.0 → 2.0.0, ramping at 25 % (step 2 of 4) since …, by ada@host, auto`.
pub(crate) fn rollout_line(rollout: &Rollout) -> String {
    let phase = rollout.phase.name().replace('_', " ");
    let stands = match &rollout.phase {
        Phase::Ramping | Phase::Paused => format!(
            "{phase} at {} (step {} of {}) since {}",
            rollout.share(),
            rollout.step.saturating_add(1),
            rollout.steps.len(),
            rollout.step_since
        ),
        Phase::Draining => format!("{phase} {} since {}", rollout.from, rollout.step_since),
        Phase::Done | Phase::RolledBack | Phase::Aborted | Phase::Unknown(_) => match rollout.ended_at {
            Some(at) => format!("{phase} at {at}"),
            None => format!("{phase} since {}", rollout.step_since),
        },
    };
    let line = format!(
        "{} → {}, {stands}, by {}, {}",
        rollout.from,
        rollout.to,
        rollout.owner,
        if rollout.auto { "auto" } else { "manual" }
    );
    shown(&line).into_owned()
}

fn evidence(rollout: &Rollout, seen: &EvidenceView) -> String {
    let mut table = Table::new(&[
        "SEEN",
        "VERSION",
        "ATTEMPTS",
        "FAILED",
        "RETRYABLE",
        "TERMINAL",
        "P50",
        "P95",
        "P99",
        "COST",
    ]);
    for (window, version, tally) in [
        ("since start", &rollout.from, &seen.from),
        ("since start", &rollout.to, &seen.to),
        ("in step", &rollout.from, &seen.from_in_step),
        ("in step", &rollout.to, &seen.to_in_step),
    ] {
        if window == "in step" && !rollout.phase.is_open() {
            continue;
        }
        table.row([
            window.to_owned(),
            version.to_string(),
            tally.hops.to_string(),
            failed(tally),
            tally.retryable.to_string(),
            tally.terminal.to_string(),
            millis(tally.p50_ms),
            millis(tally.p95_ms),
            millis(tally.p99_ms),
            tally.cost.map_or_else(|| "-".to_owned(), |cost| format!("{cost:.4}")),
        ]);
    }
    table.render()
}

fn failed(tally: &Tally) -> String {
    match tally.failed() {
        0 => "0".to_owned(),
        count => format!("{count} ({:.1} %)", tally.failure_rate() * 100.0),
    }
}

fn millis(value: Option<f64>) -> String {
    match value {
        None => "-".to_owned(),
        Some(millis) if millis >= 10_000.0 => format!("{:.1} s", millis / 1000.0),
        Some(millis) => format!("{millis:.1} ms"),
    }
}

fn drain(drain: &DrainView) -> String {
    let mut text = drain.version.to_string();
    text.push(' ');
    text.push_str(&shown(drain.state.name()));
    if let Some(since) = drain.since {
        text.push_str(&format!(" since {since}"));
    }
    text.push_str(&format!(
        ": {} open, {} tickets, {} workers",
        drain.open, drain.tickets, drain.workers
    ));
    if let Some(left) = drain.eta_seconds {
        text.push_str(&format!(", about {} left", seconds(left)));
    }
    if drain.holds.is_empty() {
        return text;
    }
    let mut table = Table::new(&["  CAUSE", "COUNT", "OLDEST", "SINCE"]);
    for hold in &drain.holds {
        table.row([
            format!("  {}", hold.cause),
            hold.count.to_string(),
            hold.oldest.to_string(),
            hold.since.to_string(),
        ]);
    }
    format!("{text}\n{}", table.render())
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::status;
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect()
    }

    #[test]
    fn the_page_tells_where_it_stands_what_was_seen_and_what_is_held() {
        let text = rollout_status(&status());
        let lines = words(&text);
        for line in [
            "code: 1.4.0 → 2.0.0, ramping at 25 % (step 2 of 4) since 2026-11-21T05:00:00.000Z, by ada@host, auto",
            "since start 1.4.0 200 2 (1.0 %) 1 1 12.0 ms 40.5 ms 12.5 s 0.2500",
            "in step 2.0.0 20 0 0 0 - - - -",
            "20 of 50 attempts of 2.0.0 seen in this step",
            "1.3.0 draining since 2026-11-21T05:00:00.000Z: 3 open, 1 tickets, 0 workers, about 1m 30s left",
            "waiting_human 2 order-1 2026-11-21T05:00:00.000Z",
            "ALARM DRAIN_WITHOUT_WORKERS: 1.3.0 has open work and no worker",
            "hint: baton intents move --agent code --from 1.3.0 --to 1.4.0",
            "the projection is 7 records behind",
        ] {
            assert!(lines.iter().any(|found| found == line), "{line}\n{text}");
        }
    }

    #[test]
    fn each_phase_has_its_headline() {
        let mut status = status();
        for (phase, said) in [
            (Phase::Paused, "paused at 25 % (step 2 of 4) since"),
            (Phase::Draining, "draining 1.4.0 since"),
            (Phase::RolledBack, "rolled back at 2026-11-21T05:00:00.000Z"),
            (Phase::Unknown("soaking".to_owned()), "soaking at"),
        ] {
            let rollout = status.rollout.as_mut().expect("one");
            rollout.phase = phase;
            rollout.ended_at = Some(rollout.started_at);
            assert!(headline(&status).contains(said), "{}", headline(&status));
        }
        status.rollout = None;
        assert_eq!(
            headline(&status),
            "code: 1.4.0 takes the new work; nothing was rolled out yet"
        );
    }

    #[test]
    fn what_is_not_there_is_not_mentioned() {
        let mut status = status();
        (status.behind, status.evidence, status.verdict) = (0, None, None);
        status.drains[0].eta_seconds = None;
        status.alarms.clear();
        let text = rollout_status(&status);
        for part in ["behind", "SEEN", "left", "ALARM", "\n\n\n"] {
            assert!(!text.contains(part), "{part}: {text}");
        }
    }
}
