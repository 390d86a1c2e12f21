//! What the leading controller does again and again. Everything here is decided with compare-and-set, or may be repeated.

pub(crate) mod alarms;
pub(crate) mod archive;
pub(crate) mod drains;
pub(crate) mod leader;
pub(crate) mod rollouts;
pub(crate) mod sweep;
