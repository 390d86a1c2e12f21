//! What a program inherits of the worker's environment: not what the worker logs in with.

use std::env;
use std::ffi::{OsStr, OsString};

/// Whose variables may hold what the worker logs in with.
const OWNERS: [&str; 3] = ["BATON_CONNECTION__", "BATON_", "NATS_"];
/// What the names of such variables contain.
const SECRETS: [&str; 8] = [
    "PASSWORD",
    "CREDS",
    "CREDENTIALS",
    "TOKEN",
    "NKEY",
    "SEED",
    "JWT",
    "SECRET",
];
/// The variable that a clean environment keeps: without it no program finds another.
const PATH: &str = "PATH";

/// Which variables of the worker its programs inherit, beside those that Baton sets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ExecEnv {
    /// All, but what the worker itself logs in with.
    #[default]
    Inherited,
    /// `PATH`.
    Clean,
}

/// What programs inherit.
#[derive(Debug, Clone, Default)]
pub(super) struct Inherited {
    env: ExecEnv,
    /// Variables that they inherit in any case.
    passed: Vec<String>,
}

impl Inherited {
    pub(super) fn new(env: ExecEnv, passed: Vec<String>) -> Self {
        Self { env, passed }
    }

    /// The variables of this process that a program inherits.
    pub(super) fn variables(&self) -> impl Iterator<Item = (OsString, OsString)> {
        env::vars_os().filter_map(|(name, value)| Some((name.clone(), self.inherits(&name, value)?)))
    }

    /// The value that a program gets of a variable, if any.
    fn inherits(&self, name: &OsStr, value: OsString) -> Option<OsString> {
        if self.passed.iter().any(|passed| name == OsStr::new(passed)) {
            return Some(value);
        }
        match self.env {
            ExecEnv::Clean => (name == OsStr::new(PATH)).then_some(value),
            ExecEnv::Inherited => {
                let Some(rest) = name.to_str().and_then(owned) else {
                    return Some(value);
                };
                if is_secret(rest) {
                    return None;
                }
                match value.to_str() {
                    Some(text) if text.contains('@') => Some(without_login(text).into()),
                    Some(_) | None => Some(value),
                }
            }
        }
    }
}

/// The name of a variable of Baton or NATS, without its owner.
fn owned(name: &str) -> Option<&str> {
    OWNERS.iter().find_map(|owner| name.strip_prefix(owner))
}

fn is_secret(rest: &str) -> bool {
    rest == "USER" || rest == "KEY" || rest.ends_with("_KEY") || SECRETS.iter().any(|secret| rest.contains(secret))
}

/// Addresses without the user and the password that may stand in them: `nats://user:password@host:4222`.
fn without_login(addresses: &str) -> String {
    let address = |text: &str| {
        let (scheme, rest) = match text.split_once("://") {
            Some((scheme, rest)) => (format!("{scheme}://"), rest),
            None => (String::new(), text),
        };
        let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
        format!("{scheme}{host}")
    };
    addresses.split(',').map(address).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(inherited: &Inherited, name: &str, value: &str) -> Option<String> {
        let value = inherited.inherits(OsStr::new(name), value.into())?;
        Some(value.into_string().expect("text"))
    }

    #[test]
    fn what_the_worker_logs_in_with_is_withheld_and_all_else_passes() {
        let inherited = Inherited::default();
        for name in [
            "BATON_PASSWORD",
            "BATON_USER",
            "BATON_CREDS",
            "BATON_NKEY",
            "BATON_TLS_KEY",
            "BATON_CONNECTION__PASSWORD",
            "BATON_CONNECTION__CREDS",
            "BATON_CONNECTION__USER",
            "BATON_CONNECTION__SIGNING_KEY",
            "NATS_PASSWORD",
            "NATS_USER",
            "NATS_CREDS",
            "NATS_TOKEN",
            "NATS_NKEY",
            "NATS_KEY",
            "NATS_USER_JWT",
        ] {
            assert_eq!(given(&inherited, name, "s3cret"), None, "{name}");
        }
        for name in [
            "PATH",
            "HOME",
            "AWS_SECRET_ACCESS_KEY",
            "OPENAI_API_KEY",
            "DB_PASSWORD",
            "USER",
            "BATON_NAMESPACE",
            "BATON_TLS_CA",
            "BATON_WORKER__CONCURRENCY",
            "NATS_CONTEXT",
        ] {
            assert_eq!(
                given(&inherited, name, "a@b")
                    .as_deref()
                    .map(|value| value.contains('b')),
                Some(true),
                "{name}"
            );
        }
    }

    #[test]
    fn an_address_passes_without_its_login() {
        let inherited = Inherited::default();
        for (value, expected) in [
            ("nats://ada:pw@host:4222", "nats://host:4222"),
            ("nats://ada:p@w@a:1,tls://b:2", "nats://a:1,tls://b:2"),
            ("token@host", "host"),
            ("nats://host:4222", "nats://host:4222"),
        ] {
            for name in ["BATON_SERVER", "BATON_CONNECTION__SERVER", "NATS_URL"] {
                assert_eq!(given(&inherited, name, value).as_deref(), Some(expected), "{name}");
            }
        }
        assert_eq!(
            given(&inherited, "OTHER_URL", "x://a:b@c").as_deref(),
            Some("x://a:b@c")
        );
    }

    #[test]
    fn what_is_named_passes_and_a_clean_environment_has_nothing_else() {
        let passed = || vec!["BATON_PASSWORD".to_owned(), "MY_KEY".to_owned()];
        let inherited = Inherited::new(ExecEnv::Inherited, passed());
        assert_eq!(given(&inherited, "BATON_PASSWORD", "pw").as_deref(), Some("pw"));
        assert_eq!(given(&inherited, "BATON_CREDS", "file"), None);
        let clean = Inherited::new(ExecEnv::Clean, passed());
        for (name, passes) in [
            ("PATH", true),
            ("MY_KEY", true),
            ("BATON_PASSWORD", true),
            ("HOME", false),
        ] {
            assert_eq!(given(&clean, name, "x").is_some(), passes, "{name}");
        }
    }
}
