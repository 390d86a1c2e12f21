//! Who asks a question, as the server says: a request that crosses accounts by a shared import carries a header that the
//! server writes, and that no body can contradict.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::base::codes;
use crate::base::json::Json;
use crate::control::error::ControlError;

/// The header in which the server says who made a request. Its name is case-sensitive, as all names of headers are.
pub const HEADER_REQUEST_INFO: &str = "Nats-Request-Info";
/// The field of a question that says who asks.
const BY: &str = "by";

/// Who asks, as the server says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asker {
    /// The account.
    pub account: String,
    /// The user in it; `None` where the import does not share it.
    pub user: Option<String>,
}

/// What the server says of a request. It says more, which nobody here believes more of.
#[derive(Deserialize)]
struct Info {
    #[serde(default)]
    acc: String,
    #[serde(default)]
    user: String,
    /// The service on whose behalf the request goes on: then it is an answer that somebody else redirected.
    #[serde(default)]
    svc: Option<serde::de::IgnoredAny>,
}

impl Asker {
    /// Who asks, by the headers of the request. `own` is the account of the mesh itself: an answer of a controller that
    /// somebody redirected comes in its name.
    ///
    /// # Errors
    /// `NO_IDENTITY` where the header is absent, comes more than once in any spelling, names the mesh itself, or is of a
    /// chained request.
    pub fn read<'h>(headers: impl IntoIterator<Item = (&'h str, &'h str)>, own: &str) -> Result<Self, ControlError> {
        let nobody = |problem: &str| {
            let message = format!("the server does not say who asks: {problem}");
            let fix =
                "ask from an account that imports the subject from the mesh with `share: true` (docs/security.md)";
            ControlError::new(codes::NO_IDENTITY, message, fix)
        };
        let named = |(name, _): &(&str, &str)| name.eq_ignore_ascii_case(HEADER_REQUEST_INFO);
        let mut found = headers.into_iter().filter(named);
        let (name, text) = match (found.next(), found.next()) {
            (None, _) => return Err(nobody("the request has no Nats-Request-Info")),
            (Some(_), Some(_)) => return Err(nobody("the request has more than one Nats-Request-Info")),
            (Some(only), None) => only,
        };
        if name != HEADER_REQUEST_INFO {
            return Err(nobody("Nats-Request-Info is spelt as no server spells it"));
        }
        let info: Info = serde_json::from_str(text).map_err(|_| nobody("Nats-Request-Info cannot be read"))?;
        if info.svc.is_some() {
            return Err(nobody("the request is an answer that went on to another subject"));
        }
        if info.acc.is_empty() {
            return Err(nobody("Nats-Request-Info names no account"));
        }
        if info.acc == own {
            return Err(nobody("the request comes from the account of the mesh itself"));
        }
        Ok(Self {
            account: info.acc,
            user: Some(info.user).filter(|user| !user.is_empty()),
        })
    }

    /// The name for records and decisions: `ada@sales`, or the account alone where the user has the same name, is a key, or is
    /// not told. An account is one person or program; its keys change, and who owns a rollout stays the same.
    pub fn name(&self) -> String {
        let user = self.user.as_deref();
        match user.filter(|user| *user != self.account && !is_key(user)) {
            Some(user) => format!("{user}@{}", self.account),
            None => self.account.clone(),
        }
    }
}

/// Whether a user is named by the public half of a key.
fn is_key(user: &str) -> bool {
    let is_base32 = |byte: u8| byte.is_ascii_uppercase() || (b'2'..=b'7').contains(&byte);
    user.len() == 56 && user.starts_with('U') && user.bytes().all(is_base32)
}

/// A question with `by` put in, or taken out, whatever it said of itself; every other field keeps its spelling. `None` where
/// it is no object.
pub fn asked_by(question: &[u8], by: Option<&str>) -> Option<Vec<u8>> {
    let mut fields: BTreeMap<String, Json> = serde_json::from_slice(question).ok()?;
    match by {
        Some(by) => fields.insert(BY.to_owned(), Json::string(by)),
        None => fields.remove(BY),
    };
    serde_json::to_vec(&fields).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADA: &str = r#"{"acc":"PE_ada","rtt":12,"start":"x","user":"ada","host":"127.0.0.1","id":7,"lang":"rust"}"#;

    fn read(headers: &[(&str, &str)]) -> Result<String, String> {
        let read = Asker::read(headers.iter().copied(), "MESH");
        read.map(|asker| asker.name()).map_err(|refused| {
            assert_eq!(refused.code, codes::NO_IDENTITY);
            refused.message
        })
    }

    #[test]
    fn the_server_names_account_and_user() {
        assert_eq!(
            read(&[("Baton-Kind", "x"), (HEADER_REQUEST_INFO, ADA)]),
            Ok("ada@PE_ada".to_owned())
        );
        let unshared = r#"{"acc":"AG_code","rtt":3}"#;
        assert_eq!(read(&[(HEADER_REQUEST_INFO, unshared)]), Ok("AG_code".to_owned()));
        let own = r#"{"acc":"ada","user":"ada"}"#;
        assert_eq!(read(&[(HEADER_REQUEST_INFO, own)]), Ok("ada".to_owned()));
        let key = format!(r#"{{"acc":"PE_ada","user":"U{}"}}"#, "A".repeat(55));
        assert_eq!(read(&[(HEADER_REQUEST_INFO, &key)]), Ok("PE_ada".to_owned()));
    }

    #[test]
    fn what_no_server_says_is_nobody() {
        let forged = r#"{"acc":"PE_root","user":"root"}"#;
        let chained = r#"{"acc":"PE_ada","user":"ada","svc":"MESH"}"#;
        for (headers, said) in [
            (vec![], "no Nats-Request-Info"),
            (
                vec![(HEADER_REQUEST_INFO, forged), (HEADER_REQUEST_INFO, ADA)],
                "more than one",
            ),
            (
                vec![("nats-request-info", forged), (HEADER_REQUEST_INFO, ADA)],
                "more than one",
            ),
            (
                vec![(HEADER_REQUEST_INFO, ADA), ("NATS-Request-INFO", forged)],
                "more than one",
            ),
            (vec![("nats-request-info", forged)], "spelt"),
            (
                vec![(HEADER_REQUEST_INFO, r#"{"acc":"MESH","user":"controller"}"#)],
                "the mesh itself",
            ),
            (vec![(HEADER_REQUEST_INFO, chained)], "went on"),
            (vec![(HEADER_REQUEST_INFO, r#"{"user":"ada"}"#)], "names no account"),
            (
                vec![(HEADER_REQUEST_INFO, r#"{"acc":"A","acc":"B"}"#)],
                "cannot be read",
            ),
            (vec![(HEADER_REQUEST_INFO, "ada")], "cannot be read"),
        ] {
            let refused = read(&headers).expect_err(said);
            assert!(refused.contains(said), "{said}: {refused}");
        }
    }

    #[test]
    fn who_asks_is_put_in_and_nothing_else_changes() {
        let question = br#"{"reason":"x","by":"root","envelope":{"n":1.50},"by":"ada"}"#;
        let text = |by| asked_by(question, by).map(|bytes| String::from_utf8(bytes).expect("text"));
        assert_eq!(
            text(Some("ada@PE_ada")).as_deref(),
            Some(r#"{"by":"ada@PE_ada","envelope":{"n":1.50},"reason":"x"}"#)
        );
        assert_eq!(text(None).as_deref(), Some(r#"{"envelope":{"n":1.50},"reason":"x"}"#));
        assert_eq!(asked_by(b"[1]", Some("ada")), None);
    }
}
