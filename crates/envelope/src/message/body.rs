//! Bytes of any kind as JSON: how a payload and a result that are not text are kept, byte for byte.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::base::json::Json;
use crate::message::object::INLINE_LIMIT;

/// The one encoding that there is: base64 with padding.
const BASE64: &str = "base64";
/// The media types of the content that a body is.
const JSON: &str = "application/json";
const TEXT: &str = "text/plain; charset=utf-8";
const BYTES: &str = "application/octet-stream";

/// A payload or a result, as it stands on the wire: JSON, and how to read it where it stands for bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Body {
    /// The value.
    pub json: Json,
    /// `base64` when the value is a string of base64.
    pub encoding: Option<String>,
}

/// What a body stands for: its bytes, and what they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// The media type.
    pub media: &'static str,
}

impl From<Json> for Body {
    fn from(json: Json) -> Self {
        Self { json, encoding: None }
    }
}

impl Body {
    /// JSON where the bytes are JSON, a string where they are UTF-8, `null` where there are none, base64 otherwise.
    pub fn of_bytes(bytes: &[u8]) -> Self {
        match std::str::from_utf8(bytes) {
            Ok("") => Json::null().into(),
            Ok(text) => Json::parse(text.trim()).unwrap_or_else(|_| Json::string(text)).into(),
            Err(_) => Self {
                json: Json::string(&STANDARD.encode(bytes)),
                encoding: Some(BASE64.to_owned()),
            },
        }
    }

    /// Whether it is more than stands in a message where its reader takes references.
    pub fn is_large(&self) -> bool {
        self.json.get().len() > INLINE_LIMIT
    }

    /// The content of an object that stands for this body: [`Body::of_content`] makes the same body of it, in the same
    /// spelling. `None` where no object could, because the encoding is not known here.
    pub fn content(&self) -> Option<Content> {
        let of = |bytes: Vec<u8>, media| Some(Content { bytes, media });
        if self.encoding.is_some() {
            let bytes = Self::bytes(&self.json, self.encoding.as_deref())?;
            let is_same = Json::string(&STANDARD.encode(&bytes)) == self.json;
            return of(bytes, BYTES).filter(|_| is_same);
        }
        // A string as its text: it takes no escapes, and other programs read it.
        if self.json.get().starts_with('"')
            && let Ok(text) = self.json.read::<String>()
            && Json::string(&text) == self.json
        {
            return of(text.into_bytes(), TEXT);
        }
        of(self.json.get().as_bytes().to_vec(), JSON)
    }

    /// The body that content stands for: JSON as it is written, text as a string, anything else as base64.
    ///
    /// # Errors
    /// When the media type says JSON, and the bytes are none.
    pub fn of_content(bytes: &[u8], media: Option<&str>) -> Result<Self, String> {
        let Some(media) = media else {
            return Ok(Self::of_bytes(bytes));
        };
        let kind = media.split(';').next().unwrap_or_default().trim();
        let encoded = || Self {
            json: Json::string(&STANDARD.encode(bytes)),
            encoding: Some(BASE64.to_owned()),
        };
        match std::str::from_utf8(bytes) {
            Ok(text) if kind == JSON => match Json::parse(text) {
                Ok(json) => Ok(json.into()),
                Err(error) => Err(format!("its media type is {JSON}, and it is no JSON: {error}")),
            },
            Ok(text) if kind.starts_with("text/") => Ok(Json::string(text).into()),
            Err(error) if kind == JSON => Err(format!("its media type is {JSON}, and it is no JSON: {error}")),
            Ok(_) | Err(_) => Ok(encoded()),
        }
    }

    /// The bytes that a value stands for; `None` when it stands for itself, or is no base64.
    pub fn bytes(json: &Json, encoding: Option<&str>) -> Option<Vec<u8>> {
        let text: String = (encoding == Some(BASE64)).then(|| json.read().ok()).flatten()?;
        STANDARD.decode(text).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_back_as_they_were() {
        let bytes = [0xff, 0xfe, 0x00, 0x01];
        let body = Body::of_bytes(&bytes);
        assert_eq!(
            (body.json.get(), body.encoding.as_deref()),
            ("\"//4AAQ==\"", Some("base64"))
        );
        assert_eq!(Body::bytes(&body.json, body.encoding.as_deref()), Some(bytes.to_vec()));
    }

    #[test]
    fn an_object_gives_the_same_body_back_in_the_same_spelling() {
        let encoded = |json: &str| Body {
            json: Json::string(json),
            encoding: Some("base64".to_owned()),
        };
        let json = |text: &str| Body::from(Json::parse(text).expect("JSON"));
        for (body, media) in [
            (Body::of_bytes(&[0xff, 0x00, 0x01]), BYTES),
            (Body::of_bytes("otters äöü\n\t\"\\ \u{1}".as_bytes()), TEXT),
            (Json::string("{\"a\":1}").into(), TEXT),
            (Json::string("").into(), TEXT),
            (json(r#"{"b": 1.50, "a": 100000000000000000000000000001}"#), JSON),
            (json(r#""\u00e4""#), JSON),
            (json("null"), JSON),
            (encoded(""), BYTES),
        ] {
            let content = body.content().expect("content");
            assert_eq!(content.media, media, "{body:?}");
            assert_eq!(Body::of_content(&content.bytes, Some(content.media)), Ok(body));
        }
        let other = Body {
            encoding: Some("hex".to_owned()),
            ..Json::string("00").into()
        };
        assert_eq!(other.content(), None);
        assert_eq!(encoded("no base64").content(), None);
    }

    #[test]
    fn content_of_any_media_type_is_a_body() {
        let of = |bytes: &[u8], media: &str| Body::of_content(bytes, Some(media));
        assert_eq!(of(b"# A", "text/markdown"), Ok(Json::string("# A").into()));
        assert_eq!(of(b"\xff", "text/plain"), Ok(Body::of_bytes(b"\xff")));
        assert_eq!(
            of(b"{}", "application/json; charset=utf-8"),
            Ok(Json::parse("{}").expect("JSON").into())
        );
        assert_eq!(
            of(b"PNG", "image/png").expect("a body").encoding.as_deref(),
            Some("base64")
        );
        assert_eq!(
            Body::of_content(b"{}", None),
            Ok(Json::parse("{}").expect("JSON").into())
        );
        for bad in [&b"{"[..], b"\xff"] {
            assert!(of(bad, "application/json").is_err());
        }
    }

    #[test]
    fn text_stands_for_itself() {
        assert_eq!(Body::of_bytes(b""), Json::null().into());
        assert_eq!(Body::of_bytes(b" [1, 2] "), Json::parse("[1, 2]").expect("JSON").into());
        assert_eq!(Body::of_bytes(b"otters\n"), Json::string("otters\n").into());
        assert_eq!(Body::bytes(&Json::string("//4AAQ=="), None), None);
        assert_eq!(Body::bytes(&Json::string("no base64"), Some("base64")), None);
        assert_eq!(Body::bytes(&Json::string("//4AAQ=="), Some("hex")), None);
    }
}
