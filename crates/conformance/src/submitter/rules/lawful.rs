//! What holds for each raw intent and each envelope that arrived, in every trial.

use baton_envelope::{Envelope, check_answer};

use crate::fault::{Fault, expect};
use crate::record::Stored;
use crate::submitter::arrival::{Arrival, Way};
use crate::submitter::desk::Desk;
use crate::submitter::rules::fields::envelope;

/// The headers of section 5 that a raw intent may have.
const KNOWN: [&str; 17] = [
    "Baton-Intent",
    "Baton-Kind",
    "Baton-Priority",
    "Baton-Deadline",
    "Baton-Not-Before",
    "Baton-Max-Hops",
    "Baton-Reply-To",
    "Baton-Capabilities",
    "Baton-When-None",
    "Baton-Pinning",
    "Baton-Protocol",
    "Baton-Unique",
    "Baton-Within",
    "Baton-On-Conflict",
    "Baton-Order-Key",
    "Baton-Itinerary",
    "Baton-Task",
];

/// What arrived in these ways, or the reason why there is nothing to judge.
pub(super) async fn of(desk: &Desk, ways: &[Way]) -> Result<Vec<Arrival>, Fault> {
    let mut arrivals = desk.arrivals().await;
    arrivals.retain(|arrival| ways.contains(&arrival.way));
    if arrivals.is_empty() {
        let names: Vec<&str> = ways.iter().map(|way| way.name()).collect();
        return Err(Fault::Skipped(format!("nothing arrived as {}", names.join(" or "))));
    }
    Ok(arrivals)
}

pub(super) async fn raws(desk: &Desk) -> Result<(), Fault> {
    for arrival in of(desk, &[Way::Raw, Way::Envelope]).await? {
        is_well_formed(&arrival.message)?;
        for name in arrival.message.headers.keys() {
            let is_ours = name.to_ascii_lowercase().starts_with("baton-");
            expect(
                !is_ours || KNOWN.contains(&name.as_str()),
                format!("a header of section 5 in {}", arrival.in_words()),
                name.as_str(),
            )?;
        }
        may_be_answered(desk, envelope(&arrival)?, &arrival)?;
    }
    Ok(())
}

/// Breaks the rule unless the head of a message is as section 5 says.
fn is_well_formed(message: &Stored) -> Result<(), Fault> {
    let shown = String::from_utf8_lossy(&message.head).into_owned();
    let Ok(text) = std::str::from_utf8(&message.head) else {
        return expect(false, "a head in UTF-8", shown);
    };
    for line in text.split("\r\n").skip(1).filter(|line| !line.is_empty()) {
        let is_header = line.split_once(':').is_some_and(|(name, value)| {
            !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic()) && !value.contains(['\r', '\n'])
        });
        expect(is_header, "lines `name: value`", format!("{line:?}"))?;
    }
    Ok(())
}

fn may_be_answered(desk: &Desk, envelope: &Envelope, arrival: &Arrival) -> Result<(), Fault> {
    let Some(reply_to) = &envelope.reply_to else {
        return Ok(());
    };
    check_answer(reply_to, desk.mesh.subjects().namespace()).map_err(|bad| Fault::Broken {
        expected: format!("a `reply_to` on which one may answer, in {}", arrival.in_words()),
        seen: bad.to_string(),
    })
}

pub(super) async fn envelopes(desk: &Desk) -> Result<(), Fault> {
    for arrival in of(desk, &[Way::Envelope, Way::Record]).await? {
        let envelope = envelope(&arrival)?;
        let words = arrival.in_words();
        expect(
            envelope.hop == 1 && envelope.previous.is_none(),
            format!("hop 1 and no `previous` in {words}"),
            format!("hop {}, previous {:?}", envelope.hop, envelope.previous),
        )?;
        is_uuid7(&arrival, &["id"], &words)?;
        let protocol = arrival.envelope_raw(&["protocol"]).unwrap_or_default();
        expect(
            protocol.matches('.').count() == 2,
            format!("`protocol` with three numbers in {words}"),
            protocol,
        )?;
        may_be_answered(desk, envelope, &arrival)?;
    }
    Ok(())
}

fn is_uuid7(arrival: &Arrival, path: &[&str], words: &str) -> Result<(), Fault> {
    let found = arrival.envelope_raw(path).unwrap_or_default();
    let id = found.trim_matches('"');
    expect(
        is_version7(id),
        format!("a UUID of version 7 in lower case in {words}"),
        found.as_str(),
    )
}

/// Whether a text is a UUID of version 7, written as section 2 says.
pub(super) fn is_version7(id: &str) -> bool {
    id.len() == 36
        && id.char_indices().all(|(place, character)| match place {
            8 | 13 | 18 | 23 => character == '-',
            14 => character == '7',
            19 => "89ab".contains(character),
            _ => character.is_ascii_digit() || ('a'..='f').contains(&character),
        })
}
