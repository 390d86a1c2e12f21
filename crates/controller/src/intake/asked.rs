//! What the subject of a message in the intake asks for.

use baton_envelope::{AgentName, BadName, CapabilityName, ChannelName, HEADER_CAPABILITIES, RawIntent};

use crate::intake::routing::Routing;

/// What an intake subject asks for.
pub(super) enum Asked {
    /// Work for an agent.
    Agent(AgentName),
    /// Work for any agent with these capabilities.
    Capable(Vec<String>),
    /// To send a message to all that subscribe to a channel.
    Channel(ChannelName),
    /// To tell an intent something: `<intent>.<name>`.
    Signal(String),
    /// To decide for a person: `<person>.<intent>.<hop>.<wait>.<choice>`.
    Decision(String),
    /// Work under an invalid agent or capability name.
    BadName(BadName),
    /// Something that this version of Baton does not support.
    Unsupported(String),
}

impl Routing {
    /// What the subject of a message asks for.
    pub(super) fn asked(&self, raw: &RawIntent<'_>) -> Asked {
        let (_, rest) = self.mesh.subjects().intake(raw.subject);
        match rest.split_once('.') {
            Some(("intent", token)) => match token.parse() {
                Ok(agent) => Asked::Agent(agent),
                Err(error) => Asked::BadName(error),
            },
            Some(("channel", token)) => match token.parse() {
                Ok(channel) => Asked::Channel(channel),
                Err(error) => Asked::BadName(error),
            },
            Some(("capability", token)) => {
                let more = raw.header(HEADER_CAPABILITIES).unwrap_or_default();
                let needed = std::iter::once(token).chain(more.split(',').map(str::trim));
                let needed: Result<Vec<String>, BadName> = needed
                    .filter(|name| !name.is_empty())
                    .map(|name| name.parse::<CapabilityName>().map(|name| name.to_string()))
                    .collect();
                needed.map_or_else(Asked::BadName, Asked::Capable)
            }
            Some(("signal", to)) => Asked::Signal(to.to_owned()),
            Some(("decide", to)) => Asked::Decision(to.to_owned()),
            Some((kind, _)) => Asked::Unsupported(kind.to_owned()),
            None => Asked::Unsupported(rest.to_owned()),
        }
    }
}
