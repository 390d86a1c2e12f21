//! Storing an object: its pieces, then the list of them.
//!
//! The server refuses a second message on a subject. So whoever is refused reads what is there: the same bytes are as good
//! as stored, whoever has written them.

use std::collections::HashSet;
use std::time::Duration;

use async_nats::header::NATS_EXPECTED_LAST_SUBJECT_SEQUENCE;
use async_nats::{HeaderMap, Request, RequestErrorKind};
use baton_envelope::{
    HEADER_BYTES, HEADER_MEDIA, HEADER_OBJECT, IntentId, Mutant, OBJECT_LIMIT, OBJECT_PLACES, ObjectHash, ObjectRef,
    PIECE_BYTES, PieceList,
};
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _};
use serde::Deserialize;
use tokio::time::Instant;

use crate::error::{Error, Refusal};
use crate::server::{Mesh, NoReply, Unheard};

/// How many messages are under way at once.
const WINDOW: usize = 16;
/// How long one publish may take to be answered.
const ANSWER: Duration = Duration::from_secs(5);
/// How long the leader is asked for a message that another writer has under way.
const IN_FLIGHT: Duration = Duration::from_secs(2);
/// The first pause between two such questions; each is twice as long as the one before.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
/// How long to pursue one message in all.
const PURSUIT: Duration = Duration::from_secs(30);
/// The server's code for a subject that has a message.
const PRESENT: u64 = 10071;
/// Its code for a subject whose message is on its way to the copies.
const UNDER_WAY: u64 = 10164;
/// Its code for a write that the store did not take: the stream is full, or a message is on its way.
const NOT_TAKEN: u64 = 10077;

/// What became of a publish.
enum Answer {
    Stored,
    Present,
    UnderWay,
    NotTaken(Refusal),
    Unheard,
    Unknown,
}

/// What stands on the subject now.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Placed {
    /// What was to be stored.
    Same,
    /// Something else, for ever.
    Other,
}

#[derive(Deserialize)]
struct Ack {
    #[serde(default)]
    duplicate: bool,
    #[serde(default)]
    error: Option<AckError>,
}

#[derive(Deserialize)]
struct AckError {
    #[serde(default)]
    err_code: u64,
    #[serde(default)]
    description: String,
}

/// One message of an object.
#[derive(Clone, Copy)]
pub(super) struct Part<'a> {
    pub(super) form: &'static str,
    pub(super) media: &'a str,
    pub(super) body: &'a Bytes,
    /// The size of the content that it stands for.
    pub(super) bytes: usize,
}

impl Mesh {
    /// Stores content as an object of a tree, and names it. Content that is there is not written again.
    ///
    /// # Errors
    /// [`Error::ObjectsFull`] when there is no room for it, [`Error::ObjectCorrupt`] when somebody has put something else
    /// in each of its places, or when the server refuses or does not answer.
    pub async fn put_object(&self, tree: &IntentId, content: Bytes, media: &str) -> Result<ObjectRef, Error> {
        // On the heap: few hops need it, and each that runs would hold its state.
        Box::pin(self.put(tree, content, media)).await
    }

    /// Likewise, of what others name by its hash alone: there is no place for it but the first.
    ///
    /// # Errors
    /// As [`Mesh::put_object`]; and [`Error::ObjectCorrupt`] when that place has other bytes.
    pub async fn put_named(&self, tree: &IntentId, content: Bytes, media: &str) -> Result<ObjectHash, Error> {
        let object = self.put_object(tree, content, media).await?;
        match object.at {
            None => Ok(object.hash),
            Some(_) => Err(Error::ObjectCorrupt {
                tree: tree.clone(),
                object: object.hash.to_string(),
                problem: "its place has other bytes".to_owned(),
            }),
        }
    }

    async fn put(&self, tree: &IntentId, content: Bytes, media: &str) -> Result<ObjectRef, Error> {
        let bytes = content.len();
        if bytes > OBJECT_LIMIT {
            return Err(Error::ObjectsFull {
                tree: tree.clone(),
                problem: format!("it has {bytes} bytes, and {OBJECT_LIMIT} are the most of one object"),
                is_lasting: true,
            });
        }
        let hash = ObjectHash::of(&content);
        let list = (bytes > PIECE_BYTES).then(|| PieceList::of(&content));
        let wanted: Vec<&ObjectHash> = list.iter().flat_map(|list| &list.pieces).chain([&hash]).collect();
        let mut there = self.has_room(tree, &wanted, bytes).await?;
        if let Some(list) = &list {
            self.put_pieces(tree, list, &content, &mut there).await?;
        }
        // The list comes last, so that whoever finds it finds the pieces.
        let (form, body) = match &list {
            Some(list) => ("pieces", Bytes::from(list.encode())),
            None => ("whole", content),
        };
        let part = Part {
            form,
            media,
            body: &body,
            bytes,
        };
        for place in 1..=OBJECT_PLACES {
            let subject = self.subjects().object(tree, &hash.token(place));
            if self.put_one(&subject, part).await? == Placed::Same {
                return Ok(ObjectRef::new(hash, bytes, media).at_place(place));
            }
            tracing::warn!(%subject, "somebody has put something else in the place of an object");
        }
        Err(Error::ObjectCorrupt {
            tree: tree.clone(),
            object: hash.to_string(),
            problem: format!("each of its {OBJECT_PLACES} places has other bytes"),
        })
    }

    /// Stores the pieces that are not there: those that are there are read and verified.
    async fn put_pieces(
        &self,
        tree: &IntentId,
        list: &PieceList,
        content: &Bytes,
        there: &mut HashSet<ObjectHash>,
    ) -> Result<(), Error> {
        there.retain(|hash| list.pieces.contains(hash));
        let found = self.verified_pieces(tree, there.iter()).await;
        let mut seen = HashSet::new();
        let mut left = Vec::new();
        for (index, hash) in list.pieces.iter().enumerate() {
            if seen.insert(hash) && !found.contains_key(hash) {
                let start = index * PIECE_BYTES;
                left.push((hash.clone(), content.slice(start..start + list.size_of(index))));
            }
        }
        let puts: Vec<_> = left
            .into_iter()
            .map(|(hash, piece)| self.put_piece(tree, hash, piece))
            .collect();
        futures::stream::iter(puts).buffer_unordered(WINDOW).try_collect().await
    }

    async fn put_piece(&self, tree: &IntentId, hash: ObjectHash, piece: Bytes) -> Result<(), Error> {
        let subject = self.subjects().object(tree, hash.as_str());
        let part = Part {
            form: "whole",
            media: "application/octet-stream",
            body: &piece,
            bytes: piece.len(),
        };
        match self.put_one(&subject, part).await? {
            Placed::Same => Ok(()),
            Placed::Other => Err(Error::ObjectCorrupt {
                tree: tree.clone(),
                object: hash.to_string(),
                problem: "its place, which a piece must have, has other bytes".to_owned(),
            }),
        }
    }

    /// Stores one message, or finds what stands in its place.
    pub(super) async fn put_one(&self, subject: &str, part: Part<'_>) -> Result<Placed, Error> {
        let until = Instant::now() + PURSUIT;
        let mut unheard = Unheard::default();
        let mut is_doubted = false;
        loop {
            let pause = match self.publish_object(subject, part).await? {
                Answer::Stored => return Ok(Placed::Same),
                Answer::NotTaken(_) if Mutant::C1RefusedIsStored.is_on() => return Ok(Placed::Same),
                Answer::Present if Mutant::C10PresentIsOther.is_on() => return Ok(Placed::Other),
                Answer::Present => match self.object_at(subject, Duration::ZERO).await? {
                    Some(body) => return Ok(compare(&body, part.body)),
                    // It was taken away at this moment.
                    None => FIRST_PAUSE,
                },
                Answer::UnderWay => match self.object_at(subject, IN_FLIGHT).await? {
                    Some(body) => return Ok(compare(&body, part.body)),
                    None => FIRST_PAUSE,
                },
                Answer::NotTaken(refusal) => {
                    // With one copy nothing is under way: what is not there is not coming.
                    let patience = if self.replicas() > 1 { IN_FLIGHT } else { Duration::ZERO };
                    match self.object_at(subject, patience).await? {
                        Some(body) => return Ok(compare(&body, part.body)),
                        None if is_doubted || self.replicas() == 1 => return Err(self.stream_full(subject, &refusal)),
                        None => is_doubted = true,
                    }
                    FIRST_PAUSE
                }
                Answer::Unheard => {
                    let stream = self.subjects().context_stream();
                    if self.stream_info::<serde::de::IgnoredAny>(&stream).await?.is_none() {
                        return Err(Error::NoStream(stream));
                    }
                    if let Some(denied) = unheard.on(self, subject, &stream).await {
                        return Err(denied);
                    }
                    FIRST_PAUSE * 10
                }
                Answer::Unknown => FIRST_PAUSE,
            };
            if Instant::now() > until {
                return Err(Error::no_answer(
                    format!("publishing to {subject}"),
                    "the server did not confirm it",
                ));
            }
            tokio::time::sleep(pause).await;
        }
    }

    fn stream_full(&self, subject: &str, refusal: &Refusal) -> Error {
        let stream = self.subjects().context_stream();
        match self.subjects().object_of(subject) {
            Some((tree, _)) => Error::ObjectsFull {
                tree,
                problem: format!("stream {stream} is full ({refusal})"),
                is_lasting: false,
            },
            None => refusal.clone().into(),
        }
    }

    async fn publish_object(&self, subject: &str, part: Part<'_>) -> Result<Answer, Error> {
        let mut headers = HeaderMap::new();
        headers.insert(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, "0");
        headers.insert(HEADER_OBJECT, part.form);
        headers.insert(HEADER_MEDIA, part.media);
        headers.insert(HEADER_BYTES, part.bytes.to_string());
        let request = Request::new()
            .headers(headers)
            .payload(part.body.clone())
            .timeout(Some(ANSWER));
        let reply = match self.link().request(subject.to_owned().into(), request).await {
            Ok(reply) => reply,
            Err(NoReply::Denied(error)) => return Err(error),
            Err(NoReply::Failed(error)) => {
                return match error.kind() {
                    RequestErrorKind::NoResponders => Ok(Answer::Unheard),
                    RequestErrorKind::TimedOut | RequestErrorKind::Other => Ok(Answer::Unknown),
                    RequestErrorKind::MaxPayloadExceeded => Err(Error::TooLarge {
                        what: subject.to_owned(),
                        size: part.body.len(),
                        limit: self.largest_message(),
                    }),
                    RequestErrorKind::InvalidSubject => Err(Error::api(format!("publish to {subject}"), error)),
                };
            }
        };
        let ack: Ack = serde_json::from_slice(&reply.payload)
            .map_err(|error| Error::api(format!("reading the acknowledgement for {subject}"), error))?;
        Ok(match ack.error {
            // A stranger's message id cannot be ours, as there is none: it is published again.
            None if ack.duplicate => Answer::Unknown,
            None => Answer::Stored,
            Some(AckError { err_code: PRESENT, .. }) => Answer::Present,
            Some(AckError {
                err_code: UNDER_WAY, ..
            }) => Answer::UnderWay,
            Some(AckError { err_code, description }) => {
                let refusal = Refusal {
                    code: err_code,
                    description,
                };
                match err_code {
                    NOT_TAKEN => Answer::NotTaken(refusal),
                    _ => return Err(refusal.into()),
                }
            }
        })
    }

    /// What stands on a subject by the word of the stream's leader, which may be asked for this long; `None` where nothing
    /// does.
    async fn object_at(&self, subject: &str, patience: Duration) -> Result<Option<Bytes>, Error> {
        let stream = self.subjects().context_stream();
        let request = serde_json::json!({ "last_by_subj": subject });
        let until = Instant::now() + patience;
        let mut pause = FIRST_PAUSE;
        loop {
            let found = self.leader_get(&stream, &request).await?;
            if let Some(found) = found {
                return Ok(Some(found.body));
            }
            if Instant::now() >= until {
                return Ok(None);
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
    }
}

fn compare(found: &Bytes, wanted: &Bytes) -> Placed {
    match found == wanted {
        true => Placed::Same,
        false => Placed::Other,
    }
}
