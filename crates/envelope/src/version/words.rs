//! Which agent a task in plain words is for: the words are compared with the capabilities that agents declare.

use std::borrow::Borrow;

use crate::version::choose::{Asked, choose};
use crate::version::route::Route;

/// The capabilities that the words of a task name: those of the agent that has the most of them. Of several with as many, the
/// first in the order of `routes` decides. Empty where no word is a capability.
///
/// Of each agent the version counts that would get the work. A capability is named when each of its parts (`unit-tests` has two)
/// is a word of the text, whatever its case; a plural counts as well.
pub fn capabilities_in<R: Borrow<Route>>(text: &str, routes: &[R], asked: &Asked<'_>) -> Vec<String> {
    let words: Vec<String> = text
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect();
    let is_said = |part: &str| words.iter().any(|word| is_same(word, part));
    let mut best: Vec<String> = Vec::new();
    for route in routes.iter().map(Borrow::borrow) {
        let Ok(choice) = choose(route, asked) else { continue };
        let entry = route.versions.get(&choice.version);
        let known = entry.map(|entry| entry.capabilities.as_slice()).unwrap_or_default();
        let named: Vec<String> = known
            .iter()
            .filter(|one| one.split('-').all(is_said))
            .cloned()
            .collect();
        if named.len() > best.len() {
            best = named;
        }
    }
    best
}

/// Whether a word and a part of a capability are the same, but for an `s` at the end.
fn is_same(word: &str, part: &str) -> bool {
    let singular = |text: &str| text.strip_suffix('s').unwrap_or(text).to_owned();
    word == part || singular(word) == singular(part)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::base::timestamp::Timestamp;

    fn route(agent: &str, capabilities: &[&str]) -> Route {
        let at = Timestamp::from_unix_millis(1);
        let version: crate::AgentVersion = "1.0.0".parse().expect("version");
        let mut route = Route::first(agent.parse().expect("name"), version.clone(), at, "test");
        let entry = route.versions.get_mut(&version).expect("its entry");
        entry.capabilities = capabilities.iter().map(|one| (*one).to_owned()).collect();
        route
    }

    #[test]
    fn the_agent_that_has_most_of_what_is_named_decides() {
        let routes = [
            route("a", &["translate"]),
            route("b", &["review", "unit-tests", "rust"]),
            route("c", &["rust"]),
        ];
        let (root, pins) = ("t".parse().expect("id"), BTreeMap::new());
        let asked = Asked {
            root: &root,
            kind: None,
            pins: &pins,
            path: &[],
        };
        let found = |text: &str| capabilities_in(text, &routes, &asked);
        assert_eq!(
            found("Review the unit test of the Rust code"),
            ["review", "unit-tests", "rust"]
        );
        assert_eq!(found("please, review: it"), ["review"]);
        assert_eq!(found("TRANSLATE this"), ["translate"]);
        assert!(found("make coffee, in units").is_empty());
    }
}
