//! Budgets as an envelope and a snapshot may have them.

use baton_envelope::*;
use proptest::option::of;
use proptest::prelude::*;

use super::*;
use crate::samples::full_budget;

fn any_meter() -> impl Strategy<Value = Meter> {
    let counted = (
        of(any_json_but_null()),
        of(any_json_but_null()),
        of(any_json_but_null()),
    );
    (of(any_json_but_null()), of(any_json_but_null()), counted, any_extra()).prop_map(
        |(allotted, spent, (held, lent, overrun), extra)| Meter {
            allotted,
            spent,
            held,
            lent,
            overrun,
            extra,
        },
    )
}

pub(crate) fn any_budget() -> impl Strategy<Value = Budget> {
    let rest = (of(any_json_but_null()), of(any::<u64>()), any::<bool>(), any_extra());
    (of(any_meter()), of(any_meter()), of(any_meter()), rest).prop_map(
        |(tokens, cost, time, (keep, epoch, overran, extra))| Budget {
            tokens,
            cost,
            time,
            keep,
            epoch,
            overran,
            extra,
            ..full_budget()
        },
    )
}
