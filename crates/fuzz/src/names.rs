//! Names that become subjects, and times.

use std::fmt::{Debug, Display};
use std::str::FromStr;

use baton_envelope::*;

pub(crate) fn names(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let mesh = Subjects::new(Namespace::default());
    let version: AgentVersion = "1.0.0".parse().expect("a version");
    if let Some(agent) = accepted::<AgentName>(text) {
        is_subject(&mesh.work(&agent, &version, Priority::default()), 5);
        is_subject(&mesh.intent(&agent), 3);
        is_token(&mesh.work_stream(&agent));
    }
    if let Some(capability) = accepted::<CapabilityName>(text) {
        is_subject(&mesh.capability(&capability), 3);
    }
    if let Some(namespace) = accepted::<Namespace>(text) {
        is_token(&Subjects::new(namespace).ledger_stream());
    }
    if let Some(intent) = accepted::<IntentId>(text) {
        let subject = mesh.ledger(&intent);
        is_subject(&subject, 4);
        assert_eq!(
            mesh.intent_of_ledger(&subject),
            Some(intent),
            "an id is lost in its subject"
        );
    }
    if let Some(version) = accepted::<AgentVersion>(text) {
        let token = version.token();
        is_token(&token);
        assert_eq!(
            AgentVersion::from_token(&token),
            Ok(version),
            "a version is lost in its token"
        );
    }
    if let Ok(version) = AgentVersion::from_token(text) {
        assert_eq!(version.token(), text, "two tokens of one version");
    }
    // Whatever a subject says, an id that is read from it is one.
    if let Some(intent) = mesh.intent_of_ledger(text) {
        assert_eq!(mesh.ledger(&intent), text);
    }
    let foreign = IntentId::from_foreign(text);
    assert_eq!(foreign.as_str().parse(), Ok(foreign.clone()));
}

pub(crate) fn times(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let now = Timestamp::from_unix_millis(1_795_237_200_000);
    for found in [
        text.parse::<Timestamp>().ok(),
        Timestamp::parse_or_after(text, now).ok(),
    ] {
        let Some(at) = found else { continue };
        assert_eq!(
            at.to_string().parse(),
            Ok(at),
            "a time is not read back as it was written"
        );
    }
    if let Err(problem) = Timestamp::parse_or_after(text, now) {
        assert!(!problem.is_empty());
    }
    accepted::<Protocol>(text);
}

pub(crate) fn signatures(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Some(signature) = accepted::<Signature>(text) {
        assert_eq!(signature.to_string(), text, "two spellings of one signature");
    }
    accepted::<Link>(text);
    if let Some(key) = accepted::<PublicKey>(text) {
        assert_eq!(key.to_string(), text, "two spellings of one key");
    }
    match text.parse::<SecretKey>() {
        Ok(key) => assert_eq!(key.seed(), text, "two spellings of one seed"),
        Err(error) => assert!(!error.to_string().is_empty(), "an error without words"),
    }
}

/// A value that is accepted is written as something that is accepted, as the same value.
fn accepted<T>(text: &str) -> Option<T>
where
    T: FromStr + Display + PartialEq + Debug,
    T::Err: Display,
{
    match text.parse::<T>() {
        Ok(value) => {
            let back = value.to_string().parse::<T>().ok();
            assert_eq!(back.as_ref(), Some(&value), "it was not read back as it was written");
            Some(value)
        }
        Err(error) => {
            assert!(!error.to_string().is_empty(), "an error without words");
            None
        }
    }
}

fn is_token(token: &str) {
    let bad = |c: char| c.is_whitespace() || c.is_control() || ".*>".contains(c);
    assert!(!token.is_empty() && !token.contains(bad), "{token:?} is no token");
}

fn is_subject(subject: &str, tokens: usize) {
    assert_eq!(subject.split('.').count(), tokens, "{subject:?}");
    subject.split('.').for_each(is_token);
}

/// Whatever a text holds, what is shown of it acts on nobody; and a text without anything to escape stays as it is.
pub(crate) fn shown_texts(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (line, lines) = (baton_envelope::shown(&text), baton_envelope::shown_lines(&text));
    assert!(!line.chars().any(char::is_control), "a control character is shown");
    assert!(!lines.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\t')));
    assert_eq!(baton_envelope::shown(&line), line, "what is shown is shown otherwise");
    let quoted = baton_envelope::quoted(&text, 20);
    assert!(!quoted.chars().any(char::is_control), "a control character is quoted");
    // In a line to copy it is one word: what is not plain stands in quotes, and ends none.
    let word = baton_envelope::shell_word(&text);
    let inner = word.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\''));
    let bare = inner.map(|inner| inner.replace("'\\''", ""));
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c);
    assert!(
        bare.map_or_else(|| word.chars().all(is_plain), |bare| !bare.contains('\'')),
        "{word}"
    );
}
