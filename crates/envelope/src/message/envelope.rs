//! The immutable message that carries an intent to one agent.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::base::ids::{EnvelopeId, IntentId};
use crate::base::json::Json;
use crate::base::names::{AgentName, AgentVersion};
use crate::base::protocol::{PROTOCOL, Protocol};
use crate::base::timestamp::Timestamp;
use crate::base::wire::{Extra, wire_object};
use crate::message::object::ObjectRef;
use crate::message::parts::{Budget, Expects, HistoryEntry, MemoryRef, Task};
use crate::people::Approval;
use crate::version::pinning::Pinning;
use crate::version::policy::{Policy, StandsIn};

/// How many hops an intent may take by default: enough for real relays, few enough to stop a loop.
pub const MAX_HOPS_DEFAULT: u32 = 10;
/// The most hops that an intent may ask for.
pub const MAX_HOPS_LIMIT: u32 = 64;

macro_rules! bounded {
    ($(#[$meta:meta])* $name:ident, $int:ty, $low:expr, $high:expr, $default:expr, $what:literal) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name($int);

        impl $name {
            /// Takes a number in the range.
            ///
            /// # Errors
            /// When it is outside; the error names the value and the range.
            pub fn new(value: i64) -> Result<Self, String> {
                match <$int>::try_from(value) {
                    Ok(number) if ($low..=$high).contains(&number) => Ok(Self(number)),
                    Ok(_) | Err(_) => {
                        Err(format!("{} {value} is out of range: expected {} to {}", $what, $low, $high))
                    }
                }
            }

            /// The number.
            pub const fn get(self) -> $int {
                self.0
            }
        }

        impl Default for $name {
            fn default() -> Self {
                Self($default)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                self.0.serialize(serializer)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Self::new(i64::deserialize(deserializer)?).map_err(serde::de::Error::custom)
            }
        }
    };
}

bounded! {
    /// 1 (least urgent) to 10 (most urgent), default 5.
    Priority, u8, 1, 10, 5, "priority"
}
bounded! {
    /// The most hops that the intent may take: 1 to 64, default 10.
    MaxHops, u32, 1, MAX_HOPS_LIMIT, MAX_HOPS_DEFAULT, "max_hops"
}

wire_object! {
    by_hand
    /// The message that carries an intent to one agent. An agent never edits an envelope: it makes the next one, whose
    /// `previous` names this one.
    ///
    /// It is written in the form that `protocol` names. [`Envelope::decode`] reads any form that this build knows;
    /// `Deserialize` alone reads only the major of [`PROTOCOL`].
    pub struct Envelope {
        /// The version of the contract that the envelope was written in.
        req protocol: Protocol,
        /// The id of this envelope.
        req id: EnvelopeId,
        /// The intent that it carries.
        req intent: IntentId,
        /// The first intent of this intent's tree; absent if it is this intent.
        opt root: IntentId,
        /// The parent intent, for a child.
        opt parent: IntentId,
        /// The envelope that this one follows.
        opt previous: EnvelopeId,
        /// The kind of work, such as `invoice.extract.v1`.
        opt kind: String,
        /// Who made it: `agent@version`, or a name that the client chose.
        opt from: String,
        /// The agent that gets it.
        req to: AgentName,
        /// The version of that agent, as the route chose it when the envelope was written.
        opt to_version: AgentVersion,
        /// Which hop this is, from 1.
        req hop: u32,
        /// The highest allowed `hop`.
        def max_hops: MaxHops,
        /// The priority.
        def priority: Priority,
        /// When the intent must be done.
        opt deadline: Timestamp,
        /// What the sender wants, where the work stands, and what it asks of the receiver.
        opt task: Task,
        /// References to what is remembered elsewhere.
        def memory: Vec<MemoryRef>,
        /// What each agent did and decided.
        def history: Vec<HistoryEntry>,
        /// Must-carry constraints: any JSON object. Every successor carries it unchanged.
        opt constraints: Json,
        /// The SHA-256 of the constraints, in hex; present when they are.
        opt constraints_hash: String,
        /// What the sender expects back.
        opt expects: Box<Expects>,
        /// The work itself: any JSON.
        def payload: Json,
        /// `base64` when the payload is a string of base64 because the body was not text.
        opt payload_encoding: String,
        /// The budget, and what was spent of it.
        opt budget: Box<Budget>,
        /// The versions that this intent is pinned to, by agent.
        def pins: BTreeMap<AgentName, AgentVersion>,
        /// The agents to visit after this one, if configured.
        def itinerary: Vec<AgentName>,
        /// The join that this child takes part in.
        opt join: Json,
        /// The subject to publish the result on.
        opt reply_to: String,
        /// W3C trace context.
        opt traceparent: String,
        /// How its hops choose versions; absent means that each hop follows the route of its moment.
        opt pinning: Pinning,
        /// The work begins not before this time.
        opt not_before: Timestamp,
        /// What people are asked before an agent begins with it, by agent.
        def gates: BTreeMap<AgentName, Approval>,
        /// What the intent asks of the failure policy of each agent, within the agent's bounds.
        opt policy: Box<Policy>,
        /// Why the agent gets work that was meant for another one.
        opt stands_in: Box<StandsIn>,
        /// The key in whose order the agent of the first hop gets the work.
        opt order_key: String,
        /// Where work goes from an agent once the itinerary is used up: the agents that may follow, the usual one first.
        def next: BTreeMap<AgentName, Vec<AgentName>>,
        /// The object that is the payload, where it is too large for a message; then `payload` says nothing.
        opt payload_ref: Box<ObjectRef>,
        /// What the hops before it remember, and the view that its receiver is given of that.
        opt context: Json,
    }
}

impl Envelope {
    /// Makes an envelope for the first hop, with only the required fields.
    pub fn first(id: EnvelopeId, intent: IntentId, to: AgentName, payload: Json) -> Self {
        Self {
            protocol: PROTOCOL,
            id,
            intent,
            root: None,
            parent: None,
            previous: None,
            kind: None,
            from: None,
            to,
            to_version: None,
            hop: 1,
            max_hops: MaxHops::default(),
            priority: Priority::default(),
            deadline: None,
            task: None,
            memory: Vec::new(),
            history: Vec::new(),
            constraints: None,
            constraints_hash: None,
            expects: None,
            payload,
            payload_encoding: None,
            budget: None,
            pins: BTreeMap::new(),
            itinerary: Vec::new(),
            join: None,
            reply_to: None,
            traceparent: None,
            pinning: None,
            not_before: None,
            gates: BTreeMap::new(),
            policy: None,
            stands_in: None,
            order_key: None,
            next: BTreeMap::new(),
            payload_ref: None,
            context: None,
            extra: Extra::new(),
        }
    }

    /// The first intent of this intent's tree.
    pub fn root(&self) -> &IntentId {
        self.root.as_ref().unwrap_or(&self.intent)
    }

    /// The same work under a new envelope id, so the server does not drop its ticket as a repeat.
    #[must_use]
    pub fn again(&self, id: EnvelopeId) -> Self {
        Self {
            protocol: PROTOCOL,
            id,
            previous: Some(self.id),
            ..self.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::successor::Successor;

    fn first() -> Envelope {
        Envelope::first(
            EnvelopeId::generate(Timestamp::from_unix_millis(1), [1; 10]),
            "order-1".parse().expect("id"),
            "research".parse().expect("name"),
            Json::string("otters"),
        )
    }

    fn to(agent: &str) -> Successor {
        Successor {
            id: EnvelopeId::generate(Timestamp::from_unix_millis(2), [2; 10]),
            to: agent.parse().expect("name"),
            to_version: "1.0.0".parse().expect("version"),
            from: "research@1.0.0".to_owned(),
            payload: Json::null(),
            kind: None,
            history: None,
        }
    }

    #[test]
    fn the_hop_after_max_hops_is_refused() {
        let mut envelope = first();
        envelope.max_hops = MaxHops::new(2).expect("in range");
        let second = envelope.successor(to("code")).expect("hop 2 of 2");
        assert_eq!(second.previous, Some(envelope.id));
        let error = second.successor(to("qa")).expect_err("hop 3 of 2");
        assert_eq!((error.hop, error.max_hops), (3, 2));
    }

    #[test]
    fn altered_constraints_are_seen_whatever_their_spelling() {
        let envelope = first().with_constraints(Json::parse(r#"{"b":1, "a":[1.50,{"x":"y"}]}"#).expect("json"));
        let mut next = envelope.successor(to("code")).expect("hop 2");
        next.constraints = Some(Json::parse(r#"{"a":[1.50,{"x":"y"}],"b":1}"#).expect("json"));
        assert_eq!(envelope.check_must_carry(&next), Ok(()));
        next.constraints = Some(Json::parse(r#"{"a":[1.5,{"x":"y"}],"b":1}"#).expect("json"));
        assert!(envelope.check_must_carry(&next).is_err());
        next.constraints = None;
        assert!(envelope.check_must_carry(&next).is_err());
    }

    #[test]
    fn a_bad_field_is_named_with_its_value() {
        let text = serde_json::to_string(&first()).expect("json");
        let bad = text.replace("\"hop\":1", "\"hop\":1,\"priority\":11");
        let error = Envelope::decode(bad.as_bytes()).expect_err("priority 11");
        assert_eq!((error.field.as_str(), error.value.as_deref()), ("priority", Some("11")));
        assert!(error.fix().contains("1 (least urgent) to 10"), "{}", error.fix());
        assert_eq!(Envelope::decode(b"{}").expect_err("empty").field, "protocol");
        assert_eq!(Envelope::decode(b"{\"a\":").expect_err("cut").field, ".");
    }
}
