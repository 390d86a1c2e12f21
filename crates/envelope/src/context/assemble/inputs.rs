//! The hash of everything that a view is made of.

use super::FixedPart;
use crate::context::candidate::{Candidate, Out};
use crate::context::request::Request;
use crate::message::object::ObjectHash;

/// Texts and numbers, one after the other. Each text has its length in front, so that no two lists are written the same.
struct Written(Vec<u8>);

/// About as many bytes as a candidate takes.
const CANDIDATE_BYTES: usize = 512;

/// The lowest seven bits.
fn low(number: u64) -> u8 {
    u8::try_from(number & 0x7f).unwrap_or(0)
}

impl Written {
    /// In groups of seven bits, the lowest first: most numbers are small.
    fn number(&mut self, number: u64) {
        let mut rest = number;
        while rest >= 0x80 {
            self.0.push(low(rest) | 0x80);
            rest >>= 7;
        }
        self.0.push(low(rest));
    }

    fn text(&mut self, text: &str) {
        self.number(text.len() as u64);
        self.0.extend_from_slice(text.as_bytes());
    }

    fn option(&mut self, text: Option<&str>) {
        self.number(u64::from(text.is_some()));
        self.text(text.unwrap_or_default());
    }
}

/// The hash of the rules, the request, the parts and the candidates.
pub(super) fn hash(
    assembler: &str,
    request: &Request,
    counter: &str,
    parts: &[FixedPart],
    candidates: &[&Candidate],
) -> ObjectHash {
    let mut written = Written(Vec::with_capacity(candidates.len().saturating_mul(CANDIDATE_BYTES)));
    written.text(assembler);
    written.text(counter);
    written.text(request.strategy.name());
    written.number(request.budget);
    written.number(request.factor.get().into());
    written.number(request.include_recent.into());
    written.number(request.named.len() as u64);
    for key in &request.named {
        written.text(key.as_str());
    }
    let mut without: Vec<&str> = request.without.iter().map(|kind| kind.name()).collect();
    without.sort_unstable();
    without.dedup();
    written.number(without.len() as u64);
    for kind in without {
        written.text(kind);
    }
    written.number(parts.len() as u64);
    for part in parts {
        written.text(part.name);
        written.text(&part.text);
    }
    written.number(candidates.len() as u64);
    for candidate in candidates {
        write(&mut written, counter, candidate);
    }
    ObjectHash::of(&written.0)
}

fn write(written: &mut Written, counter: &str, candidate: &Candidate) {
    let Candidate {
        memory,
        position,
        by,
        out,
    } = candidate;
    written.number(position.depth.into());
    written.text(position.intent.as_str());
    written.number(position.hop.into());
    written.number(position.index.into());
    written.text(by);
    written.number(match out {
        None => 0,
        Some(Out::Superseded) => 1,
        Some(Out::Forgotten) => 2,
    });
    written.text(memory.key.as_str());
    written.text(memory.hash.as_str());
    written.text(memory.kind.name());
    written.option(memory.title.as_deref());
    written.option(memory.media.as_deref());
    written.option(memory.summary.as_deref());
    written.number(u64::from(memory.pinned));
    written.number(memory.relevance.get().into());
    written.number(memory.bytes);
    let counts = memory.tokens.get(counter);
    for count in [
        counts.map(|counts| counts.full),
        counts.and_then(|counts| counts.summary),
        counts.map(|counts| counts.line),
    ] {
        written.number(u64::from(count.is_some()));
        written.number(count.unwrap_or(0));
    }
}
