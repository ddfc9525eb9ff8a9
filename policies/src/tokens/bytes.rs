//! The byte alphabet of byte-level tokenizers: one printable character for each byte.
//!
//! Source: GPT-2's byte-level encoding. Bytes that are printable in Latin-1 stand for
//! themselves; the other 68 take the characters from U+0100 on, in the order of their value.

/// All 256 bytes in the alphabet's order: the printable ones first.
pub(super) fn ordered() -> impl Iterator<Item = u8> {
    let (printable, others): (Vec<u8>, Vec<u8>) = (0..=u8::MAX).partition(|&b| printable(b));
    printable.into_iter().chain(others)
}

/// The character of each byte, indexed by the byte.
pub(super) fn alphabet() -> [char; 256] {
    let mut characters = [char::default(); 256];
    let mut stand_ins = '\u{100}'..;
    for byte in 0..=u8::MAX {
        characters[usize::from(byte)] = if printable(byte) {
            char::from(byte)
        } else {
            stand_ins.next().expect("there are more characters than bytes")
        };
    }
    characters
}

/// Whether a byte is its own character.
fn printable(byte: u8) -> bool {
    matches!(byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_alphabet_has_256_different_characters() {
        let alphabet = alphabet();
        let distinct: std::collections::HashSet<_> = alphabet.iter().collect();
        assert_eq!(distinct.len(), 256);
        assert_eq!([alphabet[0], alphabet[0x20], alphabet[0x7F]], ['Ā', 'Ġ', 'ġ']);
        assert_eq!(alphabet[0xAD], '\u{143}');
    }

    #[test]
    fn printable_bytes_come_first() {
        let order: Vec<u8> = ordered().collect();
        assert_eq!(order.len(), 256);
        assert_eq!((order[0], order[93], order[94], order[255]), (b'!', b'~', 0xA1, 0xAD));
    }
}
