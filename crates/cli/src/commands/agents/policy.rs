//! `baton agents policy`: how an agent's failures are treated, shown or changed while its workers run.

use std::num::NonZeroU32;

use baton_envelope::control::{AboutAgent, AgentView, ListAgents, SetPolicy};
use baton_envelope::people::Approval;
use baton_envelope::{AgentName, InForce, OnExhausted, OnOpen, OnRejected, OnUnaccepted, Policy, Route, codes, shown};
use clap::{Args, ValueEnum};
use serde::Serialize;

use crate::app::App;
use crate::commands::gate::GateArgs;
use crate::error::{CliError, Kind};
use crate::output::Table;
use crate::parse::{self, Span};
use crate::{view, who};

/// `baton agents policy`.
#[derive(Debug, Clone, Args)]
pub(crate) struct PolicyArgs {
    /// The agent.
    agent: AgentName,
    /// How many attempts a hop gets: 1 to 1000.
    #[arg(long, value_name = "N", value_parser = parse::attempts)]
    attempts: Option<NonZeroU32>,
    /// Unit of the backoff: the delay after attempt n is this times 2^n, with 20 % of jitter.
    #[arg(long, value_name = "DURATION")]
    backoff: Option<Span>,
    /// Longest delay between two attempts.
    #[arg(long, value_name = "DURATION")]
    longest: Option<Span>,
    /// How long one attempt may run; 0s for as long as it takes.
    #[arg(long, value_name = "DURATION")]
    attempt_timeout: Option<Span>,
    /// How long work may wait to be taken, three times over; 0s for ever [without a value: 15s].
    #[arg(long, value_name = "DURATION", num_args = 0..=1, default_missing_value = "15s")]
    accept_within: Option<Span>,
    /// Agents that may stand in for this one, in this order.
    #[arg(long, value_name = "AGENT,…", value_delimiter = ',')]
    alternatives: Vec<AgentName>,
    /// What happens to a hop whose attempts are used up: park, fail, human, compensate, or escalate:AGENT.
    #[arg(long, value_name = "WHAT", value_parser = parse::on_exhausted)]
    on_exhausted: Option<OnExhausted>,
    /// What happens to work that the agent declines.
    #[arg(long, value_enum)]
    on_rejected: Option<Rejected>,
    /// What happens to work that nobody has taken after three times --accept-within.
    #[arg(long, value_enum)]
    on_unaccepted: Option<Unaccepted>,
    /// What happens to new work while the breaker of its version is open.
    #[arg(long, value_enum)]
    on_open: Option<Open>,
    /// Ask people before each hop begins, whoever sent the work. The flags below say so, too.
    #[arg(long, conflicts_with = "no_gate")]
    gate: bool,
    #[command(flatten)]
    approval: GateArgs,
    /// Ask nobody any more, but for what is asked already.
    #[arg(long)]
    no_gate: bool,
    /// Forget what was set before; what workers declare holds again.
    #[arg(long)]
    reset: bool,
    /// The reason, for the history.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

/// What happens to work that the agent declines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Rejected {
    /// The intent ends as declined.
    End,
    /// The next of the alternatives gets it.
    Alternative,
    /// The agent before gets it back.
    Return,
}

/// What happens to work that nobody takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Unaccepted {
    /// It is set aside, as NOT_ACCEPTED.
    Park,
    /// The next of the alternatives gets it.
    Alternative,
}

/// What happens to new work while the breaker is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Open {
    /// It waits in the ledger until the breaker is closed.
    Wait,
    /// The next of the alternatives gets it.
    Alternative,
    /// It is refused, as BREAKER_OPEN.
    Refuse,
}

impl PolicyArgs {
    fn policy(&self) -> Result<Policy, CliError> {
        let is_gated = self.gate || self.approval.given().is_some();
        let gate = is_gated.then(|| self.approval.approval()).transpose()?;
        if let (true, Some(flag)) = (self.no_gate, self.approval.given()) {
            let message = format!("{flag} and --no-gate cannot both be given");
            let error = CliError::say(Kind::Usage, codes::USAGE, message);
            return Err(error.hint("--no-gate alone takes the gate away"));
        }
        Ok(Policy {
            attempts: self.attempts.map(NonZeroU32::get),
            backoff_ms: self.backoff.map(Span::millis),
            longest_ms: self.longest.map(Span::millis),
            attempt_timeout_ms: self.attempt_timeout.map(Span::millis),
            accept_within_ms: self.accept_within.map(Span::millis),
            alternatives: self.alternatives.clone(),
            on_exhausted: self.on_exhausted.clone(),
            on_rejected: self.on_rejected.map(|what| match what {
                Rejected::End => OnRejected::End,
                Rejected::Alternative => OnRejected::Alternative,
                Rejected::Return => OnRejected::Return,
            }),
            on_unaccepted: self.on_unaccepted.map(|what| match what {
                Unaccepted::Park => OnUnaccepted::Park,
                Unaccepted::Alternative => OnUnaccepted::Alternative,
            }),
            on_open: self.on_open.map(|what| match what {
                Open::Wait => OnOpen::Wait,
                Open::Alternative => OnOpen::Alternative,
                Open::Refuse => OnOpen::Refuse,
            }),
            gate: gate.map(Box::new),
            ..Policy::default()
        })
    }
}

/// Shows the policy, or changes it.
pub(crate) async fn run(args: PolicyArgs, app: &App) -> Result<(), CliError> {
    let set = args.policy()?;
    let mesh = app.connect().await?;
    if set.is_empty() && !args.reset && !args.no_gate {
        let agents = mesh
            .ask_controller(&ListAgents(AboutAgent::one(args.agent.clone())))
            .await?;
        let Some(agent) = agents.agents.first() else {
            let message = format!("agent \"{}\" is not known", args.agent);
            let error = CliError::say(Kind::NotFound, codes::UNKNOWN_AGENT, message);
            return Err(error.hint("`baton agents list` shows the agents"));
        };
        let declared = declared(agent);
        let document = Document {
            of: agent,
            in_force: InForceView::of(agent.policy.as_ref(), declared),
        };
        return app.output.show(&document, || of_agent(agent));
    }
    let question = SetPolicy {
        agent: args.agent,
        set,
        reset: args.reset,
        by: who::person(),
        reason: args.reason,
        no_gate: args.no_gate,
    };
    let route = mesh.ask_controller(&question).await?;
    // What workers declare holds where nothing is set, and is not in the route.
    let about = ListAgents(AboutAgent::one(route.agent.clone()));
    let agents = mesh.ask_controller(&about).await?;
    let declared = agents.agents.first().and_then(declared);
    let document = Document {
        of: &route,
        in_force: InForceView::of(route.policy.as_ref(), declared),
    };
    app.output.show(&document, || of_route(&route))
}

/// What the command answers to programs: what holds, beside what an operator has set and workers declare.
#[derive(Serialize)]
struct Document<'a, T> {
    #[serde(flatten)]
    of: &'a T,
    /// What holds for new work of the active version.
    in_force: InForceView,
}

/// What holds; times in milliseconds, `null` for none.
#[derive(Serialize)]
struct InForceView {
    attempts: u32,
    backoff_ms: u64,
    longest_ms: u64,
    attempt_timeout_ms: Option<u64>,
    accept_within_ms: Option<u64>,
    alternatives: Vec<AgentName>,
    on_exhausted: OnExhausted,
    on_rejected: OnRejected,
    on_unaccepted: OnUnaccepted,
    on_open: OnOpen,
    /// What people are asked before the agent begins.
    gate: Option<Box<Approval>>,
}

impl InForceView {
    fn of(set: Option<&Policy>, declared: Option<&Policy>) -> Self {
        let holds = InForce::of(set, declared, None);
        let set = set.cloned().unwrap_or_default();
        let millis = |span: std::time::Duration| Span(span).millis();
        Self {
            attempts: holds.attempts,
            backoff_ms: millis(holds.backoff),
            longest_ms: millis(holds.longest),
            attempt_timeout_ms: holds.attempt_timeout.map(millis),
            accept_within_ms: holds.accept_within.map(millis),
            alternatives: set.alternatives,
            on_exhausted: holds.on_exhausted,
            on_rejected: holds.on_rejected,
            on_unaccepted: set.on_unaccepted.unwrap_or_default(),
            on_open: set.on_open.unwrap_or_default(),
            gate: set.gate,
        }
    }
}

/// What the workers of the active version declare.
fn declared(agent: &AgentView) -> Option<&Policy> {
    let active = agent.versions.iter().find(|one| one.version == agent.active);
    active.and_then(|one| one.policy.as_ref())
}

fn of_route(route: &Route) -> String {
    match &route.policy {
        Some(policy) => rows(&route.agent, "operator", policy).render(),
        None => format!("{}: what its workers declare", route.agent),
    }
}

/// What an operator has set, what workers declare, and what holds.
fn of_agent(agent: &AgentView) -> String {
    let mut parts = Vec::new();
    if let Some(policy) = &agent.policy {
        parts.push(rows(&agent.agent, "operator", policy).render());
    }
    for one in &agent.versions {
        if let Some(declared) = &one.policy {
            let of = format!("workers of {}", one.version);
            parts.push(rows(&agent.agent, &of, declared).render());
        }
    }
    parts.push(in_force(agent, &InForce::of(agent.policy.as_ref(), declared(agent), None)).render());
    view::paragraphs(parts)
}

/// The fields that a policy gives.
fn rows(agent: &AgentName, by: &str, policy: &Policy) -> Table {
    let mut table = Table::pairs();
    table.pair("agent", agent.as_str());
    table.pair("set by", by);
    let span = |millis: Option<u64>| {
        millis
            .map(|millis| Span::of_millis(millis).to_string())
            .unwrap_or_default()
    };
    let name = |name: Option<String>| name.map(|name| shown(&name).into_owned()).unwrap_or_default();
    let names: Vec<&str> = policy.alternatives.iter().map(AgentName::as_str).collect();
    for (key, value) in [
        (
            "attempts",
            policy.attempts.map(|attempts| attempts.to_string()).unwrap_or_default(),
        ),
        ("backoff", span(policy.backoff_ms)),
        ("longest", span(policy.longest_ms)),
        ("attempt timeout", span(policy.attempt_timeout_ms)),
        ("accept within", span(policy.accept_within_ms)),
        ("alternatives", names.join(", ")),
        (
            "on exhausted",
            name(policy.on_exhausted.as_ref().map(ToString::to_string)),
        ),
        (
            "on rejected",
            name(policy.on_rejected.as_ref().map(|what| what.name().to_owned())),
        ),
        (
            "on unaccepted",
            name(policy.on_unaccepted.as_ref().map(|what| what.name().to_owned())),
        ),
        (
            "on open",
            name(policy.on_open.as_ref().map(|what| what.name().to_owned())),
        ),
        ("gate", policy.gate.as_deref().map(gate).unwrap_or_default()),
    ] {
        if !value.is_empty() {
            table.pair(key, value);
        }
    }
    table
}

/// What holds for new work of the active version.
fn in_force(agent: &AgentView, policy: &InForce) -> Table {
    let mut table = Table::pairs();
    table.pair("agent", agent.agent.as_str());
    table.pair("in force for", agent.active.to_string());
    table.pair("attempts", policy.attempts.to_string());
    table.pair("backoff", Span(policy.backoff).to_string());
    table.pair("longest", Span(policy.longest).to_string());
    let span =
        |span: Option<std::time::Duration>| span.map_or_else(|| "none".to_owned(), |span| Span(span).to_string());
    table.pair("attempt timeout", span(policy.attempt_timeout));
    table.pair("accept within", span(policy.accept_within));
    table.pair("on exhausted", shown(&policy.on_exhausted.to_string()).into_owned());
    table.pair("on rejected", shown(policy.on_rejected.name()).into_owned());
    let set = agent.policy.clone().unwrap_or_default();
    table.pair(
        "on unaccepted",
        shown(set.on_unaccepted.unwrap_or_default().name()).into_owned(),
    );
    table.pair("on open", shown(set.on_open.unwrap_or_default().name()).into_owned());
    table.pair("gate", set.gate.as_deref().map_or_else(|| "none".to_owned(), gate));
    table
}

/// Whom a gate asks, in one line.
fn gate(approval: &Approval) -> String {
    let who = match approval.who.is_empty() {
        true => "anybody".to_owned(),
        false => approval.who.join(", "),
    };
    let mut parts = vec![shown(&who).into_owned()];
    parts.extend((approval.needed() > 1).then(|| format!("{} of them", approval.needed())));
    parts.extend(approval.four_eyes.then(|| "four eyes".to_owned()));
    parts.extend(approval.due_ms.map(|due| format!("within {}", Span::of_millis(due))));
    parts.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::fixtures::agents;

    #[test]
    fn what_holds_is_shown_beside_who_has_said_it() {
        let mut agents = agents();
        let agent = &mut agents.agents[0];
        agent.policy = serde_json::from_str(r#"{"attempts":5,"on_open":"refuse"}"#).expect("policy");
        agent.versions[0].policy =
            serde_json::from_str(r#"{"attempts":2,"attempt_timeout_ms":30000}"#).expect("policy");
        let document = Document {
            of: &*agent,
            in_force: InForceView::of(agent.policy.as_ref(), declared(agent)),
        };
        let json = serde_json::to_value(&document).expect("JSON");
        assert_eq!(json["in_force"]["attempts"], 5);
        assert_eq!(json["in_force"]["attempt_timeout_ms"], 30_000);
        assert_eq!(json["in_force"]["on_exhausted"], "park");
        assert_eq!(json["agent"], agent.agent.as_str());
        let text = of_agent(agent);
        let lines: Vec<String> = text
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect();
        for line in [
            "set by operator",
            "set by workers of 1.4.0",
            "in force for 1.4.0",
            "attempts 5",
            "attempts 2",
            "attempt timeout 30s",
            "accept within none",
            "on exhausted park",
            "on open refuse",
            "gate none",
        ] {
            assert!(lines.iter().any(|one| one == line), "{line}: {text}");
        }
    }
}
