//! Work for agents: the consumers of their versions, the queued tickets, and how workers pull them.

mod allowance;
mod consumers;
mod delivery;
mod kill;
mod pause;
mod puller;
mod replay;
mod setup;
mod tickets;

pub use allowance::Allowance;
pub use delivery::{Delivery, Extender, Ticket};
pub use kill::{MaybeGiven, Taking};
pub use puller::{Pulled, Puller};
pub use replay::{REPLAY_TIME, ReplayAnswer, ReplayCall, ReplayCalls, ReplayRequest};
pub use tickets::QueuedTicket;
