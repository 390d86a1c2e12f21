//! The file that carries intents from one mesh to another: closed ones as the archive has them, open ones with all of their
//! records so far.
//!
//! It is read from its beginning to its end once before anything is done with it: only the end says whether it is whole.

use std::io::{self, BufRead, Read, Write};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::archive::bundle::{Bundle, BundleError};
use crate::base::ids::IntentId;
use crate::base::protocol::{PROTOCOL, Protocol};
use crate::base::timestamp::Timestamp;
use crate::message::object::{ObjectHash, PieceList};

/// The form that this build writes, and the newest one that it reads.
const FORM: u32 = 1;
const DIGEST: &str = "sha256:";
/// The longest line between bundles. An intent id has up to 128 bytes.
const LONGEST_LINE: u64 = 64 << 10;

/// Why a file is no export.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// It cannot be read or written.
    #[error("the file cannot be read or written: {0}")]
    Io(#[from] io::Error),
    /// It is not what an export is.
    #[error("it is no export of a mesh: {0}")]
    Malformed(String),
    /// A newer version of Baton made it.
    #[error("it has form {found}, and this build reads form {FORM}: use a newer baton")]
    NewerForm {
        /// The form it states.
        found: u32,
    },
    /// Its digest does not match its bytes.
    #[error("it was altered: its SHA-256 is {found}, and it says {stated}")]
    Altered {
        /// The digest it states.
        stated: String,
        /// The digest of its bytes.
        found: String,
    },
    /// One of its intents is not what it should be.
    #[error(transparent)]
    Bundle(#[from] BundleError),
}

/// The first line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportHead {
    /// The form.
    baton_export: u32,
    /// The namespace of the mesh that it was made of.
    pub namespace: String,
    /// When.
    pub made: Timestamp,
    /// The protocol of the build that made it.
    pub protocol: Protocol,
}

impl ExportHead {
    /// The first line of a file that this build makes.
    pub fn new(namespace: impl Into<String>, made: Timestamp) -> Self {
        Self {
            baton_export: FORM,
            namespace: namespace.into(),
            made,
            protocol: PROTOCOL,
        }
    }
}

/// The line before each bundle.
#[derive(Serialize, Deserialize)]
struct Entry {
    intent: IntentId,
    open: bool,
    bytes: u64,
}

/// The line after the last bundle.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Counts {
    closed: u64,
    open: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    objects: u64,
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// How much a file has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExportCounts {
    /// Intents that had ended.
    pub closed: u64,
    /// Intents that were open.
    pub open: u64,
    /// Messages that hold objects.
    pub objects: u64,
}

/// The line before each object.
#[derive(Serialize, Deserialize)]
struct ObjectEntry {
    tree: IntentId,
    object: String,
    media: String,
    bytes: u64,
}

/// A message that holds an object of a tree, or a piece of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportedObject {
    /// The tree.
    pub tree: IntentId,
    /// The hash that it stands under.
    pub hash: ObjectHash,
    /// Which of the places of that hash.
    pub place: u32,
    /// The media type.
    pub media: String,
    /// The content; or where that is in pieces, the list of them.
    pub body: Vec<u8>,
    /// The size of the content.
    pub bytes: u64,
    /// Whether the body is a list of pieces.
    pub is_list: bool,
}

impl ExportedObject {
    /// What stands under the last token of a subject; `None` where that is nothing that a reader would take.
    pub fn of(tree: IntentId, token: &str, media: &str, body: Vec<u8>) -> Option<Self> {
        let (hash, place) = ObjectHash::of_token(token)?;
        let is_list = ObjectHash::of(&body) != hash;
        let bytes = match is_list {
            true => PieceList::decode(&body, &hash).ok()?.bytes,
            false => body.len() as u64,
        };
        Some(Self {
            is_list,
            tree,
            hash,
            place,
            media: media.to_owned(),
            body,
            bytes,
        })
    }
}

/// What a file has next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExportPart {
    /// An intent.
    Intent(Exported),
    /// An object of a tree.
    Object(ExportedObject),
}

/// One intent of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exported {
    /// Whether it was open when the file was made.
    pub is_open: bool,
    /// Its records.
    pub bundle: Bundle,
}

/// Writes a file.
#[derive(Debug)]
pub struct ExportWriter<W> {
    out: W,
    digest: Sha256,
    counts: Counts,
}

impl<W: Write> ExportWriter<W> {
    /// Begins a file.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn new(out: W, head: &ExportHead) -> Result<Self, ExportError> {
        let (digest, counts) = (Sha256::new(), Counts::default());
        let mut writer = Self { out, digest, counts };
        writer.line(head)?;
        Ok(writer)
    }

    /// Adds an intent.
    ///
    /// # Errors
    /// When its records are not a history, or it cannot be written.
    pub fn add(&mut self, bundle: &Bundle, is_open: bool) -> Result<(), ExportError> {
        if is_open {
            bundle.verify_open()?;
            self.counts.open += 1;
        } else {
            bundle.verify()?;
            self.counts.closed += 1;
        }
        let bytes = bundle.encode()?;
        self.line(&Entry {
            intent: bundle.intent.clone(),
            open: is_open,
            bytes: u64::try_from(bytes.len()).unwrap_or(u64::MAX),
        })?;
        self.put(&bytes)
    }

    /// Adds an object of a tree.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn add_object(&mut self, object: &ExportedObject) -> Result<(), ExportError> {
        self.counts.objects += 1;
        self.line(&ObjectEntry {
            tree: object.tree.clone(),
            object: object.hash.token(object.place),
            media: object.media.clone(),
            bytes: object.body.len() as u64,
        })?;
        self.put(&object.body)
    }

    /// Ends the file: how much it has, and the digest of it all.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn finish(mut self) -> Result<ExportCounts, ExportError> {
        let counts = self.counts;
        self.line(&counts)?;
        let digest = text_of(self.digest);
        self.out.write_all(digest.as_bytes())?;
        self.out.write_all(b"\n")?;
        self.out.flush()?;
        Ok(ExportCounts {
            closed: counts.closed,
            open: counts.open,
            objects: counts.objects,
        })
    }

    fn line<T: Serialize>(&mut self, value: &T) -> Result<(), ExportError> {
        let mut line = serde_json::to_vec(value).map_err(|error| malformed(error.to_string()))?;
        line.push(b'\n');
        self.put(&line)
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), ExportError> {
        self.digest.update(bytes);
        Ok(self.out.write_all(bytes)?)
    }
}

/// Reads a file. Nothing of it counts before [`ExportReader::next_part`] has given `None`: only the end has the digest.
#[derive(Debug)]
pub struct ExportReader<R> {
    input: R,
    digest: Sha256,
    head: ExportHead,
    counts: Counts,
    is_over: bool,
}

impl<R: BufRead> ExportReader<R> {
    /// Reads the first line.
    ///
    /// # Errors
    /// When it is none of an export, or one of a newer form.
    pub fn new(input: R) -> Result<Self, ExportError> {
        let mut reader = Self {
            input,
            digest: Sha256::new(),
            head: ExportHead::new("", Timestamp::default()),
            counts: Counts::default(),
            is_over: false,
        };
        let line = reader.line()?;
        let form: Form = read(&line, "its first line")?;
        if form.baton_export != FORM {
            return Err(ExportError::NewerForm {
                found: form.baton_export,
            });
        }
        reader.head = read(&line, "its first line")?;
        Ok(reader)
    }

    /// The first line.
    pub fn head(&self) -> &ExportHead {
        &self.head
    }

    /// The next intent, its records verified, or the next object, compared with its hash; `None` at the end of a file that is
    /// whole.
    ///
    /// # Errors
    /// When the file is not as it was written.
    pub fn next_part(&mut self) -> Result<Option<ExportPart>, ExportError> {
        if self.is_over {
            return Ok(None);
        }
        let line = self.line()?;
        if let Ok(entry) = serde_json::from_slice(&line) {
            return self.intent(&entry).map(|one| Some(ExportPart::Intent(one)));
        }
        match serde_json::from_slice(&line) {
            Ok(entry) => self.object(entry).map(|one| Some(ExportPart::Object(one))),
            Err(_) => self.end(&line).map(|()| None),
        }
    }

    fn object(&mut self, entry: ObjectEntry) -> Result<ExportedObject, ExportError> {
        let ObjectEntry {
            tree,
            object,
            media,
            bytes,
        } = entry;
        let what = format!("object {object} of {tree}");
        let body = self.content(bytes, &what)?;
        let read = ExportedObject::of(tree, &object, &media, body);
        self.counts.objects += 1;
        read.ok_or_else(|| malformed(format!("{what} is not what its hash says")))
    }

    /// So many bytes.
    fn content(&mut self, bytes: u64, what: &str) -> Result<Vec<u8>, ExportError> {
        let mut content = Vec::new();
        let got = (&mut self.input).take(bytes).read_to_end(&mut content)?;
        if u64::try_from(got).ok() != Some(bytes) {
            return Err(malformed(format!("{what} is cut off")));
        }
        self.digest.update(&content);
        Ok(content)
    }

    fn intent(&mut self, entry: &Entry) -> Result<Exported, ExportError> {
        let Entry { intent, open, bytes } = entry;
        let content = self.content(*bytes, intent.as_str())?;
        let bundle = Bundle::decode(&content)?;
        if bundle.intent != *intent {
            return Err(malformed(format!("the bundle of {intent} is of {}", bundle.intent)));
        }
        if *open {
            bundle.verify_open()?;
            self.counts.open += 1;
        } else {
            bundle.verify()?;
            self.counts.closed += 1;
        }
        Ok(Exported { is_open: *open, bundle })
    }

    /// The end: the counts were read as `line`, and the digest follows.
    fn end(&mut self, line: &[u8]) -> Result<(), ExportError> {
        let counts: Counts = read(line, "a line between its intents")?;
        if counts != self.counts {
            return Err(malformed(format!(
                "it says {} closed and {} open intents and {} objects, and has {}, {} and {}",
                counts.closed, counts.open, counts.objects, self.counts.closed, self.counts.open, self.counts.objects
            )));
        }
        let found = text_of(std::mem::take(&mut self.digest));
        let last = self.line()?;
        let stated = String::from_utf8_lossy(&last).trim_end().to_owned();
        if stated != found {
            return Err(ExportError::Altered { stated, found });
        }
        let mut rest = [0];
        if self.input.read(&mut rest)? > 0 {
            return Err(malformed("something follows its end"));
        }
        self.is_over = true;
        Ok(())
    }

    fn line(&mut self) -> Result<Vec<u8>, ExportError> {
        let mut line = Vec::new();
        (&mut self.input).take(LONGEST_LINE).read_until(b'\n', &mut line)?;
        if line.last() != Some(&b'\n') {
            return Err(malformed(if line.is_empty() {
                "it is cut off"
            } else {
                "a line of it has no end"
            }));
        }
        self.digest.update(&line);
        Ok(line)
    }
}

/// Reads the form alone: a newer first line may differ in everything else.
#[derive(Deserialize)]
struct Form {
    baton_export: u32,
}

fn read<'l, T: Deserialize<'l>>(line: &'l [u8], what: &str) -> Result<T, ExportError> {
    serde_json::from_slice(line).map_err(|error| malformed(format!("{what}: {error}")))
}

fn malformed(problem: impl Into<String>) -> ExportError {
    ExportError::Malformed(problem.into())
}

fn text_of(digest: Sha256) -> String {
    use std::fmt::Write as _;
    let mut text = DIGEST.to_owned();
    for byte in digest.finalize() {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Envelope;
    use crate::archive::bundle::StoredRecord;
    use crate::base::ids::{EnvelopeId, RecordId};
    use crate::base::json::Json;
    use crate::intent::act;
    use crate::intent::draft::Stamp;
    use crate::intent::record::{Author, Record, Role};

    fn at() -> Timestamp {
        Timestamp::from_unix_millis(1_000)
    }

    fn stored(seq: u64, record: &Record) -> StoredRecord {
        StoredRecord {
            seq,
            stored: at().to_string(),
            headers: vec![("Baton-Event".to_owned(), record.event.name().to_owned())],
            body: serde_json::to_vec(record).expect("JSON"),
        }
    }

    fn bundle(id: &str, is_open: bool) -> Bundle {
        let intent: IntentId = id.parse().expect("id");
        let stamp = |n| Stamp {
            id: RecordId::generate(at(), [n; 10]),
            at: at(),
            by: Author::of(Role::Client, "test"),
        };
        let envelope = EnvelopeId::generate(at(), [7; 10]);
        let to = "code".parse().expect("name");
        let envelope = Envelope::first(envelope, intent.clone(), to, Json::string("otters\n{}"));
        let first = act::submit(at(), "1.0.0".parse().expect("version"), envelope).seal(intent.clone(), 0, stamp(1));
        let mut records = vec![stored(3, &first)];
        if !is_open {
            let done = act::complete(&first.snapshot, Json::null()).expect("legal");
            records.push(stored(5, &done.seal(intent.clone(), 3, stamp(2))));
        }
        Bundle {
            intent,
            records,
            void: Vec::new(),
        }
    }

    fn file() -> Vec<u8> {
        let mut out = Vec::new();
        let mut writer = ExportWriter::new(&mut out, &ExportHead::new("mesh", at())).expect("begun");
        writer.add(&bundle("one", false), false).expect("added");
        writer.add(&bundle("two", true), true).expect("added");
        for object in objects() {
            writer.add_object(&object).expect("added");
        }
        let counts = writer.finish().expect("ended");
        assert_eq!((counts.closed, counts.open, counts.objects), (1, 1, 3));
        out
    }

    /// Content of two pieces, and of one in a place of its own.
    fn objects() -> Vec<ExportedObject> {
        let content = vec![7; crate::PIECE_BYTES + 1];
        let list = PieceList::of(&content);
        let whole = ObjectHash::of(&content);
        let one = |token: String, body: Vec<u8>| {
            ExportedObject::of("one".parse().expect("id"), &token, "text/plain", body).expect("an object")
        };
        vec![
            one(whole.token(1), list.encode()),
            one(list.pieces[1].token(1), vec![7]),
            one(ObjectHash::of(b"x").token(2), b"x".to_vec()),
        ]
    }

    fn all(bytes: &[u8]) -> Result<Vec<ExportPart>, ExportError> {
        let mut reader = ExportReader::new(bytes)?;
        let mut found = Vec::new();
        while let Some(one) = reader.next_part()? {
            found.push(one);
        }
        Ok(found)
    }

    #[test]
    fn what_is_written_is_read_again_byte_for_byte() {
        let found = all(&file()).expect("whole");
        let intents = [("one", false), ("two", true)].map(|(id, is_open)| {
            ExportPart::Intent(Exported {
                is_open,
                bundle: bundle(id, is_open),
            })
        });
        let expected: Vec<ExportPart> = intents
            .into_iter()
            .chain(objects().into_iter().map(ExportPart::Object))
            .collect();
        assert_eq!(found, expected);
        let [ExportPart::Object(list), _, ExportPart::Object(other)] = &found[2..] else {
            panic!("{found:?}")
        };
        assert_eq!((list.is_list, list.bytes), (true, crate::PIECE_BYTES as u64 + 1));
        assert_eq!((other.is_list, other.bytes, other.place), (false, 1, 2));
        assert_eq!(ExportReader::new(&*file()).expect("a head").head().namespace, "mesh");
    }

    #[test]
    fn every_byte_that_is_changed_or_missing_is_noticed() {
        let whole = file();
        for cut in 0..whole.len() {
            assert!(all(&whole[..cut]).is_err(), "cut at {cut}");
        }
        for place in (0..whole.len()).step_by(7) {
            let mut altered = whole.clone();
            altered[place] ^= 1;
            assert!(all(&altered).is_err(), "altered at {place}");
        }
        let mut more = whole;
        more.push(b'x');
        assert!(all(&more).is_err());
    }

    /// An older build reads what has no objects.
    #[test]
    fn the_last_line_says_nothing_of_objects_where_there_are_none() {
        let mut out = Vec::new();
        let writer = ExportWriter::new(&mut out, &ExportHead::new("mesh", at())).expect("begun");
        writer.finish().expect("ended");
        let text = String::from_utf8(out).expect("text");
        assert!(text.contains("\n{\"closed\":0,\"open\":0}\n"), "{text}");
    }

    #[test]
    fn what_is_not_what_its_hash_says_is_no_object() {
        let tree = || "one".parse().expect("id");
        let token = ObjectHash::of(b"x").token(1);
        assert!(ExportedObject::of(tree(), &token, "text/plain", b"y".to_vec()).is_none());
        assert!(ExportedObject::of(tree(), "x", "text/plain", b"x".to_vec()).is_none());
        let mut out = Vec::new();
        let mut writer = ExportWriter::new(&mut out, &ExportHead::new("mesh", at())).expect("begun");
        let mut object = ExportedObject::of(tree(), &token, "text/plain", b"x".to_vec()).expect("an object");
        object.body = b"y".to_vec();
        writer.add_object(&object).expect("added");
        writer.finish().expect("ended");
        let refused = all(&out).expect_err("a lie").to_string();
        assert!(refused.contains("is not what its hash says"), "{refused}");
    }

    #[test]
    fn what_is_not_a_history_is_not_written() {
        let mut out = Vec::new();
        let mut writer = ExportWriter::new(&mut out, &ExportHead::new("mesh", at())).expect("begun");
        assert!(writer.add(&bundle("one", true), false).is_err());
        assert!(writer.add(&bundle("two", false), true).is_err());
        let newer = String::from_utf8(file())
            .expect("text")
            .replacen("\"baton_export\":1", "\"baton_export\":2", 1);
        assert!(matches!(
            all(newer.as_bytes()),
            Err(ExportError::NewerForm { found: 2 })
        ));
    }
}
