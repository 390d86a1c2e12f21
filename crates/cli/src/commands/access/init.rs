//! `baton access init`: a file of accounts with Baton's own users.

use baton_access::{Access, Folder, Rotation, Secret, problems, rotate};
use clap::Args;
use serde::Serialize;

use super::{FormArgs, HandedOut};
use crate::app::App;
use crate::error::CliError;

/// What stands at the head of a new file.
const HEAD: &str = "\
# Who may do what in this mesh. `baton access apply` makes the configuration of nats-server of it; docs/security.md tells more.
# Nothing here is secret: keys are public halves, passwords are hashes. The secrets are in the folder of [files] credentials.
";

/// `baton access init`.
#[derive(Debug, Clone, Args)]
pub(super) struct InitArgs {
    /// Address that nats-server listens on.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:4222")]
    listen: String,
    #[command(flatten)]
    form: FormArgs,
}

#[derive(Serialize)]
struct Document {
    file: String,
    config: String,
    users: Vec<HandedOut>,
}

/// Makes it.
pub(super) fn run(args: &InitArgs, folder: &Folder, app: &App) -> Result<(), CliError> {
    let namespace = app.config.connection.namespace.as_str();
    let mut text = format!(
        "{HEAD}\n[mesh]\nnamespace = \"{namespace}\"\n\n[server]\nlisten = {}\n",
        toml::Value::String(args.listen.clone())
    );
    let secrets: [(&str, Secret); 2] = [("controller", args.form.secret()?), ("system", args.form.secret()?)];
    for (user, secret) in &secrets {
        text = rotate(&text, user, &Rotation::Replace(secret.clone()))?;
    }
    let access = Access::parse(&text)?;
    folder.create(&text)?;
    let mut users = Vec::new();
    for (user, secret) in &secrets {
        users.push(HandedOut::of(user, &folder.hand_out(&access, user, secret)?));
    }
    let document = Document {
        file: folder.file().display().to_string(),
        config: folder.config(&access).display().to_string(),
        users,
    };
    app.output.show(&document, || {
        let users: String = document.users.iter().map(HandedOut::text).collect();
        format!(
            "made {}, and for controllers and the system account:\n{users}",
            document.file
        )
    })?;
    for warning in problems(&access) {
        app.output
            .note(&format!("{}: {}: {}", warning.place, warning.problem, warning.fix));
    }
    app.output.note(&format!(
        "next: baton access add agent NAME; baton access apply; nats-server -c {}",
        document.config
    ));
    Ok(())
}
