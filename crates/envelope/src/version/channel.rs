//! Who gets the messages of a channel: a pure look-up in the routes.

use crate::base::names::ChannelName;
use crate::version::choose::{Asked, choose};
use crate::version::route::Route;

/// Why an agent gets the messages of a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subscription {
    /// The version that would get the work declares the channel.
    Declared,
    /// An operator subscribed the agent.
    ByOperator,
}

impl Subscription {
    /// Its name in JSON documents.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Declared => "declared",
            Self::ByOperator => "operator",
        }
    }
}

/// Whether an agent gets this message of a channel, and why. What an operator said comes before what the version declares that
/// would get the work. Work of a kind that the agent does not take is not for it.
pub fn subscription(route: &Route, channel: &ChannelName, asked: &Asked<'_>) -> Option<Subscription> {
    let choice = choose(route, asked).ok()?;
    match route.channels.get(channel) {
        Some(true) => Some(Subscription::ByOperator),
        Some(false) => None,
        None => {
            let entry = route.versions.get(&choice.version);
            let declares = entry.is_some_and(|entry| entry.channels.iter().any(|one| one == channel.as_str()));
            declares.then_some(Subscription::Declared)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::base::timestamp::Timestamp;

    fn route(channels: &[&str]) -> Route {
        let version: crate::base::names::AgentVersion = "1.0.0".parse().expect("version");
        let mut route = Route::first(
            "a".parse().expect("name"),
            version.clone(),
            Timestamp::default(),
            "test",
        );
        let entry = route.versions.get_mut(&version).expect("entry");
        entry.channels = channels.iter().map(|&one| one.to_owned()).collect();
        route
    }

    fn found(route: &Route, kind: Option<&str>) -> Option<Subscription> {
        let (root, pins) = ("r".parse().expect("id"), BTreeMap::new());
        let asked = Asked {
            root: &root,
            kind,
            pins: &pins,
            path: &[],
        };
        subscription(route, &"news".parse().expect("channel"), &asked)
    }

    #[test]
    fn an_operator_has_the_last_word() {
        let news: ChannelName = "news".parse().expect("channel");
        let mut declares = route(&["news"]);
        assert_eq!(found(&declares, None), Some(Subscription::Declared));
        declares.channels.insert(news.clone(), false);
        assert_eq!(found(&declares, None), None);
        let mut silent = route(&["weather"]);
        assert_eq!(found(&silent, None), None);
        silent.channels.insert(news, true);
        assert_eq!(found(&silent, None), Some(Subscription::ByOperator));
    }

    #[test]
    fn what_an_agent_does_not_take_is_not_for_it() {
        let mut picky = route(&["news"]);
        for entry in picky.versions.values_mut() {
            entry.kinds = vec!["invoice".to_owned()];
        }
        assert_eq!(found(&picky, Some("letter")), None);
        assert_eq!(found(&picky, Some("invoice")), Some(Subscription::Declared));
    }
}
