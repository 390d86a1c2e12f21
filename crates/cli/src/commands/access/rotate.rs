//! `baton access rotate`: a new secret in place of the one that a user has.

use baton_access::{Access, Folder, Form, Login, Rotation, rotate};
use clap::Args;

use super::{HandedOut, secret, sound_change};
use crate::app::App;
use crate::error::CliError;

/// `baton access rotate`.
#[derive(Debug, Clone, Args)]
pub(super) struct RotateArgs {
    /// The user: an agent, a person, a publisher, controller or system.
    name: String,
    /// Let the key that it has stay good beside the new one.
    #[arg(long, conflicts_with_all = ["drop_old", "with_password", "with_key"])]
    keep_old: bool,
    /// Make nothing new: only drop the old key.
    #[arg(long, conflicts_with_all = ["with_password", "with_key"])]
    drop_old: bool,
    /// Make a password [default: what it has now].
    #[arg(long)]
    with_password: bool,
    /// Make a key [default: what it has now].
    #[arg(long, conflicts_with = "with_password")]
    with_key: bool,
}

/// Rotates it.
pub(super) fn run(args: &RotateArgs, folder: &Folder, app: &App) -> Result<(), CliError> {
    let (before, name) = (folder.read()?, args.name.as_str());
    if args.drop_old {
        let text = rotate(&before, name, &Rotation::DropOld)?;
        sound_change(folder, &before, &text)?;
        folder.write(&text)?;
        let document = HandedOut::of(name, &[]);
        app.output
            .show(&document, || format!("the old key of {name} is dropped"))?;
    } else {
        let secret = secret(args.form(&Access::parse(&before)?))?;
        let rotation = if args.keep_old {
            Rotation::Beside(secret.clone())
        } else {
            Rotation::Replace(secret.clone())
        };
        let text = rotate(&before, name, &rotation)?;
        let access = sound_change(folder, &before, &text)?;
        let files = folder.hand_out(&access, name, &secret)?;
        folder.write(&text)?;
        let document = HandedOut::of(name, &files);
        app.output
            .show(&document, || format!("{name} has a new secret:\n{}", document.text()))?;
    }
    app.output.note("next: baton access apply");
    Ok(())
}

impl RotateArgs {
    /// The kind of secret: as it was told, else as it is.
    fn form(&self, access: &Access) -> Form {
        let now = access.logins().into_iter().find(|(name, _)| *name == self.name);
        let has_password = matches!(now, Some((_, Some(Login::Password(_)))));
        if self.with_password || (has_password && !self.with_key) {
            Form::Password
        } else {
            Form::Key
        }
    }
}
