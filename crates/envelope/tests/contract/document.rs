//! docs/protocol.md and the code say the same: every table that can be compared is, in both directions.

use std::collections::{BTreeMap, BTreeSet};

use baton_envelope::*;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::samples::*;

pub(crate) const DOCUMENT: &str = include_str!("../../../../docs/protocol.md");
const HEADERS: &str = include_str!("../../src/base/header.rs");

/// The rows of the first table below a heading, without its header row; code marks are taken off.
pub(crate) fn table(heading: &str) -> Vec<Vec<String>> {
    let (_, rest) = DOCUMENT
        .split_once(&format!("\n{heading}\n"))
        .unwrap_or_else(|| panic!("docs/protocol.md has no heading \"{heading}\""));
    let rows: Vec<Vec<String>> = rest
        .lines()
        .skip_while(|line| !line.starts_with('|'))
        .take_while(|line| line.starts_with('|'))
        .map(|line| {
            let inner = line.trim().strip_prefix('|').and_then(|rest| rest.strip_suffix('|'));
            inner.expect("a row ends with |").split('|').map(cell).collect()
        })
        .collect();
    assert!(rows.len() > 2, "the table of \"{heading}\" is empty");
    let columns = rows[0].len();
    for row in &rows[2..] {
        assert_eq!(
            row.len(),
            columns,
            "a row of \"{heading}\" has another number of cells: {row:?}"
        );
    }
    rows[2..].to_vec()
}

/// The text of a cell; a cell that is one piece of code loses its marks.
fn cell(text: &str) -> String {
    let text = text.trim();
    let code = text.strip_prefix('`').and_then(|rest| rest.strip_suffix('`'));
    code.filter(|code| !code.contains('`')).unwrap_or(text).to_owned()
}

pub(crate) fn column(heading: &str, index: usize) -> Vec<String> {
    let column: Vec<String> = table(heading).into_iter().map(|row| row[index].clone()).collect();
    let unique: BTreeSet<&String> = column.iter().collect();
    assert_eq!(unique.len(), column.len(), "\"{heading}\" names something twice");
    column
}

pub(crate) fn set<T: Into<String>>(items: impl IntoIterator<Item = T>) -> BTreeSet<String> {
    items.into_iter().map(Into::into).collect()
}

fn members<T: Serialize>(value: &T) -> BTreeMap<String, Json> {
    serde_json::from_str(&serde_json::to_string(value).expect("JSON")).expect("an object")
}

/// Compares the fields of a table with those of a value in which every field is set: names, which are required, and
/// where there is a column for it, the default.
fn compare_fields<T: Serialize + DeserializeOwned>(name: &str, full: &T) {
    let heading = format!("### {name} fields");
    let fields = members(full);
    assert_eq!(
        set(column(&heading, 0)),
        set(fields.keys().cloned()),
        "fields of {name}"
    );
    let has_default = DOCUMENT
        .split_once(&format!("\n{heading}\n"))
        .is_some_and(|(_, rest)| rest.trim_start().starts_with("| Field | Type | Required | Default |"));
    for row in table(&heading) {
        let mut without = fields.clone();
        without.remove(&row[0]);
        let read = serde_json::from_str::<T>(&serde_json::to_string(&without).expect("JSON"));
        let required = if read.is_err() { "yes" } else { "no" };
        assert_eq!(row[2], required, "whether `{}` of {name} is required", row[0]);
        if let (true, Ok(value)) = (has_default, &read) {
            // A default is not written. So the default of the document must vanish, and nothing else may be there.
            let written = members(value);
            assert_eq!(
                written.get(&row[0]),
                None,
                "`{}` of {name} is written when it is absent",
                row[0]
            );
            if let Ok(default) = Json::parse(&row[3]) {
                let mut with = fields.clone();
                with.insert(row[0].clone(), default);
                let read: T = serde_json::from_str(&serde_json::to_string(&with).expect("JSON")).expect("a default");
                assert_eq!(
                    members(&read).get(&row[0]),
                    None,
                    "the default of `{}` of {name} is not {}",
                    row[0],
                    row[3]
                );
            }
        }
    }
}

#[test]
fn every_field_of_every_object_is_in_the_document_and_none_else() {
    let envelope = full_envelope();
    compare_fields("Envelope", &envelope);
    compare_fields("ObjectRef", envelope.payload_ref.as_deref().expect("a reference"));
    compare_fields("Task", envelope.task.as_ref().expect("a task"));
    compare_fields("MemoryRef", &envelope.memory[0]);
    compare_fields("HistoryEntry", &envelope.history[0]);
    compare_fields("Expects", envelope.expects.as_deref().expect("expects"));
    compare_fields("Budget", envelope.budget.as_deref().expect("a budget"));
    compare_fields("Meter", &full_meter());
    compare_fields("Amounts", &full_amounts());
    compare_fields("Share", &full_share());
    compare_fields("OwedTopUp", &full_owed());
    let record = full_record();
    compare_fields("Record", &record);
    compare_fields("Snapshot", &record.snapshot);
    compare_fields("InOrder", record.snapshot.order.as_ref().expect("a turn"));
    compare_fields("ByHand", record.snapshot.manual.as_ref().expect("by hand"));
    compare_fields("Author", &record.by);
    compare_fields("ErrorInfo", record.error.as_ref().expect("an error"));
    compare_fields("StepEntry", record.step.as_ref().expect("a step"));
    compare_fields("Hold", record.hold.as_deref().expect("a hold"));
    compare_fields("Spend", record.spend.as_deref().expect("a spend"));
    compare_fields("TopUp", record.top_up.as_deref().expect("a top-up"));
    compare_fields("Undo", &full_undo());
    compare_fields("PlannedUndo", &record.undos[0]);
    compare_fields("Undoing", record.snapshot.undo.as_deref().expect("what is undone"));
    compare_fields("WaitSpec", &record.waits[0]);
    compare_fields("Onward", record.waits[0].onward.as_ref().expect("a way on"));
    compare_fields("OpenWait", &record.snapshot.waits[0]);
    compare_fields("UnreadSignal", &record.snapshot.signals[0]);
    compare_fields("SignalEntry", record.signal.as_ref().expect("a signal"));
    compare_fields("WaitResult", &record.results[0]);
    compare_fields("Children", &full_children());
    compare_fields("Child", &full_children().children[0]);
    compare_fields("ChildSet", &full_child_set());
    compare_fields("ChildEnd", &full_child_end());
    compare_fields("ChildrenDone", &record.children[0]);
    compare_fields("Broadcast", &full_broadcast());
    let (approval, ballot) = (full_approval(), full_ballot());
    compare_fields("Approval", &approval);
    compare_fields("Choice", &full_choice());
    compare_fields("Escalation", approval.escalate.as_ref().expect("an escalation"));
    compare_fields("Ballot", &ballot);
    compare_fields("Seat", &ballot.seats[0]);
    compare_fields("Decided", ballot.decided.as_ref().expect("an outcome"));
    let decision = full_decision();
    compare_fields("Decision of people", &decision);
    compare_fields("Vote", &decision.votes[0]);
    compare_fields("PeopleEntry", record.people.as_ref().expect("what people did"));
    compare_fields("PathEntry", &record.snapshot.path[0]);
    compare_fields("Origin", record.snapshot.restarted_from.as_deref().expect("an origin"));
    compare_fields("RawKept", record.raw.as_ref().expect("a raw intent"));
    compare_fields("Conversion", record.conversion.as_ref().expect("a conversion"));
    compare_fields("Route", &full_route());
    compare_fields("Declaration", &full_declaration());
    compare_fields("ViewSize", &full_view_size());
    let (route, rollout) = (full_route(), full_rollout());
    compare_fields("Canary", route.canary.as_ref().expect("a canary"));
    compare_fields("AgentLimits", &full_limits());
    compare_fields("CapBook", &full_cap_book());
    compare_fields("CapDay", &full_cap_day());
    compare_fields("CapGrant", &full_cap_grant());
    compare_fields("VersionEntry", &full_entry());
    compare_fields("Pause", &full_pause());
    compare_fields("Decision", route.decision.as_ref().expect("a decision"));
    compare_fields("Rollout", &rollout);
    compare_fields("Margins", &rollout.margins);
    compare_fields("Schedule", &crate::schedules::full());
    compare_fields("Policy", &full_policy());
    compare_fields("StandsIn", &full_stands_in());
    compare_fields("Withheld", &full_withheld());
    compare_fields("Breaker", &full_breaker());
    let compared = DOCUMENT
        .lines()
        .filter(|line| line.starts_with("### ") && line.ends_with(" fields"))
        .count();
    assert_eq!(compared, 67, "a table of fields is not compared");
}

#[test]
fn the_limits_in_the_document_are_those_of_the_code() {
    let meaning = |field: &str| {
        table("### Envelope fields")
            .into_iter()
            .find(|row| row[0] == field)
            .expect("a row")
    };
    assert!(meaning("max_hops")[4].contains(&format!("1 to {MAX_HOPS_LIMIT}")));
    assert_eq!(meaning("max_hops")[3], MAX_HOPS_DEFAULT.to_string());
    assert_eq!(meaning("priority")[3], Priority::default().to_string());
    assert!(DOCUMENT.starts_with(&format!("# The Baton protocol, version {PROTOCOL}\n")));
}

#[test]
fn every_header_is_in_the_document_and_none_else() {
    let code = HEADERS
        .lines()
        .filter_map(|line| line.strip_prefix("pub const ")?.split('"').nth(1))
        .map(str::to_owned);
    assert_eq!(set(column("## 5. Headers", 0)), set(code));
}

#[test]
fn every_event_is_in_the_document_and_none_else() {
    let known = events();
    assert_eq!(set(column("### Events", 0)), set(known.iter().map(Event::name)));
    for name in column("### Events", 0) {
        let form = format!("{{\"type\":\"{name}\",\"reason\":\"human\"}}");
        let event: Event = serde_json::from_str(&form).expect("an event");
        assert!(!matches!(event, Event::Unknown { .. }), "{name} is not read");
    }
}

#[test]
fn every_status_is_in_the_document_as_the_code_has_it() {
    let known = statuses();
    assert_eq!(set(column("### Statuses", 0)), set(known.iter().map(Status::name)));
    for row in table("### Statuses") {
        let status = known.iter().find(|status| status.name() == row[0]).expect("a status");
        let yes = |yes: bool| if yes { "yes" } else { "no" };
        assert_eq!(row[1], yes(status.is_terminal()), "whether {status} is terminal");
        assert_eq!(row[2], yes(status.is_workable()), "whether {status} has a ticket");
    }
    let waiting = table("### Statuses")
        .into_iter()
        .find(|row| row[0] == "waiting")
        .expect("a row");
    for reason in wait_reasons() {
        assert!(
            waiting[3].contains(&format!("`{}`", reason.name())),
            "{}",
            reason.name()
        );
    }
}

#[test]
fn the_transition_table_is_the_one_of_the_code_in_every_cell() {
    let open: Vec<Option<Status>> = std::iter::once(None)
        .chain(statuses().into_iter().filter(|status| !status.is_terminal()).map(Some))
        .collect();
    let name = |status: &Option<Status>| status.as_ref().map_or("none", Status::name).to_owned();
    let heading = DOCUMENT
        .lines()
        .find(|line| line.starts_with("| Event | none |"))
        .expect("the header row of the transitions");
    let columns: Vec<String> = heading
        .trim_matches('|')
        .split(" | ")
        .skip(1)
        .map(|cell| cell.trim().to_owned())
        .collect();
    assert_eq!(
        set(columns.clone()),
        set(open.iter().map(name)),
        "the open statuses are the columns"
    );

    let rows = table("### Transitions");
    assert_eq!(set(column("### Transitions", 0)), set(events().iter().map(Event::name)));
    for row in rows {
        for (index, column) in columns.iter().enumerate() {
            let from = open.iter().filter(|status| name(status) == *column);
            let found: BTreeSet<String> = from
                .flat_map(|status| {
                    let of_row = events().into_iter().filter(|event| event.name() == row[0]);
                    of_row
                        .filter_map(|event| next(status.as_ref(), &event).ok())
                        .collect::<Vec<_>>()
                })
                .map(|status| status.name().to_owned())
                .collect();
            let cell = row[index + 1].split(", ").filter(|cell| *cell != "-");
            assert_eq!(set(cell), found, "`{}` after {column}", row[0]);
        }
    }
}

#[test]
fn the_life_of_a_version_is_the_one_of_the_code_in_every_cell() {
    let heading = DOCUMENT
        .lines()
        .find(|line| line.starts_with("| Version event |"))
        .expect("the header row of the version states");
    let columns: Vec<&str> = heading.trim_matches('|').split('|').skip(1).map(str::trim).collect();
    assert_eq!(
        set(columns.clone()),
        set(VersionState::ALL.iter().map(VersionState::name))
    );
    let rows = table("### Version states");
    assert_eq!(
        set(column("### Version states", 0)),
        set(VersionEvent::ALL.iter().map(|event| event.name()))
    );
    for row in rows {
        let event = VersionEvent::ALL
            .into_iter()
            .find(|event| event.name() == row[0])
            .expect("an event");
        for (index, column) in columns.iter().enumerate() {
            let state = VersionState::ALL
                .iter()
                .find(|state| state.name() == *column)
                .expect("a state");
            let after = state.next(event).map_or("-".to_owned(), |state| state.to_string());
            assert_eq!(row[index + 1], after, "`{}` of a version that is {column}", row[0]);
        }
    }
}

#[test]
fn the_steps_by_hand_are_those_of_the_code() {
    let error = || ErrorInfo::new("NO", "no");
    let steps = [
        HandStep::Accept {
            estimate_ms: None,
            until: None,
        },
        HandStep::Start,
        HandStep::Progress(String::new()),
        HandStep::Complete(Body::default(), None),
        HandStep::Reject(error()),
        HandStep::Fail(error()),
        HandStep::HandOff,
        HandStep::Release(String::new()),
    ];
    let documented = table("### A hop by hand").into_iter().map(|row| {
        let follows = row[1].replace('`', "");
        (row[0].clone(), follows, row[3].clone())
    });
    let coded = steps.iter().map(|step| {
        let follows = step.follows().join(", ");
        (step.name().to_owned(), follows, step.leads_to().to_owned())
    });
    assert_eq!(documented.collect::<Vec<_>>(), coded.collect::<Vec<_>>());

    // In every status, whoever asks.
    let mut head = full_snapshot();
    head.manual.as_mut().expect("by hand").envelope = head.envelope.expect("an envelope");
    head.deadline = None;
    for status in statuses() {
        head.status = status.clone();
        for step in &steps {
            let taken = take_by_hand(&head, "host-1.4711", step, NOW);
            assert_eq!(
                taken.is_ok(),
                step.follows().contains(&status.name()),
                "{} of {status}",
                step.name()
            );
            let leads_to = match taken {
                Ok(HandWrite::Last(draft)) => draft.snapshot.status,
                Ok(HandWrite::First(draft)) => {
                    assert_eq!((&draft.event, status.name()), (&Event::Started, "accepted"));
                    continue;
                }
                Ok(HandWrite::HandOff) | Err(_) => continue,
            };
            assert_eq!(leads_to.name(), step.leads_to());
        }
    }
}

#[test]
fn the_causes_that_hold_a_version_are_those_of_the_code() {
    assert_eq!(
        set(column("### What holds a version", 0)),
        set(Cause::ALL.iter().map(|cause| cause.name()))
    );
}

#[test]
#[expect(clippy::too_many_lines, reason = "one table, row by row")]
fn the_subjects_streams_and_consumers_are_those_of_the_code() {
    let subjects = Subjects::new(Namespace::default());
    let (agent, version, instance) = (agent("code"), version("2.0.0-rc.1"), "host-1");
    let fill = |pattern: &str| {
        pattern
            .replace("<agent>", agent.as_str())
            .replace("<token>", &version.token())
            .replace("<intent>", intent().as_str())
            .replace("<instance>", instance)
            .replace("<priority>", "5")
            .replace("<capability>", "translate")
            .replace("<channel>", "news")
            .replace("<tree>", "order-42")
            .replace("<space>", "house-rules")
    };
    let documented = |heading: &str, index: usize| -> BTreeSet<String> {
        column(heading, index).iter().map(|pattern| fill(pattern)).collect()
    };
    let expected = [
        subjects.intent(&agent),
        subjects.capability(&"translate".parse().expect("capability")),
        subjects.channel(&"news".parse().expect("channel")),
        subjects.intent_from("<account>", &agent),
        subjects.capability_from("<account>", &"translate".parse().expect("capability")),
        subjects.channel_from("<account>", &"news".parse().expect("channel")),
        subjects.ask(&agent),
        subjects.ask_from("<account>", &agent),
        subjects.ledger(&intent()),
        subjects.ledger_all(),
        subjects.archive(Some(&agent)),
        subjects.archive_all(),
        subjects.object(&"order-42".parse().expect("id"), "<hash>"),
        subjects.objects_all(),
        subjects.object_bundle(&"order-42".parse().expect("id"), "<name>"),
        subjects.object_bundles_all(),
        subjects.memory(&"house-rules".parse().expect("space"), "<id>"),
        subjects.memories_all(),
        subjects.event(&intent()),
        subjects.work(&agent, &version, Priority::default()),
        subjects.work_all(&agent),
        subjects.heartbeat(&agent, &version, instance),
        subjects.heartbeat_all(),
        subjects.control("<verb>"),
        subjects.route(&agent),
        subjects.load(),
        subjects.route(&agent),
        subjects.alarm(),
        subjects.replay(&agent, &version),
        subjects.instance(&agent, &version, instance),
        subjects.signal(&intent(), "<name>"),
        "mesh.from.<account>.signal.<intent>.<name>".replace("<intent>", intent().as_str()),
        "mesh.decide.<person>.<intent>.<hop>.<wait>.<choice>".replace("<intent>", intent().as_str()),
        "mesh.from.<account>.decide.<person>.<intent>.<hop>.<wait>.<choice>".replace("<intent>", intent().as_str()),
    ];
    assert_eq!(documented("## 3. Subjects", 1), set(expected));

    let streams = [
        subjects.intake_stream(),
        subjects.ledger_stream(),
        subjects.archive_stream(),
        subjects.context_stream(),
        subjects.context_archive_stream(),
        subjects.memory_stream(),
        subjects.work_stream(&agent),
    ];
    assert_eq!(documented("### Streams", 1), set(streams));
    let of_stream = |name: String| {
        let rows = table("### Streams").into_iter();
        let row = rows.into_iter().find(|row| fill(&row[1]) == name).expect("a row");
        set(row[2].split(", ").map(|pattern| fill(pattern.trim_matches('`'))))
    };
    assert_eq!(of_stream(subjects.intake_stream()), set(subjects.intake_subjects()));
    assert_eq!(of_stream(subjects.ledger_stream()), set([subjects.ledger_all()]));
    assert_eq!(of_stream(subjects.archive_stream()), set([subjects.archive_all()]));
    assert_eq!(of_stream(subjects.context_stream()), set([subjects.objects_all()]));
    assert_eq!(
        of_stream(subjects.context_archive_stream()),
        set([subjects.object_bundles_all()])
    );
    assert_eq!(of_stream(subjects.memory_stream()), set([subjects.memories_all()]));
    assert_eq!(
        of_stream(subjects.work_stream(&agent)),
        set([subjects.work_all(&agent)])
    );
    assert!(DOCUMENT.contains(&format!(
        "republish `{}` to `{}`",
        subjects.ledger_all(),
        subjects.event_rule()
    )));
    assert!(DOCUMENT.contains(&format!(
        "republishes `$KV.{}.>` to `{}`",
        subjects.routes_bucket(),
        subjects.route_rule()
    )));

    assert_eq!(
        documented("### Buckets", 1),
        set([
            subjects.routes_bucket(),
            subjects.agents_bucket(),
            subjects.control_bucket(),
            subjects.schedules_bucket(),
            subjects.breakers_bucket()
        ])
    );
    assert_eq!(
        set(table("### Buckets").iter().map(|row| fill(&row[2]))),
        set([
            agent.to_string(),
            subjects.agent_key(&agent, &version),
            "leader".to_owned(),
            "<schedule>".to_owned()
        ])
    );
    let consumers = Bands::default()
        .list()
        .into_iter()
        .map(|band| subjects.work_consumer(&version, band));
    assert_eq!(
        documented("### Consumers", 1),
        set(consumers.chain(["router", "signals", "decisions"].map(str::to_owned)))
    );
}

#[test]
fn the_roles_in_the_document_are_those_of_the_code() {
    let row = table("### Author fields")
        .into_iter()
        .find(|row| row[0] == "role")
        .expect("a row");
    let quoted: BTreeSet<String> = row[3].split('`').skip(1).step_by(2).map(str::to_owned).collect();
    let known = [Role::Client, Role::Worker, Role::Controller, Role::Operator];
    assert_eq!(quoted, set(known.iter().map(Role::name)));
    for name in quoted {
        let role: Role = serde_json::from_str(&format!("\"{name}\"")).expect("a role");
        assert!(!matches!(role, Role::Unknown(_)), "{name}");
    }
}

#[test]
fn the_kinds_of_pinning_in_the_document_are_those_of_the_code() {
    let row = table("### Envelope fields")
        .into_iter()
        .find(|row| row[0] == "pinning")
        .expect("a row");
    for pinning in [Pinning::Hop, Pinning::Chain] {
        assert!(row[4].contains(&format!("`{}`", pinning.name())), "{}", pinning.name());
        let read: Pinning = serde_json::from_str(&format!("\"{}\"", pinning.name())).expect("a pinning");
        assert_eq!(read, pinning);
    }
    assert_eq!(row[3], format!("`{}`", Pinning::default().name()).trim_matches('`'));
}

#[test]
fn the_ranges_in_the_document_are_those_of_the_code() {
    let row = table("### Declaration fields")
        .into_iter()
        .find(|row| row[0] == "protocol")
        .expect("a row");
    assert_eq!(row[3], ProtocolRange::default().newest.to_string());
    let majors = column("### Forms", 0);
    let newest = [PROTOCOL, ProtocolRange::of_forms().newest].map(|version| version.to_string());
    assert_eq!(majors, newest);
}

#[test]
fn the_derived_id_is_the_one_that_the_document_describes() {
    // The hash of a text, written out from section 11 without the code under test.
    fn hash(text: &str) -> String {
        use sha2::Digest as _;
        let digest = sha2::Sha256::digest(text.as_bytes());
        let mut bytes: Vec<u8> = digest.iter().copied().take(16).collect();
        bytes[6] = bytes[6] & 0x0f | 0x80;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
    }
    let derived = IntentId::derived("MESH_INTAKE", 7, 1_795_237_200_123_456_789);
    assert_eq!(derived.as_str(), hash("MESH_INTAKE\n7\n1795237200123456789"));
    assert_eq!(IntentId::from_foreign("order.42").as_str(), hash("order.42"));
}

#[test]
fn the_presets_are_those_of_the_code() {
    let listed = |names: &[&str]| {
        names
            .iter()
            .map(|name| format!("`{name}`"))
            .collect::<Vec<_>>()
            .join(", ")
    };
    let plain = |text: &str| text.replace('`', "");
    let rows: Vec<Vec<String>> = table("### Presets");
    assert_eq!(rows.len(), people::PRESETS.len());
    for (row, of) in rows.iter().zip(people::PRESETS) {
        assert_eq!(row[0], of.preset.name());
        assert_eq!(plain(&row[1]), plain(&listed(of.accepts)), "{row:?}");
        assert_eq!(plain(&row[2]), plain(&listed(of.rejects)), "{row:?}");
        assert_eq!((row[3].as_str(), row[4].as_str()), (of.form, of.effect), "{row:?}");
    }
}
