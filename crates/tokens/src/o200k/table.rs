//! An open hash table of small numbers, one word for each entry: half the memory of a general one.

/// The bits of a cell that hold the value. The key has the others.
const VALUE_BITS: u32 = 20;
const VALUE: u64 = (1 << VALUE_BITS) - 1;
/// No entry has this cell: keys are shorter.
const EMPTY: u64 = u64::MAX;

/// How many bits there are for each cell that say whether a key was seen.
const SEEN: usize = 4;

/// Keys of up to 43 bits, values of up to 20.
#[derive(Debug)]
pub(super) struct Table {
    cells: Vec<u64>,
    bits: u32,
    /// A bit for each hash of a key. Most keys that are looked for are not there: this says so, and stays in the cache, which
    /// makes noise twice as fast.
    seen: Vec<u64>,
}

impl Table {
    /// A table with `1 << bits` cells, for at most half as many entries.
    pub(super) fn with_bits(bits: u32) -> Self {
        let cells = vec![EMPTY; 1 << bits];
        let seen = vec![0; (1 << bits) * SEEN / 64];
        Self { cells, bits, seen }
    }

    /// The value of this key, and how many cells were looked at.
    pub(super) fn get(&self, key: u64) -> (Option<u32>, u64) {
        let (word, bit) = self.bit(key);
        if self.seen.get(word).is_none_or(|word| word & bit == 0) {
            return (None, 1);
        }
        let (mut at, mut steps) = (self.first(key), 1);
        while let Some(cell) = self.cells.get(at).copied() {
            steps += 1;
            if cell >> VALUE_BITS == key {
                return (u32::try_from(cell & VALUE).ok(), steps);
            }
            if cell == EMPTY {
                break;
            }
            at = self.after(at);
        }
        (None, steps)
    }

    /// Adds a key that is not there yet.
    pub(super) fn add(&mut self, key: u64, value: u32) {
        let (word, bit) = self.bit(key);
        if let Some(word) = self.seen.get_mut(word) {
            *word |= bit;
        }
        let mut at = self.first(key);
        while self.cells.get(at).is_some_and(|cell| *cell != EMPTY) {
            at = self.after(at);
        }
        if let Some(cell) = self.cells.get_mut(at) {
            *cell = key << VALUE_BITS | u64::from(value);
        }
    }

    /// Where the bit of a key is.
    fn bit(&self, key: u64) -> (usize, u64) {
        let hash = key.wrapping_mul(0xD6E8_FEB8_6659_FD93) >> (u64::BITS - self.bits - SEEN.ilog2());
        (usize::try_from(hash >> 6).unwrap_or_default(), 1 << (hash & 63))
    }

    /// The first place where a key may be.
    fn first(&self, key: u64) -> usize {
        let hash = key.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> (u64::BITS - self.bits);
        usize::try_from(hash).unwrap_or_default()
    }

    /// The place after this one.
    fn after(&self, at: usize) -> usize {
        (at + 1) & ((1 << self.bits) - 1)
    }
}
