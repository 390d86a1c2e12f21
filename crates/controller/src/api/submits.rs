//! Submits and redrives for whoever may not write to the ledger.

use baton_envelope::control::{ControlError, RedriveIntent, RedriveView, SubmitIntent, SubmitView};
use baton_envelope::{Author, HEADER_PROTOCOL, RawIntent, Role};
use baton_jetstream::{Error, Redrive, Redriven};

use crate::context::Context;
use crate::intake::rejection::Rejection;

/// Submits as whoever asks would, after the checks of an envelope in the intake.
pub(super) async fn submit(cx: &Context, asked: SubmitIntent) -> Result<SubmitView, Error> {
    let SubmitIntent {
        envelope,
        needed,
        generated_id,
        by,
    } = asked;
    let body = serde_json::to_vec(&envelope).map_err(|error| {
        refused(&Rejection::new(
            baton_envelope::codes::MALFORMED_ENVELOPE,
            error.to_string(),
        ))
    })?;
    let raw = RawIntent {
        subject: "the envelope's own subject",
        headers: vec![(HEADER_PROTOCOL, "1")],
        body: &body,
        stored_at: cx.mesh.now(),
        derived_id: envelope.intent.clone(),
    };
    let checked = raw.to_envelope(envelope.id, &envelope.to, cx.mesh.now());
    let mut envelope = checked.map_err(|rejection| refused(&rejection.into()))?;
    if cx.account.is_some() {
        envelope.from = Some(by.clone());
    }
    let (intent, author) = (envelope.intent.clone(), Author::of(Role::Client, by));
    let mut agent = envelope.to.clone();
    let submitted = match (&needed[..], generated_id) {
        ([], true) => cx.mesh.submit_new(envelope, author).await,
        ([], false) => cx.mesh.submit(envelope, author).await,
        (needed, generated) => {
            let submitted = if generated {
                cx.mesh.submit_capable_new(needed, envelope, author).await
            } else {
                cx.mesh.submit_capable(needed, envelope, author).await
            };
            submitted.map(|(chosen, submitted)| {
                agent = chosen;
                submitted
            })
        }
    };
    match submitted {
        Ok(submitted) => Ok(submitted.view(intent, Some(agent))),
        // With the code that the same work would be rejected with in the intake.
        Err(error) => Err(Rejection::of_error(&error).map_or(error, |rejection| refused(&rejection))),
    }
}

fn refused(rejection: &Rejection) -> Error {
    ControlError::new(&rejection.code, rejection.message.clone(), "").into()
}

/// Puts a parked intent back, or publishes a rejected raw one again.
pub(super) async fn redrive(cx: &Context, asked: RedriveIntent) -> Result<RedriveView, Error> {
    let RedriveIntent {
        intent,
        version,
        max_hops,
        by,
    } = asked;
    let how = Redrive { version, max_hops };
    let redriven = cx.mesh.redrive(&intent, &how, Author::of(Role::Operator, by)).await?;
    let (version, seq, new_intent) = match redriven {
        Redriven::Put { version, seq } => (Some(version), Some(seq), None),
        Redriven::Republished { intent } => (None, None, Some(intent)),
    };
    Ok(RedriveView {
        intent,
        version,
        seq,
        new_intent,
    })
}
