//! `baton agents limit`: what all workers of an agent may do together.

use baton_envelope::control::SetLimits;
use baton_envelope::{AgentName, Rate, Route};
use baton_jetstream::Error;
use clap::Args;
use serde::Serialize;

use crate::app::App;
use crate::error::CliError;
use crate::{parse, who};

/// `baton agents limit`.
#[derive(Debug, Clone, Args)]
pub(crate) struct LimitArgs {
    /// The agent.
    agent: AgentName,
    /// How many hops its workers run at a time, all together; 0 for no limit.
    #[arg(long, value_name = "N", value_parser = parse::in_flight)]
    in_flight: Option<u32>,
    /// How many hops its workers start in a time, all together, such as 100/s, 5/m or 1000/h; 0 for no limit.
    #[arg(long, value_name = "RATE", value_parser = rate)]
    rate: Option<u64>,
    /// How many intents with one order key they have at a time, begun in the order of submission; 0 for one.
    #[arg(long, value_name = "N")]
    per_key: Option<u32>,
    /// How many intents wait in its queues at a time: all others are begun in turn of their submitters, so that whoever sends
    /// many keeps nobody waiting who sends few; 0 for no turns.
    #[arg(long, value_name = "N")]
    fair: Option<u32>,
    /// How many intents with one order key they begin in a time, such as 2/s or 10/m, evenly spaced; 0 for no limit.
    #[arg(long, value_name = "RATE", value_parser = rate)]
    key_rate: Option<u64>,
    /// The reason, for the history.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

/// A rate, or 0 for none.
fn rate(text: &str) -> Result<u64, String> {
    match text {
        "0" => Ok(0),
        text => text.parse::<Rate>().map(|rate| rate.0),
    }
}

/// Sets the limits, or shows them.
pub(crate) async fn run(args: LimitArgs, app: &App) -> Result<(), CliError> {
    let LimitArgs {
        agent,
        in_flight,
        rate,
        per_key,
        fair,
        key_rate,
        reason,
    } = args;
    let mesh = app.connect().await?;
    let is_asked = in_flight.or(per_key).or(fair).is_none() && rate.or(key_rate).is_none();
    let route = if is_asked {
        let found = mesh.route(&agent).await?.map(|(route, _)| route);
        match found {
            Some(route) => route,
            None => {
                let known = mesh.all_routes().await?;
                return Err(Error::UnknownAgent {
                    agent: agent.to_string(),
                    known: known.iter().map(|route| route.agent.to_string()).collect(),
                }
                .into());
            }
        }
    } else {
        let by = who::person();
        let question = SetLimits {
            agent,
            in_flight,
            rate_per_hour: rate,
            by,
            reason,
            per_key,
            fair,
            key_rate_per_hour: key_rate,
        };
        mesh.ask_controller(&question).await?
    };
    let limits = route.limits.clone().unwrap_or_default();
    let document = Document {
        of: &route,
        in_flight: limits.in_flight,
        rate_per_hour: limits.rate_per_hour,
        rate: limits.rate_per_hour.map(|rate| Rate(rate).to_string()),
        key_rate: limits.key_rate_per_hour.map(|rate| Rate(rate).to_string()),
    };
    app.output.show(&document, || said(&route))
}

/// What the command answers to programs: the limits, beside the route that holds them; `null` for none.
#[derive(Serialize)]
struct Document<'a> {
    #[serde(flatten)]
    of: &'a Route,
    in_flight: Option<u32>,
    rate_per_hour: Option<u64>,
    rate: Option<String>,
    key_rate: Option<String>,
}

fn said(route: &Route) -> String {
    let limits = route.limits.clone().unwrap_or_default();
    let parts: Vec<String> = [
        limits.in_flight.map(|count| match count {
            1 => "1 hop at a time".to_owned(),
            count => format!("{count} hops at a time"),
        }),
        limits.rate_per_hour.map(|rate| format!("{} started", Rate(rate))),
        limits
            .per_key
            .map(|count| format!("{count} at a time of each order key")),
        limits
            .key_rate_per_hour
            .map(|rate| format!("{} begun of each order key", Rate(rate))),
        limits
            .fair
            .map(|count| format!("{count} in the queues, in turn of their submitters")),
    ]
    .into_iter()
    .flatten()
    .collect();
    match parts.is_empty() {
        true => format!("{} has no limits", route.agent),
        false => format!("the workers of {} together: {}", route.agent, parts.join(", ")),
    }
}
