//! Who gets a message of a channel: all or nobody, for a router and for a hop that sends one alike.

use std::collections::BTreeMap;

use crate::base::codes;
use crate::base::names::{AgentName, ChannelName};
use crate::version::channel::subscription;
use crate::version::choose::{Asked, Unroutable, choose};
use crate::version::route::Route;

/// How many names a refusal lists.
const LISTED: usize = 20;

/// Who may be named as a receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MayName {
    /// Every agent that has a route.
    Agents,
    /// Those that subscribe to the channel: for an account, which may publish there and may not ask any agent for that.
    Subscribers,
}

/// Why nobody gets a message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoReceivers {
    /// Nobody subscribes.
    #[error(
        "no agent subscribes to channel \"{channel}\"{}; fix: start one that declares it (`baton worker --channel {channel}`), \
         subscribe one (`baton channels subscribe {channel} AGENT`), or name the receivers (`Baton-Receivers`, `receivers`)",
        of_kind(kind.as_deref())
    )]
    NoSubscribers {
        /// The channel.
        channel: ChannelName,
        /// The kind of work.
        kind: Option<String>,
    },
    /// Named receivers have no route.
    #[error(
        "{} of the {named} receivers are no agents that anybody has heard of: {}; nobody gets the message; fix: correct the names, \
         or start these agents first",
        unknown.len(),
        listed(unknown)
    )]
    Unknown {
        /// Their names.
        unknown: Vec<AgentName>,
        /// How many were named.
        named: usize,
    },
    /// A named receiver does not subscribe, and has to.
    #[error(
        "\"{agent}\" does not subscribe to channel \"{channel}\", and in a secured mesh only subscribers can be named; nobody gets \
         the message; fix: leave it out, or have an operator subscribe it"
    )]
    NotSubscribed {
        /// The receiver.
        agent: AgentName,
        /// The channel.
        channel: ChannelName,
    },
    /// A named receiver takes no such work.
    #[error(transparent)]
    Unroutable(#[from] Unroutable),
}

impl NoReceivers {
    /// The code of the refusal.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NoSubscribers { .. } => codes::NO_SUBSCRIBERS,
            Self::Unknown { .. } | Self::NotSubscribed { .. } => codes::UNKNOWN_RECEIVER,
            Self::Unroutable(_) => codes::UNROUTABLE,
        }
    }
}

/// The receivers of a message: those that it names, in their order, or else the subscribers among these routes, by name.
///
/// # Errors
/// When there is none, or one of those that are named cannot get it: then nobody gets it.
pub fn receivers<'r>(
    routes: impl IntoIterator<Item = &'r Route>,
    channel: &ChannelName,
    named: Option<&[AgentName]>,
    may_name: MayName,
    asked: &Asked<'_>,
) -> Result<Vec<AgentName>, NoReceivers> {
    let Some(named) = named else {
        let routes = routes.into_iter();
        let subscribers = routes.filter(|route| subscription(route, channel, asked).is_some());
        let mut found: Vec<AgentName> = subscribers.map(|route| route.agent.clone()).collect();
        found.sort();
        return match found.is_empty() {
            false => Ok(found),
            true => Err(NoReceivers::NoSubscribers {
                channel: channel.clone(),
                kind: asked.kind.map(str::to_owned),
            }),
        };
    };
    let routes: BTreeMap<&AgentName, &Route> = routes.into_iter().map(|route| (&route.agent, route)).collect();
    let unknown = named.iter().filter(|agent| !routes.contains_key(agent));
    let unknown: Vec<AgentName> = unknown.cloned().collect();
    if !unknown.is_empty() {
        let named = named.len();
        return Err(NoReceivers::Unknown { unknown, named });
    }
    for route in named.iter().filter_map(|agent| routes.get(agent)) {
        if may_name == MayName::Subscribers && subscription(route, channel, asked).is_none() {
            let (agent, channel) = (route.agent.clone(), channel.clone());
            return Err(NoReceivers::NotSubscribed { agent, channel });
        }
        choose(route, asked)?;
    }
    Ok(named.to_vec())
}

fn of_kind(kind: Option<&str>) -> String {
    kind.map_or_else(String::new, |kind| format!(" and takes kind \"{kind}\""))
}

fn listed(names: &[AgentName]) -> String {
    let shown: Vec<&str> = names.iter().take(LISTED).map(AgentName::as_str).collect();
    match names.len() - shown.len() {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::names::AgentVersion;
    use crate::base::timestamp::Timestamp;

    fn name(text: &str) -> AgentName {
        text.parse().expect("name")
    }

    fn route(agent: &str, channels: &[&str]) -> Route {
        let version: AgentVersion = "1.0.0".parse().expect("version");
        let mut route = Route::first(name(agent), version.clone(), Timestamp::default(), "test");
        let entry = route.versions.get_mut(&version).expect("entry");
        entry.channels = channels.iter().map(|&one| one.to_owned()).collect();
        route
    }

    fn found(named: Option<&[AgentName]>, may_name: MayName) -> Result<Vec<AgentName>, NoReceivers> {
        let mut picky = route("picky", &["news"]);
        for entry in picky.versions.values_mut() {
            entry.kinds = vec!["invoice".to_owned()];
        }
        let routes = [
            route("eve", &["news"]),
            route("ada", &["news"]),
            route("bob", &[]),
            picky,
        ];
        let (root, pins) = ("r".parse().expect("id"), BTreeMap::new());
        let asked = Asked {
            root: &root,
            kind: Some("letter"),
            pins: &pins,
            path: &[],
        };
        receivers(&routes, &"news".parse().expect("channel"), named, may_name, &asked)
    }

    #[test]
    fn subscribers_come_by_name_and_named_receivers_in_their_order() {
        assert_eq!(found(None, MayName::Agents), Ok(vec![name("ada"), name("eve")]));
        let named = [name("eve"), name("bob")];
        assert_eq!(found(Some(&named), MayName::Agents), Ok(named.to_vec()));
    }

    #[test]
    fn one_that_cannot_get_it_refuses_the_whole() {
        let refused = |named: &[&str], may_name| {
            let named: Vec<AgentName> = named.iter().map(|one| name(one)).collect();
            found(Some(&named), may_name).expect_err("refused")
        };
        for (named, may_name, code, said) in [
            (
                &["ada", "nobody"][..],
                MayName::Agents,
                codes::UNKNOWN_RECEIVER,
                "1 of the 2 receivers are no agents that anybody has heard of: nobody;",
            ),
            (
                &["ada", "bob"],
                MayName::Subscribers,
                codes::UNKNOWN_RECEIVER,
                "\"bob\" does not subscribe to channel \"news\"",
            ),
            (
                &["picky"],
                MayName::Agents,
                codes::UNROUTABLE,
                "does not take kind \"letter\"",
            ),
        ] {
            let refused = refused(named, may_name);
            assert_eq!(refused.code(), code);
            assert!(refused.to_string().contains(said), "{refused}");
        }
    }

    #[test]
    fn many_unknown_names_are_not_all_listed() {
        let named: Vec<AgentName> = (0..25).map(|number| name(&format!("n{number}"))).collect();
        let refused = found(Some(&named), MayName::Agents).expect_err("refused").to_string();
        assert!(refused.contains("n19 and 5 more;"), "{refused}");
    }
}
