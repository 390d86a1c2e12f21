//! The binaries that Baton runs on: `nats-server` and the `nats` command line tool.
//!
//! This crate owns three things: the exact versions ([`pins`]), where a binary comes from ([`Finder`]), and how a
//! server is started, stopped, frozen and restarted ([`RunningServer`]). The `baton` command uses it for local meshes;
//! the test kit uses it for every test that needs a broker.
//!
//! It speaks no NATS beyond reading the greeting of a server it started. It installs nothing outside its own cache
//! folder. It blocks the calling thread: an async caller must move it to a blocking thread.

mod child;
mod command;
mod deadline;
mod environment;
mod error;
mod fetch;
mod finder;
pub mod pins;
mod reload;
mod server;
mod version;

pub use crate::child::{ManagedChild, Signal};
pub use crate::environment::Environment;
pub use crate::error::{Error, ServerError};
pub use crate::finder::{Binary, Finder, Origin};
pub use crate::reload::{check_config, reload, running_pid};
pub use crate::server::{ClusterOptions, RunningServer, ServerOptions};
pub use crate::version::Version;
