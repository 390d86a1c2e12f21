//! The control API: operators ask, any controller answers, over plain request and reply on `mesh.control.<verb>`. Also
//! which controller leads.

mod client;
pub(crate) mod leadership;
pub(crate) mod lease;
mod serve;

pub use serve::{ControlRequest, ControlRequests};
