//! Decisions on how an agent's failures are treated: its policy, and what its route tells of open breakers.

use crate::base::codes;
use crate::base::json::Json;
use crate::base::names::AgentVersion;
use crate::base::protocol::Protocol;
use crate::people::GROUP;
use crate::rollout::act::{Act, Refused, decided};
use crate::version::breaker::Withheld;
use crate::version::policy::Policy;
use crate::version::route::Route;
use crate::version::state::VersionState;

/// The first minor whose workers ask what the policy of their agent says.
pub const POLICY_GATES_SINCE: Protocol = Protocol::new(1, 6, 0);

/// What to forget of a policy before fields are set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reset {
    /// Nothing.
    Nothing,
    /// The gate.
    Gate,
    /// All that was set.
    All,
}

/// Sets fields of the agent's policy, after some were forgotten. `None` if that changes nothing.
///
/// # Errors
/// When the policy that comes of it is no policy for this agent, or a version would begin without asking.
pub fn set_policy(route: &Route, given: &Policy, reset: Reset, act: &Act) -> Result<Option<Route>, Refused> {
    let mut before = route.policy.clone().unwrap_or_default();
    match reset {
        Reset::Nothing => {}
        Reset::Gate => before.gate = None,
        Reset::All => before = Policy::default(),
    }
    check_gate(route, given)?;
    let policy = before.with(given);
    policy.check(&route.agent).map_err(|bad| {
        let message = format!("{} {}: {}", bad.field, bad.value, bad.problem);
        Refused::new(codes::BAD_REQUEST, message, bad.fix)
    })?;
    let policy = Some(policy).filter(|policy| !policy.is_empty());
    if policy == route.policy {
        return Ok(None);
    }
    let act = Act {
        numbers: Json::of(&policy.clone().unwrap_or_default()).ok(),
        ..act.clone()
    };
    let next = Route {
        policy,
        ..route.clone()
    };
    Ok(Some(decided(next, "policy", None, &act)))
}

/// Whether people can be asked what the gate of a policy says, by every version that may have work.
fn check_gate(route: &Route, given: &Policy) -> Result<(), Refused> {
    let Some(gate) = &given.gate else { return Ok(()) };
    // Who the members of a group are only workers know.
    let names_groups = gate.who.iter().any(|who| who.starts_with(GROUP));
    let checked = match names_groups {
        true => gate.check(),
        false => gate.fixed(|_| None, Some(&[])).map(drop),
    };
    checked.map_err(|bad| {
        let message = format!("gate: `{}` \"{}\" {}", bad.field, bad.value, bad.problem);
        Refused::new(codes::BAD_REQUEST, message, bad.fix)
    })?;
    if !route.versions.contains_key(&route.active) {
        let message = format!(
            "no worker of {}@{} has said which protocol it reads",
            route.agent, route.active
        );
        return Err(Refused::new(
            codes::WRONG_STATE,
            message,
            "start its workers, and set the gate then",
        ));
    }
    let open = route
        .versions
        .iter()
        .filter(|(_, entry)| entry.state != VersionState::Retired);
    for (version, entry) in open {
        let agent = &route.agent;
        if entry.manual {
            let message = format!("{agent}@{version} is worked by hand: nobody would be asked before it begins");
            return Err(Refused::new(
                codes::WRONG_STATE,
                message,
                "whoever takes the work decides about it",
            ));
        }
        if entry.protocol.newest < POLICY_GATES_SINCE {
            let message = format!(
                "workers of {agent}@{version} read protocol {} and would begin without asking: a gate takes {}",
                entry.protocol.newest, POLICY_GATES_SINCE
            );
            let fix = "upgrade these workers, or retire the version, and set the gate then";
            return Err(Refused::new(codes::WRONG_STATE, message, fix));
        }
    }
    Ok(())
}

/// Tells senders that the tickets of a version are withheld, or no longer; `None` if they know.
pub fn tell_withheld(route: &Route, version: &AgentVersion, withheld: Option<&Withheld>, act: &Act) -> Option<Route> {
    if route.versions.get(version)?.withheld.as_ref() == withheld {
        return None;
    }
    let mut next = route.clone();
    let entry = next.versions.get_mut(version)?;
    entry.withheld = withheld.cloned();
    let what = if withheld.is_some() { "withheld" } else { "released" };
    Some(decided(next, what, Some(version), act))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::timestamp::Timestamp;

    fn route() -> Route {
        let (agent, version) = ("code".parse().expect("name"), "1.0.0".parse().expect("version"));
        Route::first(agent, version, Timestamp::from_unix_millis(0), "test")
    }

    fn act() -> Act {
        Act::new("ada@shell", Timestamp::from_unix_millis(1000))
    }

    fn policy(json: &str) -> Policy {
        serde_json::from_str(json).expect("policy")
    }

    #[test]
    fn a_policy_grows_field_by_field_and_a_reset_forgets_it() {
        let one = set_policy(&route(), &policy(r#"{"attempts":5}"#), Reset::Nothing, &act());
        let one = one.expect("allowed").expect("changed");
        let two = set_policy(&one, &policy(r#"{"backoff_ms":2000}"#), Reset::Nothing, &act());
        let two = two.expect("allowed").expect("changed");
        assert_eq!(two.policy, Some(policy(r#"{"attempts":5,"backoff_ms":2000}"#)));
        let decision = two.decision.as_ref().expect("a decision");
        assert_eq!((decision.what.as_str(), decision.by.as_str()), ("policy", "ada@shell"));
        assert_eq!(
            set_policy(&two, &policy(r#"{"attempts":5}"#), Reset::Nothing, &act()),
            Ok(None)
        );
        let reset = set_policy(&two, &Policy::default(), Reset::All, &act())
            .expect("allowed")
            .expect("changed");
        assert_eq!(reset.policy, None);
        let refused =
            set_policy(&two, &policy(r#"{"on_open":"alternative"}"#), Reset::Nothing, &act()).expect_err("none");
        assert_eq!(refused.code, codes::BAD_REQUEST);
        assert!(refused.message.contains("on_open"), "{refused}");
    }

    #[test]
    fn what_senders_know_is_not_told_again() {
        let version = "1.0.0".parse().expect("version");
        let withheld: Withheld = serde_json::from_str(r#"{"since":"2026-11-21T05:00:00.000Z"}"#).expect("withheld");
        let told = tell_withheld(&route(), &version, Some(&withheld), &act()).expect("news");
        assert!(told.is_withheld(&version));
        assert_eq!(tell_withheld(&told, &version, Some(&withheld), &act()), None);
        let released = tell_withheld(&told, &version, None, &act()).expect("news");
        assert!(!released.is_withheld(&version));
        assert_eq!(
            tell_withheld(&route(), &"9.0.0".parse().expect("version"), Some(&withheld), &act()),
            None
        );
    }

    /// A route whose versions read up to these minors.
    fn route_of(newest: &[(&str, &str, &str)]) -> Route {
        let mut route = route();
        route.versions.clear();
        for (version, state, reads) in newest {
            let entry = format!(
                r#"{{"state":"{state}","since":"2026-11-26T12:00:00Z","protocol":{{"oldest":"1.0.0","newest":"{reads}"}}}}"#
            );
            let entry = serde_json::from_str(&entry).expect("an entry");
            route.versions.insert(version.parse().expect("version"), entry);
        }
        route
    }

    #[test]
    fn a_gate_is_set_and_taken_away_alone() {
        let route = route_of(&[("1.0.0", "active", "1.6.0"), ("0.9.0", "retired", "1.3.0")]);
        let gate = policy(r#"{"attempts":5,"gate":{"who":["ada"]}}"#);
        let set = set_policy(&route, &gate, Reset::Nothing, &act())
            .expect("allowed")
            .expect("changed");
        assert_eq!(set.policy, Some(gate));
        let more = set_policy(&set, &policy(r#"{"attempts":6}"#), Reset::Nothing, &act());
        let more = more.expect("allowed").expect("changed");
        assert_eq!(more.policy, Some(policy(r#"{"attempts":6,"gate":{"who":["ada"]}}"#)));
        let cleared = set_policy(&more, &Policy::default(), Reset::Gate, &act());
        let cleared = cleared.expect("allowed").expect("changed");
        assert_eq!(cleared.policy, Some(policy(r#"{"attempts":6}"#)));
    }

    #[test]
    fn a_gate_needs_people_and_versions_that_ask_them() {
        let asks = policy(r#"{"gate":{"who":["ada"]}}"#);
        let code = |route: &Route, given: &Policy| {
            set_policy(route, given, Reset::Nothing, &act())
                .expect_err("refused")
                .code
        };
        let old = route_of(&[("1.0.0", "active", "1.6.0"), ("0.9.0", "draining", "1.5.0")]);
        assert_eq!(code(&old, &asks), codes::WRONG_STATE);
        assert_eq!(
            code(&route_of(&[]), &asks),
            codes::WRONG_STATE,
            "nobody knows what it reads"
        );
        let mut by_hand = route_of(&[("1.0.0", "active", "1.6.0")]);
        by_hand.versions.values_mut().for_each(|entry| entry.manual = true);
        assert_eq!(code(&by_hand, &asks), codes::WRONG_STATE);
        let new = route_of(&[("1.0.0", "active", "1.6.0")]);
        let too_few = policy(r#"{"gate":{"who":["ada"],"quorum":2}}"#);
        assert_eq!(code(&new, &too_few), codes::BAD_REQUEST);
        let of_a_group = policy(r#"{"gate":{"who":["group:ops"],"quorum":2}}"#);
        assert!(set_policy(&new, &of_a_group, Reset::Nothing, &act()).is_ok());
    }
}
