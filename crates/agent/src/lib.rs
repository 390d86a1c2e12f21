//! The interface for authors of agents: a [`Handler`] turns one [`Hop`] into an [`Outcome`], and an [`Agent`] runs it.
//!
//! A worker takes a slot, pulls a ticket, runs the handler, commits the outcome with one guarded write, settles what
//! the commit implies, and acks. The ledger alone decides whether a result counts: it refuses the write of a worker
//! that froze and woke up, and that worker drops its result.
//!
//! ```no_run
//! use baton_agent::{Agent, Fault, Handler, Hop, Outcome};
//! use baton_jetstream::Target;
//!
//! struct Shout;
//!
//! impl Handler for Shout {
//!     type Input = String;
//!
//!     async fn handle(&self, hop: &mut Hop, text: String) -> Result<Outcome, Fault> {
//!         let loud = hop.step("shout", || async { Ok::<_, Fault>(text.to_uppercase()) }).await?;
//!         Ok(Outcome::complete(&loud)?)
//!     }
//! }
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let mesh = Target::at("nats://127.0.0.1:4222").connect().await?;
//! let worker = Agent::builder("shout", "1.0.0")?.handler(Shout).concurrency(8).bind(&mesh).await?;
//! worker.run_until(baton_agent::shutdown_signal()).await?;
//! # Ok(())
//! # }
//! ```

mod agent;
mod approving;
mod bounds;
mod broadcasting;
mod calling;
mod caps;
mod claim;
mod commit;
mod context;
mod dropped;
mod ending;
mod expecting;
mod fanning;
mod fault;
mod gates;
mod given;
mod guard;
mod handler;
mod handlers;
mod held;
mod hop;
mod memory;
mod outcome;
mod policy;
mod polled;
mod ready;
mod renewal;
mod replay;
mod retry;
mod run;
mod sandbox;
mod signal;
mod spaces;
mod spending;
mod suspension;
mod ticket;
mod undoing;
mod unwritten;
mod viewing;
mod waiting;
mod watchdog;
mod worker;

pub use agent::{Agent, AgentBuilder, BuildError};
pub use calling::{Call, Called, Calls, Joined};
pub use fault::Fault;
pub use given::{Context, Given};
pub use guard::{GRACE, Guard, Watch};
pub use handler::Handler;
#[doc(hidden)]
pub use handlers::read_outcome;
pub use handlers::{EXEC_HELP, ExecEnv, ExecHandler, ExecMode};
pub use hop::Hop;
pub use memory::{Memory, View, token_counter};
pub use outcome::{Capability, Outcome};
pub use retry::RetryPolicy;
pub use signal::{shutdown_signal, stop_signals};
pub use spaces::Space;
pub use spending::{Amounts, Permit};
pub use waiting::{Wait, Waited};
pub use worker::{RunSummary, Worker};

pub use baton_envelope::budget::{Amount, BudgetRefused};
pub use baton_envelope::context::Kind;
pub use baton_envelope::people::{Approval, Choice, Decision, Preset};
pub use baton_envelope::{Body, IntentId, Json, Task, Timestamp, WaitOutcome, WaitResult};
pub use baton_jetstream::KeptMemory;
