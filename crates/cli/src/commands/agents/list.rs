//! `baton agents list`: every version of every agent.

use baton_envelope::control::{AgentsView, ListAgents};

use crate::app::App;
use crate::error::CliError;
use crate::output::Table;
use crate::view;

/// Lists them.
pub(crate) async fn run(app: &App) -> Result<(), CliError> {
    let mesh = app.connect().await?;
    let agents = mesh.ask_controller(&ListAgents::default()).await?;
    app.output.show(&agents, || text(&agents))?;
    if agents.agents.is_empty() {
        app.output.note("no agent has declared itself yet");
    }
    Ok(())
}

fn text(view: &AgentsView) -> String {
    if view.agents.is_empty() {
        return String::new();
    }
    let mut table = Table::new(&[
        "AGENT",
        "VERSION",
        "STATE",
        "WORKERS",
        "BACKLOG",
        "IN-FLIGHT",
        "OPEN",
        "PROTOCOL",
        "SINCE",
    ]);
    for agent in &view.agents {
        for one in &agent.versions {
            table.row([
                agent.agent.to_string(),
                one.version.to_string(),
                view::version_state(agent, one),
                match one.manual {
                    true => "by hand".to_owned(),
                    false => one.workers.len().to_string(),
                },
                one.backlog.to_string(),
                one.in_flight.to_string(),
                one.open.values().sum::<u64>().to_string(),
                view::protocol(one.protocol),
                view::time(one.since),
            ]);
        }
    }
    let alarms: Vec<_> = view.agents.iter().flat_map(|agent| &agent.alarms).collect();
    view::paragraphs([
        table.render(),
        view::pauses(&view.agents),
        view::caps(&view.agents),
        view::alarms(alarms),
        view::clocks(&view.agents),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::fixtures::agents;

    #[test]
    fn each_version_has_its_line_and_alarms_stand_below() {
        let text = text(&agents());
        let line = |start: &str| {
            let found = text.lines().find(|line| line.starts_with(start));
            found
                .unwrap_or_else(|| panic!("{start}: {text}"))
                .split_whitespace()
                .collect::<Vec<_>>()
                .join(" ")
        };
        assert_eq!(
            line("code   1.4.0"),
            "code 1.4.0 active 0 3 1 4 1.0.0 2026-11-21T05:00:00.000Z"
        );
        assert!(line("code   2.0.0").starts_with("code 2.0.0 canary 10 % 1 0 0 0 1.0.0 - 1.1.0"));
        assert!(text.contains("\n\nALARM DRAIN_WITHOUT_WORKERS: "), "{text}");
        assert!(text.contains("\n  hint: baton intents move "), "{text}");
        let clock = "\n\nCLOCK code@2.0.0 worker w-2: the clock of db-7 is 30.0 s behind the server's";
        assert!(text.contains(clock), "{text}");
    }

    #[test]
    fn nothing_is_printed_of_nothing() {
        assert_eq!(super::text(&AgentsView::default()), "");
    }
}
