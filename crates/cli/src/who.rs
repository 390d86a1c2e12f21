//! Who is at work here, for the records that this command writes.

use baton_envelope::{Author, Role};

/// The author of what a person does with this command: user, host and process.
pub(crate) fn author(role: Role) -> Author {
    Author::of(role, name())
}

/// User, host and process as one text: `ada@workstation:4711`.
pub(crate) fn name() -> String {
    format!("{}:{}", person(), std::process::id())
}

/// User and host as one text: `ada@workstation`. Who owns a rollout is a person, and the same in the next command.
pub(crate) fn person() -> String {
    let user = std::env::var("USER").ok().filter(|user| !user.is_empty());
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    format!("{}@{host}", user.as_deref().unwrap_or("cli"))
}
