//! Whose turn it is, and records by somebody else: what can be told without signatures.

use crate::base::names::AgentName;
use crate::intent::record::{Author, Role};

/// Whose turn an intent was, before a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turn<'a> {
    /// The agent.
    pub agent: &'a AgentName,
    /// The instance that holds the hop, where it is known and has said so.
    pub holder: Option<&'a str>,
}

/// The events that say what a hop came to. Only its holder may say that.
const OUTCOMES: [&str; 2] = ["completed", "handed_off"];
/// The events that any worker of the agent may write, and nobody else.
const OF_WORKERS: [&str; 7] = [
    "claimed",
    "started",
    "step",
    "progress",
    "retry_scheduled",
    "completed",
    "handed_off",
];

/// What only controllers write: whose turn it is, what children came to, and that all is undone.
const OF_CONTROLLERS: [&str; 3] = ["placed", "child_done", "compensated"];

/// Why a record is not of whoever's turn it was; `None` where nothing shows that. Without signatures a writer may still name
/// itself as it likes: this finds who says otherwise.
pub fn out_of_turn(turn: Turn<'_>, event: &str, by: &Author) -> Option<String> {
    if OF_CONTROLLERS.contains(&event) && by.role != Role::Controller {
        return Some(format!(
            "\"{event}\" is by {} ({}), and only controllers write it",
            by.instance,
            by.role.name()
        ));
    }
    if event == "topped_up" && by.role == Role::Worker {
        return Some(format!(
            "\"{event}\" is by {}, and no worker allots anything",
            by.instance
        ));
    }
    // Controllers note what they remind people of, and the plan of what is undone; and they complete what a hop sent to a channel, once
    // all copies have ended.
    if matches!(event, "progress" | "completed") && by.role == Role::Controller {
        return None;
    }
    // A worker begins to undo what its own agent has failed at; else controllers do.
    let begins_undo = event == "compensating" && by.role == Role::Worker;
    if !OF_WORKERS.contains(&event) && !begins_undo {
        return None;
    }
    if by.role != Role::Worker {
        return Some(format!(
            "\"{event}\" is by {} ({}), and only a worker of {} may write it",
            by.instance,
            by.role.name(),
            turn.agent
        ));
    }
    match (&by.agent, turn.holder) {
        (Some(agent), _) if agent != turn.agent => Some(format!(
            "\"{event}\" is by {} of {agent}, and it was the turn of {}",
            by.instance, turn.agent
        )),
        (_, Some(holder)) if OUTCOMES.contains(&event) && holder != by.instance => {
            Some(format!("\"{event}\" is by {}, and {holder} holds the hop", by.instance))
        }
        (_, _) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_of_somebody_else_is_told_apart() {
        let (code, research): (AgentName, AgentName) =
            ("code".parse().expect("name"), "research".parse().expect("name"));
        let version = || "1.0.0".parse().expect("version");
        let turn = |holder| Turn { agent: &code, holder };
        let own = Author::worker(code.clone(), version(), "w1");
        let other = Author::worker(research, version(), "w9");
        let client = Author::of(Role::Client, "shop");
        let controller = Author::of(Role::Controller, "c1");
        let nameless = Author::of(Role::Worker, "w1");
        for (turn, event, by, said) in [
            (turn(None), "completed", &own, None),
            (turn(Some("w1")), "completed", &own, None),
            (turn(Some("w1")), "completed", &nameless, None),
            (turn(Some("w2")), "completed", &own, Some("w2 holds the hop")),
            (turn(Some("w2")), "claimed", &own, None),
            (turn(None), "completed", &other, Some("turn of code")),
            (turn(None), "claimed", &other, Some("turn of code")),
            (turn(None), "completed", &client, Some("only a worker of code")),
            (turn(None), "completed", &controller, None),
            (turn(None), "cancelled", &client, None),
            (turn(None), "timed_out", &other, None),
            (turn(None), "compensating", &own, None),
            (turn(None), "compensating", &controller, None),
            (turn(None), "compensating", &other, Some("turn of code")),
            (turn(None), "progress", &controller, None),
            (turn(None), "progress", &other, Some("turn of code")),
            (turn(None), "child_done", &controller, None),
            (turn(None), "child_done", &own, Some("only controllers")),
            (turn(None), "compensated", &client, Some("only controllers")),
            (turn(None), "topped_up", &own, Some("no worker allots")),
            (turn(None), "topped_up", &client, None),
        ] {
            let found = out_of_turn(turn, event, by);
            assert_eq!(found.is_some(), said.is_some(), "{event} by {by:?}: {found:?}");
            assert!(
                said.is_none_or(|said| found.is_some_and(|found| found.contains(said))),
                "{event}"
            );
        }
    }
}
