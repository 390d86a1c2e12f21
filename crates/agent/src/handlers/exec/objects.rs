//! Cuts what a program writes into JSON objects, byte by byte: each byte is looked at once, and the first one that no
//! JSON object can hold is named.

/// Where in the output a byte stands, both from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) line: usize,
    pub(super) byte: usize,
}

/// Why the output is not what it should be.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Bad {
    /// No JSON object goes on like this.
    Syntax {
        at: Place,
        problem: String,
        /// The object so far.
        seen: String,
    },
    /// One object is larger than this many bytes.
    TooLarge(usize),
}

/// What may come next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Want {
    /// The next object.
    Object,
    KeyOrEnd,
    Key,
    Colon,
    Value,
    ValueOrEnd,
    CommaOrEnd,
    /// The rest of a string; `is_key` when a colon follows.
    String {
        is_key: bool,
    },
    /// What follows a backslash.
    Escape {
        is_key: bool,
    },
    /// So many hex digits.
    Hex {
        is_key: bool,
        left: u8,
    },
    /// The rest of `true`, `false` or `null`.
    Word(&'static [u8]),
    Number,
}

/// Cuts a stream of bytes into JSON objects.
#[derive(Debug)]
pub(super) struct Objects {
    most: usize,
    want: Want,
    /// What is open: `true` for an object, `false` for an array.
    open: Vec<bool>,
    /// The object so far.
    text: Vec<u8>,
    /// How much of it is known to be UTF-8.
    checked: usize,
    /// Of the next byte.
    at: Place,
    /// Of the first byte of the object.
    began: Place,
}

impl Objects {
    /// Takes objects of at most so many bytes.
    pub(super) fn new(most: usize) -> Self {
        let at = Place { line: 1, byte: 1 };
        Self {
            most,
            want: Want::Object,
            open: Vec::new(),
            text: Vec::new(),
            checked: 0,
            at,
            began: at,
        }
    }

    /// Reads from `bytes` up to the end of an object, and gives it; `None` when all was read and the object goes on.
    pub(super) fn next(&mut self, bytes: &mut &[u8]) -> Result<Option<String>, Bad> {
        while let Some((byte, rest)) = bytes.split_first() {
            *bytes = rest;
            let is_between = self.want == Want::Object;
            if !self.step(*byte) {
                let shown = char::from(*byte).escape_default().to_string();
                let problem = match byte {
                    0x80.. => format!("byte 0x{byte:02x} stands outside of a string"),
                    _ if is_between => format!("'{shown}' begins no JSON object"),
                    _ => format!("'{shown}' cannot follow here"),
                };
                return Err(self.bad(self.at, problem));
            }
            if is_between {
                self.began = self.at;
            }
            self.at = match byte {
                b'\n' => Place {
                    line: self.at.line + 1,
                    byte: 1,
                },
                _ => Place {
                    byte: self.at.byte + 1,
                    ..self.at
                },
            };
            if is_between && self.want == Want::Object {
                continue;
            }
            self.text.push(*byte);
            if self.text.len() > self.most {
                return Err(Bad::TooLarge(self.most));
            }
            if self.open.is_empty() {
                self.check_utf8()?;
                let text = String::from_utf8_lossy(&self.text).into_owned();
                (self.want, self.checked) = (Want::Object, 0);
                self.text.clear();
                return Ok(Some(text));
            }
        }
        self.check_utf8()?;
        Ok(None)
    }

    /// Where the last object began.
    pub(super) fn began(&self) -> Place {
        self.began
    }

    /// Fails when the last object is unfinished.
    pub(super) fn finish(&self) -> Result<(), Bad> {
        match self.text.is_empty() {
            true => Ok(()),
            false => Err(self.bad(self.at, "the output ends in the middle of an object".to_owned())),
        }
    }

    fn bad(&self, at: Place, problem: String) -> Bad {
        let seen = String::from_utf8_lossy(&self.text).chars().take(120).collect();
        Bad::Syntax { at, problem, seen }
    }

    /// A character may be cut by the end of what was read so far.
    fn check_utf8(&mut self) -> Result<(), Bad> {
        let new = self.text.get(self.checked..).unwrap_or_default();
        let Err(error) = std::str::from_utf8(new) else {
            self.checked = self.text.len();
            return Ok(());
        };
        self.checked += error.valid_up_to();
        if error.error_len().is_none() {
            return Ok(());
        }
        let before = self.text.get(..self.checked).unwrap_or_default();
        let breaks = before.iter().filter(|byte| **byte == b'\n').count();
        let last = before.iter().rposition(|byte| *byte == b'\n');
        let at = Place {
            line: self.began.line + breaks,
            byte: match last {
                Some(last) => before.len() - last,
                None => self.began.byte + before.len(),
            },
        };
        let byte = self.text.get(self.checked).copied().unwrap_or_default();
        Err(self.bad(at, format!("byte 0x{byte:02x} is not UTF-8")))
    }

    /// Goes on by one byte; `false` when it cannot stand here.
    fn step(&mut self, byte: u8) -> bool {
        let is_space = matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
        let next = match (self.want, byte) {
            (Want::Number, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E') => Some(Want::Number),
            (Want::Number, _) => {
                self.want = Want::CommaOrEnd;
                return self.step(byte);
            }
            (Want::String { .. } | Want::Escape { .. } | Want::Hex { .. } | Want::Word(_), _) => self.token(byte),
            (want, _) if is_space => Some(want),
            (Want::Object, b'{') | (Want::Value | Want::ValueOrEnd, b'{') => {
                self.open.push(true);
                Some(Want::KeyOrEnd)
            }
            (Want::Value | Want::ValueOrEnd, b'[') => {
                self.open.push(false);
                Some(Want::ValueOrEnd)
            }
            (Want::Key | Want::KeyOrEnd, b'"') => Some(Want::String { is_key: true }),
            (Want::Value | Want::ValueOrEnd, b'"') => Some(Want::String { is_key: false }),
            (Want::Value | Want::ValueOrEnd, b't') => Some(Want::Word(b"rue")),
            (Want::Value | Want::ValueOrEnd, b'f') => Some(Want::Word(b"alse")),
            (Want::Value | Want::ValueOrEnd, b'n') => Some(Want::Word(b"ull")),
            (Want::Value | Want::ValueOrEnd, b'-' | b'0'..=b'9') => Some(Want::Number),
            (Want::Colon, b':') => Some(Want::Value),
            (Want::CommaOrEnd, b',') => Some(match self.open.last() {
                Some(true) => Want::Key,
                Some(false) | None => Want::Value,
            }),
            (Want::KeyOrEnd | Want::CommaOrEnd, b'}') if self.open.last() == Some(&true) => self.close(),
            (Want::ValueOrEnd | Want::CommaOrEnd, b']') if self.open.last() == Some(&false) => self.close(),
            _ => None,
        };
        self.want = next.unwrap_or(self.want);
        next.is_some()
    }

    fn close(&mut self) -> Option<Want> {
        self.open.pop();
        Some(Want::CommaOrEnd)
    }

    /// What follows a byte within a string or a word.
    fn token(&self, byte: u8) -> Option<Want> {
        let ended = |is_key| if is_key { Want::Colon } else { Want::CommaOrEnd };
        match (self.want, byte) {
            (Want::String { is_key }, b'"') => Some(ended(is_key)),
            (Want::String { is_key }, b'\\') => Some(Want::Escape { is_key }),
            (Want::String { is_key }, 0x20..) => Some(Want::String { is_key }),
            (Want::Escape { is_key }, b'u') => Some(Want::Hex { is_key, left: 4 }),
            (Want::Escape { is_key }, b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                Some(Want::String { is_key })
            }
            (Want::Hex { is_key, left }, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => Some(match left {
                1 => Want::String { is_key },
                left => Want::Hex { is_key, left: left - 1 },
            }),
            (Want::Word(rest), byte) => match rest.split_first() {
                Some((first, [])) if *first == byte => Some(Want::CommaOrEnd),
                Some((first, rest)) if *first == byte => Some(Want::Word(rest)),
                Some(_) | None => None,
            },
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &[u8], most: usize) -> Result<Vec<String>, Bad> {
        let mut found = Vec::new();
        let mut objects = Objects::new(most);
        // In pieces, so that nothing rests on how the bytes come.
        for piece in text.chunks(3) {
            let mut piece = piece;
            while let Some(object) = objects.next(&mut piece)? {
                found.push(object);
            }
        }
        objects.finish()?;
        Ok(found)
    }

    fn place(text: &[u8]) -> (usize, usize) {
        match all(text, 1000) {
            Err(Bad::Syntax { at, .. }) => (at.line, at.byte),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn objects_are_cut_wherever_they_break() {
        let text =
            "\n {\"a\": [1, -2.5e3, {}], \"b\":\n \"}{ \\\" \\u00e9 é\"}\r\n{} {\"c\":true,\"d\":[null,false]}\n";
        let found = all(text.as_bytes(), 1000).expect("objects");
        assert_eq!(found.len(), 3);
        for object in found {
            serde_json::from_str::<serde_json::Value>(&object).expect("JSON");
        }
    }

    #[test]
    fn the_first_bad_byte_is_named() {
        for (text, at) in [
            (&b"not json"[..], (1, 1)),
            (b"{}\n[]", (2, 1)),
            (b"{\"a\" 1}", (1, 6)),
            (b"{\"a\":1,}", (1, 8)),
            (b"{\"a\":[1}", (1, 8)),
            (b"{\n\"a\":nul!}", (2, 8)),
            (b"{\"a\":\"line\nbreak\"}", (1, 11)),
            (b"{\"a\":\"\\x\"}", (1, 8)),
            (b"{}\n{\"a\":\"\xff\"}", (2, 7)),
            (b"{\n\"a\":\"\xc3(\"}", (2, 6)),
            (b"{\xff", (1, 2)),
            (b"{\"a\":", (1, 6)),
        ] {
            assert_eq!(place(text), at, "{}", String::from_utf8_lossy(text));
        }
    }

    #[test]
    fn an_object_has_its_limit_and_the_stream_has_none() {
        assert_eq!(all(b"{\"a\":1}", 6), Err(Bad::TooLarge(6)));
        assert_eq!(all(&b"{\"a\":1}\n".repeat(1000), 7).expect("objects").len(), 1000);
    }

    #[test]
    fn whatever_serde_takes_is_taken_and_what_it_refuses_does_not_get_far() {
        for text in ["{\"a\":01}", "{\"a\":1-}", "{\"a\":--1}"] {
            // Numbers are left to serde.
            assert_eq!(all(text.as_bytes(), 100).expect("an object"), [text]);
        }
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(500), "]".repeat(500));
        assert_eq!(all(deep.as_bytes(), 2000).expect("an object"), [deep]);
    }
}
