//! What `baton worker --help` says of a program. The tests compare it and `docs/exec.md` with the code, both ways.

/// What a program gets, what it may answer and how it ends, for a terminal; `docs/exec.md` says the same at length.
pub const EXEC_HELP: &str = "\
Variables of the program:
  BATON_INTENT, BATON_ROOT, BATON_ENVELOPE: ids of the intent, of the root of its tree, of the envelope
  BATON_AGENT, BATON_VERSION: whom the hop is for
  BATON_FROM, BATON_KIND: who sent it, and the kind of work
  BATON_HOP, BATON_MAX_HOPS, BATON_PRIORITY: which hop of at most how many, and how urgent
  BATON_ATTEMPT, BATON_EPOCH: which attempt, and the fencing number of this holder
  BATON_DEADLINE: when the intent must be done
  BATON_IDEMPOTENCY_KEY: the same in every attempt at this hop
  TRACEPARENT: W3C trace context
  BATON_REPLAY: 1 in a replay (--json only)
It inherits the worker's other variables, but not those that hold what the worker logs in with. --clean-env leaves it \
PATH alone; --pass-env NAME,... passes these in any case.

Plain mode: stdin is the payload (the text of a string, bytes as they are, other JSON as written). \
stdout is the result, or goes to whoever is next: JSON where it is JSON, else text without the last line breaks, else bytes.

JSON mode (--json): stdin is one object with intent, hop, attempt, epoch, idempotency_key, task, expects, payload, \
payload_encoding, steps, waits, context, spend, envelope and replay. stdout is JSON objects, recorded as they come:
  {\"progress\": TEXT} is a note
  {\"step\": NAME, \"result\": JSON} is a step; a later attempt finds it in steps
  {\"state\": JSON} tells how far it is, for baton intents state
  {\"remember\": {\"key\": KEY, \"kind\": KIND, \"content\": TEXT}} is for all agents after it; also title, pinned and more
  {\"spend\": {\"tokens\": N, \"cost\": AMOUNT}} counts in the budget; spend on stdin says what is available
and one outcome:
  {\"outcome\": \"complete\", \"result\": JSON}, with result_encoding base64 for bytes
  {\"outcome\": \"hand_off\", \"to\": AGENT, \"payload\": JSON}, also kind, payload_encoding;
    instead of to: capability, a NAME or [NAMES]
  {\"outcome\": \"next\", \"payload\": JSON} goes to whoever is next by the itinerary or the pipeline; completes where nobody is
  {\"outcome\": \"fan_out\", \"calls\": {\"to\": AGENT, \"children\": [{\"payload\": JSON}]}} asks others and does not come back:
    whoever is next, or the agent of to, gets what they came to; calls has join, need, until and more, as a wait
  {\"outcome\": \"broadcast\", \"channel\": NAME, \"payload\": JSON} goes to all that subscribe, or to receivers, a list of
    agents; also kind, payload_encoding; the intent is done when they are
  {\"outcome\": \"reject\", \"code\": CODE, \"message\": TEXT}; reason is the same as message
  {\"outcome\": \"retry\", \"code\": CODE, \"message\": TEXT}
  {\"outcome\": \"fail\", \"code\": CODE, \"message\": TEXT}
All but retry and fail may have note and cost. A step, a hand_off and a next may name what takes them back:
  \"undo\": {\"agent\": AGENT, \"payload\": JSON}, also kind, payload_encoding
A hand_off and a next may say what the receiver is given of what is remembered:
  \"context\": {\"tokens\": N}, with strategy (trim, full, summary, lazy), include_recent, names, without
  \"task\": {\"ask\": TEXT}, with goal, state; what it does not name stays as it was
Or it waits, and ends; it runs again when that has come, and finds it in waits:
  {\"wait\": {\"name\": NAME}}, with kind (signal, callback, sleep), until, then (give, park, fail), title;
  approval in it asks people: who, quorum, choices, form, four_eyes, escalate and more, or {};
  wait_any and wait_all take a list of them
Or it asks other agents, and ends, in the same way:
  {\"wait\": {\"name\": NAME, \"to\": AGENT, \"children\": [{\"payload\": JSON}]}}, with join (collect, all, any, some), need, detach

Exit codes: 0 completes (with --json its outcome counts), 65 fails for good, 75 and any other are tried again.

Faults: EXIT_N, SIGNAL, NO_OUTCOME; BAD_OUTCOME and OUTPUT_TOO_LARGE (more than 64 MiB) end the program at once.

Signals: SIGTERM to the whole process group, SIGKILL after 5 s. It comes at the deadline, at the end of \
--drain-timeout, when the hop is taken away (cancel, pause, kill), when the program has ended and left others \
behind, and when the worker dies. stderr goes to the log.

All of it: docs/exec.md";

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::path::Path;
    use std::sync::{Arc, OnceLock};

    use baton_envelope::context::EnvelopeContext;
    use baton_envelope::{Budget, Envelope, EnvelopeId, Json, ProtocolRange, Timestamp};
    use baton_jetstream::ReceivedView;

    use super::super::{EXIT_RETRY, EXIT_TERMINAL, PIPE_TIME, environment, json, pipe};
    use super::EXEC_HELP;
    use crate::given::Context;
    use crate::guard::GRACE;
    use crate::hop::{Hop, HopClock, Journal};
    use crate::sandbox::Sandbox;

    fn docs() -> String {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/exec.md");
        std::fs::read_to_string(path).expect("docs/exec.md")
    }

    /// The names of the first column of the table with this head.
    fn table(docs: &str, head: &str) -> BTreeSet<String> {
        let (_, rest) = docs.split_once(&format!("\n| {head} |")).expect("the table");
        let rows = rest.lines().skip(2).take_while(|line| line.starts_with('|'));
        rows.filter_map(|row| Some(row.split('`').nth(1)?.to_owned())).collect()
    }

    /// The names that serde offers when it is given one that it does not know.
    fn offered(error: &str) -> BTreeSet<String> {
        let (_, list) = error.split_once("expected one of ").expect("a list");
        list.split('`').skip(1).step_by(2).map(str::to_owned).collect()
    }

    /// A hop with all that a program can be told of.
    fn hop() -> Hop {
        let id = EnvelopeId::generate(Timestamp::from_unix_millis(1), [1; 10]);
        let intent = "order-1".parse().expect("an id");
        let mut envelope = Envelope::first(id, intent, "shout".parse().expect("a name"), Json::string("AA=="));
        envelope.payload_encoding = Some("base64".to_owned());
        envelope.task = Some(Default::default());
        envelope.expects = Some(Default::default());
        Hop {
            envelope: Arc::new(envelope),
            attempt: 1,
            epoch: 0,
            journal: Journal::Sandbox(Arc::new(Sandbox::default())),
            steps: BTreeMap::new(),
            waits: BTreeMap::new(),
            suspended: None,
            without: None,
            groups: Arc::default(),
            own_view: Arc::default(),
            clock: HopClock::Fixed(Timestamp::default()),
            mesh: None,
            version: None,
            context: None,
            caps: None,
            joined: Vec::new(),
            recalled: 0,
            signals_sent: 0,
            calls: BTreeMap::new(),
            protocol: ProtocolRange::default(),
            largest: 1 << 20,
            remains: OnceLock::new(),
            cancelled: Default::default(),
        }
    }

    #[test]
    fn the_variables_are_those_of_the_docs_and_of_the_help() {
        let given: BTreeSet<String> = environment(&hop())
            .into_iter()
            .map(|(name, _)| name.to_owned())
            .collect();
        assert_eq!(table(&docs(), "Variable | Holds"), given);
        for name in &given {
            assert!(EXEC_HELP.contains(name), "--help lacks {name}");
        }
        let said = EXEC_HELP.split(|c: char| !(c.is_ascii_uppercase() || c == '_'));
        for name in said.filter(|word| word.starts_with("BATON_")) {
            assert!(given.contains(name), "--help has {name}");
        }
    }

    #[test]
    fn the_fields_of_json_are_those_of_the_docs_and_of_the_help() {
        let docs = docs();
        let hop = hop();
        let view = ReceivedView::without_memories(hop.envelope(), EnvelopeContext::default());
        let context = Context {
            view: std::sync::Arc::new(view),
        };
        let told: BTreeMap<String, Json> =
            serde_json::from_str(&json::input(&hop, Some(&context), Some(&Budget::default()))).expect("an object");
        let read: BTreeSet<String> = told.into_keys().collect();
        assert_eq!(table(&docs, "Field | Holds"), read);
        let fields = json::read_outcome("{\"?\":1}").expect_err("unknown").message;
        let fields = offered(&fields);
        assert_eq!(table(&docs, "Field | Goes with | Holds"), fields);
        let kinds = json::read_outcome("{\"outcome\":\"?\"}").expect_err("unknown").message;
        let kinds = offered(&kinds);
        assert_eq!(table(&docs, "Outcome | Means | Needs"), kinds);
        for (written, head) in [
            (r#"{"remember":{"?":1}}"#, "Of `remember` | Holds"),
            (
                r#"{"outcome":"next","context":{"?":1}}"#,
                "Of `context` in an outcome | Holds",
            ),
        ] {
            let unknown = json::read_outcome(written).expect_err("unknown").message;
            assert_eq!(table(&docs, head), offered(&unknown), "{unknown}");
        }
        for name in read.iter().chain(&fields).chain(&kinds) {
            assert!(EXEC_HELP.contains(name), "--help lacks {name}");
        }
    }

    #[test]
    fn the_fields_of_an_approval_are_those_of_the_docs_and_a_misspelt_one_is_named() {
        let asks = |approval: &str| {
            let written = format!(r#"{{"wait":{{"name":"publish","approval":{approval}}}}}"#);
            json::read_outcome(&written).err()
        };
        let unknown = asks(r#"{"?":1}"#).expect("unknown").message;
        let (_, fields) = unknown.split_once("it has ").expect("a list");
        let (fields, _) = fields.split_once(';').unwrap_or((fields, ""));
        let fields: BTreeSet<String> = fields.split(", ").map(str::to_owned).collect();
        assert_eq!(table(&docs(), "Of `approval` | Holds"), fields);
        for (approval, named) in [
            (r#"{"quorm":2}"#, "`approval` has no field `quorm`"),
            (
                r#"{"who":["ada"],"foureyes":true}"#,
                "`approval` has no field `foureyes`",
            ),
            (
                r#"{"escalate":{"after":5,"after_ms":5}}"#,
                "`approval.escalate` has no field `after`",
            ),
            (
                r#"{"choices":[{"name":"yes"},{"name":"no","count":"against"}]}"#,
                "`approval.choices` has no field `count`",
            ),
            (r#"{"barred":["ada"]}"#, "`approval.barred` is written by Baton"),
        ] {
            let fault = asks(approval).expect(named);
            assert!(
                fault.code() == "BAD_OUTCOME" && fault.message().contains(named),
                "{}",
                fault.message()
            );
        }
        assert!(asks("{}").is_none());
        for (written, named) in [
            (r#"{"wait":"paid"}"#, "expected for a wait an object"),
            (r#"{"wait_any":[]}"#, "`wait_any` is empty"),
            (r#"{"wait_all":[]}"#, "`wait_all` is empty"),
            (
                r#"{"wait":{"name":"a","kind":"signal","approval":{"who":["ada"]}}}"#,
                "`approval` goes with kind \"approval\"",
            ),
        ] {
            let said = json::read_outcome(written).expect_err(named).message;
            assert!(said.contains(named), "{said}");
        }
    }

    #[tokio::test]
    async fn a_hop_has_no_room_for_more_than_a_thousand_steps_and_waits() {
        let mut full = hop();
        full.steps = (0..999).map(|at| (format!("step-{at}"), Json::null())).collect();
        assert!(full.has_room(1).is_ok() && full.has_room(2).is_err());
        let written = (0..2).map(|at| format!("{{\"step\":\"more-{at}\"}}\n"));
        let written = written.collect::<String>();
        let pipe = pipe::Pipe::new(written.as_bytes(), Default::default());
        let fault = json::listen(&mut full, pipe).await.expect_err("one too many");
        assert_eq!(fault.code(), "HOP_TOO_LONG");
        assert_eq!(full.steps.len(), 1000, "there was room for one");
    }

    #[test]
    fn an_undo_goes_with_a_handoff_and_with_no_other_outcome() {
        let undo = r#""undo":{"agent":"back"}"#;
        for (outcome, may) in [
            (r#""hand_off","to":"qa""#, true),
            (r#""next""#, true),
            (r#""complete""#, false),
            (r#""reject","code":"NO""#, false),
            (r#""retry""#, false),
            (r#""fail","code":"NO""#, false),
            (r#""fan_out","calls":{"children":[]}"#, false),
        ] {
            let said = json::read_outcome(&format!("{{\"outcome\":{outcome},{undo}}}"));
            match said {
                Err(fault) if !may => assert!(fault.message().contains("has an `undo`"), "{}", fault.message()),
                said => assert_eq!(said.is_ok(), may, "{outcome}"),
            }
        }
    }

    #[test]
    fn what_an_outcome_needs_is_what_the_docs_say() {
        let docs = docs();
        let (_, rest) = docs.split_once("| Outcome | Means | Needs |").expect("the table");
        for row in rest.lines().skip(2).take_while(|line| line.starts_with('|')) {
            let cells: Vec<&str> = row.split('|').map(str::trim).collect();
            let (kind, needs) = (cells[1].trim_matches('`'), cells[3]);
            let bare = json::read_outcome(&format!("{{\"outcome\":\"{kind}\"}}"));
            let lacks = bare.err().filter(|fault| fault.code() == "BAD_OUTCOME");
            assert_eq!(lacks.is_some(), !needs.is_empty(), "{kind}");
            if let (Some(fault), Some(field)) = (lacks, needs.split('`').nth(1)) {
                assert!(
                    fault.message().contains(&format!("needs `{field}`")),
                    "{}",
                    fault.message()
                );
            }
        }
    }

    #[test]
    fn codes_and_limits_are_those_of_the_docs_and_of_the_help() {
        let docs = docs();
        for code in [EXIT_TERMINAL, EXIT_RETRY] {
            assert!(
                docs.contains(&format!("| ends with exit code {code} |")) && docs.contains(&format!("`EXIT_{code}`"))
            );
            assert!(EXEC_HELP.contains(&code.to_string()));
        }
        for code in ["SIGNAL", "NO_OUTCOME", "BAD_OUTCOME", "OUTPUT_TOO_LARGE"] {
            assert!(
                docs.contains(&format!("`{code}`")) && EXEC_HELP.contains(code),
                "{code}"
            );
        }
        let limits = [
            format!("| from SIGTERM to SIGKILL | {} s |", GRACE.as_secs()),
            format!("| pipes after the end of the program | {} s |", PIPE_TIME.as_secs()),
            format!(
                "| stderr in the error of the ledger | the last {} bytes |",
                pipe::STDERR_TAIL
            ),
            format!("lines of more than {} KiB are cut", pipe::LONGEST_LINE >> 10),
        ];
        for limit in limits {
            assert!(docs.contains(&limit), "docs/exec.md lacks: {limit}");
        }
        assert!(EXEC_HELP.contains(&format!("SIGKILL after {} s", GRACE.as_secs())));
    }
}
