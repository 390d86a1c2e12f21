//! What hops of the load ask of other agents, and whether they got what they asked for.

use std::time::Duration;

use baton_agent::{Amounts, Call, Calls, Fault, Joined};
use baton_envelope::Json;

use crate::load::BUDGET;
use crate::work::{Join, Others, Then, Work, kind};

/// The code with which a hop fails that was given something else than its children came to. No piece may end so.
const WRONG: &str = "WRONG_CHILDREN";

/// What there is to do: the work that a hop was given, or nothing any more where it was given what the children of a fan-out came
/// to, once these are as they should be.
pub(crate) fn given(payload: &Json) -> Result<Work, Fault> {
    if let Ok(work) = payload.read::<Work>() {
        return Ok(work);
    }
    let joined = payload.read::<Joined>();
    let joined = joined.map_err(|error| Fault::terminal(WRONG, format!("neither work nor children: {error}")))?;
    check(&joined, None)?;
    Ok(Work {
        key: "joined".to_owned(),
        ..Work::default()
    })
}

/// The call of a hop. Its children count their hops on from there. Where the intent has a budget, each is lent a hundredth of what
/// the load gave it at first: what a call does not name it lends whole, and of a call that is over before its children are nothing
/// comes back.
pub(crate) fn calls(hop: u32, others: &Others, is_bounded: bool) -> Result<Calls, Fault> {
    let ask = |(agent, work): &(String, Work)| {
        let work = Work {
            after: hop,
            ..work.clone()
        };
        let call = Call::new(agent, &work)?.with_kind(kind::CHAIN);
        Ok(match is_bounded {
            true => call.with_budget(Amounts::tokens(share(&work.key))),
            false => call,
        })
    };
    let asked: Vec<Call> = others.children.iter().map(ask).collect::<Result<_, Fault>>()?;
    let calls = Calls::of(asked);
    let calls = match others.join {
        Join::Collect => calls,
        Join::All => calls.all(),
        Join::Any => calls.any(),
        Join::AtLeast(count) => calls.at_least(count),
    };
    let calls = match others.within_ms {
        Some(time) => calls.within(Duration::from_millis(time)),
        None => calls,
    };
    let calls = match others.then {
        Then::Give => calls,
        Then::Park => calls.or_park(),
        Then::Fail => calls.or_fail(),
    };
    Ok(if others.detach { calls.detached() } else { calls })
}

/// The tokens that a child is lent, by its key: `x.3` is a child of `x`.
fn share(key: &str) -> u64 {
    let depth = key.bytes().filter(|byte| *byte == b'.').count();
    BUDGET / 100_u64.saturating_pow(u32::try_from(depth).unwrap_or(u32::MAX)).max(1)
}

/// Whether a hop was given each child in its place, with its own result, and as many as it waited for.
pub(crate) fn check(joined: &Joined, asked: Option<&Others>) -> Result<(), Fault> {
    let wrong = |what: String| Err(Fault::terminal(WRONG, what));
    let children = joined.children();
    for (place, child) in (0..).zip(children) {
        if child.index() != place {
            return wrong(format!("child {} stands at place {place}", child.index()));
        }
        if !child.is_completed() {
            continue;
        }
        let key = child.result::<Work>()?.key;
        let is_own = match asked.and_then(|asked| asked.children.get(usize::try_from(place).ok()?)) {
            Some((_, work)) => key == work.key,
            None => key.ends_with(&format!(".{place}")),
        };
        if !is_own {
            return wrong(format!("the result of child {place} is that of {key}"));
        }
    }
    let Some(asked) = asked else { return Ok(()) };
    let count = asked.children.len();
    if children.len() != count {
        return wrong(format!("{} of {count} children", children.len()));
    }
    let completed = joined.completed().count();
    let open = children.iter().filter(|child| child.state() == "open").count();
    let failed = count - completed - open;
    let is_met = match asked.join {
        Join::Collect => open == 0,
        Join::All => completed == count || failed > 0,
        Join::Any => completed > 0 || failed == count,
        Join::AtLeast(need) => {
            let need = usize::try_from(need).unwrap_or(usize::MAX);
            completed >= need || failed + need > count
        }
    };
    if is_met || joined.is_timed_out() {
        return Ok(());
    }
    wrong(format!(
        "{completed} have completed, {failed} have failed and {open} are open, and it asked for {:?}",
        asked.join
    ))
}
