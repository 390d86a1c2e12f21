//! Limits of an agent for its whole fleet, and how they are divided among its workers.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::amounts::Amounts;
use crate::base::wire::wire_object;

wire_object! {
    /// What all workers of an agent may do together.
    #[derive(Default)]
    pub struct AgentLimits {
        /// How many hops they run at a time.
        opt in_flight: u32,
        /// How many hops they start in an hour.
        opt rate_per_hour: u64,
        /// How many intents with one order key they have at a time; 1 without it.
        opt per_key: u32,
        /// How many intents wait in their queues at a time: the others begin in turn of their submitters.
        opt fair: u32,
        /// How many intents with one order key have their turn in an hour, as far apart as that makes them.
        opt key_rate_per_hour: u64,
        /// What they spend together in a day, in UTC, whichever intents they work at.
        opt per_day: Box<Amounts>,
    }
}

impl AgentLimits {
    /// Whether nothing is limited that the workers divide among them.
    pub fn is_none(&self) -> bool {
        self.in_flight.is_none() && self.rate_per_hour.is_none()
    }
}

/// A rate as people write it: `100/s`, `5/m`, `1000/h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate(
    /// How many in an hour.
    pub u64,
);

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || {
            format!(
                "\"{text}\" is no rate: expected a whole number of hops, 1 or more, for each s, m or h, such as 100/s; one in two seconds is 30/m"
            )
        };
        let (count, unit) = text.split_once('/').ok_or_else(bad)?;
        let per_hour = match unit.trim() {
            "s" => 3600,
            "m" => 60,
            "h" => 1,
            _ => return Err(bad()),
        };
        let count: u64 = count.trim().parse().map_err(|_| bad())?;
        let rate = count.checked_mul(per_hour).filter(|rate| *rate > 0).ok_or_else(bad)?;
        Ok(Self(rate))
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            rate if rate % 3600 == 0 => write!(f, "{}/s", rate / 3600),
            rate if rate % 60 == 0 => write!(f, "{}/m", rate / 60),
            rate => write!(f, "{rate}/h"),
        }
    }
}

/// A worker's share of the limits of its agent, as the leading controller tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Share {
    /// The revision of the shares that this stands in. A worker takes none that is older than one that it has taken.
    pub revision: u64,
    /// How many hops it may run at a time; `None` for as many as it wants.
    #[serde(default)]
    pub in_flight: Option<u32>,
    /// How many hops it may start in an hour; `None` for as many as it wants.
    #[serde(default)]
    pub rate_per_hour: Option<u64>,
}

/// What a worker answers to a share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShareHeld {
    /// The share that it keeps to from now on.
    pub share: Share,
    /// How many hops it runs, and may have been given by the server.
    pub in_use: u32,
}

/// One worker, when a limit is divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seat {
    /// The most that it could use.
    pub most: u64,
    /// Whether work waits for its version.
    pub hungry: bool,
    /// The most that it may be using now.
    pub bound: u64,
}

/// What each worker should have of a limit: those first for whose version work waits, all of these alike.
pub fn wanted(limit: u64, seats: &[Seat]) -> Vec<u64> {
    let mut wanted = vec![0; seats.len()];
    let mut left = limit;
    for hungry in [true, false] {
        fill(&mut wanted, seats, hungry, &mut left);
    }
    wanted
}

/// Divides what is left among some of the seats, alike, and to none more than it could use.
fn fill(wanted: &mut [u64], seats: &[Seat], hungry: bool, left: &mut u64) {
    let mut open: Vec<usize> = (0..seats.len())
        .filter(|at| {
            seats
                .get(*at)
                .is_some_and(|seat| seat.hungry == hungry && seat.most > 0)
        })
        .collect();
    while *left > 0 && !open.is_empty() {
        let each = (*left / open.len() as u64).max(1);
        open.retain(|at| {
            let (Some(seat), Some(has)) = (seats.get(*at), wanted.get_mut(*at)) else {
                return false;
            };
            let more = each.min(seat.most - *has).min(*left);
            *has += more;
            *left -= more;
            *has < seat.most
        });
    }
}

/// What each worker may be given at once: as much as is wanted of it, and never so much that all together could use more
/// than the limit while others have not given back theirs.
pub fn granted(limit: u64, seats: &[Seat], wanted: &[u64]) -> Vec<u64> {
    let bounds: u64 = seats.iter().map(|seat| seat.bound).sum();
    let mut free = limit.saturating_sub(bounds);
    let each = seats.iter().zip(wanted);
    each.map(|(seat, wanted)| {
        let more = wanted.saturating_sub(seat.bound).min(free);
        free -= more;
        // Whoever has too much keeps the right to what it is using, until it says that it does not.
        seat.bound + more
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seat(most: u64, hungry: bool, bound: u64) -> Seat {
        Seat { most, hungry, bound }
    }

    #[test]
    fn a_rate_reads_as_it_is_written() {
        for (text, per_hour) in [("100/s", 360_000), ("5/m", 300), ("7/h", 7), (" 2 / s ", 7200)] {
            assert_eq!(text.parse(), Ok(Rate(per_hour)), "{text}");
        }
        for (per_hour, text) in [(360_000, "100/s"), (300, "5/m"), (7, "7/h")] {
            assert_eq!(Rate(per_hour).to_string(), text);
        }
        for bad in ["", "5", "0/s", "-1/s", "5/d", "x/s", "18446744073709551615/s"] {
            assert!(bad.parse::<Rate>().is_err(), "{bad}");
        }
    }

    #[test]
    fn those_for_whom_work_waits_come_first_and_share_alike() {
        let seats = [seat(8, false, 0), seat(8, true, 0), seat(2, true, 0), seat(8, true, 0)];
        assert_eq!(wanted(3, &seats), [0, 1, 1, 1]);
        assert_eq!(wanted(12, &seats), [0, 5, 2, 5]);
        assert_eq!(wanted(20, &seats), [2, 8, 2, 8]);
        assert_eq!(wanted(100, &seats), [8, 8, 2, 8]);
        assert_eq!(wanted(1, &seats), [0, 1, 0, 0]);
        assert_eq!(wanted(5, &[]), Vec::<u64>::new());
    }

    #[test]
    fn nothing_is_given_before_it_is_given_back() {
        let seats = [seat(8, false, 6), seat(8, true, 2)];
        let wanted = wanted(8, &seats);
        assert_eq!(wanted, [0, 8]);
        assert_eq!(granted(8, &seats, &wanted), [6, 2]);
        let later = [seat(8, false, 1), seat(8, true, 2)];
        assert_eq!(granted(8, &later, &wanted), [1, 7]);
        // A limit that was lowered is reached as soon as what runs has ended, and nothing is added to it.
        assert_eq!(granted(2, &seats, &super::wanted(2, &seats)), [6, 2]);
        for limit in 0..20 {
            let granted = granted(limit, &later, &super::wanted(limit, &later));
            assert!(granted.iter().sum::<u64>() <= limit.max(3), "{limit}: {granted:?}");
        }
    }
}
