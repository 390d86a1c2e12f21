//! Every decision on a route, as a pure function from one revision to the next. The caller writes the result with
//! compare-and-set, so no step is ever taken twice.

mod act;
mod breaker;
mod channels;
mod evidence;
mod judge;
mod pauses;
mod policy;
mod versions;

pub use act::{Act, Refused, StartPlan, abort, advance, declare, known, pause, resume, rollback, silent, start};
pub use breaker::{close_breaker, drop_probe, half_open_breaker, open_breaker, pay_breaker};
pub use channels::set_channel;
pub use evidence::{Bound, FALSE_ALARM, Tally, lower_bound, upper_bound};
pub use judge::{Verdict, judge};
pub use pauses::{kill_work, pause_work, resume_work, work_killed};
pub use policy::{POLICY_GATES_SINCE, Reset, set_policy, tell_withheld};
pub use versions::{
    activate, drained, forget, lift, moving, quarantine, restored, retire, set_limits, set_pinning, with_cap,
};

pub use crate::version::rollout::{Margins, Phase, Rollout};
