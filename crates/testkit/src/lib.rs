//! Test support for Baton: real servers, clusters, faults on the wire, child processes, and waiting on conditions.
//!
//! Nothing here fakes a broker: [`TestServer`] and [`Cluster`] run the pinned `nats-server`, [`Proxy`] disturbs the
//! connection to it, [`ProcessGuard`] runs Baton's own binaries. The one stand-in, [`FakeServer`], exists only to
//! show that a server that is too old is refused.
//!
//! Waiting is done with [`eventually`]; nothing sleeps and hopes. This crate is a dev-dependency of the others and
//! never part of a product binary.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::indexing_slicing,
    reason = "test support: a failure is a test failure"
)]

mod acks;
mod binaries;
mod cluster;
mod disk;
mod eventually;
mod fake;
mod fuse;
mod keys;
mod power;
mod process;
mod protocol;
mod proxy;
pub mod records;
mod server;
mod store;
mod traffic;

/// The client's connection, for what takes one here.
pub use async_nats::Client;

pub use async_nats::{HeaderMap as Headers, Request, Subscriber};

pub use crate::acks::{Acks, Heard};
pub use crate::binaries::{NatsCli, nats_cli, nats_server};
pub use crate::cluster::Cluster;
pub use crate::disk::SmallDisk;
pub use crate::eventually::eventually;
pub use crate::fake::FakeServer;
pub use crate::fuse::Write;
pub use crate::keys::Keys;
pub use crate::power::{PowerDisk, StoreCopy};
pub use crate::process::ProcessGuard;
pub use crate::proxy::Proxy;
pub use crate::server::{ServerBuilder, TestServer};
pub use crate::store::{ConsumerState, StoredMessage, consumers, limit_stream, read_stream, stream_names, stream_size};
pub use crate::traffic::{Passed, Traffic, Way};
