//! The handlers that come with Baton, for agents that are not written in Rust. Each turns one hop into a call of
//! something else and its answer into an outcome; the worker runs them like any other handler.

mod exec;

pub use exec::{EXEC_HELP, ExecEnv, ExecHandler, ExecMode, read_outcome};
