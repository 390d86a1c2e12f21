//! What Baton's benchmarks compare with: a bare client program that does the least that a durable handoff of this design
//! can do. Pull, one guarded publish to a ledger, one publish to the next work stream, ack; nothing is decoded. Where a hop is to read
//! objects, it does so with one batched get before its record.
//!
//! It is written for speed: it pulls whole batches ahead, runs one task for each stage, copies no payload, and sends no
//! header but the guard. It leaves out what Baton adds: an envelope, a record with the state after it, message ids,
//! routes, leases, retries. It keeps durability, and the order of the steps.
//!
//! It depends on no crate of Baton and connects by itself, so nothing that Baton does to a connection can slow it down.

mod client;
mod error;
mod intake;
mod observer;
mod reads;
mod relay;
mod witness;

pub use error::Error;
pub use intake::IntakeBaseline;
pub use observer::Observer;
pub use reads::Reads;
pub use relay::{Baseline, Layout, Shape};
pub use witness::{Ack, Nanos, Scene, Seen, StoredAt, Witness, stored_records};
