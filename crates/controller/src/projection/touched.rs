//! The lanes that records have touched since somebody looked: so that whoever gives turns looks at these alone.

use std::collections::HashSet;

use super::tables::turns::Lane;

/// How many lanes are remembered; of more, all are touched.
const MOST: usize = 10_000;

/// What was touched.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Touched {
    /// Whether any lane may have been.
    pub(crate) all: bool,
    /// These, if not all.
    pub(crate) lanes: HashSet<Lane>,
}

impl Touched {
    /// Everything.
    pub(crate) fn all() -> Self {
        Self {
            all: true,
            lanes: HashSet::new(),
        }
    }

    /// Whether nothing was.
    pub(crate) fn is_empty(&self) -> bool {
        !self.all && self.lanes.is_empty()
    }

    /// Adds what else was touched.
    pub(crate) fn add(&mut self, more: Self) {
        self.all |= more.all;
        self.touch(more.lanes);
    }

    /// Adds lanes.
    pub(crate) fn touch(&mut self, lanes: impl IntoIterator<Item = Lane>) {
        if !self.all {
            self.lanes.extend(lanes);
        }
        if self.all || self.lanes.len() > MOST {
            *self = Self::all();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_lanes_are_all() {
        let lane = |n: usize| ("shop".parse().expect("name"), Some(n.to_string()));
        let mut touched = Touched::default();
        assert!(touched.is_empty());
        touched.touch([lane(0)]);
        touched.touch([lane(0)]);
        assert_eq!(touched.lanes.len(), 1);
        touched.touch((0..=MOST).map(lane));
        assert_eq!(touched, Touched::all());
        assert!(!touched.is_empty());
    }
}
