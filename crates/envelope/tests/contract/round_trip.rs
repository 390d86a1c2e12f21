//! What is written is read back the same.

use baton_envelope::*;
use proptest::prelude::*;

use crate::generators::*;
use crate::samples;

fn write<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("it can be written")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn an_envelope_is_read_back_as_it_was_written(envelope in any_envelope()) {
        let text = write(&envelope);
        let back = Envelope::decode(text.as_bytes()).expect("its own writing");
        prop_assert_eq!(write(&back), text);
        prop_assert_eq!(back, envelope);
    }

    #[test]
    fn a_record_is_read_back_as_it_was_written(record in any_record()) {
        let text = write(&record);
        let back = Record::decode(text.as_bytes()).expect("its own writing");
        prop_assert_eq!(write(&back), text);
        prop_assert_eq!(back, record);
    }
}

proptest! {
    #[test]
    fn an_event_and_a_status_are_read_back_as_they_were_written(event in any_event(), status in any_status()) {
        prop_assert_eq!(serde_json::from_str::<Event>(&write(&event)).expect("an event"), event);
        prop_assert_eq!(serde_json::from_str::<Status>(&write(&status)).expect("a status"), status);
    }

    #[test]
    fn any_json_keeps_its_spelling(text in json_text()) {
        let json = Json::parse(&text).expect("JSON");
        prop_assert_eq!(json.get(), &text);
        prop_assert_eq!(write(&json), text);
    }

    #[test]
    fn a_version_token_is_total_reversible_and_one_subject_token(text in version_text()) {
        let version: AgentVersion = text.parse().expect("a semantic version");
        let token = version.token();
        prop_assert!(token.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_=".contains(&b)), "{}", token);
        prop_assert_eq!(AgentVersion::from_token(&token).expect("its own token"), version.clone());
        prop_assert_eq!(version.to_string(), text);
    }

    #[test]
    fn what_is_read_as_a_version_token_is_written_the_same(token in "[0-9A-Za-z_=.+*> -]{0,16}|[0-9]_[0-9]_[0-9][-=A-Za-z0-9_.+]{0,8}") {
        if let Ok(version) = AgentVersion::from_token(&token) {
            prop_assert_eq!(version.token(), token);
        }
    }

    #[test]
    fn a_time_is_read_back_to_the_millisecond(at in any_time(), other in any_time()) {
        prop_assert_eq!(at.to_string().parse::<Timestamp>(), Ok(at));
        // The text sorts like the time, so a person may sort a log by it.
        prop_assert_eq!(at.cmp(&other), at.to_string().cmp(&other.to_string()));
    }

    #[test]
    fn every_number_of_milliseconds_can_be_written(millis in any::<i64>(), seconds in any::<u64>()) {
        let at = Timestamp::from_unix_millis(millis).plus(std::time::Duration::from_secs(seconds));
        prop_assert_eq!(at.to_string().parse::<Timestamp>(), Ok(at));
    }

    #[test]
    fn what_is_read_as_a_time_can_be_written(text in "[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,9})?(Z|[+-][0-2][0-9]:[0-5][0-9])|.{0,30}") {
        if let Ok(at) = text.parse::<Timestamp>() {
            prop_assert_eq!(at.to_string().parse::<Timestamp>(), Ok(at));
        }
    }

    #[test]
    fn ids_are_read_back_as_they_were_written(envelope in any_envelope_id(), record in any_record_id()) {
        prop_assert_eq!(envelope.to_string().parse::<EnvelopeId>(), Ok(envelope));
        prop_assert_eq!(record.to_string().parse::<RecordId>(), Ok(record));
    }

    #[test]
    fn any_foreign_id_and_any_stored_message_gives_a_valid_intent_id(text in ".{0,140}", stream in "[A-Z_]{1,9}", seq: u64, nanos: i64) {
        for id in [IntentId::from_foreign(&text), IntentId::derived(&stream, seq, i128::from(nanos))] {
            prop_assert_eq!(id.as_str().parse::<IntentId>(), Ok(id.clone()));
        }
    }

    #[test]
    fn names_and_intent_ids_never_hold_a_dot_a_wildcard_or_white_space(text in "[a-zA-Z0-9_.*> \t\u{a0}\u{e9}-]{0,130}|[a-z0-9-]{0,70}|.{0,20}") {
        let first = |set: fn(u8) -> bool| text.bytes().next().is_some_and(set);
        let name = text.len() <= 63
            && first(|b| b.is_ascii_digit() || b.is_ascii_lowercase())
            && text.chars().all(|c| c.is_ascii_digit() || c.is_ascii_lowercase() || c == '-');
        let id = text.len() <= 128
            && first(|b| b.is_ascii_alphanumeric())
            && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
        prop_assert_eq!(text.parse::<AgentName>().is_ok(), name);
        prop_assert_eq!(text.parse::<Namespace>().is_ok(), name);
        prop_assert_eq!(text.parse::<IntentId>().is_ok(), id);
        if name || id {
            prop_assert!(!text.contains(['.', '*', '>']) && !text.contains(char::is_whitespace));
        }
    }

    #[test]
    fn one_bad_character_spoils_any_name(good in "[a-z0-9][a-z0-9-]{0,30}", bad in "[.*> \t\r\n\u{0}/]", at in 0_usize..31) {
        let at = at.min(good.len());
        let text = format!("{}{bad}{}", &good[..at], &good[at..]);
        prop_assert!(text.parse::<AgentName>().is_err());
        prop_assert!(text.parse::<IntentId>().is_err());
        let version = format!("1.0.0-{text}");
        prop_assert!(bad == "." || version.parse::<AgentVersion>().is_err());
    }

    #[test]
    fn a_priority_is_1_to_10_and_max_hops_1_to_64(number in prop_oneof![-3_i64..70, any::<i64>()]) {
        prop_assert_eq!(Priority::new(number).is_ok(), (1..=10).contains(&number));
        prop_assert_eq!(MaxHops::new(number).is_ok(), (1..=64).contains(&number));
        let text = number.to_string();
        prop_assert_eq!(serde_json::from_str::<Priority>(&text).is_ok(), (1..=10).contains(&number));
        prop_assert_eq!(serde_json::from_str::<MaxHops>(&text).is_ok(), (1..=64).contains(&number));
    }

    #[test]
    fn a_ledger_subject_names_its_intent_and_an_event_subject_has_the_same_last_token(intent in any_intent(), namespace in "[a-z0-9][a-z0-9-]{0,20}") {
        let subjects = Subjects::new(namespace.parse().expect("valid"));
        let ledger = subjects.ledger(&intent);
        prop_assert_eq!(subjects.intent_of_ledger(&ledger), Some(intent.clone()));
        prop_assert_eq!(ledger.split('.').count(), 4);
        let event = subjects.event(&intent);
        prop_assert_eq!(ledger.rsplit('.').next(), event.rsplit('.').next());
    }
}

#[test]
fn a_declaration_that_reads_another_major_can_still_be_read() {
    let declaration = samples::full_declaration();
    let back: Declaration = serde_json::from_str(&write(&declaration)).expect("its own writing");
    assert_eq!(back, declaration);
}

#[test]
fn a_route_is_read_back_as_it_was_written() {
    let route = samples::full_route();
    assert_eq!(
        serde_json::from_str::<Route>(&write(&route)).expect("its own writing"),
        route
    );
}

#[test]
fn a_duration_that_never_ends_is_the_end_of_time() {
    let at = Timestamp::parse_or_after("500000000000y", samples::NOW).expect("a duration");
    assert_eq!(at.to_string(), "9999-12-31T23:59:59.999Z");
    assert!(
        "9999-12-31T23:59:59-05:00".parse::<Timestamp>().is_err(),
        "year 10000 in UTC"
    );
}
