//! Caps of agents: set, and spent from by their workers.

use baton_envelope::control::{CapAnswer, CapView, ControlError, SetCap, SpendCap};
use baton_envelope::rollout::{self, Act};
use baton_envelope::{AgentLimits, AgentName, CapBook, CapGrant, Route, Timestamp, codes, day_of, next_day};
use baton_jetstream::Error;

use crate::context::Context;

/// Sets what the workers of an agent may spend together in a day. What was granted before stays granted.
pub(super) async fn set(cx: &Context, asked: SetCap) -> Result<CapView, Error> {
    let SetCap {
        agent,
        per_day,
        by,
        reason,
    } = asked;
    let route = cx.route(&agent).await?;
    let cap = rollout::with_cap(route.per_day(), &per_day);
    // The book first: it binds. Where the route does not follow, the leader goes by the route.
    let set = cx.change_cap_book(&agent, |book| (book.set_cap(cap.as_deref()), ()));
    let (book, ()) = set.await?;
    let wanted = AgentLimits {
        per_day: Some(Box::new(per_day)),
        ..AgentLimits::default()
    };
    let act = Act {
        reason,
        ..Act::new(by, cx.mesh.now())
    };
    cx.decide(&agent, |present| Ok(rollout::set_limits(present, &wanted, &act)))
        .await?;
    let waiting = cx.projection.capped().await?.get(&agent).copied().unwrap_or_default();
    Ok(view(&agent, &book, cx.mesh.now(), waiting))
}

/// What the cap of an agent comes to today; `None` where it has none.
pub(super) async fn seen(cx: &Context, route: &Route, waiting: u64) -> Result<Option<CapView>, Error> {
    if waiting == 0 && route.per_day().is_none() {
        return Ok(None);
    }
    let (book, _) = cx.mesh.cap_book(&route.agent).await?;
    Ok(Some(view(&route.agent, &book, cx.mesh.now(), waiting)))
}

fn view(agent: &AgentName, book: &CapBook, now: Timestamp, waiting: u64) -> CapView {
    let day = day_of(now);
    let today = book.days.get(&day).cloned().unwrap_or_default();
    CapView {
        agent: agent.clone(),
        per_day: book.per_day.clone(),
        left: book.left(&day),
        granted: today.granted(),
        spent: today.spent,
        until: next_day(now),
        day,
        waiting,
    }
}

/// Settles what calls of a worker have taken, and grants the next one.
pub(super) async fn spend(cx: &Context, asked: SpendCap) -> Result<CapAnswer, Error> {
    let SpendCap {
        agent,
        by,
        settle,
        grant,
        charge,
    } = asked;
    if cx.account.is_some() && !is_of(&by, &agent) {
        let message = format!("{by} is no worker of {agent}, and only these spend of its cap");
        let fix = "ask with the login of the agent";
        return Err(ControlError::new(codes::PERMISSION_DENIED, message, fix).into());
    }
    let now = cx.mesh.now();
    let (book, refused) = cx
        .change_cap_book(&agent, |book| {
            let mut is_changed = false;
            for ended in &settle {
                is_changed |= book.settle(&ended.id, ended.took.as_ref());
            }
            if let Some(charge) = &charge {
                is_changed |= book.charge(&charge.id, now, &charge.spent);
            }
            let Some(asked) = &grant else {
                return (is_changed, None);
            };
            let grant = CapGrant {
                id: asked.id.clone(),
                intent: asked.intent.clone(),
                epoch: asked.epoch,
                amounts: asked.amounts.clone(),
                at: now,
                extra: Default::default(),
            };
            match book.grant(&asked.what, grant) {
                Ok(is_new) => (is_changed | is_new, None),
                Err(refused) => (is_changed, Some(refused)),
            }
        })
        .await?;
    Ok(CapAnswer {
        full: book.is_full(&day_of(now)),
        refused,
    })
}

/// Whether somebody whom the server names is a worker of an agent: its account has the agent's name.
fn is_of(by: &str, agent: &AgentName) -> bool {
    by.rsplit('@').next() == Some(agent.as_str())
}
