//! The control API: what an operator asks, and any controller answers, over plain request and reply on
//! `mesh.control.<verb>`; and which of the controllers leads.

mod client;
pub(crate) mod leadership;
pub(crate) mod lease;
mod serve;

pub use serve::{ControlRequest, ControlRequests};
