//! What a user is given: its secret, a file of variables for systemd, and a context of the `nats` CLI.

use std::fmt;

use baton_envelope::Namespace;
use serde::Serialize;

use crate::file::{Access, CONTROLLER};
use crate::layout::inbox_prefix;
use crate::secret::Secret;

/// The files of one user, as texts.
#[derive(Clone, PartialEq, Eq)]
pub struct Handout {
    /// The seed of its key, if it has a key.
    pub seed: Option<String>,
    /// The variables that Baton reads, for `EnvironmentFile=` of systemd.
    pub variables: String,
    /// The context of the `nats` CLI.
    pub context: String,
}

impl fmt::Debug for Handout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handout").finish_non_exhaustive()
    }
}

/// A context of the `nats` CLI.
#[derive(Serialize)]
struct Context<'a> {
    description: String,
    url: String,
    #[serde(skip_serializing_if = "str::is_empty")]
    user: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    password: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    nkey: &'a str,
    inbox_prefix: String,
    #[serde(skip_serializing_if = "str::is_empty")]
    ca: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    cert: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    key: &'a str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    tls_first: bool,
}

/// The secret that a user is given.
#[derive(Clone, Copy)]
pub enum Given<'a> {
    /// The seed of a key.
    Seed(&'a str),
    /// A password.
    Password(&'a str),
}

impl<'a> From<&'a Secret> for Given<'a> {
    fn from(secret: &'a Secret) -> Self {
        match secret {
            Secret::Key { seed, .. } => Self::Seed(seed),
            Secret::Password { text, .. } => Self::Password(text),
        }
    }
}

impl fmt::Debug for Given<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Seed(_) => "Seed",
            Self::Password(_) => "Password",
        })
    }
}

impl Handout {
    /// The files of a user; `seed_file` is where its seed will be.
    ///
    /// # Errors
    /// Never: texts can be written as JSON.
    pub fn of(access: &Access, name: &str, given: Given<'_>, seed_file: &str) -> Result<Self, serde_json::Error> {
        let url = access.server.client_url();
        let tls = access.server.tls.as_ref();
        let (cert, key) = tls.and_then(|tls| tls.of_client(name)).unwrap_or_default();
        let (seed, user, password, nkey) = match given {
            Given::Seed(seed) => (Some(format!("{seed}\n")), "", "", seed_file),
            Given::Password(text) => (None, name, text, ""),
        };
        let context = Context {
            description: format!("Baton: {name}"),
            url,
            user,
            password,
            nkey,
            inbox_prefix: inbox_prefix(name),
            ca: tls.map_or("", |tls| &tls.ca),
            cert: &cert,
            key: &key,
            tls_first: tls.is_some_and(|tls| tls.first),
        };
        Ok(Self {
            seed,
            variables: variables(name, &access.mesh.namespace, &context),
            context: serde_json::to_string_pretty(&context)? + "\n",
        })
    }
}

fn variables(name: &str, namespace: &Namespace, context: &Context<'_>) -> String {
    let mut lines = vec![format!(
        "# The user {name}, for `EnvironmentFile=` of systemd. Made by `baton access`."
    )];
    let tls_first = if context.tls_first { "true" } else { "" };
    let namespace = if *namespace == Namespace::default() {
        ""
    } else {
        namespace.as_str()
    };
    // Controllers then believe the server, and nobody else, who asks.
    let secured = if name == CONTROLLER { "true" } else { "" };
    for (variable, value) in [
        ("BATON_SERVER", context.url.as_str()),
        ("BATON_NAMESPACE", namespace),
        ("BATON_NKEY", context.nkey),
        ("BATON_USER", context.user),
        ("BATON_PASSWORD", context.password),
        ("BATON_INBOX_PREFIX", &context.inbox_prefix),
        ("BATON_TLS_CA", context.ca),
        ("BATON_TLS_CERT", context.cert),
        ("BATON_TLS_KEY", context.key),
        ("BATON_CONNECTION__TLS_FIRST", tls_first),
        ("BATON_SECURITY__SECURED", secured),
    ] {
        if !value.is_empty() {
            lines.push(format!("{variable}={}", assigned(value)));
        }
    }
    lines.join("\n") + "\n"
}

/// A value as both systemd and a shell read it.
fn assigned(value: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/:._-,@%+=".contains(c);
    if value.chars().all(plain) {
        value.to_owned()
    } else {
        format!("'{}'", value.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::{Form, RANDOM_BYTES};

    #[test]
    fn a_user_is_given_all_that_a_connection_needs() {
        let access = Access::parse(
            "[mesh]\nnamespace = \"shop\"\n[server]\nlisten = \"bus:4222\"\n\
             [server.tls]\ncert = \"c\"\nkey = \"k\"\nca = \"/etc/ca.pem\"\nverify = true\nfirst = true\n\
             client_cert = \"/etc/{name}.pem\"\nclient_key = \"/etc/{name}.key\"\n",
        )
        .expect("reads");
        let secret = Secret::make(Form::Key, [1; RANDOM_BYTES]).expect("made");
        let handout = Handout::of(&access, "ada", (&secret).into(), "/a b/ada.nk").expect("written");
        for line in [
            "BATON_SERVER=tls://bus:4222",
            "BATON_NAMESPACE=shop",
            "BATON_NKEY='/a b/ada.nk'",
            "BATON_INBOX_PREFIX=_INBOX_ada",
            "BATON_TLS_CA=/etc/ca.pem",
            "BATON_TLS_CERT=/etc/ada.pem",
            "BATON_TLS_KEY=/etc/ada.key",
            "BATON_CONNECTION__TLS_FIRST=true",
        ] {
            assert!(
                handout.variables.lines().any(|one| one == line),
                "{line}: {}",
                handout.variables
            );
        }
        assert!(handout.seed.is_some_and(|seed| seed.starts_with("SU")));
        let context: serde_json::Value = serde_json::from_str(&handout.context).expect("JSON");
        assert_eq!(context["nkey"], "/a b/ada.nk");
        assert_eq!(context["inbox_prefix"], "_INBOX_ada");
        assert_eq!(context["tls_first"], true);
        assert!(!handout.context.contains("SU"), "the seed stays in its own file");
    }
}
