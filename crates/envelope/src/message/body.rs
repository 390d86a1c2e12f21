//! Bytes of any kind as JSON: how a payload and a result that are not text are kept, byte for byte.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::base::json::Json;

/// The one encoding that there is: base64 with padding.
const BASE64: &str = "base64";

/// A payload or a result, as it stands on the wire: JSON, and how to read it where it stands for bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Body {
    /// The value.
    pub json: Json,
    /// `base64` when the value is a string of base64.
    pub encoding: Option<String>,
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
    fn text_stands_for_itself() {
        assert_eq!(Body::of_bytes(b""), Json::null().into());
        assert_eq!(Body::of_bytes(b" [1, 2] "), Json::parse("[1, 2]").expect("JSON").into());
        assert_eq!(Body::of_bytes(b"otters\n"), Json::string("otters\n").into());
        assert_eq!(Body::bytes(&Json::string("//4AAQ=="), None), None);
        assert_eq!(Body::bytes(&Json::string("no base64"), Some("base64")), None);
        assert_eq!(Body::bytes(&Json::string("//4AAQ=="), Some("hex")), None);
    }
}
