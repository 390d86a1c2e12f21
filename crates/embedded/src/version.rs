//! Release numbers, as the binaries print them.

use std::fmt;

/// A release number: three numbers, compared in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    major: u32,
    minor: u32,
    patch: u32,
}

impl Version {
    /// Makes a version from its three numbers.
    #[must_use]
    pub const fn new(major: u32, minor: u32, patch: u32) -> Self {
        Self { major, minor, patch }
    }

    /// Finds the first release number in a binary's output, such as `nats-server: v2.15.1`.
    ///
    /// It drops a suffix (`-RC.1`, `-dev`): a release candidate has the features of its release.
    #[must_use]
    pub fn find(text: &str) -> Option<Self> {
        text.split_whitespace().find_map(Self::parse)
    }

    fn parse(word: &str) -> Option<Self> {
        let word = word.trim_start_matches('v');
        let mut parts = word.splitn(3, '.');
        let major = parts.next()?.parse().ok()?;
        let minor = parts.next()?.parse().ok()?;
        let rest = parts.next()?;
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let patch = rest.get(..digits)?.parse().ok()?;
        Some(Self { major, minor, patch })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_number_in_what_binaries_print() {
        assert_eq!(Version::find("nats-server: v2.15.1\n"), Some(Version::new(2, 15, 1)));
        assert_eq!(Version::find("v0.4.0"), Some(Version::new(0, 4, 0)));
        assert_eq!(Version::find("nats-server: v2.12.0-RC.3"), Some(Version::new(2, 12, 0)));
        assert_eq!(Version::find("development"), None);
        assert_eq!(Version::find("usage: nats 1.x"), None);
    }

    #[test]
    fn compares_numbers_and_not_text() {
        assert!(Version::new(2, 9, 10) < Version::new(2, 11, 0));
    }
}
