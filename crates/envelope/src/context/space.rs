//! Spaces: memories that outlive every tree. Each write of one is a revision, and a write names the revision that it goes
//! over, so that nobody takes away unseen what another has written.
//!
//! A revision is one message and has its content in it: so a reader needs no other, and what was forgotten leaves only what
//! the stream still keeps.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::link::{bad, check_by, check_memory};
use super::memory::{BadMemory, Memory, MemoryKey};
use crate::base::error::{DecodeError, decode};
use crate::base::json::Json;
use crate::base::names::SpaceName;
use crate::base::text::{Line, line_problem};
use crate::base::timestamp::Timestamp;
use crate::base::wire::{Extra, wire_object};
use crate::message::object::ObjectHash;

/// The most bytes of the content of a memory of a space.
pub const SPACE_CONTENT: usize = 256 * 1024;
/// The most bytes of a content that is written as a string: escapes may make it longer than base64 does.
const TEXT_LIMIT: usize = 512 * 1024;
/// The form that this build writes and reads.
const FORM: u64 = 1;
/// The one encoding that there is.
const BASE64: &str = "base64";
/// The longest name of a write, in bytes.
const WRITE_LIMIT: usize = 512;
/// What errors call it.
const WHAT: &str = "memory of a space";

/// One write: which, by whom, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpaceWrite {
    /// Its name, which no other write has: by it a writer finds its own again.
    pub write: String,
    /// Who writes, as `agent@version` or a name that the client chose.
    pub by: String,
    /// When.
    pub at: Timestamp,
}

wire_object! {
    /// One revision of a memory of a space. Its number is the sequence of its message.
    #[derive(Eq)]
    pub struct SpaceMemory {
        /// The form: 1.
        req space_memory: u64,
        /// The space.
        req space: SpaceName,
        /// The id of the memory in its space.
        req id: MemoryKey,
        /// The name of the write, which no other has.
        req write: String,
        /// Who wrote it, as `agent@version` or a name that the client chose.
        req by: String,
        /// When, by the clock of the writer.
        req at: Timestamp,
        /// What is known of it; absent where it was forgotten.
        opt memory: Memory,
        /// The content; absent where it was forgotten.
        opt content: String,
        /// `base64` where the content is bytes; absent where it is the text itself.
        opt content_encoding: String,
    }
}

impl SpaceMemory {
    /// A revision with this content.
    ///
    /// # Errors
    /// Names the attribute that is out of bounds, or the content that is too large.
    pub fn new(space: SpaceName, memory: Memory, content: &[u8], write: SpaceWrite) -> Result<Self, BadMemory> {
        memory.check()?;
        if content.len() > SPACE_CONTENT {
            return Err(BadMemory {
                key: memory.key.to_string(),
                field: "content",
                value: format!("{} bytes", content.len()),
                problem: "is too large".to_owned(),
                fix: format!("give at most {SPACE_CONTENT} bytes, and keep what is larger in a store of your own"),
            });
        }
        let text = std::str::from_utf8(content).ok();
        let text = text.filter(|text| Json::string(text).get().len() <= TEXT_LIMIT);
        Ok(Self {
            content: Some(text.map_or_else(|| STANDARD.encode(content), str::to_owned)),
            content_encoding: text.is_none().then(|| BASE64.to_owned()),
            memory: Some(Memory {
                hash: ObjectHash::of(content),
                bytes: content.len() as u64,
                ..memory.clone()
            }),
            ..Self::forgotten(space, memory.key, write)
        })
    }

    /// The revision with which a memory is forgotten.
    pub fn forgotten(space: SpaceName, id: MemoryKey, write: SpaceWrite) -> Self {
        Self {
            space_memory: FORM,
            space,
            id,
            write: write.write,
            by: write.by,
            at: write.at,
            memory: None,
            content: None,
            content_encoding: None,
            extra: Extra::new(),
        }
    }

    /// The next revision, in which the memory is pinned or is not; `None` where it is so already, or was forgotten.
    pub fn with_pin(&self, pinned: bool, write: SpaceWrite) -> Option<Self> {
        let memory = self.memory.as_ref().filter(|memory| memory.pinned != pinned)?;
        Some(Self {
            memory: Some(Memory {
                pinned,
                ..memory.clone()
            }),
            write: write.write,
            by: write.by,
            at: write.at,
            ..self.clone()
        })
    }

    /// Whether the memory was forgotten with it.
    pub const fn is_forgotten(&self) -> bool {
        self.memory.is_none()
    }

    /// The bytes of the content; `None` where there are none, or nobody here knows the encoding.
    pub fn bytes(&self) -> Option<Vec<u8>> {
        let content = self.content.as_ref()?;
        match self.content_encoding.as_deref() {
            None => Some(content.as_bytes().to_vec()),
            Some(BASE64) => STANDARD.decode(content).ok(),
            Some(_) => None,
        }
    }

    /// The content, where it is text.
    pub fn text(&self) -> Option<&str> {
        self.content.as_deref().filter(|_| self.content_encoding.is_none())
    }

    /// The same without its content, for a list.
    #[must_use]
    pub fn without_content(mut self) -> Self {
        (self.content, self.content_encoding) = (None, None);
        self
    }

    /// Reads a revision, and compares its content with what it says of it.
    ///
    /// # Errors
    /// Names the field, the value and the problem.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let found: Self = decode(WHAT, bytes)?;
        if found.space_memory != FORM {
            let problem = format!("this build reads form {FORM}");
            return bad(
                WHAT,
                "space_memory".to_owned(),
                &found.space_memory.to_string(),
                problem,
            );
        }
        check_by(WHAT, "by".to_owned(), &found.by)?;
        if let Some(problem) = line_problem(&found.write, Line::Text, WRITE_LIMIT) {
            return bad(WHAT, "write".to_owned(), &found.write, problem);
        }
        match (&found.memory, &found.content) {
            (None, None) => {}
            (Some(memory), Some(_)) => found.check_content(memory)?,
            (Some(_), None) | (None, Some(_)) => {
                let problem = "a memory has a content, and what was forgotten has none".to_owned();
                return bad(WHAT, "content".to_owned(), "", problem);
            }
        }
        Ok(found)
    }

    fn check_content(&self, memory: &Memory) -> Result<(), DecodeError> {
        check_memory(WHAT, "memory", memory)?;
        if memory.key != self.id {
            let problem = format!("the memory is \"{}\"", self.id);
            return bad(WHAT, "memory.key".to_owned(), memory.key.as_str(), problem);
        }
        let Some(content) = self.bytes() else {
            let encoding = self.content_encoding.as_deref().unwrap_or_default();
            let problem = format!("the content is no {BASE64}, which is the one encoding that there is");
            return bad(WHAT, "content_encoding".to_owned(), encoding, problem);
        };
        let is = content.len();
        if is > SPACE_CONTENT {
            let problem = format!("a content has at most {SPACE_CONTENT} bytes");
            return bad(WHAT, "content".to_owned(), &format!("{is} bytes"), problem);
        }
        if memory.bytes != is as u64 {
            let problem = format!("the content has {is} bytes");
            return bad(WHAT, "memory.bytes".to_owned(), &memory.bytes.to_string(), problem);
        }
        if memory.hash != ObjectHash::of(&content) {
            let problem = "the content has another hash".to_owned();
            return bad(WHAT, "memory.hash".to_owned(), memory.hash.as_str(), problem);
        }
        Ok(())
    }

    /// The revision as it is stored.
    pub fn encode(&self) -> Vec<u8> {
        // Numbers, strings and raw JSON can always be written.
        serde_json::to_vec(self).unwrap_or_default()
    }
}
