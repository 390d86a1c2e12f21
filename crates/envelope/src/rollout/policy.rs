//! Decisions on how an agent's failures are treated: its policy, and what its route tells of open breakers.

use crate::base::codes;
use crate::base::json::Json;
use crate::base::names::AgentVersion;
use crate::rollout::act::{Act, Refused, decided};
use crate::version::breaker::Withheld;
use crate::version::policy::Policy;
use crate::version::route::Route;

/// Sets fields of the agent's policy; with `reset` it forgets what was set before. `None` if that changes nothing.
///
/// # Errors
/// When the policy that comes of it is no policy for this agent.
pub fn set_policy(route: &Route, given: &Policy, reset: bool, act: &Act) -> Result<Option<Route>, Refused> {
    let before = route.policy.clone().filter(|_| !reset).unwrap_or_default();
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
        let one = set_policy(&route(), &policy(r#"{"attempts":5}"#), false, &act());
        let one = one.expect("allowed").expect("changed");
        let two = set_policy(&one, &policy(r#"{"backoff_ms":2000}"#), false, &act());
        let two = two.expect("allowed").expect("changed");
        assert_eq!(two.policy, Some(policy(r#"{"attempts":5,"backoff_ms":2000}"#)));
        let decision = two.decision.as_ref().expect("a decision");
        assert_eq!((decision.what.as_str(), decision.by.as_str()), ("policy", "ada@shell"));
        assert_eq!(set_policy(&two, &policy(r#"{"attempts":5}"#), false, &act()), Ok(None));
        let reset = set_policy(&two, &Policy::default(), true, &act())
            .expect("allowed")
            .expect("changed");
        assert_eq!(reset.policy, None);
        let refused = set_policy(&two, &policy(r#"{"on_open":"alternative"}"#), false, &act()).expect_err("none");
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
}
