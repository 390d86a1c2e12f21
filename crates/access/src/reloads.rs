//! How often a server must read its configuration before its accounts can be used.

/// At least: after the first time, the imports of a new account are not answered.
const LEAST: u32 = 2;
/// At most, before nobody waits any longer.
const MOST: u32 = 4;

/// What to do after a look at the accounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// They work.
    Done,
    /// The server has to read its configuration once more.
    Reload,
    /// They do not work, and reading it again does not help.
    GiveUp,
}

/// What follows when the server has read its configuration `reloads` times, which this side can have it do or not, and every
/// account that was tried works or not.
pub fn after(reloads: u32, can_reload: bool, all_work: bool) -> Next {
    match (can_reload, all_work) {
        (false, true) => Next::Done,
        (false, false) => Next::GiveUp,
        (true, true) if reloads >= LEAST => Next::Done,
        (true, false) if reloads >= MOST => Next::GiveUp,
        (true, _) => Next::Reload,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn once_is_not_enough_and_for_ever_is_too_long() {
        assert_eq!(after(1, true, true), Next::Reload);
        assert_eq!(after(2, true, true), Next::Done);
        assert_eq!(after(2, true, false), Next::Reload);
        assert_eq!(after(3, true, true), Next::Done);
        assert_eq!(after(4, true, false), Next::GiveUp);
        assert_eq!(after(0, false, true), Next::Done);
        assert_eq!(after(0, false, false), Next::GiveUp);
    }
}
