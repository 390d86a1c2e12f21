//! The migrations: what a stream or a consumer that an earlier build made gets when a leader raises it. Pure functions of two
//! configurations, the one that is there and the one that this build would make.
//!
//! A new one is a line in [`MIGRATIONS`] or [`CONSUMER_MIGRATIONS`] with the next number, and that number as [`TOPOLOGY`].
//! Streams are raised first, so that a consumer may rest on what its stream has.

use serde_json::{Map, Value};

use super::settings::{KEY_TOPOLOGY, PREFIX, is_told_by_leader};

/// The newest topology that this build knows. Streams and consumers that it makes are marked with it.
pub(crate) const TOPOLOGY: u32 = 4;

/// One change of the topology.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Migration {
    /// What `doctor` and the log call it.
    pub(crate) name: &'static str,
    /// The topology that has it.
    pub(crate) since: u32,
    /// Whether a controller of an earlier topology could not live with it. It waits until none answers.
    pub(crate) needs_no_older_controller: bool,
    /// Puts into the second configuration what the first one wants. Doing it twice is doing it once.
    pub(crate) raise: fn(&Value, &mut Map<String, Value>),
}

/// The migrations of streams and of consumers, and the number of the last one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Migrations<'a> {
    pub(super) streams: &'a [Migration],
    pub(super) consumers: &'a [Migration],
    pub(super) newest: u32,
}

/// All that this build knows.
pub(super) const ALL: Migrations<'static> = Migrations {
    streams: MIGRATIONS,
    consumers: CONSUMER_MIGRATIONS,
    newest: TOPOLOGY,
};

/// Those of streams, oldest first.
pub(crate) const MIGRATIONS: &[Migration] = &[
    // A store of the builds before topologies were numbered: they never changed what was there.
    Migration {
        name: "what was added since the stream was made",
        since: 1,
        needs_no_older_controller: false,
        raise: follow,
    },
    // A router of before would reject what comes on these subjects.
    Migration {
        name: "raw intents whose subject names their account",
        since: 2,
        needs_no_older_controller: true,
        raise: add_subjects,
    },
    // As above, for signals and decisions.
    Migration {
        name: "signals and decisions",
        since: 3,
        needs_no_older_controller: true,
        raise: add_subjects,
    },
    // A router of before has no filter for them: they would lie there.
    Migration {
        name: "messages of channels whose subject names their account",
        since: 4,
        needs_no_older_controller: true,
        raise: add_subjects,
    },
];

/// Those of durable consumers, oldest first. The server keeps what it knows of a consumer that is changed: what was delivered
/// and is not acknowledged comes again as what it is. One that is removed and made again delivers it as if for the first time,
/// so no migration may do that.
pub(crate) const CONSUMER_MIGRATIONS: &[Migration] = &[
    // Consumers of the builds that marked streams alone.
    Migration {
        name: "what was added since the consumer was made",
        since: 1,
        needs_no_older_controller: false,
        raise: widen,
    },
    // The server lets no two consumers of the intake take the same subject. What the router has passed over it has settled,
    // so that a narrower filter loses nothing.
    Migration {
        name: "a router that leaves signals and decisions to others",
        since: 3,
        needs_no_older_controller: true,
        raise: narrow,
    },
    Migration {
        name: "a router that takes the messages of channels from accounts",
        since: 4,
        needs_no_older_controller: true,
        raise: add_filters,
    },
];

/// What [`follow`] takes over as it is.
const TAKEN: [&str; 5] = [
    "description",
    "republish",
    "allow_direct",
    "allow_rollup_hdrs",
    "allow_atomic",
];
/// What it only makes greater: an operator may have allowed more.
const RAISED: [&str; 2] = ["max_consumers", "max_msgs_per_subject"];

/// What [`widen`] only makes greater. The server changes `max_waiting` of no consumer.
const WIDENED: [&str; 1] = ["max_ack_pending"];

/// What a stream or a consumer differs in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) field: String,
    pub(crate) from: Value,
    pub(crate) to: Value,
}

/// What a leader would do with one stream, or with one consumer of a stream.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) stream: String,
    pub(crate) consumer: Option<String>,
    /// The topology that it has, and the one that it gets.
    pub(crate) from: u32,
    pub(crate) to: u32,
    /// Empty when it has all of it already, and only its number is to be written.
    pub(crate) changes: Vec<Change>,
    /// All of its configuration, now and afterwards.
    pub(crate) found: Value,
    pub(crate) config: Value,
    /// The first migration that waits for controllers of an earlier topology to end.
    pub(crate) waits: Option<Migration>,
}

impl Plan {
    /// What it is about, for people.
    pub(crate) fn subject(&self) -> String {
        match &self.consumer {
            Some(consumer) => format!("consumer {consumer} of {}", self.stream),
            None => self.stream.clone(),
        }
    }
}

/// What to do with a stream; `None` when it is as it should be. `oldest` is the oldest topology of a controller that
/// answers.
pub(crate) fn plan(wanted: &Value, found: &Value, migrations: &[Migration], oldest: u32) -> Option<Plan> {
    let from = topology_of(found);
    let mut config = found.as_object()?.clone();
    let (mut to, mut waits) = (from, None);
    for migration in migrations.iter().filter(|migration| migration.since > from) {
        if migration.needs_no_older_controller && oldest < migration.since {
            waits = Some(*migration);
            // Those of one number come together or not at all.
            to = to.min(migration.since - 1);
            break;
        }
        (migration.raise)(wanted, &mut config);
        to = migration.since;
    }
    if to > from {
        put_metadata(&mut config, KEY_TOPOLOGY, to.to_string().into());
    }
    settings(wanted, &mut config);
    let config = Value::Object(config);
    let changes = changes(found, &config);
    if config == *found && waits.is_none() {
        return None;
    }
    Some(Plan {
        stream: found.get("name").and_then(Value::as_str).unwrap_or_default().to_owned(),
        consumer: None,
        from,
        to,
        changes,
        found: found.clone(),
        config,
        waits,
    })
}

/// The topology that a stream or a consumer was made with or raised to.
pub(crate) fn topology_of(config: &Value) -> u32 {
    let text = config.pointer("/metadata").and_then(|all| all.get(KEY_TOPOLOGY));
    text.and_then(Value::as_str)
        .and_then(|text| text.parse().ok())
        .unwrap_or_default()
}

/// Takes over what this build would make, and nothing that an operator may have set: sizes, ages and copies stay, and
/// where the new configuration says nothing the present one holds.
fn follow(wanted: &Value, config: &mut Map<String, Value>) {
    add_subjects(wanted, config);
    // The server writes tickets later either way: it takes no batches then.
    let is_async = config.get("persist_mode").and_then(Value::as_str) == Some("async");
    for field in TAKEN {
        let Some(value) = wanted.get(field).filter(|value| says_something(value)) else {
            continue;
        };
        let is_refused = is_async && field == "allow_atomic";
        if !is_refused && !covers(config.get(field), value) {
            config.insert(field.to_owned(), value.clone());
        }
    }
    for field in RAISED {
        let of = |value: Option<&Value>| value.and_then(Value::as_i64).filter(|number| *number > 0);
        let (wanted, found) = (of(wanted.get(field)), of(config.get(field)));
        if let Some(number) = wanted
            && found.is_none_or(|found| found < number)
            && !(found.is_none() && field == "max_msgs_per_subject")
        {
            config.insert(field.to_owned(), number.into());
        }
    }
}

/// Makes the limits of a consumer as wide as this build wants them. What else it may differ in somebody has edited, and
/// `doctor` names that.
fn widen(wanted: &Value, config: &mut Map<String, Value>) {
    for field in WIDENED {
        let of = |value: Option<&Value>| value.and_then(Value::as_i64).filter(|number| *number > 0);
        if let (Some(wanted), Some(found)) = (of(wanted.get(field)), of(config.get(field)))
            && found < wanted
        {
            config.insert(field.to_owned(), wanted.into());
        }
    }
}

/// Gives a consumer without a filter the one that this build wants.
fn narrow(wanted: &Value, config: &mut Map<String, Value>) {
    let has_filter = ["filter_subject", "filter_subjects"]
        .iter()
        .any(|field| config.get(*field).is_some_and(says_much));
    if let Some(filters) = wanted
        .get("filter_subjects")
        .filter(|filters| says_much(filters) && !has_filter)
    {
        config.remove("filter_subject");
        config.insert("filter_subjects".to_owned(), filters.clone());
    }
}

/// Adds the filters that are missing to a consumer that has some: one without any takes everything.
fn add_filters(wanted: &Value, config: &mut Map<String, Value>) {
    let wanted = wanted.get("filter_subjects").and_then(Value::as_array);
    let Some((wanted, all)) = wanted.zip(config.get_mut("filter_subjects").and_then(Value::as_array_mut)) else {
        return;
    };
    if !all.is_empty() {
        let missing: Vec<Value> = wanted.iter().filter(|one| !all.contains(one)).cloned().collect();
        all.extend(missing);
    }
}

/// Whether a value is neither absent nor empty.
fn says_much(value: &Value) -> bool {
    says_something(value) && value.as_array().is_none_or(|all| !all.is_empty())
}

/// Adds the subjects that are missing.
fn add_subjects(wanted: &Value, config: &mut Map<String, Value>) {
    if let Some(subjects) = wanted.get("subjects").and_then(Value::as_array) {
        let all = config.entry("subjects").or_insert_with(|| Value::Array(Vec::new()));
        if let Some(all) = all.as_array_mut() {
            let missing: Vec<Value> = subjects.iter().filter(|one| !all.contains(one)).cloned().collect();
            all.extend(missing);
        }
    }
}

/// Adds the settings that are missing, and brings up to date what the leader tells of.
fn settings(wanted: &Value, config: &mut Map<String, Value>) {
    let Some(wanted) = wanted.get("metadata").and_then(Value::as_object) else {
        return;
    };
    for (key, value) in wanted {
        let found = config.get("metadata").and_then(|all| all.get(key));
        let is_due = match found {
            None => true,
            Some(found) => is_told_by_leader(key) && found != value,
        };
        if is_due && key.starts_with(PREFIX) && key != KEY_TOPOLOGY {
            put_metadata(config, key, value.clone());
        }
    }
}

pub(super) fn put_metadata(config: &mut Map<String, Value>, key: &str, value: Value) {
    let all = config.entry("metadata").or_insert_with(|| Value::Object(Map::new()));
    if let Some(all) = all.as_object_mut() {
        all.insert(key.to_owned(), value);
    }
}

fn says_something(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(set) => *set,
        Value::String(text) => !text.is_empty(),
        Value::Number(_) | Value::Array(_) | Value::Object(_) => true,
    }
}

/// Whether what is there says all that is wanted; the server writes out defaults that were left away, or leaves them out.
fn covers(found: Option<&Value>, wanted: &Value) -> bool {
    match (found, wanted) {
        (Some(Value::Object(found)), Value::Object(wanted)) => wanted
            .iter()
            .all(|(key, value)| !says_something(value) || found.get(key) == Some(value)),
        (found, wanted) => found == Some(wanted),
    }
}

fn changes(found: &Value, config: &Value) -> Vec<Change> {
    let mut changes = Vec::new();
    let mut compare = |field: String, from: Option<&Value>, to: &Value| {
        if from != Some(to) {
            let from = from.cloned().unwrap_or_default();
            let to = to.clone();
            changes.push(Change { field, from, to });
        }
    };
    for (field, to) in config.as_object().into_iter().flatten() {
        match to.as_object().filter(|_| field == "metadata") {
            Some(entries) => {
                for (key, to) in entries.iter().filter(|(key, _)| *key != KEY_TOPOLOGY) {
                    compare(key.clone(), found.pointer("/metadata").and_then(|all| all.get(key)), to);
                }
            }
            None => compare(field.clone(), found.get(field), to),
        }
    }
    changes
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const BLOCKING: Migration = Migration {
        name: "what an older controller cannot live with",
        since: TOPOLOGY + 1,
        needs_no_older_controller: true,
        raise: |_, config| {
            config.insert("description".to_owned(), "two".into());
        },
    };

    fn bare() -> Value {
        json!({ "name": "S", "subjects": ["a"], "max_bytes": 5, "num_replicas": 3, "unknown": {"kept": 1},
                "metadata": { "_nats.ver": "2.15.1", "own": "x" } })
    }

    #[test]
    fn only_what_was_added_changes_and_twice_is_once() {
        let wanted = json!({ "subjects": ["a", "b"], "max_bytes": -1, "num_replicas": 1, "republish": {"src": "a", "dest": "e"},
                             "max_consumers": 20000, "allow_rollup_hdrs": false, "metadata": { "baton.topology": "1" } });
        let plan = plan(&wanted, &bare(), MIGRATIONS, TOPOLOGY).expect("needed");
        let fields: Vec<&str> = plan.changes.iter().map(|change| &*change.field).collect();
        assert_eq!(fields, ["max_consumers", "republish", "subjects"]);
        assert_eq!((plan.from, plan.to), (0, TOPOLOGY));
        assert_eq!(plan.config["max_bytes"], 5);
        assert_eq!(plan.config["num_replicas"], 3);
        assert_eq!(plan.config["unknown"]["kept"], 1);
        assert_eq!(plan.config["metadata"]["own"], "x");
        assert_eq!(plan.config["subjects"], json!(["a", "b"]));
        assert!(super::plan(&wanted, &plan.config, MIGRATIONS, TOPOLOGY).is_none());
    }

    #[test]
    fn more_that_an_operator_allowed_stays_and_so_does_drift_in_what_was_raised() {
        let wanted = json!({ "subjects": ["a"], "max_consumers": 20000, "allow_direct": true });
        let mut found = bare();
        found["max_consumers"] = 50_000.into();
        let plan = plan(&wanted, &found, MIGRATIONS, TOPOLOGY).expect("needed");
        assert_eq!(plan.config["max_consumers"], 50_000);
        let mut drifted = plan.config;
        drifted["allow_direct"] = false.into();
        assert!(
            super::plan(&wanted, &drifted, MIGRATIONS, TOPOLOGY).is_none(),
            "that is for doctor"
        );
    }

    #[test]
    fn a_stream_that_is_written_later_gets_no_batches() {
        let wanted = json!({ "allow_atomic": true });
        let mut found = bare();
        found["persist_mode"] = "async".into();
        let plan = plan(&wanted, &found, MIGRATIONS, TOPOLOGY).expect("its number");
        assert!(plan.changes.is_empty(), "{plan:?}");
    }

    #[test]
    fn a_migration_that_an_older_controller_cannot_live_with_waits_until_none_answers() {
        let migrations = [MIGRATIONS, &[BLOCKING]].concat();
        let wanted = json!({});
        let waiting = plan(&wanted, &bare(), &migrations, TOPOLOGY).expect("needed");
        assert_eq!(
            (waiting.to, waiting.waits.map(|migration| migration.since)),
            (TOPOLOGY, Some(TOPOLOGY + 1))
        );
        assert_eq!(waiting.config.get("description"), None);
        let done = plan(&wanted, &waiting.config, &migrations, TOPOLOGY + 1).expect("needed");
        assert_eq!(
            (done.from, done.to, done.config["description"].as_str()),
            (TOPOLOGY, TOPOLOGY + 1, Some("two"))
        );
        assert!(done.waits.is_none());
        let still = plan(&wanted, &waiting.config, &migrations, 0).expect("still left");
        assert!(still.changes.is_empty() && still.waits.is_some());
    }

    #[test]
    fn a_consumer_gets_wider_limits_once_and_keeps_the_rest() {
        let wanted = json!({ "durable_name": "c", "max_waiting": 8192, "max_ack_pending": 200, "max_deliver": -1,
                             "metadata": { "baton.topology": "1" } });
        let found = json!({ "name": "c", "durable_name": "c", "max_waiting": 512, "max_ack_pending": 100, "max_deliver": 5,
                            "pause_until": "2200-01-01T00:00:00Z", "metadata": { "own": "x" } });
        let plan = plan(&wanted, &found, CONSUMER_MIGRATIONS, 0).expect("needed");
        let fields: Vec<&str> = plan.changes.iter().map(|change| &*change.field).collect();
        assert_eq!((fields, plan.to), (vec!["max_ack_pending"], 1));
        let kept = json!({ "max_waiting": 512, "max_ack_pending": 200, "max_deliver": 5,
                           "pause_until": "2200-01-01T00:00:00Z" });
        for (key, value) in kept.as_object().expect("an object") {
            assert_eq!(&plan.config[key], value, "{key}");
        }
        assert_eq!(plan.config["metadata"], json!({ "own": "x", "baton.topology": "1" }));
        let left =
            super::plan(&wanted, &plan.config, CONSUMER_MIGRATIONS, 0).expect("what an older controller holds back");
        assert!(left.changes.is_empty() && left.waits.is_some(), "{left:?}");
    }

    #[test]
    fn settings_are_added_once_and_the_leader_keeps_what_it_tells_of() {
        let mut found = bare();
        found["metadata"] = json!({ "baton.topology": "2", "baton.bands": "ten", "baton.replicas": "1" });
        let wanted = json!({ "metadata": { "baton.bands": "three", "baton.replicas": "3", "baton.shards": "1" } });
        let plan = plan(&wanted, &found, MIGRATIONS, TOPOLOGY).expect("needed");
        let all = &plan.config["metadata"];
        assert_eq!(
            (&all["baton.bands"], &all["baton.replicas"], &all["baton.shards"]),
            (&"ten".into(), &"3".into(), &"1".into())
        );
    }
}
