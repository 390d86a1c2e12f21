//! `baton context`: what the hops of an intent remember, and payloads and results that are too large for a message.

mod diff;
mod export;
mod get;
mod list;
mod put;
mod show;
mod verify;

pub(crate) use get::how;
pub(crate) use show::view_table;

use std::fmt;
use std::str::FromStr;

use baton_envelope::context::EnvelopeContext;
use baton_envelope::{Envelope, IntentId, ObjectHash, ObjectRef, codes};
use baton_jetstream::{Error, Head, Mesh};
use clap::Subcommand;

use crate::app::App;
use crate::error::{CliError, Kind};

/// `baton context`.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum ContextCommand {
    /// Store a file as an object, and print its reference.
    Put(put::PutArgs),
    /// Write the content of an object to stdout or to a file.
    Get(get::GetArgs),
    /// List the objects that an intent names, and whether they are there.
    List(list::ListArgs),
    /// Show the view that a hop was given, and of each memory how much it has and why.
    Show(show::ShowArgs),
    /// Show what a hop was given that another one was not.
    Diff(diff::DiffArgs),
    /// Write the envelopes, the views, the links and every content as files.
    Export(export::ExportArgs),
    /// Read everything that the hops of an intent remember, and compare it with its hashes.
    Verify(verify::VerifyArgs),
}

/// Runs the command.
pub(crate) async fn run(command: ContextCommand, app: &App) -> Result<(), CliError> {
    match command {
        ContextCommand::Put(args) => put::run(args, app).await,
        ContextCommand::Get(args) => get::run(args, app).await,
        ContextCommand::List(args) => list::run(args, app).await,
        ContextCommand::Show(args) => show::run(args, app).await,
        ContextCommand::Diff(args) => diff::run(args, app).await,
        ContextCommand::Export(args) => export::run(args, app).await,
        ContextCommand::Verify(args) => verify::run(args, app).await,
    }
}

/// The records of an intent, of which there is one at least.
struct Trail {
    heads: Vec<Head>,
    last: Head,
}

impl Trail {
    async fn of(mesh: &Mesh, intent: &IntentId) -> Result<Self, CliError> {
        let heads = mesh.trail(intent).await?;
        match heads.last().cloned() {
            Some(last) => Ok(Self { heads, last }),
            None => Err(Error::NoIntent(intent.clone()).into()),
        }
    }

    /// The root of the tree that the intent is of.
    fn tree(&self) -> &IntentId {
        self.last
            .record
            .snapshot
            .root
            .as_ref()
            .unwrap_or(&self.last.record.intent)
    }

    /// The envelope of a hop, or of the last one, by its last record.
    fn envelope(&self, hop: Option<u32>) -> Option<&Envelope> {
        let mut envelopes = self
            .heads
            .iter()
            .rev()
            .filter_map(|head| head.record.envelope.as_deref());
        envelopes.find(|envelope| hop.is_none_or(|hop| hop == envelope.hop))
    }

    /// The same, or what to say where there is none.
    fn of_hop(&self, hop: Option<u32>) -> Result<&Envelope, CliError> {
        let id = &self.last.record.intent;
        self.envelope(hop).ok_or_else(|| {
            let message = match hop {
                Some(hop) => format!("intent {id} has no hop {hop}"),
                None => format!("intent {id} has no hop yet"),
            };
            CliError::say(Kind::NotFound, codes::NOT_FOUND, message).hint(format!("baton intents get {id}"))
        })
    }

    /// The newest link: of the last record where that says one, else of the last envelope.
    fn newest_link(&self) -> Result<Option<ObjectHash>, CliError> {
        let of_envelope = || self.envelope(None).and_then(|envelope| envelope.context.as_ref());
        let Some(context) = self.last.record.snapshot.context.as_ref().or_else(of_envelope) else {
            return Ok(None);
        };
        let said = EnvelopeContext::read(context).map_err(|error| Error::ObjectCorrupt {
            tree: self.tree().clone(),
            object: self.last.record.id.to_string(),
            problem: error.to_string(),
        })?;
        Ok(said.head)
    }
}

/// A number of things, in words.
fn counted(count: u64, one: &str, many: &str) -> String {
    match count {
        1 => format!("1 {one}"),
        count => format!("{count} {many}"),
    }
}

/// An object as an argument: the tree, and the last token of the subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) tree: IntentId,
    pub(crate) hash: ObjectHash,
    pub(crate) place: u32,
}

impl Place {
    /// The place of an object that a record names.
    pub(crate) fn of(tree: &IntentId, object: &ObjectRef) -> Self {
        let place = object.at.as_deref().and_then(ObjectHash::of_token);
        Self {
            tree: tree.clone(),
            hash: object.hash.clone(),
            place: place.map_or(1, |(_, place)| place),
        }
    }
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = text.split_once('/').and_then(|(tree, token)| {
            let (hash, place) = ObjectHash::of_token(token)?;
            Some(Self {
                tree: tree.parse().ok()?,
                hash,
                place,
            })
        });
        found.ok_or_else(|| "expected TREE/HASH, as `baton context list` prints it".to_owned())
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.tree, self.hash.token(self.place))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_named_by_its_tree_and_its_hash() {
        let hash = ObjectHash::of(b"otters");
        for place in [1, 2] {
            let text = format!("order-42/{}", hash.token(place));
            assert_eq!(text.parse::<Place>().expect("a place").to_string(), text);
        }
        for bad in [
            "order-42",
            "order-42/x",
            "/x",
            &format!("a.b/{hash}"),
            &format!("order-42/{hash}-9"),
        ] {
            assert!(bad.parse::<Place>().is_err(), "{bad}");
        }
    }
}
