//! The files of pipelines.

use baton_envelope::{Envelope, EnvelopeId, IntentId, Json, Timestamp};

use self::written::parsed;

// The command reads pipelines with this file, which names nothing else of it.
#[path = "../../cli/src/commands/pipelines/written.rs"]
mod written;

pub(crate) fn pipeline(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let lines = text.matches('\n').count() + 1;
    let pipeline = match parsed(text) {
        Ok((_, pipeline)) => pipeline,
        Err(bad) => {
            assert!(!bad.problem.is_empty() && !bad.fix.is_empty(), "an error without a fix");
            assert!((1..=lines).contains(&bad.line), "line {} of {lines}", bad.line);
            return;
        }
    };
    let mut before = 0;
    for step in &pipeline.steps {
        assert!((before..=lines).contains(&step.line), "line {} of {lines}", step.line);
        before = step.line;
    }
    // What an envelope carries of it, it can be read back with.
    let at = Timestamp::from_unix_millis(1);
    let first = pipeline.steps.first().expect("it has steps").agent.clone();
    let intent: IntentId = "fuzzed".parse().expect("an id");
    let mut envelope = Envelope::first(EnvelopeId::generate(at, [7; 10]), intent, first, Json::null());
    pipeline.put_into(&mut envelope);
    let written = serde_json::to_string(&envelope).expect("it can be written");
    assert_eq!(Envelope::decode(written.as_bytes()), Ok(envelope));
}
