//! The server and the connection to it: where it is and what it can do, requests to it, the streams and buckets of a mesh,
//! and [`Mesh`], which holds all of that.

mod ack_place;
mod api;
mod asked;
mod batch;
mod bucket;
mod cache;
mod clock;
mod connect;
mod denials;
mod dial;
mod events;
mod limits;
mod link;
mod login;
mod mesh;
mod nats_context;
mod pages;
mod publish;
mod reread;
mod restarts;
mod roles;
mod route_table;
mod screen;
mod security;
mod signing;
mod stream;
mod system;
mod topology;
mod unheard;

pub(crate) use ack_place::AckPlace;
pub(crate) use asked::Question;
pub(crate) use batch::{Message, WriteQueue};
pub(crate) use bucket::BUCKET_PATIENCE;
pub use clock::{Clock, SystemClock, new_signing_key};
pub use connect::Target;
pub use events::QUIET_CLIENT;
pub use limits::{Bounds, Limits, TicketPersistence};
pub(crate) use link::NoReply;
pub use mesh::Mesh;
pub(crate) use pages::Counted;
pub(crate) use publish::{Published, UNCONFIRMED, publish_acked, publish_stored};
pub use roles::{ControllerMesh, WorkerMesh};
pub(crate) use route_table::{Freshness, RouteChange, RouteMark, RouteTable, Taken};
pub use screen::Tls;
pub(crate) use signing::Signed;
pub use signing::Signing;
pub use stream::LedgerEnd;
pub(crate) use stream::{Stored, guard, header_u64, is_malformed, signature};
pub use system::Reloaded;
pub use topology::{ACK_WAIT, Intake, Mended, Raised, SharedSettings, Upkept};
pub(crate) use topology::{
    DUPLICATE_WINDOW, Drifted, Plan, TOPOLOGY, drift, left, mark, put_back, tail_config, version_of,
};
pub(crate) use unheard::{Unheard, not_imported};
