//! What a raw intent says of its work: the task, and what it may spend.

use super::{RawIntent, RawRejection, bad};
use crate::amounts::{Amounts, BadAmount, MeterName, OnExhaustedBudget};
use crate::base::codes;
use crate::base::header::{
    HEADER_BUDGET_COST, HEADER_BUDGET_EXHAUSTED, HEADER_BUDGET_TIME, HEADER_BUDGET_TOKENS, HEADER_TASK,
};
use crate::message::parts::{Budget, Expects, Task};

impl RawIntent<'_> {
    /// What the sender says of the work, and what it expects back.
    pub(super) fn task(&self) -> Result<(Option<Task>, Option<Expects>), RawRejection> {
        let Some(value) = self.header(HEADER_TASK) else {
            return Ok((None, None));
        };
        Task::read_given(value).map_err(|refused| RawRejection {
            code: codes::BAD_HEADER,
            field: match refused.field.as_str() {
                "" => HEADER_TASK.to_owned(),
                field => format!("{HEADER_TASK}: {field}"),
            },
            value: refused.value,
            problem: refused.problem,
            fix: refused.fix,
        })
    }

    /// What it may spend, by its headers.
    pub(super) fn budget(&self) -> Result<Option<Budget>, RawRejection> {
        let mut allotted = Amounts::NONE;
        for (meter, header) in [
            (MeterName::Tokens, HEADER_BUDGET_TOKENS),
            (MeterName::Cost, HEADER_BUDGET_COST),
            (MeterName::Time, HEADER_BUDGET_TIME),
        ] {
            let Some(value) = self.header(header) else { continue };
            let amount = value.trim().parse().map_err(|error: BadAmount| {
                let fix = "give digits such as 1200 or 0.02, at most 18 before the point and 9 behind it";
                bad(header, value, format!("is no amount: {}", error.problem), fix)
            })?;
            allotted.set(meter, amount);
        }
        let mut budget = Budget::of(&allotted);
        match self.header(HEADER_BUDGET_EXHAUSTED).map(|value| (value, value.trim())) {
            Some((value, _)) if !budget.is_bounded() => {
                let problem = "is nothing without a budget".to_owned();
                return Err(bad(
                    HEADER_BUDGET_EXHAUSTED,
                    value,
                    problem,
                    "give Baton-Budget-Tokens, or leave it out",
                ));
            }
            None | Some((_, "park")) => {}
            Some((_, "fail")) => budget.on_exhausted = OnExhaustedBudget::Fail,
            Some((value, _)) => {
                let problem = "is neither".to_owned();
                return Err(bad(
                    HEADER_BUDGET_EXHAUSTED,
                    value,
                    problem,
                    "give park or fail, or leave it out",
                ));
            }
        }
        Ok(budget.is_bounded().then_some(budget))
    }
}
