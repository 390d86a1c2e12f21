//! A parent that lends a child more: its own record, then that of the child, then that it is paid.

use super::{Judge, METERS, Numbers, Record, Set, TopUp, id_of, of, parts};
use crate::table::is_terminal;

impl Judge<'_> {
    /// The shares of a call change only where the record lends one child more, of what the parent has and does not keep.
    pub(super) fn lends_more(
        &mut self,
        (number, meter): (usize, &str),
        before: &Record,
        after: &Record,
        now: &mut Numbers,
    ) {
        let more = after.top_up.as_ref().filter(|top_up| !top_up.paid);
        let child = more.and_then(|top_up| top_up.lent_to.as_deref());
        let more = more.and_then(|top_up| of(&top_up.amounts, meter)).unwrap_or(0);
        let mut is_lent = child.is_none() || more == 0;
        for set in &after.snapshot.children {
            let Some(was) = before.snapshot.set(set.hop, &set.name) else {
                continue;
            };
            let (had, has) = (was.shares(meter), set.shares(meter));
            if had == has && is_lent {
                continue;
            }
            let has_ended = was.has_ended();
            for index in 0..had.len().max(has.len()) {
                let id = || id_of(&self.history.intent, (set.hop, &set.name), index);
                let is_of_it = child.is_some_and(|child| child == id());
                let more = if is_of_it { more } else { 0 };
                let at = |shares: &[Option<i128>]| shares.get(index).copied().flatten();
                if at(&has) != at(&had).map(|had| had + more) {
                    let what = format!(
                        "child {index} of {} has {:?} of {meter}, and had {:?}",
                        set.name,
                        at(&has),
                        at(&had)
                    );
                    self.complain("B1", number, &what);
                }
                if is_of_it && has_ended(index) {
                    self.complain(
                        "B3",
                        number,
                        &format!("child {index} of {} is lent more after its end", set.name),
                    );
                }
                is_lent |= is_of_it;
            }
        }
        if !is_lent {
            self.complain("B1", number, "it lends more to what is no child of it");
        }
        if child.is_none() {
            return;
        }
        let budget = before.snapshot.budget.as_ref().filter(|_| meter == "tokens");
        let keep = budget
            .and_then(|budget| parts(budget.keep.as_ref()?.get()))
            .unwrap_or(0);
        if more > (now.available() - keep).max(0) {
            let what = format!("it lends {more} of {meter} more, and {} are available", now.available());
            self.complain("B2", number, &what);
        }
        now.lent += more;
    }

    /// What a parent lends a child more it owes it, until the child has it or has ended; and a child gets no more than that.
    pub(super) fn owes(&mut self, number: usize, before: &Record, after: &Record) {
        let top_up = after.top_up.as_ref();
        if let Some((top_up, child)) = top_up.and_then(|top_up| Some((top_up, top_up.lent_to.as_deref()?)))
            && !top_up.paid
            && !self.is_owed(after, child, &top_up.id)
        {
            self.complain(
                "B5",
                number,
                &format!("it lends {child} more, and does not owe it {}", top_up.id),
            );
        }
        let is_over = self
            .record(number)
            .is_some_and(|record| is_terminal(&record.snapshot.status.state));
        for set in before.snapshot.children.iter().filter(|_| !is_over) {
            let Some(now) = after.snapshot.set(set.hop, &set.name) else {
                continue;
            };
            let (has_ended, is_paid) = (now.has_ended(), top_up.is_some_and(|top_up| top_up.paid));
            for owed in set.owed.iter().filter(|owed| !has_ended(owed.index)) {
                let child = id_of(&self.history.intent, (set.hop, &set.name), owed.index);
                let has_got = is_paid && self.has_got(&child, &owed.id, after.seq);
                if !has_got && !self.is_owed(after, &child, &owed.id) {
                    let what = format!("it owes {child} {} no more, and that has not got it", owed.id);
                    self.complain("B5", number, &what);
                }
            }
        }
        let Some(parent) = after.snapshot.parent.as_deref() else {
            return;
        };
        let added = top_up.filter(|top_up| top_up.lent_to.is_none());
        if let (Some(added), Some(records)) = (added, self.read.get(parent)) {
            let is_same = |lent: &TopUp| {
                METERS
                    .into_iter()
                    .all(|meter| of(&lent.amounts, meter) == of(&added.amounts, meter))
            };
            let is_lent = records.iter().any(|record| {
                let lent = record.top_up.as_ref().filter(|lent| !lent.paid && lent.id == added.id);
                let lent = lent.filter(|lent| lent.lent_to.as_deref() == Some(self.history.intent.as_str()));
                record.seq < after.seq && lent.is_some_and(is_same)
            });
            if !is_lent {
                let what = format!(
                    "it has {} more, and its parent {parent} has lent it no such thing",
                    added.id
                );
                self.complain("B5", number, &what);
            }
        }
    }

    fn is_owed(&self, record: &Record, child: &str, id: &str) -> bool {
        let owes = |set: &Set| {
            let of_child = |index| id_of(&self.history.intent, (set.hop, &set.name), index) == child;
            set.owed.iter().any(|owed| owed.id == id && of_child(owed.index))
        };
        record.snapshot.children.iter().any(owes)
    }

    /// Whether a child has a top-up, by a record before this one.
    fn has_got(&self, child: &str, id: &str, seq: u64) -> bool {
        let records = self.read.get(child).map_or(&[][..], Vec::as_slice);
        let is_it = |top_up: &TopUp| top_up.id == id && top_up.lent_to.is_none();
        records
            .iter()
            .any(|record| record.seq < seq && record.top_up.as_ref().is_some_and(is_it))
    }
}
