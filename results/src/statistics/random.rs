//! SplitMix64: random numbers and hashes that are functions of their input.

const INCREMENT: u64 = 0x9e37_79b9_7f4a_7c15;
const MULTIPLIERS: [u64; 2] = [0xbf58_476d_1ce4_e5b9, 0x94d0_49bb_1331_11eb];

/// The random number at `index` of the stream that starts at `seed`.
///
/// A function of the index, so that results do not depend on the number of threads.
///
/// Source: Steele, Lea and Flood 2014.
pub fn at_index(seed: u64, index: u64) -> u64 {
    let z = seed.wrapping_add(index.wrapping_add(1).wrapping_mul(INCREMENT));
    finish((z ^ (z >> 30)).wrapping_mul(MULTIPLIERS[0]))
}

/// The same, as a number from 0 to 1.
pub fn uniform(seed: u64, index: u64) -> f64 {
    (at_index(seed, index) >> 11) as f64 / (1_u64 << 53) as f64
}

/// A hash of some bytes; for orders without a meaning, not for security.
pub fn hash_bytes(bytes: &[u8]) -> u64 {
    bytes.iter().fold(INCREMENT, |state, &byte| {
        finish(state.wrapping_add(u64::from(byte)).wrapping_mul(MULTIPLIERS[0]))
    })
}

fn finish(z: u64) -> u64 {
    let z = (z ^ (z >> 27)).wrapping_mul(MULTIPLIERS[1]);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stream_is_splitmix64s() {
        // The reference implementation started at 1234567.
        assert_eq!(at_index(1_234_567, 0), 6_457_827_717_110_365_317);
        assert_eq!(at_index(1_234_567, 1), 3_203_168_211_198_807_973);
    }
}
