//! What a program writes that runs as an agent.

use baton_agent::read_outcome;

pub(crate) fn outcome(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Err(fault) = read_outcome(text) {
        assert!(!fault.to_string().is_empty(), "a fault without words");
    }
}
