//! The text of public keys, and the one function that verifies.

use ring::signature::{ED25519, UnparsedPublicKey};

const LETTERS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
/// What the key of a user begins with.
const USER: u8 = 20 << 3;

/// The 32 bytes of a public key: base32 of a prefix, the key, and a checksum with its lower byte first.
pub(crate) fn bytes_of(text: &str) -> Option<[u8; 32]> {
    let mut bits: Vec<bool> = Vec::with_capacity(280);
    for letter in text.chars() {
        let value = LETTERS.find(letter)?;
        bits.extend((0..5).rev().map(|place| value >> place & 1 == 1));
    }
    let bytes: Vec<u8> = bits
        .chunks_exact(8)
        .map(|byte| byte.iter().fold(0, |sum, bit| sum << 1 | u8::from(*bit)))
        .collect();
    let [prefix, key @ .., low, high] = bytes.as_slice() else {
        return None;
    };
    let whole = bytes.get(..bytes.len().checked_sub(2)?)?;
    let is_whole = crc(whole) == u16::from_le_bytes([*low, *high]);
    (*prefix == USER && is_whole && text.len() == 56).then(|| key.try_into().ok())?
}

/// CRC-16 with polynomial 0x1021, begun with 0.
fn crc(bytes: &[u8]) -> u16 {
    let mut sum = 0_u16;
    for byte in bytes {
        for place in (0..8).rev() {
            let bit = u16::from(byte >> place & 1) ^ (sum >> 15);
            sum = sum << 1 ^ (bit * 0x1021);
        }
    }
    sum
}

/// Whether the holder of a key has signed these bytes.
pub(crate) fn has_signed(key: &[u8; 32], bytes: &[u8], signature: &[u8]) -> bool {
    UnparsedPublicKey::new(&ED25519, key).verify(bytes, signature).is_ok()
}
