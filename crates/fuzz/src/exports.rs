//! The files that carry intents from one mesh to another.

use baton_envelope::{ExportHead, ExportPart, ExportReader, ExportWriter, Timestamp};
use sha2::{Digest as _, Sha256};

/// A file without its last line, the digest; so that a change is not refused for the digest alone, the right one is put there.
pub(crate) fn export(bytes: &[u8]) {
    read(bytes);
    let mut whole = bytes.to_vec();
    whole.extend_from_slice(b"sha256:");
    for byte in Sha256::digest(bytes) {
        whole.extend_from_slice(format!("{byte:02x}").as_bytes());
    }
    whole.push(b'\n');
    let Some(parts) = read(&whole) else { return };
    let mut again = Vec::new();
    let head = ExportHead::new("fuzz", Timestamp::from_unix_millis(1));
    let mut writer = ExportWriter::new(&mut again, &head).expect("written");
    for part in &parts {
        let written = match part {
            ExportPart::Intent(one) => writer.add(&one.bundle, one.is_open),
            ExportPart::Object(object) => writer.add_object(object),
        };
        written.expect("what was read can be written");
    }
    writer.finish().expect("written");
    assert_eq!(read(&again), Some(parts), "it was not read back as it was written");
}

/// What is in a file that is whole.
fn read(bytes: &[u8]) -> Option<Vec<ExportPart>> {
    let mut parts = Vec::new();
    let mut reader = said(ExportReader::new(bytes))?;
    while let Some(part) = said(reader.next_part())? {
        parts.push(part);
    }
    Some(parts)
}

fn said<T, E: std::fmt::Display>(result: Result<T, E>) -> Option<T> {
    result
        .inspect_err(|error| assert!(!error.to_string().is_empty(), "an error without words"))
        .ok()
}
