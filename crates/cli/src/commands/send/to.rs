//! Whom `baton send` sends to: an agent by its name, or whichever can do what is needed.

use baton_envelope::codes;
use baton_envelope::{
    AgentName, ChannelName, Envelope, HEADER_CAPABILITIES, HEADER_DEADLINE, HEADER_INTENT, HEADER_ITINERARY,
    HEADER_KIND, HEADER_MAX_HOPS, HEADER_PINNING, HEADER_PRIORITY, HEADER_REPLY_TO, HEADER_TASK, HEADER_WHEN_NONE,
    Task,
};
use baton_jetstream::Mesh;
use clap::{Args, ValueEnum};

use super::SendArgs;
use crate::commands::pipelines::file::{FolderArgs, Read};
use crate::error::{CliError, Kind};

/// The addressee and the payload. They stand together because with `--capability` or `--pipeline` the first argument is the payload.
#[derive(Debug, Clone, Args)]
pub(super) struct ToArgs {
    /// The agent that gets the work; left out with --capability, --pipeline and --channel.
    #[arg(
        value_name = "AGENT",
        required_unless_present_any = ["capabilities", "pipeline", "channel"],
        allow_negative_numbers = true
    )]
    first: Option<String>,
    /// The payload: text or JSON, @FILE, or - for stdin [default: stdin].
    #[arg(value_name = "PAYLOAD", allow_negative_numbers = true)]
    second: Option<String>,
    /// Capability that the agent must have, in place of its name; may be repeated.
    #[arg(long = "capability", value_name = "NAME")]
    capabilities: Vec<String>,
    /// Pipeline that the work goes through, in place of an agent.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["capabilities", "channel", "itinerary"])]
    pub(super) pipeline: Option<String>,
    #[command(flatten)]
    pub(super) folder: FolderArgs,
    /// What to do while no agent has the capabilities.
    #[arg(long, value_enum, default_value = "reject", requires = "capabilities")]
    when_none: WhenNone,
    /// Channel whose subscribers all get the work, in place of one agent.
    #[arg(long, value_name = "NAME", conflicts_with = "capabilities")]
    channel: Option<ChannelName>,
    /// Agent that gets the message of the channel, in place of its subscribers; may be repeated.
    #[arg(long = "receiver", value_name = "AGENT", requires = "channel")]
    receivers: Vec<AgentName>,
}

/// What to do while no agent has the capabilities.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum WhenNone {
    /// Refuse the work.
    Reject,
    /// Keep the work until one has them.
    Hold,
}

/// Whom it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum To {
    /// An agent by its name.
    Agent(AgentName),
    /// Whichever agent can do all of this.
    Capable {
        /// What it must be able to do.
        needed: Vec<String>,
        /// What to do while none can.
        when_none: WhenNone,
    },
    /// All that subscribe to a channel.
    Channel {
        /// The channel.
        channel: ChannelName,
        /// The receivers, in place of its subscribers.
        receivers: Vec<AgentName>,
    },
}

impl ToArgs {
    /// The pipeline that it goes through, if it was given one.
    pub(super) fn pipeline(&self) -> Result<Option<Read>, CliError> {
        self.pipeline.as_deref().map(|name| self.folder.read(name)).transpose()
    }

    /// Whom it is for, and the argument that says the payload.
    pub(super) fn read(&self, pipeline: Option<&Read>) -> Result<(To, Option<&str>), CliError> {
        if let Some(pipeline) = pipeline {
            if self.second.is_some() {
                let name = self.first.as_deref().unwrap_or_default();
                let message = format!("--pipeline names the agents, so \"{name}\" may not name one");
                return Err(CliError::say(Kind::Usage, codes::USAGE, message).hint("give either AGENT or --pipeline"));
            }
            return Ok((To::Agent(pipeline.first()?), self.first.as_deref()));
        }
        if let Some(channel) = &self.channel {
            if self.second.is_some() {
                let name = self.first.as_deref().unwrap_or_default();
                let message = format!("--channel says who gets the message, so \"{name}\" may not name an agent");
                return Err(CliError::say(Kind::Usage, codes::USAGE, message)
                    .hint("give either AGENT or --channel; --receiver AGENT names a receiver"));
            }
            let mut receivers: Vec<AgentName> = Vec::new();
            for agent in &self.receivers {
                if !receivers.contains(agent) {
                    receivers.push(agent.clone());
                }
            }
            let channel = channel.clone();
            return Ok((To::Channel { channel, receivers }, self.first.as_deref()));
        }
        if self.capabilities.is_empty() {
            let agent = self.first.as_deref().unwrap_or_default().parse()?;
            return Ok((To::Agent(agent), self.second.as_deref()));
        }
        if self.second.is_some() {
            let name = self.first.as_deref().unwrap_or_default();
            let message = format!("--capability chooses the agent, so \"{name}\" may not name one");
            return Err(CliError::say(Kind::Usage, codes::USAGE, message).hint("give either AGENT or --capability"));
        }
        let to = To::Capable {
            needed: self.capabilities.clone(),
            when_none: self.when_none,
        };
        Ok((to, self.first.as_deref()))
    }
}

impl To {
    /// The name that the envelope is made with. Where an agent is still to be chosen, one that only stands in for it.
    pub(super) fn name(&self) -> Result<AgentName, CliError> {
        match self {
            Self::Agent(agent) => Ok(agent.clone()),
            Self::Capable { .. } | Self::Channel { .. } => Ok("to-be-chosen".parse()?),
        }
    }

    /// What is held goes the way of a raw intent, which has no words for everything.
    pub(super) fn check(&self, args: &SendArgs) -> Result<(), CliError> {
        match self {
            Self::Capable {
                when_none: WhenNone::Hold,
                ..
            } if !args.pins.is_empty()
                || args.constraints.is_some()
                || !args.gates.is_empty()
                || args.asks.policy().is_some() =>
            {
                Err(CliError::say(
                    Kind::Usage,
                    codes::USAGE,
                    "--when-none hold cannot be combined with --pin, --constraints, --gate or a policy",
                )
                .hint("leave them out, or name the agent"))
            }
            Self::Channel { .. } => super::channel::check(args),
            Self::Agent(_) | Self::Capable { .. } => Ok(()),
        }
    }
}

/// Publishes the work on the capability's subject, where a router holds it until an agent is able; gives its sequence in
/// the intake.
pub(in crate::commands) async fn publish_to_hold(
    mesh: &Mesh,
    needed: &[String],
    envelope: &Envelope,
    body: Vec<u8>,
) -> Result<u64, CliError> {
    let first = needed.first().map_or("", String::as_str);
    let more = needed.get(1..).unwrap_or_default();
    let subject = mesh.subjects().capability(&first.parse()?);
    let optional = [
        (HEADER_KIND, envelope.kind.clone()),
        (HEADER_DEADLINE, envelope.deadline.map(|deadline| deadline.to_string())),
        (HEADER_REPLY_TO, envelope.reply_to.clone()),
        (
            HEADER_PINNING,
            envelope.pinning.as_ref().map(|pinning| pinning.name().to_owned()),
        ),
        (HEADER_CAPABILITIES, (!more.is_empty()).then(|| more.join(","))),
        (HEADER_ITINERARY, itinerary(envelope)),
        (
            HEADER_TASK,
            Task::header(envelope.task.as_ref(), envelope.expects.as_deref()),
        ),
    ];
    let always = [
        (HEADER_INTENT, envelope.intent.to_string()),
        (HEADER_PRIORITY, envelope.priority.to_string()),
        (HEADER_MAX_HOPS, envelope.max_hops.to_string()),
        (HEADER_WHEN_NONE, "hold".to_owned()),
    ];
    let headers = optional
        .into_iter()
        .chain(super::budget::headers_of(envelope))
        .filter_map(|(name, value)| Some((name, value?)))
        .chain(always)
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
    Ok(mesh.publish_raw(subject, headers, body.into()).await?)
}

fn itinerary(envelope: &Envelope) -> Option<String> {
    let names: Vec<&str> = envelope.itinerary.iter().map(AgentName::as_str).collect();
    (!names.is_empty()).then(|| names.join(","))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::args::{Cli, Command};

    fn parsed(line: &[&str]) -> Result<(To, Option<String>), String> {
        let line = ["baton", "send"].iter().chain(line);
        let cli = Cli::try_parse_from(line).map_err(|error| error.to_string())?;
        let Command::Send(args) = cli.command else {
            panic!("another command")
        };
        let (to, payload) = args.to.read(None).map_err(|error| error.message())?;
        Ok((to, payload.map(str::to_owned)))
    }

    #[test]
    fn the_first_argument_is_the_agent_or_with_a_capability_the_payload() {
        let code = To::Agent("code".parse().expect("name"));
        assert_eq!(parsed(&["code", "-5"]), Ok((code.clone(), Some("-5".to_owned()))));
        assert_eq!(parsed(&["code"]), Ok((code, None)));
        let able = |when_none| To::Capable {
            needed: vec!["rust".to_owned(), "tests".to_owned()],
            when_none,
        };
        let line = ["--capability", "rust", "--capability", "tests"];
        assert_eq!(parsed(&line), Ok((able(WhenNone::Reject), None)));
        let mut with = line.to_vec();
        with.extend(["--when-none", "hold", "Fix it!"]);
        assert_eq!(parsed(&with), Ok((able(WhenNone::Hold), Some("Fix it!".to_owned()))));
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        for (line, said) in [
            (&[][..], "<AGENT>"),
            (&["a.b", "x"], "no dots"),
            (&["code", "x", "--capability", "rust"], "\"code\" may not name one"),
            (&["code", "x", "--when-none", "hold"], "--capability"),
            (&["--capability", "rust", "--when-none", "wait"], "reject, hold"),
        ] {
            let error = parsed(line).expect_err(said);
            assert!(error.contains(said), "{said}: {error}");
        }
    }
}
