//! Frames of the NATS protocol, as a server sends them: those that the client cannot read are mended.

use baton_envelope::{HeadOf, escaped, head_with_fault, mend_head};
use serde_json::Value;

/// The longest line of the protocol that is waited for; a longer one goes through as it is.
const LONGEST_LINE: usize = 1 << 20;
/// How many bytes of a subject a message quotes.
const QUOTED: usize = 120;
/// Replies to a delivered message of a stream begin so.
const ACK_PREFIX: &[u8] = b"$JS.ACK.";

/// What only an answer with a stored message says.
const DIRECT: &[u8] = b"Nats-Stream: ";

/// Reads what a server sends and gives it on, mended where it must be.
#[derive(Debug, Default)]
pub(super) struct Frames {
    /// What was read and is not given on yet: the beginning of a frame.
    held: Vec<u8>,
    /// So many bytes of a body go through before the next frame begins.
    body: usize,
    /// How many messages were mended.
    pub(super) mended: u64,
    /// Addresses of other servers of the cluster, from the last `INFO`.
    pub(super) discovered: Option<Vec<String>>,
}

/// What is to be done with the frame at the beginning of some bytes.
enum Frame {
    /// It is not whole yet.
    Part,
    /// So many bytes go through as they are, and then so many of a body.
    Clean(usize, usize),
    /// So many bytes are replaced by others.
    Replaced(usize, Vec<u8>),
    /// As `Replaced`, by an `INFO`.
    Info(usize, Vec<u8>, Vec<String>),
}

impl Frames {
    /// Takes what was read, and gives on to `out` what is ready.
    pub(super) fn feed(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        // What is begun is finished in a buffer of its own; else nothing is copied twice.
        if self.held.is_empty() {
            let used = self.screen(bytes, out);
            self.held.extend_from_slice(bytes.get(used..).unwrap_or_default());
        } else {
            let mut held = std::mem::take(&mut self.held);
            held.extend_from_slice(bytes);
            let used = self.screen(&held, out);
            held.drain(..used);
            self.held = held;
        }
    }

    /// Gives on all whole frames; how many bytes these were.
    fn screen(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> usize {
        let mut at = 0;
        let mut from = 0;
        let span = |from, to| bytes.get(from..to).unwrap_or_default();
        loop {
            let through = self.body.min(bytes.len() - at);
            at += through;
            self.body -= through;
            let rest = span(at, bytes.len());
            if self.body > 0 || rest.is_empty() {
                break;
            }
            match frame(rest) {
                Frame::Part => break,
                Frame::Clean(len, body) => {
                    at += len;
                    self.body = body;
                }
                Frame::Replaced(len, by) => {
                    out.extend_from_slice(span(from, at));
                    out.extend_from_slice(&by);
                    self.mended += 1;
                    at += len;
                    from = at;
                }
                Frame::Info(len, by, discovered) => {
                    out.extend_from_slice(span(from, at));
                    out.extend_from_slice(&by);
                    self.discovered = Some(discovered);
                    at += len;
                    from = at;
                }
            }
        }
        out.extend_from_slice(span(from, at));
        at
    }
}

fn frame(bytes: &[u8]) -> Frame {
    let Some(line_len) = bytes.windows(2).position(|pair| pair == b"\r\n") else {
        return if bytes.len() > LONGEST_LINE {
            Frame::Clean(bytes.len(), 0)
        } else {
            Frame::Part
        };
    };
    let line = bytes.get(..line_len).unwrap_or_default();
    let after = line_len + 2;
    if let Some(args) = line.strip_prefix(b"HMSG ") {
        return message(bytes, args, after, true);
    }
    if let Some(args) = line.strip_prefix(b"MSG ") {
        return message(bytes, args, after, false);
    }
    if let Some(document) = line.strip_prefix(b"INFO ") {
        return info(document, after);
    }
    match std::str::from_utf8(line) {
        Ok(_) => Frame::Clean(after, 0),
        // An error of the server that quotes what is no UTF-8.
        Err(_) => Frame::Replaced(after, format!("{}\r\n", String::from_utf8_lossy(line)).into_bytes()),
    }
}

/// The arguments of a message.
struct Args<'a> {
    subject: &'a [u8],
    sid: &'a [u8],
    reply: Option<&'a [u8]>,
    head: usize,
    total: usize,
}

impl<'a> Args<'a> {
    /// `<subject> <sid> [reply] [head bytes] <total bytes>`; `None` for what no server sends.
    fn parse(line: &'a [u8], has_head: bool) -> Option<Self> {
        let mut words = line
            .split(|byte| matches!(byte, b' ' | b'\t'))
            .filter(|word| !word.is_empty());
        let (subject, sid) = (words.next()?, words.next()?);
        let mut rest: Vec<&[u8]> = words.collect();
        let number = |word: &[u8]| std::str::from_utf8(word).ok()?.parse::<usize>().ok();
        let total = number(rest.pop()?)?;
        let head = match has_head {
            true => number(rest.pop()?)?,
            false => 0,
        };
        let reply = rest.pop();
        (rest.is_empty() && head <= total).then_some(Self {
            subject,
            sid,
            reply,
            head,
            total,
        })
    }
}

fn message(bytes: &[u8], line: &[u8], after: usize, has_head: bool) -> Frame {
    let Some(args) = Args::parse(line, has_head) else {
        return Frame::Clean(after, 0);
    };
    let Some(head) = bytes.get(after..after + args.head) else {
        return Frame::Part;
    };
    let of = match args.reply {
        Some(reply) if reply.starts_with(ACK_PREFIX) => HeadOf::Stored,
        // A direct get: the stored head, and behind it what the server says of the message.
        Some(_) | None if head.windows(DIRECT.len()).any(|part| part == DIRECT) => HeadOf::Stored,
        Some(_) | None => HeadOf::Answer,
    };
    let is_word = |word: &[u8]| {
        std::str::from_utf8(word).is_ok_and(|word| !word.contains(|c: char| c.is_whitespace() || c.is_control()))
    };
    let mended = if !is_word(args.subject) || !args.reply.is_none_or(is_word) {
        let fault = format!(
            "subject \"{}\": is not UTF-8, or holds white space",
            escaped(args.subject, QUOTED)
        );
        Some(head_with_fault(head, of, &fault))
    } else if has_head {
        mend_head(head, of)
    } else {
        None
    };
    let body = args.total - args.head;
    let Some(mended) = mended else {
        return Frame::Clean(after + args.head, body + 2);
    };
    // The body goes with it, so that what follows needs no thought of its own.
    let end = after + args.total + 2;
    let Some(body) = bytes.get(after + args.head..end) else {
        return Frame::Part;
    };
    let mut by = b"HMSG ".to_vec();
    by.extend_from_slice(&word(args.subject));
    by.push(b' ');
    by.extend_from_slice(args.sid);
    if let Some(reply) = args.reply {
        by.push(b' ');
        by.extend_from_slice(&word(reply));
    }
    let total = mended.len() + body.len() - 2;
    by.extend_from_slice(format!(" {} {total}\r\n", mended.len()).as_bytes());
    by.extend_from_slice(&mended);
    by.extend_from_slice(body);
    Frame::Replaced(end, by)
}

/// A subject that the client can read: what it cannot stands there as `%NN`.
fn word(subject: &[u8]) -> Vec<u8> {
    let mut word = Vec::with_capacity(subject.len());
    for byte in subject {
        if byte.is_ascii_graphic() {
            word.push(*byte);
        } else {
            word.extend_from_slice(format!("%{byte:02X}").as_bytes());
        }
    }
    word
}

/// What a server says of itself. The client reaches it over this connection alone, and without TLS: that ends here.
fn info(document: &[u8], after: usize) -> Frame {
    let Ok(Value::Object(mut info)) = serde_json::from_slice::<Value>(document) else {
        return Frame::Clean(after, 0);
    };
    let discovered = match info.remove("connect_urls") {
        Some(Value::Array(urls)) => urls
            .into_iter()
            .filter_map(|url| url.as_str().map(str::to_owned))
            .collect(),
        Some(_) | None => Vec::new(),
    };
    for key in ["tls_required", "tls_verify", "tls_available", "ws_connect_urls"] {
        info.remove(key);
    }
    let by = format!("INFO {}\r\n", Value::Object(info)).into_bytes();
    Frame::Info(after, by, discovered)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn screened(bytes: &[u8], piece: usize) -> (Vec<u8>, u64) {
        let (mut frames, mut out) = (Frames::default(), Vec::new());
        for part in bytes.chunks(piece) {
            frames.feed(part, &mut out);
        }
        (out, frames.mended)
    }

    fn hmsg(subject: &[u8], reply: &str, head: &[u8], body: &[u8]) -> Vec<u8> {
        let mut frame = [b"HMSG ", subject, b" 7 ", reply.as_bytes()].concat();
        frame.extend_from_slice(format!(" {} {}\r\n", head.len(), head.len() + body.len()).as_bytes());
        [&frame[..], head, body, b"\r\n"].concat()
    }

    #[test]
    fn what_can_be_read_goes_through_byte_for_byte_in_pieces_of_any_size() {
        let bytes = [
            &b"PING\r\nMSG a.b 1 5\r\nhe\r\nl\r\n+OK\r\n"[..],
            &hmsg(b"a.b", "$JS.ACK.x", b"NATS/1.0\r\nA: b\r\n\r\n", b"HMSG \r\n"),
            &hmsg(b"a.b", "", b"NATS/1.0 404 Message Not Found\r\n\r\n", b""),
            b"MSG a.b 1 reply 0\r\n\r\nPONG\r\n",
        ]
        .concat();
        for piece in 1..=bytes.len() {
            assert_eq!(screened(&bytes, piece), (bytes.clone(), 0), "pieces of {piece}");
        }
    }

    #[test]
    fn a_bad_message_is_mended_and_its_neighbours_are_not_touched() {
        let good = hmsg(b"a", "$JS.ACK.x", b"NATS/1.0\r\nA: b\r\n\r\n", b"good");
        let bad = hmsg(b"a", "$JS.ACK.y", b"NATS/1.0\r\nX: caf\xe9\r\n\r\n", b"bad");
        let head = "NATS/1.0\r\nBaton-Malformed: header X \"caf\\xe9\": is not UTF-8\r\n\r\n";
        let mended = hmsg(b"a", "$JS.ACK.y", head.as_bytes(), b"bad");
        let bytes = [&good[..], &bad, &good, &bad, b"PING\r\n"].concat();
        let expected = [&good[..], &mended, &good, &mended, b"PING\r\n"].concat();
        for piece in 1..=bytes.len() {
            assert_eq!(screened(&bytes, piece), (expected.clone(), 2), "pieces of {piece}");
        }
    }

    #[test]
    fn a_subject_that_cannot_be_read_is_written_so_that_it_can() {
        let (out, mended) = screened(b"MSG caf\xe9.\xc2\xa0x 1 $JS.ACK.y 2\r\nhi\r\n", 64);
        let out = String::from_utf8(out).expect("UTF-8");
        assert!(out.starts_with("HMSG caf%E9.%C2%A0x 1 $JS.ACK.y "), "{out}");
        assert!(
            out.ends_with("\r\n\r\nhi\r\n") && out.contains("Baton-Malformed: subject"),
            "{out}"
        );
        assert_eq!(mended, 1);
    }

    #[test]
    fn other_servers_are_learnt_and_not_told() {
        let (mut frames, mut out) = (Frames::default(), Vec::new());
        let info = b"INFO {\"server_id\":\"S\",\"tls_required\":true,\"connect_urls\":[\"10.0.0.1:4222\"]}\r\n";
        frames.feed(info, &mut out);
        assert_eq!(out, b"INFO {\"server_id\":\"S\"}\r\n");
        assert_eq!(frames.discovered, Some(vec!["10.0.0.1:4222".to_owned()]));
    }
}
