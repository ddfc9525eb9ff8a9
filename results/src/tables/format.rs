//! How numbers and texts are written in tables, plots and pages.

use crate::statistics::{Estimate, Rate};

/// Placeholder for a missing number.
pub const NONE: &str = "–";

/// A share as a percentage: `95.2`.
pub fn percent(share: Option<f64>) -> String {
    share.map_or(NONE.into(), |share| format!("{:.1}", share * 100.0))
}

/// The interval of a share in percent: `[93.0, 96.8]`.
pub fn percent_interval(estimate: Option<Estimate>) -> String {
    match estimate {
        Some(Estimate { low, high, .. }) => format!("[{:.1}, {:.1}]", low * 100.0, high * 100.0),
        None => NONE.into(),
    }
}

/// A share with three decimals: `0.952`.
pub fn share(share: Option<f64>) -> String {
    share.map_or(NONE.into(), |share| format!("{share:.3}"))
}

/// An average length: `4.64`.
pub fn length(length: Option<f64>) -> String {
    length.map_or(NONE.into(), |length| format!("{length:.2}"))
}

/// A mean without decimals: `271`.
pub fn whole(mean: Option<f64>) -> String {
    mean.map_or(NONE.into(), |mean| format!("{mean:.0}"))
}

/// Successes and episodes: `476/500`.
pub fn fraction(rate: Rate) -> String {
    if rate.n > 0 { format!("{}/{}", rate.successes, rate.n) } else { NONE.into() }
}

/// A difference with its interval and signs, to `decimals`: `-0.4 [-3.0, +2.2]`.
pub fn signed(difference: Estimate, decimals: usize) -> String {
    let Estimate { value, low, high } = difference;
    let scale = 10_f64.powi(i32::try_from(decimals).expect("few decimals"));
    // Adding 0 turns -0.0 into 0.0.
    let tidy = |x: f64| (x * scale).round() / scale + 0.0;
    format!("{:+.decimals$} [{:+.decimals$}, {:+.decimals$}]", tidy(value), tidy(low), tidy(high))
}

/// A difference of shares in percentage points: `-0.4 [-3.0, +2.2]`.
pub fn points(difference: Estimate) -> String {
    signed(difference.times(100.0), 1)
}

/// `3 errors`, `1 error`.
pub fn plural(n: u32, noun: &str) -> String {
    format!("{n} {noun}{}", if n == 1 { "" } else { "s" })
}

/// The first 8 digits of a `sha256:…`; other text unchanged.
pub fn short_hash(value: &str) -> String {
    match value.strip_prefix("sha256:") {
        Some(digits) => digits.chars().take(8).collect(),
        None => value.to_owned(),
    }
}

/// `text` cut to `width` characters, with `…` where something is cut off.
pub fn shorten(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let kept: String = text.chars().take(width.saturating_sub(1)).collect();
    format!("{}…", kept.trim_end())
}

/// `text` in lines of at most `width` characters, broken at spaces where there are any.
pub fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        let word = shorten(word, width);
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(&word);
            }
            _ => lines.push(word),
        }
    }
    lines
}

/// `word` quoted for a shell where it needs to be.
pub fn shell_word(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%".contains(c);
    match !word.is_empty() && word.chars().all(plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_papers_counts_print_as_in_the_paper() {
        let printed = [481.0, 494.0, 471.0, 476.0].map(|count| percent(Some(count / 500.0)));
        assert_eq!(printed, ["96.2", "98.8", "94.2", "95.2"]);
    }

    #[test]
    fn a_difference_of_nothing_has_no_minus() {
        let nothing = Estimate { value: -0.001, low: -0.04, high: 1.26 };
        assert_eq!(signed(nothing, 1), "+0.0 [+0.0, +1.3]");
    }

    #[test]
    fn text_is_never_wider_than_requested() {
        let text = "put the white mug on the left plate and a_very_long_word_without_spaces";
        for width in 1..80 {
            assert!(shorten(text, width).chars().count() <= width);
            for line in wrap(text, width) {
                assert!(line.chars().count() <= width, "{width}: {line}");
            }
        }
    }
}
