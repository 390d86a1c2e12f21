//! Turns errors into refusals, with a code for programs and a hint. Only this module does so.

use baton_envelope::codes;
use baton_envelope::control::ControlError;
use baton_jetstream::Error;

/// The refusal for an error.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "an error without a code of its own has failed; few have one"
)]
pub(super) fn refusal(error: Error) -> ControlError {
    let message = match &error {
        // What the server says of it is the reason.
        Error::TooFewServers { refusal, .. } => format!("{error}: {}", refusal.description),
        _ => error.to_string(),
    };
    let of = |code, fix: &str| (code, fix.to_owned());
    let (code, fix) = match error {
        Error::Control(refused) => return refused,
        Error::Decision(refused) => return refused.into(),
        Error::UnknownAgent { .. } => of(codes::UNKNOWN_AGENT, "`baton agents list` shows the agents"),
        Error::NoIntent(_) => of(codes::NOT_FOUND, "`baton intents list` shows the intents"),
        Error::WrongStatus { intent, .. } | Error::Archived { intent, .. } | Error::Raced(intent) => (
            codes::WRONG_STATUS,
            format!("`baton intents get {intent}` shows how it got there"),
        ),
        Error::BreakerOpen { agent, .. } => (
            codes::BREAKER_OPEN,
            format!("try again then; `baton agents breaker {agent}` shows why it is open"),
        ),
        Error::Unroutable(_) | Error::NoneCapable { .. } => {
            of(codes::UNROUTABLE, "`baton agents list` shows what each version can do")
        }
        Error::TooFewServers { .. } => of(
            codes::TOO_FEW_SERVERS,
            "start as many servers of the cluster, each with JetStream; `nats server report jetstream` lists them",
        ),
        _ => of(codes::FAILED, "try again; `baton doctor` checks the mesh"),
    };
    ControlError::new(code, message, fix)
}

#[cfg(test)]
mod tests {
    use baton_envelope::rollout::Refused;

    use super::*;

    #[test]
    fn a_refusal_keeps_its_code_and_any_other_error_gets_one() {
        let unknown = Error::UnknownAgent {
            agent: "a".to_owned(),
            known: Vec::new(),
        };
        let none = Error::NoneCapable {
            needed: vec!["rust".to_owned()],
            reason: "nobody has it".to_owned(),
        };
        let cases = [
            (ControlError::new(codes::BUSY, "later", "wait").into(), codes::BUSY),
            (
                Refused::new(codes::NO_ROLLOUT, "none", "start one").into(),
                codes::NO_ROLLOUT,
            ),
            (unknown, codes::UNKNOWN_AGENT),
            (Error::NoIntent("a".parse().expect("id")), codes::NOT_FOUND),
            (none, codes::UNROUTABLE),
            (Error::NoController, codes::FAILED),
        ];
        for (error, code) in cases {
            let said = error.to_string();
            let refused = refusal(error);
            assert_eq!((refused.code.as_str(), &refused.message), (code, &said));
            assert!(!refused.fix.is_empty(), "{code}");
        }
    }
}
