//! Amounts and budgets, as somebody wrote them.

use baton_envelope::budget::{Amount, Amounts};
use baton_envelope::{Budget, Envelope, EnvelopeId, IntentId, Json, Timestamp};

/// A text that may be an amount, and a document that may be a budget: what is read is exact, written in one form, and never
/// available beyond what was allotted.
pub(crate) fn budget(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match text.parse::<Amount>() {
        Ok(amount) => {
            let written = amount.to_string();
            assert_eq!(written.parse(), Ok(amount), "{text}");
            assert_eq!(Amount::of_json(&amount.to_json()), Ok(amount), "{text}");
            assert!(amount <= Amount::MAX && written.len() <= 28, "{written}");
            assert_eq!(amount.plus(Amount::ZERO).less(amount), Amount::ZERO, "{text}");
        }
        Err(bad) => assert!(bad.to_string().contains("; fix: ")),
    }
    if let Ok(amounts) = serde_json::from_str::<Amounts>(text) {
        let again = Json::of(&amounts).expect("JSON").read::<Amounts>().expect("amounts");
        assert_eq!(again, amounts);
    }
    let Ok(budget) = serde_json::from_str::<Budget>(text) else {
        return;
    };
    for (meter, available) in budget.available().iter() {
        let all = budget.allotted().get(meter).plus(budget.overrun().get(meter));
        assert!(available <= all, "{meter:?} has {available} of {all}");
    }
    let intent: IntentId = "order-42".parse().expect("an id");
    let to = "code".parse().expect("a name");
    let id = EnvelopeId::generate(Timestamp::default(), [1; 10]);
    let mut envelope = Envelope::first(id, intent, to, Json::null());
    envelope.budget = Some(Box::new(budget));
    if let Err(bad) = envelope.check_budget() {
        assert_eq!(bad.field, "budget");
    }
}
