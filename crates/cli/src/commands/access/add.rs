//! `baton access add`: another agent, person or publisher.

use baton_access::{AccessError, Folder, Member, Role, Scope, add};
use baton_envelope::{AccountName, AgentName, CapabilityName, ChannelName, SpaceName};
use clap::{Args, Subcommand};
use serde::Serialize;

use super::{FormArgs, HandedOut, sound_change};
use crate::app::App;
use crate::error::CliError;

/// `baton access add`.
#[derive(Debug, Clone, Subcommand)]
pub(super) enum AddCommand {
    /// All workers of an agent, of any version.
    Agent(AgentArgs),
    /// A person with this command.
    Person(PersonArgs),
    /// A program that asks for work and knows nothing of Baton.
    Publisher(PublisherArgs),
}

/// `baton access add agent`.
#[derive(Debug, Clone, Args)]
pub(super) struct AgentArgs {
    /// The agent.
    name: AgentName,
    /// Spaces that it may write memories to beside that of its own name, separated by commas.
    #[arg(long = "space", value_name = "SPACES", value_delimiter = ',')]
    spaces: Vec<SpaceName>,
    #[command(flatten)]
    form: FormArgs,
}

/// `baton access add person`.
#[derive(Debug, Clone, Args)]
pub(super) struct PersonArgs {
    /// The person: the author of what is done with this account.
    name: AccountName,
    /// What this person may do: viewer, approver, operator or admin.
    #[arg(long)]
    role: Role,
    #[command(flatten)]
    form: FormArgs,
}

/// `baton access add publisher`.
#[derive(Debug, Clone, Args)]
pub(super) struct PublisherArgs {
    /// The publisher: the author of what it submits.
    name: AccountName,
    /// Agents that it may ask, separated by commas.
    #[arg(
        long,
        value_name = "AGENTS",
        value_delimiter = ',',
        required_unless_present_any = ["capabilities", "channels"]
    )]
    may: Vec<AgentName>,
    /// Capabilities that it may ask for, separated by commas: whichever agent declares one gets the work.
    #[arg(long = "capability", value_name = "CAPABILITIES", value_delimiter = ',')]
    capabilities: Vec<CapabilityName>,
    /// Channels that it may publish on, separated by commas.
    #[arg(long = "channel", value_name = "CHANNELS", value_delimiter = ',')]
    channels: Vec<ChannelName>,
    #[command(flatten)]
    form: FormArgs,
}

#[derive(Serialize)]
struct Document {
    kind: &'static str,
    #[serde(flatten)]
    user: HandedOut,
}

/// Adds it.
pub(super) fn run(command: AddCommand, folder: &Folder, app: &App) -> Result<(), CliError> {
    let (member, form) = match command {
        AddCommand::Agent(args) => (Member::Agent(args.name, args.spaces), args.form),
        AddCommand::Person(args) => (Member::Person(args.name, args.role), args.form),
        AddCommand::Publisher(args) => {
            let scope = Scope {
                may: args.may,
                capabilities: args.capabilities,
                channels: args.channels,
            };
            (Member::Publisher(args.name, scope), args.form)
        }
    };
    let (secret, before) = (form.secret()?, folder.read()?);
    let text = add(&before, &member, &secret).map_err(|error| taken(error, &form))?;
    let access = sound_change(folder, &before, &text)?;
    // Credentials that are not in the file let nobody in, so they are written first.
    let files = folder.hand_out(&access, member.name(), &secret)?;
    folder.write(&text)?;
    let document = Document {
        kind: member.kind(),
        user: HandedOut::of(member.name(), &files),
    };
    app.output.show(&document, || {
        format!(
            "added the {} {}; its credentials:\n{}",
            document.kind,
            document.user.name,
            document.user.text()
        )
    })?;
    app.output.note("next: baton access apply");
    Ok(())
}

/// Whoever is there already, and wants the kind of secret that was asked for.
fn taken(error: AccessError, form: &FormArgs) -> CliError {
    let AccessError::Taken { name, .. } = &error else {
        return error.into();
    };
    if !form.with_password {
        return error.into();
    }
    let hint = format!("give it a password: `baton access rotate {name} --with-password`; or choose another name");
    CliError {
        hints: vec![hint],
        ..error.into()
    }
}
