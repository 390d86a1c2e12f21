//! Who asks: what a question says of itself in an open mesh, what the server says in a secured one.

use baton_envelope::control::{ControlError, Effect, IdentityView, Question, WhoAmI};
use baton_jetstream::Error;
use baton_jetstream::control::ControlRequest;

use crate::context::Context;

/// Reads a question. In a secured mesh whoever asks for a change is who the server says, or is refused; who asks for anything
/// else may be nobody.
pub(super) fn admit<Q: Question>(cx: &Context, request: &ControlRequest) -> Result<Q, ControlError> {
    let Some(own) = &cx.account else {
        return request.read();
    };
    let asker = request.asker(own);
    match (asker, Q::EFFECT) {
        (Ok(asker), effect) => {
            let name = asker.name();
            if effect == Effect::Changes {
                let user = asker.user.as_deref().unwrap_or_default();
                tracing::info!(
                    verb = Q::VERB,
                    by = name,
                    account = asker.account,
                    user,
                    "asked for a change"
                );
            }
            request.read_as(Some(&name))
        }
        (Err(refused), Effect::Changes) => Err(refused),
        (Err(_), Effect::Reads) => request.read_as(None),
    }
}

pub(super) async fn whoami(cx: &Context, WhoAmI { by }: WhoAmI) -> Result<IdentityView, Error> {
    Ok(IdentityView {
        by,
        secured: cx.account.is_some(),
        controller: cx.by.instance.clone(),
    })
}
