//! Objects with damage, for what must not panic because of it.

/// Copies of an object, in each of which eight bits are flipped: the same ones at every run.
pub fn with_flipped_bits(object: &[u8], copies: usize) -> impl Iterator<Item = Vec<u8>> {
    let mut state = 0x2545_f491_u64;
    (0..copies).map(move |_| {
        let mut damaged = object.to_vec();
        for _ in 0..8 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let at = state as usize % damaged.len();
            damaged[at] ^= 1 << (state >> 60 & 7);
        }
        damaged
    })
}
