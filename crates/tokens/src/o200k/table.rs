//! An open hash table of small numbers, one word for each entry: half the memory of a general one.

/// The bits of a cell that hold the value. The key has the others.
const VALUE_BITS: u32 = 20;
const VALUE: u64 = (1 << VALUE_BITS) - 1;
/// No entry has this cell: keys are shorter.
const EMPTY: u64 = u64::MAX;

/// Keys of up to 43 bits, values of up to 20.
#[derive(Debug)]
pub(super) struct Table {
    cells: Vec<u64>,
    bits: u32,
}

impl Table {
    /// A table with `1 << bits` cells, for at most half as many entries.
    pub(super) fn with_bits(bits: u32) -> Self {
        let cells = vec![EMPTY; 1 << bits];
        Self { cells, bits }
    }

    /// The value of this key, and how many cells were looked at.
    pub(super) fn get(&self, key: u64) -> (Option<u32>, u64) {
        let (mut at, mut steps) = (self.first(key), 0);
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
        let mut at = self.first(key);
        while self.cells.get(at).is_some_and(|cell| *cell != EMPTY) {
            at = self.after(at);
        }
        if let Some(cell) = self.cells.get_mut(at) {
            *cell = key << VALUE_BITS | u64::from(value);
        }
    }

    /// The first place where a key may be.
    #[expect(clippy::cast_possible_truncation, reason = "no more bits than the table has")]
    fn first(&self, key: u64) -> usize {
        (key.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> (u64::BITS - self.bits)) as usize
    }

    /// The place after this one.
    fn after(&self, at: usize) -> usize {
        (at + 1) & ((1 << self.bits) - 1)
    }
}
