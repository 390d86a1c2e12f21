//! What people and programs tell intents that wait: the subjects of signals and decisions, approvals and their forms.

use baton_envelope::SignalSubject;
use baton_envelope::people::{Approval, DecisionSubject, Word};
use baton_forms::Form;

/// What stands behind `mesh.signal.` and `mesh.decide.`; after an empty line, the body.
pub(crate) fn subjects(bytes: &[u8]) {
    let (head, body) = crate::halves(bytes);
    let Ok(text) = std::str::from_utf8(head) else { return };
    match SignalSubject::read(text) {
        Ok(SignalSubject { intent, name }) => assert_eq!(format!("{intent}.{name}"), text, "another subject"),
        Err(problem) => assert!(!problem.is_empty(), "an error without words"),
    }
    match DecisionSubject::read(text) {
        Ok(found) => {
            let DecisionSubject {
                by,
                intent,
                hop,
                wait,
                choice,
            } = &found;
            assert_eq!(format!("{by}.{intent}.{hop}.{wait}.{choice}"), text, "another subject");
            if let Err(problem) = Word::read(choice, body) {
                assert!(!problem.is_empty(), "an error without words");
            }
        }
        Err(problem) => assert!(!problem.is_empty(), "an error without words"),
    }
}

/// An approval as a hop asks for it, or a form alone; after an empty line, the answer.
pub(crate) fn forms(bytes: &[u8]) {
    let (head, answer) = crate::halves(bytes);
    let (Ok(text), answer) = (std::str::from_utf8(head), std::str::from_utf8(answer).ok()) else {
        return;
    };
    answered(text, answer);
    let Ok(approval) = serde_json::from_str::<Approval>(text) else {
        return;
    };
    if let Err(bad) = approval.check() {
        assert!(!bad.to_string().is_empty(), "an error without words");
    }
    if let Some(form) = &approval.form {
        answered(form.get(), answer);
    }
}

/// Whoever asks and whoever answers may be strangers: a refusal says why, in a message of a length that can be stored.
fn answered(schema: &str, answer: Option<&str>) {
    match Form::read(schema) {
        Ok(form) => {
            for answer in [answer, None] {
                if let Err(refused) = form.check(answer) {
                    says(&refused.to_string());
                }
            }
        }
        Err(refused) => says(&refused.to_string()),
    }
}

fn says(problem: &str) {
    assert!(
        !problem.is_empty() && problem.len() < 8 * 1024,
        "{} bytes",
        problem.len()
    );
}
