//! Ranges of addresses, searched by address.

/// Ranges by address. They may overlap: the command gives functions, not a partition.
pub struct Index {
    /// Start, end and number, by start.
    sorted: Vec<(u64, u64, u32)>,
    /// The longest range.
    longest: u64,
}

impl Index {
    /// Of ranges given as start and length.
    pub fn new(ranges: &[(u64, u64)]) -> Index {
        let mut sorted: Vec<(u64, u64, u32)> = ranges
            .iter()
            .zip(0..)
            .map(|((start, len), number)| (*start, start.saturating_add(*len), number))
            .collect();
        sorted.sort_unstable();
        let longest = sorted.iter().map(|(start, end, _)| end - start).max();
        Index {
            sorted,
            longest: longest.unwrap_or(0),
        }
    }

    /// Ranges that hold an instruction at this address.
    pub fn holding(&self, address: u64) -> impl Iterator<Item = u32> {
        self.starting_up_to(address)
            .filter(move |(_, end, _)| address < *end)
            .map(|(_, _, number)| *number)
    }

    /// Ranges with a call that returns to this address: behind the first byte, and at the end too, where
    /// a call that never returns is the last instruction.
    pub fn returned_to(&self, address: u64) -> impl Iterator<Item = u32> {
        self.starting_up_to(address)
            .filter(move |(start, end, _)| *start < address && address <= *end)
            .map(|(_, _, number)| *number)
    }

    fn starting_up_to(&self, address: u64) -> impl Iterator<Item = &(u64, u64, u32)> {
        let behind = self
            .sorted
            .partition_point(|(start, _, _)| *start <= address);
        self.sorted[..behind]
            .iter()
            .rev()
            .take_while(move |(start, _, _)| address - start <= self.longest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn return_addresses_are_behind_the_first_byte_and_up_to_the_end() {
        let index = Index::new(&[(100, 10), (110, 10), (0, 1000)]);
        let sorted = |found: &mut dyn Iterator<Item = u32>| {
            let mut found: Vec<u32> = found.collect();
            found.sort_unstable();
            found
        };
        assert_eq!(sorted(&mut index.returned_to(100)), [2]);
        assert_eq!(sorted(&mut index.returned_to(101)), [0, 2]);
        assert_eq!(sorted(&mut index.returned_to(110)), [0, 2]);
        assert_eq!(sorted(&mut index.holding(110)), [1, 2]);
        assert_eq!(sorted(&mut index.holding(99)), [2]);
        assert_eq!(sorted(&mut index.returned_to(1001)), [0u32; 0]);
    }
}
