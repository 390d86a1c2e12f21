//! Who may do what in a secured mesh: a short file in, the accounts of nats-server out.
//!
//! The steps are apart. [`Access`] is the file that people write (`config/access.toml`); `edit.rs` adds to it and takes away.
//! [`Layout`] is the model: accounts, what each exports to whom, what each imports, and its users. [`render`] writes the model as
//! the static configuration of nats-server; another renderer, such as one for decentralised JWTs, would take the same model.
//! [`roles_table`] writes it as the table of `docs/security.md`.
//!
//! Nothing here connects to a server, reads a clock or an environment, or makes random numbers: random bytes come in as
//! arguments. Only [`Folder`] touches files.

mod edit;
mod error;
mod file;
mod folder;
mod handout;
mod layout;
mod login;
mod reloads;
mod render;
mod role;
mod rules;
mod secret;
mod server;
mod size;
mod table;

pub use edit::{Member, Rotation, Scope, add, remove, rotate};
pub use error::AccessError;
pub use file::{Access, AgentEntry, Files, Limits, MeshEntry, PersonEntry, PublisherEntry, UserEntry};
pub use folder::{Folder, write_config};
pub use handout::{Given, Handout};
pub use layout::{Account, Answers, Export, Import, Kind, Layout, Owner, User};
pub use login::{Login, PasswordHash, UserKey};
pub use reloads::{Next, after};
pub use render::render;
pub use role::{OPERATED, Right, Role};
pub use rules::{Level, Problem, problems};
pub use secret::{Form, RANDOM_BYTES, Secret};
pub use server::{ServerEntry, TlsEntry};
pub use size::Size;
pub use table::roles_table;
