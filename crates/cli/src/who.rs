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
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    format!("{}@{host}", user())
}

/// The user: as the environment says, else as the system does. Never a name that several users share, since an approval with
/// four eyes keeps out whoever submitted the work by it.
pub(crate) fn user() -> String {
    let variable = |name| std::env::var(name).ok().filter(|user: &String| !user.is_empty());
    let id = rustix::process::getuid().as_raw();
    let named = || {
        let users = std::fs::read_to_string("/etc/passwd").ok()?;
        user_of(&users, id).map(str::to_owned)
    };
    variable("USER")
        .or_else(|| variable("LOGNAME"))
        .or_else(named)
        .unwrap_or_else(|| format!("user-{id}"))
}

/// The name of a user in `/etc/passwd`.
fn user_of(users: &str, id: u32) -> Option<&str> {
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next().filter(|name| !name.is_empty())?;
        (fields.nth(1)?.parse() == Ok(id)).then_some(name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_its_number() {
        let users = "root:x:0:0:root:/root:/bin/bash\nbroken\nada:x:1000:1000::/srv/ada:/bin/sh\n";
        assert_eq!(user_of(users, 0), Some("root"));
        assert_eq!(user_of(users, 1000), Some("ada"));
        assert_eq!(user_of(users, 7), None);
    }
}
