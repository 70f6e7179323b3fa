//! Unsigned LEB128, as record metadata, entries and inline logs use it.

/// Appends `value`.
pub(crate) fn put(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value as u8) | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Takes one number off the front; None if it is cut short or does not fit.
pub(crate) fn take(input: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = input.split_first()?;
        *input = rest;
        let bits = u64::from(byte & 0x7f);
        if shift == 63 && bits > 1 {
            return None;
        }
        value |= bits << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::{put, take};

    #[test]
    fn every_width_survives() {
        for value in (0..64)
            .flat_map(|bit| [1_u64 << bit, (1 << bit) - 1])
            .chain([u64::MAX])
        {
            let mut bytes = Vec::new();
            put(&mut bytes, value);
            let mut rest = bytes.as_slice();
            assert_eq!(take(&mut rest), Some(value));
            assert!(rest.is_empty());
            assert_eq!(take(&mut &bytes[..bytes.len() - 1]), None, "cut short");
        }
    }

    #[test]
    fn too_large_is_refused() {
        assert_eq!(take(&mut [0xff; 11].as_slice()), None);
        let mut max_plus = [0xff_u8; 10];
        max_plus[9] = 2;
        assert_eq!(take(&mut max_plus.as_slice()), None);
    }
}
