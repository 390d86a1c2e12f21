//! What somebody gives to work from outside, as memories: one for each member of a JSON object.

use std::collections::BTreeMap;

use super::memory::{Kind, Memory, MemoryKey};
use crate::base::json::Json;
use crate::base::text::quoted;

/// How many characters of a member's name are quoted.
const QUOTED: usize = 80;

/// The members of an object as facts, each with its content, by the order of their names; none where this is no object. A string
/// is its text, anything else its JSON.
///
/// # Errors
/// Names a member that can be no key of a memory, or has nothing to say.
pub fn facts(json: &Json) -> Result<Vec<(Memory, Vec<u8>)>, String> {
    let Ok(members) = json.read::<BTreeMap<String, Json>>() else {
        return Ok(Vec::new());
    };
    let fact = |(name, value): (String, Json)| {
        let key: MemoryKey = name.parse().map_err(|error| {
            format!(
                "member \"{}\" can be no key of a memory: {error}",
                quoted(&name, QUOTED)
            )
        })?;
        let text = value.read::<String>().ok();
        let content = text.as_deref().unwrap_or_else(|| value.get()).as_bytes().to_vec();
        let mut memory = Memory::new(key, Kind::Fact, &content);
        memory.media = text.is_none().then(|| "application/json".to_owned());
        Ok((memory, content))
    };
    members.into_iter().map(fact).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_member_is_a_fact() {
        let json = Json::parse(r#"{"pages":3,"draft":"chapter 4","who":{"a":[1]}}"#).expect("JSON");
        let found = facts(&json).expect("facts");
        let found: Vec<(&str, &str, Option<&str>)> = found
            .iter()
            .map(|(memory, content)| {
                let content = std::str::from_utf8(content).expect("text");
                (memory.key.as_str(), content, memory.media.as_deref())
            })
            .collect();
        let json = Some("application/json");
        assert_eq!(
            found,
            [
                ("draft", "chapter 4", None),
                ("pages", "3", json),
                ("who", r#"{"a":[1]}"#, json)
            ]
        );
        for none in ["3", "[1]", "null", "{}", "\"x\""] {
            assert_eq!(
                facts(&Json::parse(none).expect("JSON")).expect("none").len(),
                0,
                "{none}"
            );
        }
        let error = facts(&Json::parse(r#"{"due date":1}"#).expect("JSON")).expect_err("a space");
        assert!(error.contains("\"due date\""), "{error}");
    }
}
