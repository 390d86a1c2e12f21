//! Whom `baton send` sends to: an agent by its name, or whichever can do what is needed.

use baton_envelope::{AgentName, Envelope};
use baton_jetstream::Mesh;
use clap::{Args, ValueEnum};

use crate::error::{CliError, Kind};

/// The addressee and the payload. They stand together because with `--capability` the first argument is the payload.
#[derive(Debug, Clone, Args)]
pub(super) struct ToArgs {
    /// The agent that it is for; with --capability there is none, and the payload comes first.
    #[arg(
        value_name = "AGENT",
        required_unless_present = "capabilities",
        allow_negative_numbers = true
    )]
    first: Option<String>,
    /// The payload: text or JSON, @FILE, or - for stdin [default: stdin].
    #[arg(value_name = "PAYLOAD", allow_negative_numbers = true)]
    second: Option<String>,
    /// Something that the agent must be able to do, instead of its name; may be repeated.
    #[arg(long = "capability", value_name = "NAME")]
    capabilities: Vec<String>,
    /// What to do while no agent can do it.
    #[arg(long, value_enum, default_value = "reject", requires = "capabilities")]
    when_none: WhenNone,
}

/// What to do while no agent can do it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum WhenNone {
    /// Refuse the work.
    Reject,
    /// Keep the work until one can.
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
        capabilities: Vec<String>,
        /// What to do while none can.
        when_none: WhenNone,
    },
}

impl ToArgs {
    /// Whom it is for, and the argument that says the payload.
    pub(super) fn read(&self) -> Result<(To, Option<&str>), CliError> {
        if self.capabilities.is_empty() {
            let agent = self.first.as_deref().unwrap_or_default().parse()?;
            return Ok((To::Agent(agent), self.second.as_deref()));
        }
        if self.second.is_some() {
            let name = self.first.as_deref().unwrap_or_default();
            let message = format!("--capability chooses the agent: \"{name}\" cannot name one too");
            return Err(CliError::say(Kind::Usage, message).hint("give either AGENT or --capability"));
        }
        let to = To::Capable {
            capabilities: self.capabilities.clone(),
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
            Self::Capable { .. } => Ok("to-be-chosen".parse()?),
        }
    }

    /// Puts the agent into the envelope that is chosen by what it can do.
    pub(super) async fn choose(&self, mesh: &Mesh, envelope: &mut Envelope) -> Result<(), CliError> {
        if let Self::Capable {
            capabilities,
            when_none,
        } = self
        {
            envelope.to = choose_capable(mesh, capabilities, *when_none, envelope).await?;
        }
        Ok(())
    }
}

// WIRE(capability): the body becomes
//     let (agent, ..) = mesh.choose_capable(capabilities, envelope.root(), envelope.kind.as_deref()).await?; Ok(agent)
// and `when_none` goes to whatever holds the work back.
#[expect(clippy::unused_async, reason = "asks the mesh once it can be asked")]
async fn choose_capable(
    mesh: &Mesh,
    capabilities: &[String],
    when_none: WhenNone,
    envelope: &Envelope,
) -> Result<AgentName, CliError> {
    tracing::debug!(url = mesh.url(), ?capabilities, ?when_none, root = %envelope.root(), "choosing an agent");
    Err(CliError::say(Kind::Failed, "capability routing is not wired yet").hint("name the agent instead"))
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
        let (to, payload) = args.to.read().map_err(|error| error.message())?;
        Ok((to, payload.map(str::to_owned)))
    }

    #[test]
    fn the_first_argument_is_the_agent_or_with_a_capability_the_payload() {
        let code = To::Agent("code".parse().expect("name"));
        assert_eq!(parsed(&["code", "-5"]), Ok((code.clone(), Some("-5".to_owned()))));
        assert_eq!(parsed(&["code"]), Ok((code, None)));
        let able = |when_none| To::Capable {
            capabilities: vec!["rust".to_owned(), "tests".to_owned()],
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
            (&["code", "x", "--capability", "rust"], "\"code\" cannot name one too"),
            (&["code", "x", "--when-none", "hold"], "--capability"),
            (&["--capability", "rust", "--when-none", "wait"], "reject, hold"),
        ] {
            let error = parsed(line).expect_err(said);
            assert!(error.contains(said), "{said}: {error}");
        }
    }
}
