//! As whom a connection is made, and with which certificates.
//!
//! One place says who: what is set for this process, else the address, else the context. What another place says of it is not
//! mixed in. Only a password alone, without a user, goes with the user that another place names.

use std::fmt;
use std::path::PathBuf;

use async_nats::ConnectOptions;

use super::connect::Target;
use super::nats_context::NatsContext;
use super::screen::Tls;
use crate::error::Error;

/// What a seed of a user begins with.
const SEED: &str = "SU";

/// As whom, and how.
#[derive(Debug)]
pub(super) struct Login {
    way: Way,
    /// What the subjects of its answers begin with.
    inbox_prefix: Option<String>,
    pub(super) tls: Tls,
}

enum Way {
    Nobody,
    User {
        name: String,
        password: String,
        from: &'static str,
    },
    Token {
        token: String,
        from: &'static str,
    },
    Creds(PathBuf),
    Nkey(PathBuf),
}

impl fmt::Debug for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Way")
    }
}

/// Who a connection is, as people may read it: never with a secret.
impl fmt::Display for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.way {
            Way::Nobody => f.write_str("a client that names no user"),
            Way::User { name, from, .. } => write!(f, "user \"{name}\"{from}"),
            Way::Token { from, .. } => write!(f, "the token{from}"),
            Way::Creds(path) => write!(f, "the credentials of {}", path.display()),
            Way::Nkey(path) => write!(f, "the nkey of {}", path.display()),
        }
    }
}

impl Login {
    /// By what is set, the address and the context.
    ///
    /// # Errors
    /// When an inbox prefix can be none.
    pub(super) fn of(target: &Target, address: Option<Secret>, context: &NatsContext) -> Result<Self, Error> {
        let inbox_prefix = target.inbox_prefix.clone().or_else(|| text(&context.inbox_prefix));
        if let Some(prefix) = &inbox_prefix {
            check_prefix(prefix)?;
        }
        let theirs = context.tls();
        let own = target.tls.own.clone().or(theirs.own);
        let tls = Tls {
            first: target.tls.first || theirs.first,
            ca: target.tls.ca.clone().or(theirs.ca),
            own,
        };
        check_tls(&tls)?;
        let way = Way::of(target, address, context);
        Ok(Self { way, inbox_prefix, tls })
    }

    /// Options with this login. TLS is left out: see [`Login::with_tls`].
    ///
    /// # Errors
    /// When a file cannot be read, or holds something else.
    pub(super) fn apply(&self, mut options: ConnectOptions) -> Result<ConnectOptions, Error> {
        options = match &self.way {
            Way::Nobody => options,
            Way::User { name, password, .. } => options.user_and_password(name.clone(), password.clone()),
            Way::Token { token, .. } => options.token(token.clone()),
            Way::Creds(path) => options
                .credentials(&read(path)?)
                .map_err(|error| unusable(path, &error))?,
            Way::Nkey(path) => {
                let seed = read(path)?.trim().to_owned();
                if !seed.starts_with(SEED) {
                    return Err(unusable(path, &"it holds no seed of a user, which begins with SU"));
                }
                options.nkey(seed)
            }
        };
        Ok(match &self.inbox_prefix {
            Some(prefix) => options.custom_inbox_prefix(prefix),
            None => options,
        })
    }

    /// Options with what TLS needs. A screen does TLS itself.
    pub(super) fn with_tls(&self, mut options: ConnectOptions) -> ConnectOptions {
        if let Some(path) = &self.tls.ca {
            options = options.add_root_certificates(path.clone());
        }
        if let Some((certificate, key)) = &self.tls.own {
            options = options.add_client_certificate(certificate.clone(), key.clone());
        }
        if self.tls.first {
            options = options.tls_first();
        }
        options
    }
}

/// Whether the files of TLS can be read: a connection that fails of it would say that no server answers.
fn check_tls(tls: &Tls) -> Result<(), Error> {
    let own = tls
        .own
        .iter()
        .flat_map(|(certificate, key)| [("tls_cert", certificate), ("tls_key", key)]);
    for (setting, path) in tls.ca.iter().map(|path| ("tls_ca", path)).chain(own) {
        std::fs::File::open(path).map_err(|error| Error::BadTlsFile {
            setting,
            path: path.clone(),
            problem: error.to_string(),
        })?;
    }
    Ok(())
}

impl Way {
    fn of(target: &Target, address: Option<Secret>, context: &NatsContext) -> Self {
        if let Some(path) = &target.creds {
            return Self::Creds(path.clone());
        }
        if let Some(path) = &target.nkey {
            return Self::Nkey(path.clone());
        }
        let password = |theirs: Option<String>| target.password.clone().or(theirs).unwrap_or_default();
        if let Some(name) = &target.user {
            // Earlier releases took the password of the context with a user of one's own.
            let password = password(text(&context.password));
            return Self::User {
                name: name.clone(),
                password,
                from: "",
            };
        }
        match address {
            Some(Secret::User { name, password: theirs }) => {
                let password = password(Some(theirs));
                return Self::User {
                    name,
                    password,
                    from: " of the address",
                };
            }
            Some(Secret::Token(token)) => {
                return Self::Token {
                    token,
                    from: " of the address",
                };
            }
            None => {}
        }
        if let Some(name) = text(&context.user) {
            let password = password(text(&context.password));
            Self::User {
                name,
                password,
                from: " of the context",
            }
        } else if let Some(path) = text(&context.creds) {
            Self::Creds(path.into())
        } else if let Some(path) = text(&context.nkey) {
            Self::Nkey(path.into())
        } else if let Some(token) = text(&context.token) {
            Self::Token {
                token,
                from: " of the context",
            }
        } else {
            Self::Nobody
        }
    }
}

/// What an address says of who connects. Has no form for people.
pub(super) enum Secret {
    User { name: String, password: String },
    Token(String),
}

/// Parts addresses, which are separated by commas, from the secrets in them: the client and every message get addresses
/// without. Where several name somebody, the first one counts.
pub(super) fn part(urls: &str) -> (String, Option<Secret>) {
    let mut secret = None;
    let mut plain = Vec::new();
    for url in urls.split(',').map(str::trim) {
        let (scheme, rest) = match url.split_once("://") {
            Some((scheme, rest)) => (Some(scheme), rest),
            None => (None, url),
        };
        let (who, host) = match rest.rsplit_once('@') {
            Some((who, host)) => (Some(who), host),
            None => (None, rest),
        };
        secret = secret.or_else(|| who.map(Secret::read));
        plain.push(scheme.map_or_else(|| host.to_owned(), |scheme| format!("{scheme}://{host}")));
    }
    (plain.join(","), secret)
}

impl Secret {
    /// `user:password`, or a token.
    fn read(who: &str) -> Self {
        match who.split_once(':') {
            Some((name, password)) => Self::User {
                name: decoded(name),
                password: decoded(password),
            },
            None => Self::Token(decoded(who)),
        }
    }
}

/// A part of an address without its `%XX`.
fn decoded(text: &str) -> String {
    let (mut bytes, mut rest) = (Vec::with_capacity(text.len()), text.as_bytes());
    while let Some((first, after)) = rest.split_first() {
        let code = after.get(..2).and_then(|code| std::str::from_utf8(code).ok());
        match code
            .and_then(|code| u8::from_str_radix(code, 16).ok())
            .filter(|_| *first == b'%')
        {
            Some(byte) => {
                bytes.push(byte);
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// An inbox prefix is the beginning of a subject: one that the server reads in another way would never bring an answer.
fn check_prefix(prefix: &str) -> Result<(), Error> {
    let fits = |token: &str| {
        let plain = |c: char| !c.is_whitespace() && !c.is_control() && !"*>".contains(c);
        !token.is_empty() && token.chars().all(plain)
    };
    if prefix.split('.').all(fits) {
        Ok(())
    } else {
        Err(Error::BadInboxPrefix(prefix.to_owned()))
    }
}

fn read(path: &std::path::Path) -> Result<String, Error> {
    std::fs::read_to_string(path).map_err(|error| unusable(path, &error))
}

fn unusable(path: &std::path::Path, problem: &dyn fmt::Display) -> Error {
    Error::BadCredentials {
        path: path.to_owned(),
        problem: problem.to_string(),
    }
}

fn text(value: &str) -> Option<String> {
    (!value.is_empty()).then(|| value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn way(target: &Target, url: &str, context: &NatsContext) -> (String, Option<String>) {
        let login = Login::of(target, part(url).1, context).expect("a login");
        let password = match &login.way {
            Way::User { password, .. } => Some(password.clone()),
            Way::Token { token, .. } => Some(token.clone()),
            Way::Nobody | Way::Creds(_) | Way::Nkey(_) => None,
        };
        (login.to_string(), password)
    }

    #[test]
    fn an_address_is_parted_from_its_secrets() {
        for (url, plain) in [
            ("nats://127.0.0.1:4222", "nats://127.0.0.1:4222"),
            ("nats://ada:p@ss@host:4222, host2", "nats://host:4222,host2"),
            ("token@host", "host"),
            ("tls://a:b@[::1]:4222", "tls://[::1]:4222"),
            ("", ""),
        ] {
            assert_eq!(part(url).0, plain);
        }
    }

    #[test]
    fn who_connects_is_said_by_one_place_and_without_secrets() {
        let context = NatsContext {
            user: "ctx".into(),
            password: "of-context".into(),
            ..NatsContext::default()
        };
        let none = NatsContext::default();
        let ours = Target {
            user: Some("ada".into()),
            password: Some("own".into()),
            ..Target::default()
        };
        let keyed = Target {
            nkey: Some("/k/ada.nk".into()),
            ..Target::default()
        };
        let alone = Target {
            password: Some("own".into()),
            ..Target::default()
        };
        let url = "nats://bob:s%40cret@host";
        for (target, url, context, who, secret) in [
            (&ours, url, &context, "user \"ada\"", Some("own")),
            (&keyed, url, &context, "the nkey of /k/ada.nk", None),
            (
                &Target::default(),
                url,
                &context,
                "user \"bob\" of the address",
                Some("s@cret"),
            ),
            (
                &Target::default(),
                "nats://t0ken@host",
                &none,
                "the token of the address",
                Some("t0ken"),
            ),
            (
                &Target::default(),
                "host",
                &context,
                "user \"ctx\" of the context",
                Some("of-context"),
            ),
            (&alone, "host", &context, "user \"ctx\" of the context", Some("own")),
            (&Target::default(), "host", &none, "a client that names no user", None),
        ] {
            assert_eq!(way(target, url, context), (who.to_owned(), secret.map(str::to_owned)));
        }
    }

    #[test]
    fn an_inbox_prefix_is_the_beginning_of_a_subject() {
        for good in ["_INBOX", "_INBOX_ada", "ours.inbox"] {
            assert!(check_prefix(good).is_ok(), "{good}");
        }
        for bad in ["", "_INBOX.", ".x", "a..b", "a b", "_INBOX.*", "_INBOX.>"] {
            assert!(check_prefix(bad).is_err(), "{bad}");
        }
    }
}
