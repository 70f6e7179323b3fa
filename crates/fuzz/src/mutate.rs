//! Damaged copies of good inputs.

/// Longest input that is made.
const LEN_MAX: usize = 64 * 1024;
/// Bytes that parsers treat in a way of their own.
const SPECIAL: &[u8] = b"\0\n\r\t \"'\\%(){}[]:;,.=&+-_#/*@$0189aZ\x7f\x80\xc3\xff";
/// Numbers at the edges of their types.
const NUMBERS: &[&str] = &[
    "0",
    "-1",
    "1e400",
    "255",
    "65536",
    "4294967295",
    "9007199254740993",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551615",
    "-9223372036854775808",
    "99999999999999999999999",
];

/// Makes one after another, always the same from the same seed.
#[derive(Clone, Debug)]
pub struct Mutator(u64);

impl Mutator {
    /// A new sequence.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A mutation of one of these.
    pub fn next(&mut self, inputs: &[&[u8]]) -> Vec<u8> {
        let mut bytes = self.pick(inputs).map_or_else(Vec::new, <[u8]>::to_vec);
        for _ in 0..=self.below(5) {
            self.damage(&mut bytes, inputs);
        }
        bytes.truncate(LEN_MAX);
        bytes
    }

    fn damage(&mut self, bytes: &mut Vec<u8>, inputs: &[&[u8]]) {
        let at = self.below(bytes.len() + 1);
        let end = (at + self.below(16)).min(bytes.len());
        match self.below(9) {
            0 => bytes.truncate(at),
            1 => drop(bytes.drain(at..end)),
            2 => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << self.below(8);
                }
            }
            3 => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = self.next_u64().to_le_bytes()[0];
                }
            }
            4 => bytes.insert(at, SPECIAL[self.below(SPECIAL.len())]),
            5 => {
                let part = bytes[at..end].to_vec();
                for _ in 0..=self.below(40) {
                    bytes.splice(at..at, part.iter().copied());
                }
            }
            6 => {
                let number = NUMBERS[self.below(NUMBERS.len())];
                bytes.splice(at..end, number.bytes());
            }
            7 => {
                let other = self.pick(inputs).unwrap_or_default();
                let from = self.below(other.len() + 1);
                let to = (from + self.below(200)).min(other.len());
                bytes.splice(at..end, other[from..to].iter().copied());
            }
            _ => {
                let value = self.next_u64().to_le_bytes();
                let length = [1, 2, 4, 8][self.below(4)];
                bytes.splice(at..end, value[..length].iter().copied());
            }
        }
    }

    fn pick<'a>(&mut self, from: &[&'a [u8]]) -> Option<&'a [u8]> {
        if from.is_empty() {
            return None;
        }
        Some(from[self.below(from.len())])
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next_u64() % end.max(1) as u64) as usize
    }

    /// SplitMix64.
    fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}
