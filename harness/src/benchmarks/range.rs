//! Numbers as they are typed: `3`, or a range with both ends such as `0-4`.

use std::ops::RangeInclusive;

/// One number or a range.
pub type Numbers = RangeInclusive<u16>;

/// The numbers that `text` names; lists are split at commas before.
///
/// # Errors
/// When it is neither a number nor a range with its lower end first, or goes beyond `most`.
pub fn numbers(text: &str, most: u16) -> Result<Numbers, String> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let number = |text: &str| text.trim().parse::<u16>().ok();
    match (number(first), number(last)) {
        (Some(first), Some(last)) if first <= last && last <= most => Ok(first..=last),
        (Some(first), Some(last)) if first > last => {
            Err(format!("the range ends before it begins; type {last}-{first}"))
        }
        _ => Err(format!("expected a number from 0 to {most}, or a range such as 0-{most}")),
    }
}

/// Whether any of `all` has `number`.
pub fn contain(all: &[Numbers], number: u16) -> bool {
    all.iter().any(|numbers| numbers.contains(&number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_and_a_range_are_read_and_anything_else_is_explained() {
        assert_eq!(numbers("7", 9), Ok(7..=7));
        assert_eq!(numbers("0-4", 9), Ok(0..=4));
        assert_eq!(numbers("9-9", 9), Ok(9..=9));
        assert!(numbers("4-0", 9).unwrap_err().ends_with("type 0-4"));
        for text in ["10", "5-10", "", "-", "-3", "3-", "a", "1.5", "0-70000"] {
            let error = numbers(text, 9).unwrap_err();
            assert!(error.contains("from 0 to 9"), "{text}: {error}");
        }
        let some = [0..=1, 7..=7];
        assert_eq!((0..9).filter(|&n| contain(&some, n)).collect::<Vec<_>>(), [0, 1, 7]);
    }
}
