//! The text of nkeys, the ed25519 keys of NATS: a prefix, the key and a checksum in base32.

use crate::base::error::BadName;

const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
/// The prefix of a seed, in the upper five bits.
const SEED: u8 = 18 << 3;
/// The prefix of a user's public key.
const USER: u8 = 20 << 3;

const PUBLIC_RULE: &str =
    "the public nkey of a user: U and 55 characters of A-Z 2-7, as `baton audit keygen` prints it";
const SEED_RULE: &str = "the seed nkey of a user: SU and 56 characters of A-Z 2-7, as `baton audit keygen` writes it";

/// The text of a user's public key.
pub(super) fn public_text(key: &[u8; 32]) -> String {
    let mut bytes = Vec::with_capacity(35);
    bytes.push(USER);
    bytes.extend_from_slice(key);
    encoded(bytes)
}

/// The text of the seed of a user's key: a secret.
pub(super) fn seed_text(seed: &[u8; 32]) -> String {
    let mut bytes = Vec::with_capacity(36);
    bytes.push(SEED | (USER >> 5));
    bytes.push((USER & 31) << 3);
    bytes.extend_from_slice(seed);
    encoded(bytes)
}

/// Reads a user's public key.
pub(super) fn public_of(text: &str) -> Result<[u8; 32], BadName> {
    let read = || -> Option<[u8; 32]> {
        let bytes = decoded(text)?;
        let (prefix, key) = bytes.split_first()?;
        (*prefix == USER).then(|| key.try_into().ok()).flatten()
    };
    read().ok_or_else(|| BadName {
        what: "public key",
        value: text.to_owned(),
        rule: PUBLIC_RULE,
    })
}

/// Reads the seed of a user's key. The error does not contain it.
pub(super) fn seed_of(text: &str) -> Result<[u8; 32], BadName> {
    let read = || -> Option<[u8; 32]> {
        let bytes = decoded(text)?;
        let (head, seed) = bytes.split_at_checked(2)?;
        (head == [SEED | (USER >> 5), (USER & 31) << 3])
            .then(|| seed.try_into().ok())
            .flatten()
    };
    read().ok_or_else(|| BadName {
        what: "signing key",
        value: "…".to_owned(),
        rule: SEED_RULE,
    })
}

fn encoded(mut bytes: Vec<u8>) -> String {
    bytes.extend_from_slice(&checksum(&bytes).to_le_bytes());
    let (mut text, mut bits, mut room) = (String::with_capacity(58), 0_u32, 0_u32);
    for byte in bytes {
        bits = (bits << 8) | u32::from(byte);
        room += 8;
        while room >= 5 {
            room -= 5;
            text.push(letter(bits >> room));
        }
        bits &= (1 << room) - 1;
    }
    if room > 0 {
        text.push(letter(bits << (5 - room)));
    }
    text
}

fn letter(value: u32) -> char {
    let at = usize::try_from(value & 31).unwrap_or_default();
    ALPHABET.get(at).copied().map_or('A', char::from)
}

/// The bytes before the checksum; `None` where anything is wrong.
fn decoded(text: &str) -> Option<Vec<u8>> {
    let (mut bytes, mut bits, mut room) = (Vec::with_capacity(36), 0_u32, 0_u32);
    for byte in text.bytes() {
        let value = ALPHABET.iter().position(|letter| *letter == byte)?;
        bits = (bits << 5) | u32::try_from(value).ok()?;
        room += 5;
        if room >= 8 {
            room -= 8;
            bytes.push(u8::try_from((bits >> room) & 255).ok()?);
            bits &= (1 << room) - 1;
        }
    }
    // One key has one text.
    if bits != 0 || room >= 5 {
        return None;
    }
    let (content, stated) = bytes.split_at_checked(bytes.len().checked_sub(2)?)?;
    (checksum(content).to_le_bytes() == stated).then(|| content.to_vec())
}

/// CRC-16 of XMODEM.
fn checksum(bytes: &[u8]) -> u16 {
    let shifted = |crc: u16, _: u32| {
        if crc & 0x8000 == 0 {
            crc << 1
        } else {
            (crc << 1) ^ 0x1021
        }
    };
    bytes
        .iter()
        .fold(0, |crc, byte| (0..8).fold(crc ^ (u16::from(*byte) << 8), shifted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_another_tool_made_is_read_and_written_alike() {
        // The seed is that of an example of the `nk` tool.
        let (seed, public) = (
            "SUAGMJH5XLGZKQQWAWKRZJIGMOU4HPFUYLXJMXOO5NLFEO2OOQJ5LPRDPM",
            "UBQRQBKW2LPUL5HZSFHZ2ZZ4NYHJB3PSZG5PLFMALMOII3GERMM6BRJT",
        );
        assert_eq!(seed_text(&seed_of(seed).expect("a seed")), seed);
        assert_eq!(public_text(&public_of(public).expect("a key")), public);
    }

    #[test]
    fn what_is_no_key_is_named_and_a_secret_is_not_shown() {
        let text = public_text(&[7; 32]);
        for wrong in [
            "",
            "U",
            &text[1..],
            &text.to_lowercase(),
            &text.replace('U', "A"),
            &format!("{text}A"),
        ] {
            let error = public_of(wrong).expect_err(wrong).to_string();
            assert!(error.contains("public key"), "{error}");
        }
        let seed = seed_text(&[7; 32]);
        assert!(seed.starts_with("SU"), "{seed}");
        let error = seed_of(&seed[..57]).expect_err("cut off").to_string();
        assert!(!error.contains(&seed[..20]), "{error}");
        assert!(public_of(&seed).is_err() && seed_of(&text).is_err());
    }
}
