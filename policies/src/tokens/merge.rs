//! Splitting text into pieces, and byte-pair merging; shared by both tokenizers.

use regex::Regex;

/// Splits text into pieces that are encoded separately.
#[derive(Debug)]
pub(super) struct Splitter {
    /// Matches at every position of any text; group 1 is white space whose last character belongs
    /// to the next piece.
    pattern: Regex,
}

impl Splitter {
    /// Emu3's rule: contractions in any case, words with one preceding mark, single digits,
    /// punctuation with following line ends, line ends, other white space.
    ///
    /// Source: the tokenizer file of Emu3 (the same rule as Qwen's).
    pub(super) fn emu3() -> Self {
        Self::new(concat!(
            r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}",
            r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|(\s+)"
        ))
    }

    /// GPT-2's rule, for the action tokenizers: as above, but digits are grouped, only a space joins
    /// the following word, and line ends are white space.
    pub(super) fn gpt2() -> Self {
        Self::new(r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|(\s+)")
    }

    fn new(pattern: &str) -> Self {
        Self { pattern: Regex::new(pattern).expect("the patterns are constants") }
    }

    /// The pieces of `text`, in order; together they are the whole text.
    ///
    /// The original rules end in `\s+(?!\S)|\s+`: white space before another character leaves its
    /// last character to the next piece. This is done here without look-ahead, in linear time.
    pub(super) fn pieces<'t>(&'t self, text: &'t str) -> impl Iterator<Item = &'t str> {
        let mut start = 0;
        std::iter::from_fn(move || {
            let captures = self.pattern.captures_at(text, start)?;
            let mut end = captures.get_match().end();
            if let Some(blank) = captures.get(1)
                && end < text.len()
            {
                let last = blank.as_str().char_indices().next_back().map_or(0, |(at, _)| at);
                end = if last == 0 { end } else { start + last };
            }
            let piece = &text[start..end];
            start = end;
            Some(piece)
        })
    }
}

/// Merges neighboring symbols, lowest rank first (ties: leftmost), until no pair is left.
///
/// `pair` returns the rank of two neighbors and the symbol that replaces them.
pub(super) fn merge_pairs(symbols: &mut Vec<u32>, pair: impl Fn(u32, u32) -> Option<(u32, u32)>) {
    loop {
        let candidates = symbols.windows(2).enumerate();
        let best = candidates
            .filter_map(|(at, two)| pair(two[0], two[1]).map(|(rank, whole)| (rank, at, whole)))
            .min();
        let Some((_, at, whole)) = best else { return };
        symbols[at] = whole;
        symbols.remove(at + 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(splitter: &Splitter, text: &str) -> Vec<String> {
        splitter.pieces(text).map(str::to_owned).collect()
    }

    #[test]
    fn emu3_cuts_single_digits_and_keeps_a_space_with_its_word() {
        let splitter = Splitter::emu3();
        assert_eq!(cut(&splitter, "1*25 red"), ["1", "*", "2", "5", " red"]);
        assert_eq!(cut(&splitter, "it'S  a\t-b"), ["it", "'S", " ", " a", "\t", "-b"]);
        assert_eq!(cut(&splitter, "a  \n 7  "), ["a", "  \n", " ", "7", "  "]);
        assert_eq!(cut(&splitter, "end.\n\nnew   7"), ["end", ".\n\n", "new", "  ", " ", "7"]);
    }

    #[test]
    fn gpt2_cuts_groups_of_digits_and_treats_line_ends_as_blanks() {
        let splitter = Splitter::gpt2();
        assert_eq!(cut(&splitter, "a 25\n\nb'S"), ["a", " 25", "\n", "\n", "b", "'", "S"]);
        assert_eq!(cut(&splitter, "x\n\u{3000} y"), ["x", "\n\u{3000}", " y"]);
    }

    #[test]
    fn pieces_cover_any_text() {
        let characters =
            ['a', 'É', '7', '٣', ' ', '\n', '\u{A0}', '.', '\'', '\0', '🦀', '\u{301}'];
        let splitter = Splitter::emu3();
        for seed in 0..2000_usize {
            let text: String =
                (0..seed % 9).map(|i| characters[(seed / 3 + i * (seed % 11 + 1)) % 12]).collect();
            assert_eq!(cut(&splitter, &text).concat(), text);
        }
    }

    #[test]
    fn the_lowest_rank_merges_first_and_the_leftmost_of_equals() {
        let pair = |a, b| match (a, b) {
            (1, 1) => Some((0, 2)),
            (2, 1) => Some((1, 3)),
            _ => None,
        };
        let mut symbols = vec![1, 1, 1, 4];
        merge_pairs(&mut symbols, pair);
        assert_eq!(symbols, [3, 4]);
    }
}
