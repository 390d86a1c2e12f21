//! Content that stands outside of messages, as an object named by its hash: how it is named, referred to, and cut into
//! pieces.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

use crate::base::json::Json;
use crate::base::protocol::Protocol;
use crate::base::text::quoted;
use crate::base::wire::{Text, wire_object};
use crate::message::body::Body;
use crate::message::envelope::Envelope;

/// The first minor whose readers take a payload by reference.
pub const OBJECTS_SINCE: Protocol = Protocol::new(1, 7, 0);
/// The most bytes of a payload or a result that stand in a message themselves, where its reader takes references.
pub const INLINE_LIMIT: usize = 64 * 1024;
/// The most bytes of one piece, and so of a message of the context stream.
pub const PIECE_BYTES: usize = 256 * 1024;
/// The most bytes of one object.
pub const OBJECT_LIMIT: usize = 64 * 1024 * 1024;
/// The most bytes of all objects of a tree.
pub const TREE_BYTES: u64 = 256 * 1024 * 1024;
/// The most messages that hold the objects of a tree.
pub const TREE_OBJECTS: usize = 10_000;
/// The most places that one object may have: each but the first is taken because somebody put something else in those before.
pub const OBJECT_PLACES: u32 = 4;

/// The length of a hash, in characters.
const HASH: usize = 64;
/// The form of a list of pieces that this build writes and reads.
const LIST_FORM: u64 = 1;
/// How many characters of a bad value an error quotes.
const QUOTED: usize = 80;

/// The SHA-256 of some content, in 64 lower-case hex digits. It is a subject token.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectHash(String);

impl ObjectHash {
    /// The hash of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self::of_digest(&Sha256::digest(bytes))
    }

    /// The hash of pieces that follow each other.
    pub fn of_pieces<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut digest = Sha256::new();
        for piece in pieces {
            digest.update(piece);
        }
        Self::of_digest(&digest.finalize())
    }

    fn of_digest(digest: &[u8]) -> Self {
        Self(digest.iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// The hash as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The last token of the subject of a place: the hash itself for the first, `<hash>-2` for the second.
    pub fn token(&self, place: u32) -> String {
        match place {
            0 | 1 => self.0.clone(),
            place => format!("{}-{place}", self.0),
        }
    }

    /// The hash that the last token of a subject names, and the place.
    pub fn of_token(token: &str) -> Option<(Self, u32)> {
        let (hash, place) = match token.split_once('-') {
            None => (token, 1),
            Some((hash, place)) => (
                hash,
                place.parse().ok().filter(|place| (2..=OBJECT_PLACES).contains(place))?,
            ),
        };
        let hash: Self = hash.parse().ok()?;
        (hash.token(place) == token).then_some((hash, place))
    }
}

impl FromStr for ObjectHash {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        match text.len() == HASH && text.bytes().all(is_hex) {
            true => Ok(Self(text.to_owned())),
            false => Err(format!(
                "\"{}\" is no hash of an object: expected {HASH} hex digits, in lower case",
                quoted(text, QUOTED)
            )),
        }
    }
}

impl fmt::Display for ObjectHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ObjectHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for ObjectHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for ObjectHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Text::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

wire_object! {
    /// Names an object of the intent's tree, in place of its content.
    #[derive(Eq)]
    pub struct ObjectRef {
        /// The SHA-256 of the content, in hex.
        req hash: ObjectHash,
        /// The size of the content in bytes.
        req bytes: u64,
        /// The media type of the content.
        opt media: String,
        /// The last token of the subject, where it is not the hash.
        opt at: String,
    }
}

impl ObjectRef {
    /// Names content of this media type.
    pub fn new(hash: ObjectHash, bytes: usize, media: impl Into<String>) -> Self {
        Self {
            hash,
            bytes: u64::try_from(bytes).unwrap_or(u64::MAX),
            media: Some(media.into()),
            at: None,
            extra: crate::base::wire::Extra::new(),
        }
    }

    /// The same content at this place.
    #[must_use]
    pub fn at_place(mut self, place: u32) -> Self {
        self.at = (place > 1).then(|| self.hash.token(place));
        self
    }

    /// The last token of the subject that holds it.
    ///
    /// # Errors
    /// When `at` is no place of this hash, or the size is more than an object may have.
    pub fn token(&self) -> Result<&str, String> {
        if self.bytes > OBJECT_LIMIT as u64 {
            return Err(format!("it says {} bytes, and {OBJECT_LIMIT} are the most", self.bytes));
        }
        let Some(at) = &self.at else {
            return Ok(self.hash.as_str());
        };
        match ObjectHash::of_token(at) {
            Some((hash, _)) if hash == self.hash => Ok(at),
            Some(_) | None => Err(format!("`at` \"{}\" is no place of {}", quoted(at, QUOTED), self.hash)),
        }
    }
}

impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} bytes)", self.hash, self.bytes)
    }
}

impl Envelope {
    /// The hash that the object of the payload has, or would have; `None` where no object could stand for the payload.
    pub(crate) fn payload_hash(&self) -> Option<ObjectHash> {
        if let Some(payload_ref) = &self.payload_ref {
            return Some(payload_ref.hash.clone());
        }
        let content = self.payload_body().content()?;
        Some(ObjectHash::of(&content.bytes))
    }

    /// Whether the payload is more than stands in a message where its reader takes references.
    pub fn has_large_payload(&self) -> bool {
        self.payload.get().len() > INLINE_LIMIT
    }

    /// The payload as it stands in the envelope.
    pub fn payload_body(&self) -> Body {
        Body {
            json: self.payload.clone(),
            encoding: self.payload_encoding.clone(),
        }
    }

    /// The envelope with an object in place of its payload.
    #[must_use]
    pub fn with_payload_ref(mut self, payload: ObjectRef) -> Self {
        self.payload = Json::null();
        self.payload_encoding = None;
        self.payload_ref = Some(Box::new(payload));
        self
    }

    /// The envelope with this payload in it, in place of an object or of another payload.
    #[must_use]
    pub fn with_payload(mut self, payload: Body) -> Self {
        self.payload = payload.json;
        self.payload_encoding = payload.encoding;
        self.payload_ref = None;
        self
    }
}

/// The pieces of content that is too large for one message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PieceList {
    /// The size of the content in bytes.
    pub bytes: u64,
    /// The pieces in their order. Each but the last has [`PIECE_BYTES`].
    pub pieces: Vec<ObjectHash>,
}

#[derive(Serialize, Deserialize)]
struct WrittenList {
    object: u64,
    bytes: u64,
    pieces: Vec<ObjectHash>,
}

impl PieceList {
    /// The list for content, which has more than one piece.
    pub fn of(content: &[u8]) -> Self {
        Self {
            bytes: content.len() as u64,
            pieces: content.chunks(PIECE_BYTES).map(ObjectHash::of).collect(),
        }
    }

    /// The list as it is stored, under the hash of the whole content.
    pub fn encode(&self) -> Vec<u8> {
        let written = WrittenList {
            object: LIST_FORM,
            bytes: self.bytes,
            pieces: self.pieces.clone(),
        };
        // Numbers and strings can always be written.
        serde_json::to_vec(&written).unwrap_or_default()
    }

    /// Reads the list that stands under a hash.
    ///
    /// # Errors
    /// When it is no list, or one that cannot be of that content: its sizes do not add up, or it names itself.
    pub fn decode(stored: &[u8], whole: &ObjectHash) -> Result<Self, String> {
        let WrittenList { object, bytes, pieces } =
            serde_json::from_slice(stored).map_err(|error| format!("it is no list of pieces: {error}"))?;
        if object != LIST_FORM {
            return Err(format!("its form is {object}, and this build reads {LIST_FORM}"));
        }
        if bytes > OBJECT_LIMIT as u64 {
            return Err(format!("it says {bytes} bytes, and {OBJECT_LIMIT} are the most"));
        }
        if bytes <= PIECE_BYTES as u64 {
            return Err(format!("it says {bytes} bytes, which need no list"));
        }
        let expected = bytes.div_ceil(PIECE_BYTES as u64);
        if expected != pieces.len() as u64 {
            let found = pieces.len();
            return Err(format!("{bytes} bytes are {expected} pieces, and it has {found}"));
        }
        if pieces.contains(whole) {
            return Err("it names itself".to_owned());
        }
        Ok(Self { bytes, pieces })
    }

    /// The size of the piece at this place of the list.
    pub fn size_of(&self, index: usize) -> usize {
        let before = (index as u64).saturating_mul(PIECE_BYTES as u64);
        let left = self.bytes.saturating_sub(before).min(PIECE_BYTES as u64);
        usize::try_from(left).unwrap_or(PIECE_BYTES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(text: &str) -> ObjectHash {
        ObjectHash::of(text.as_bytes())
    }

    #[test]
    fn a_hash_has_one_spelling() {
        let good = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(hash("abc").as_str(), good);
        assert_eq!(good.parse(), Ok(hash("abc")));
        assert_eq!(ObjectHash::of_pieces([&b"a"[..], b"", b"bc"]), hash("abc"));
        for bad in [
            "",
            "abc",
            &good.to_uppercase(),
            &good[1..],
            &format!("{good}0"),
            &format!("{}g", &good[1..]),
        ] {
            assert!(bad.parse::<ObjectHash>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_place_is_the_hash_or_the_hash_and_a_small_number() {
        let own = hash("abc");
        for place in 1..=OBJECT_PLACES {
            assert_eq!(ObjectHash::of_token(&own.token(place)), Some((own.clone(), place)));
        }
        for bad in [
            "",
            "-2",
            "x-2",
            &format!("{own}-"),
            &format!("{own}-1"),
            &format!("{own}-02"),
            &format!("{own}-5"),
        ] {
            assert_eq!(ObjectHash::of_token(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_reference_cannot_point_at_another_object() {
        let good = ObjectRef::new(hash("abc"), 3, "text/plain");
        assert_eq!(good.token(), Ok(hash("abc").as_str()));
        let second = good.clone().at_place(2);
        assert_eq!(second.token(), Ok(hash("abc").token(2).as_str()));
        for at in [hash("b").token(2), "*".to_owned(), format!("{}.x", hash("abc"))] {
            let bad = ObjectRef {
                at: Some(at.clone()),
                ..good.clone()
            };
            assert!(bad.token().is_err(), "{at}");
        }
        let large = ObjectRef {
            bytes: OBJECT_LIMIT as u64 + 1,
            ..good
        };
        assert!(large.token().is_err());
    }

    #[test]
    fn a_list_of_pieces_is_read_as_it_was_written() {
        let content: Vec<u8> = (0..PIECE_BYTES * 2 + 7)
            .map(|at| u8::try_from(at % 251).unwrap_or(0))
            .collect();
        let list = PieceList::of(&content);
        let whole = ObjectHash::of(&content);
        assert_eq!(PieceList::decode(&list.encode(), &whole), Ok(list.clone()));
        assert_eq!(
            (list.size_of(0), list.size_of(1), list.size_of(2), list.size_of(3)),
            (PIECE_BYTES, PIECE_BYTES, 7, 0)
        );
    }

    #[test]
    fn a_list_that_cannot_be_of_its_content_is_refused_with_the_reason() {
        let whole = hash("whole");
        let (a, b) = (hash("a"), hash("b"));
        let two = PIECE_BYTES + 1;
        let cases = [
            (
                format!(r#"{{"object":1,"bytes":{two},"pieces":["{a}"]}}"#),
                "2 pieces, and it has 1",
            ),
            (
                format!(r#"{{"object":1,"bytes":{two},"pieces":["{a}","{b}","{a}"]}}"#),
                "it has 3",
            ),
            (
                format!(r#"{{"object":1,"bytes":{two},"pieces":["{a}","{whole}"]}}"#),
                "names itself",
            ),
            (
                format!(r#"{{"object":2,"bytes":{two},"pieces":["{a}","{b}"]}}"#),
                "its form is 2",
            ),
            (format!(r#"{{"object":1,"bytes":5,"pieces":["{a}"]}}"#), "need no list"),
            (
                r#"{"object":1,"bytes":99999999999,"pieces":[]}"#.to_owned(),
                "are the most",
            ),
            (r#"{"object":1,"bytes":-1,"pieces":[]}"#.to_owned(), "no list"),
            (
                r#"{"object":1,"bytes":300000,"pieces":["x","y"]}"#.to_owned(),
                "no hash",
            ),
            ("{}".to_owned(), "no list"),
            (String::new(), "no list"),
        ];
        for (text, said) in cases {
            let problem = PieceList::decode(text.as_bytes(), &whole).expect_err(&text);
            assert!(problem.contains(said), "{text}: {problem}");
        }
    }
}
