//! Objects of a tree as the archive stores them: many in one message, whose name says which hashes it may hold and what it is.
//!
//! The first line is a JSON index. The objects follow byte for byte. The bytes depend on the objects alone, and the name on the
//! bytes: writing the same again writes nothing else.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::archive::bundle::{BundleError, Form, malformed, split_line};
use crate::base::ids::IntentId;
use crate::base::text::quoted;
use crate::message::object::ObjectHash;

/// The form that this build writes, and the newest one that it reads.
const FORM: u32 = 1;
/// How many digits of a hash bound what a bundle may hold.
const BOUND: usize = 8;
/// How many characters of a bad name an error quotes.
const QUOTED: usize = 80;

/// A message of the context stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredObject {
    /// The last token of its subject.
    pub at: String,
    /// Its body, byte for byte.
    pub body: Vec<u8>,
}

/// Some objects of one tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectBundle {
    /// The root intent of the tree.
    pub tree: IntentId,
    /// The objects, in the order of their tokens.
    pub objects: Vec<StoredObject>,
}

/// The last token of the subject of a bundle of objects.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ObjectBundleName {
    first: String,
    last: String,
    hash: ObjectHash,
}

#[derive(Serialize, Deserialize)]
struct Index {
    bundle: u32,
    tree: IntentId,
    objects: Vec<Entry>,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    at: String,
    bytes: usize,
}

impl ObjectBundle {
    /// How many bytes an object takes of a bundle, at most.
    pub fn room_of(object: &StoredObject) -> usize {
        object.body.len() + object.at.len() + 48
    }

    /// The bundle as it is stored, and its name.
    ///
    /// # Errors
    /// When it holds nothing, or something that no hash names, or is out of order.
    pub fn seal(&self) -> Result<(ObjectBundleName, Vec<u8>), BundleError> {
        let (first, last) = self.bounds()?;
        let index = Index {
            bundle: FORM,
            tree: self.tree.clone(),
            objects: self.objects.iter().map(Entry::of).collect(),
        };
        let mut bytes = serde_json::to_vec(&index).map_err(|error| malformed(error.to_string()))?;
        bytes.reserve(self.objects.iter().map(|object| object.body.len() + 1).sum::<usize>() + 1);
        bytes.push(b'\n');
        for object in &self.objects {
            bytes.extend_from_slice(&object.body);
            bytes.push(b'\n');
        }
        let hash = ObjectHash::of(&bytes);
        Ok((ObjectBundleName { first, last, hash }, bytes))
    }

    /// Compares what stands under a name with it, then reads it.
    ///
    /// # Errors
    /// When it was altered, has a newer form, or is no bundle of objects.
    pub fn open(name: &ObjectBundleName, bytes: &[u8]) -> Result<Self, BundleError> {
        let found = ObjectHash::of(bytes);
        if found != name.hash {
            return Err(BundleError::Altered {
                stated: name.hash.to_string(),
                found: found.to_string(),
            });
        }
        let (line, mut rest) = split_line(bytes).ok_or_else(|| malformed("it has no index"))?;
        let form = Form::read(line)?;
        if form != FORM {
            return Err(BundleError::NewerForm { found: form });
        }
        let index: Index = serde_json::from_slice(line).map_err(|error| malformed(format!("its index: {error}")))?;
        let mut objects = Vec::with_capacity(index.objects.len());
        for entry in index.objects {
            let object = rest.split_at_checked(entry.bytes);
            let (body, after) =
                object.ok_or_else(|| malformed(format!("object {} is cut off", quoted(&entry.at, QUOTED))))?;
            rest = after.strip_prefix(b"\n").ok_or_else(|| {
                malformed(format!(
                    "object {} does not end where its index says",
                    quoted(&entry.at, QUOTED)
                ))
            })?;
            let (at, body) = (entry.at, body.to_vec());
            objects.push(StoredObject { at, body });
        }
        if !rest.is_empty() {
            return Err(malformed("there is more than its index names"));
        }
        let read = Self {
            tree: index.tree,
            objects,
        };
        let (first, last) = read.bounds()?;
        // Wider bounds hide nothing.
        match name.first <= first && last <= name.last {
            true => Ok(read),
            false => Err(malformed(format!("it holds {first} to {last}, and its name is {name}"))),
        }
    }

    /// The beginnings of the first and the last hash.
    fn bounds(&self) -> Result<(String, String), BundleError> {
        let is_in_order = self.objects.is_sorted_by(|one, next| one.at < next.at);
        let is_named = self
            .objects
            .iter()
            .all(|object| ObjectHash::of_token(&object.at).is_some());
        let ends = self.objects.first().zip(self.objects.last());
        match ends.filter(|_| is_in_order && is_named) {
            Some((first, last)) => Ok((begin(&first.at).to_owned(), begin(&last.at).to_owned())),
            None => Err(malformed(
                "its objects are not places of hashes, each once and in order",
            )),
        }
    }
}

impl Entry {
    fn of(object: &StoredObject) -> Self {
        Self {
            at: object.at.clone(),
            bytes: object.body.len(),
        }
    }
}

impl ObjectBundleName {
    /// Whether the bundle may hold what stands under this token.
    pub fn may_hold(&self, token: &str) -> bool {
        (self.first.as_str()..=self.last.as_str()).contains(&begin(token))
    }
}

impl FromStr for ObjectBundleName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let read = || {
            let mut parts = text.split('-');
            let name = Self {
                first: parts.next()?.to_owned(),
                last: parts.next()?.to_owned(),
                hash: parts.next()?.parse().ok()?,
            };
            (parts.next().is_none() && name.first <= name.last).then_some(name)
        };
        let is_bound = |text: &String| {
            let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
            text.len() == BOUND && text.bytes().all(is_hex)
        };
        read()
            .filter(|name| is_bound(&name.first) && is_bound(&name.last))
            .ok_or_else(|| format!("\"{}\" is no name of a bundle of objects", quoted(text, QUOTED)))
    }
}

impl fmt::Display for ObjectBundleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.first, self.last, self.hash)
    }
}

fn begin(token: &str) -> &str {
    token.get(..BOUND).unwrap_or(token)
}
