//! What an operator does about an open approval.

use baton_envelope::control::{ApprovalView, AssignSeat, OverrideApproval};
use baton_envelope::{Author, Role};
use baton_jetstream::Error;

use crate::context::Context;

pub(super) async fn assign(cx: &Context, asked: AssignSeat) -> Result<ApprovalView, Error> {
    let AssignSeat {
        intent,
        wait,
        from,
        to,
        reason,
        by,
    } = asked;
    let author = Author::of(Role::Operator, by);
    let of = (&intent, wait.as_deref());
    cx.mesh.assign(of, (&from, &to), &reason, &author).await
}

pub(super) async fn override_approval(cx: &Context, asked: OverrideApproval) -> Result<ApprovalView, Error> {
    let OverrideApproval {
        intent,
        wait,
        choice,
        reason,
        by,
    } = asked;
    let author = Author::of(Role::Operator, by);
    let of = (&intent, wait.as_deref());
    cx.mesh.override_approval(of, &choice, &reason, &author).await
}
