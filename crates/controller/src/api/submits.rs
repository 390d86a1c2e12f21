//! Submits and redrives for whoever may not write to the ledger.

use std::time::Duration;

use baton_envelope::control::{
    RedriveIntent, RedriveView, SubmitIntent, SubmitUnique, SubmitView, TopUpIntent, TopUpView,
};
use baton_envelope::{Author, Envelope, HEADER_PROTOCOL, OnConflict, RawIntent, Role, Unique, codes};
use baton_jetstream::{Error, Redrive, Redriven, ToppedUp, Uniquely};

use crate::context::Context;
use crate::intake::rejection::{Rejection, no_child, usable_schema};

/// Submits as whoever asks would, after the checks of an envelope in the intake.
pub(super) async fn submit(cx: &Context, asked: SubmitIntent) -> Result<SubmitView, Error> {
    let SubmitIntent {
        envelope,
        needed,
        generated_id,
        by,
    } = asked;
    let envelope = checked(cx, &envelope, &by)?;
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
    submitted
        .map(|submitted| submitted.view(intent, Some(agent)))
        .map_err(as_rejected)
}

/// Submits under a unique key, or tells which work holds it.
pub(super) async fn submit_unique(cx: &Context, asked: SubmitUnique) -> Result<SubmitView, Error> {
    let SubmitUnique { envelope, unique, by } = asked;
    let within = Duration::from_millis(unique.within_ms);
    let unique = Unique::new(&unique.key, Some(within), unique.on_conflict);
    let unique = unique.map_err(|bad| as_rejected(bad.into()))?;
    let envelope = checked(cx, &envelope, &by)?;
    let (intent, agent) = (envelope.intent.clone(), envelope.to.clone());
    let author = Author::of(Role::Client, by);
    let submitted = Box::pin(cx.mesh.submit_unique(envelope, author, &unique)).await;
    match submitted.map_err(as_rejected)? {
        Uniquely::Held(head) if unique.on_conflict == OnConflict::Refuse => {
            Err(refused(&Rejection::not_unique(&unique, &head)))
        }
        submitted @ (Uniquely::Submitted(_) | Uniquely::Held(_)) => Ok(submitted.view(intent, agent)),
    }
}

/// An envelope as the intake would take it.
fn checked(cx: &Context, envelope: &Envelope, by: &str) -> Result<Envelope, Error> {
    let body = serde_json::to_vec(envelope)
        .map_err(|error| refused(&Rejection::new(codes::MALFORMED_ENVELOPE, error.to_string())))?;
    let raw = RawIntent {
        subject: "the envelope's own subject",
        headers: vec![(HEADER_PROTOCOL, "1")],
        body: &body,
        stored_at: cx.mesh.now(),
        derived_id: envelope.intent.clone(),
    };
    let checked = raw.to_envelope(envelope.id, &envelope.to, cx.mesh.now());
    let mut envelope = checked.map_err(|rejection| refused(&rejection.into()))?;
    usable_schema(&envelope).map_err(|rejection| refused(&rejection.into()))?;
    if cx.account.is_some() {
        no_child(&envelope).map_err(|rejection| refused(&rejection.into()))?;
        envelope.from = Some(by.to_owned());
    }
    Ok(envelope)
}

/// With the code that the same work would be rejected with in the intake.
fn as_rejected(error: Error) -> Error {
    Rejection::of_error(&error).map_or(error, |rejection| refused(&rejection))
}

fn refused(rejection: &Rejection) -> Error {
    rejection.refusal().into()
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
    let (version, seq, new_intent, undoes) = match redriven {
        Redriven::Put { version, seq, undoes } => (Some(version), Some(seq), None, undoes),
        Redriven::Republished { intent } => (None, None, Some(intent), false),
    };
    Ok(RedriveView {
        intent,
        version,
        seq,
        new_intent,
        undoes,
    })
}

/// Adds to the budget of an intent.
pub(super) async fn top_up(cx: &Context, asked: TopUpIntent) -> Result<TopUpView, Error> {
    let TopUpIntent {
        intent,
        top_up,
        reason,
        by,
    } = asked;
    let by = Author::of(Role::Operator, by);
    let ToppedUp { seq, lent_by, budget } = cx.mesh.top_up(&intent, &top_up, &reason, &by).await?;
    Ok(TopUpView {
        intent,
        seq,
        lent_by,
        budget,
    })
}
