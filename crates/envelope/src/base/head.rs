//! The head of a NATS message: what a client can read of it, and what is made of one that it cannot.
//!
//! The server stores and delivers the bytes of a head as they came. A client that cannot read them may lose its
//! connection, so a head is mended before a client sees it: what can be read of it stays, and one more header says what
//! was wrong.

use crate::base::header::HEADER_MALFORMED;
use crate::base::text::escaped;

const VERSION: &str = "NATS/1.0";
/// The longest description of what is wrong, in bytes before it is escaped.
const QUOTED: usize = 120;

/// Who put the status of a head there: the server, which speaks to its client, or a publisher.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeadOf {
    /// What the server itself may have written: a status in the first line is its word.
    Answer,
    /// A stored message: a status in its first line is a publisher's, and would be taken for the server's.
    Stored,
}

/// The head in a form that every client reads, where it is not in one already; `None` when it is.
///
/// The lines that can be read stay, in their order and with their spelling. `Baton-Malformed` says what was wrong with
/// the first that cannot.
pub fn mend_head(head: &[u8], of: HeadOf) -> Option<Vec<u8>> {
    fault(head, of).map(|fault| rebuilt(head, of, &fault))
}

/// The head of a message of which something else than its head cannot be read, such as its subject.
pub fn head_with_fault(head: &[u8], of: HeadOf, fault: &str) -> Vec<u8> {
    rebuilt(head, of, fault)
}

fn rebuilt(head: &[u8], of: HeadOf, fault: &str) -> Vec<u8> {
    let mut lines = head.split(|byte| *byte == b'\n');
    let mut mended = VERSION.as_bytes().to_vec();
    let first = lines.next().unwrap_or_default();
    if of == HeadOf::Answer
        && version_fault(first, of).is_none()
        && let Some(status) = first.strip_prefix(VERSION.as_bytes())
    {
        mended.extend_from_slice(status.strip_suffix(b"\r").unwrap_or(status));
    }
    mended.extend_from_slice(format!("\r\n{HEADER_MALFORMED}: {fault}\r\n").as_bytes());
    for (line, place) in placed(lines) {
        // What went on with a value is left out: the value is whole without it as far as anyone can tell.
        if place == Place::Header && line_fault(line, place).is_none() {
            mended.extend_from_slice(line);
            mended.extend_from_slice(b"\r\n");
        }
    }
    mended.extend_from_slice(b"\r\n");
    mended
}

/// What is wrong with a head, in printable ASCII.
fn fault(head: &[u8], of: HeadOf) -> Option<String> {
    let mut lines = head.split(|byte| *byte == b'\n');
    if let Some(fault) = version_fault(lines.next().unwrap_or_default(), of) {
        return Some(fault);
    }
    placed(lines).find_map(|(line, place)| line_fault(line, place))
}

/// What a line of a head is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// A name and a value.
    Header,
    /// It begins with white space, right after another line, and goes on with that one's value.
    Continuation,
}

/// The lines of a head after the first, without their ends and without those that are empty.
fn placed<'a>(lines: impl Iterator<Item = &'a [u8]>) -> impl Iterator<Item = (&'a [u8], Place)> {
    let mut follows = false;
    lines.filter_map(move |line| {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let begins_white = std::str::from_utf8(line).is_ok_and(|text| text.starts_with(char::is_whitespace));
        let place = match follows && begins_white {
            true => Place::Continuation,
            false => Place::Header,
        };
        follows = !line.is_empty();
        follows.then_some((line, place))
    })
}

fn version_fault(line: &[u8], of: HeadOf) -> Option<String> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let fault = |problem: &str| Some(format!("first line \"{}\": {problem}", escaped(line, QUOTED)));
    let Ok(text) = std::str::from_utf8(line) else {
        return fault("is not UTF-8");
    };
    let Some(rest) = text.strip_prefix(VERSION) else {
        return fault("does not begin with NATS/1.0");
    };
    let rest = rest.trim();
    if rest.is_empty() {
        return None;
    }
    if of == HeadOf::Stored {
        return fault("a published message has no status");
    }
    let status = rest.split_once(' ').map_or(rest, |(status, _)| status).trim();
    let is_status = status.len() == 3
        && status.bytes().all(|byte| byte.is_ascii_digit())
        && status.parse::<u16>().is_ok_and(|status| status >= 100);
    if is_status && !text.contains('\r') {
        None
    } else {
        fault("its status is not a number from 100 to 999")
    }
}

fn line_fault(line: &[u8], place: Place) -> Option<String> {
    let fault = |problem: &str| {
        let (name, value) = match line.iter().position(|byte| *byte == b':') {
            Some(colon) => line.split_at(colon),
            None => (line, &[][..]),
        };
        let value = value.strip_prefix(b":").unwrap_or(value).trim_ascii();
        Some(format!(
            "header {} \"{}\": {problem}",
            escaped(name, QUOTED),
            escaped(value, QUOTED)
        ))
    };
    let Ok(text) = std::str::from_utf8(line) else {
        return fault("is not UTF-8");
    };
    if text.contains('\r') {
        return fault("holds a carriage return");
    }
    if place == Place::Continuation {
        return None;
    }
    match text.split_once(':') {
        None => fault("has no colon after its name"),
        Some(("", _)) => fault("has no name"),
        Some((name, _)) if !name.bytes().all(|byte| byte.is_ascii_graphic()) => {
            fault("its name holds more than printable ASCII without spaces")
        }
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mended(head: &[u8]) -> Option<String> {
        mend_head(head, HeadOf::Stored).map(|head| String::from_utf8(head).expect("a mended head is UTF-8"))
    }

    #[test]
    fn a_head_that_can_be_read_stays_as_it_is() {
        for head in [
            &b"NATS/1.0\r\n\r\n"[..],
            b"NATS/1.0\r\nA: b\r\n\r\n",
            b"NATS/1.0\r\nA:b\r\nA: c\r\n d\r\n\r\n",
            "NATS/1.0\r\nX-Name: caf\u{e9}\r\n\r\n".as_bytes(),
            b"NATS/1.0\nA: b\n\n",
        ] {
            assert_eq!(mended(head), None, "{}", String::from_utf8_lossy(head));
        }
        assert_eq!(
            mend_head(b"NATS/1.0 404 Message Not Found\r\n\r\n", HeadOf::Answer),
            None
        );
    }

    #[test]
    fn a_mended_head_names_the_fault_and_keeps_the_rest() {
        let head =
            mended(b"NATS/1.0\r\nBaton-Intent: one\r\nX-Name: caf\xe9\r\nBaton-Kind: k\r\n\r\n").expect("mended");
        assert_eq!(
            head,
            "NATS/1.0\r\nBaton-Malformed: header X-Name \"caf\\xe9\": is not UTF-8\r\nBaton-Intent: one\r\n\
             Baton-Kind: k\r\n\r\n"
        );
    }

    #[test]
    fn every_kind_of_fault_is_mended_for_good() {
        for head in [
            &b""[..],
            b"\xff",
            b"HTTP/1.1\r\n\r\n",
            b"NATS/1.0 abc\r\n\r\n",
            b"NATS/1.0 099\r\n\r\n",
            b"NATS/1.0 404 gone\r\n\r\n",
            b"NATS/1.0\r\nno colon\r\n\r\n",
            b"NATS/1.0\r\n: no name\r\n\r\n",
            b"NATS/1.0\r\nA b: c\r\n\r\n",
            b"NATS/1.0\r\n\xc3\xa9: c\r\n\r\n",
            b"NATS/1.0\r\nA: b\rc\r\n\r\n",
            b"NATS/1.0\r\nA: b\r\n \xff\r\n\r\n",
            b"NATS/1.0\r\nA: b\r\n c\rd\r\n\r\n",
            b"NATS/1.0\r\n after no header\r\n\r\n",
            b"NATS/1.0\r\n after: no header\r\n\r\n",
            b"NATS/1.0\r\nA: b\r\n\r\n after an empty line\r\n\r\n",
            b"NATS/1.0\r\nA: b\r\n\xc2\xa0c\r\n\xff\r\n\r\n",
        ] {
            let once = mended(head).unwrap_or_else(|| panic!("not seen: {}", String::from_utf8_lossy(head)));
            assert!(once.contains("\r\nBaton-Malformed: "), "{once}");
            assert_eq!(mended(once.as_bytes()), None, "{once}");
        }
    }
}
