//! Tests of the text tokenizer on synthetic rank files.

use std::io::Write;

use super::*;
use crate::tokens::synthetic_ranks;

/// The tokenizer of a rank file with the lines `ranks`.
fn tokenizer(ranks: &str) -> Result<TextTokenizer, TokenError> {
    TextTokenizer::open(file(ranks).path(), None)
}

fn file(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    file.write_all(text.as_bytes()).expect("it can be written");
    file
}

/// 256 bytes, fillers up to the published number of ranks.
fn published_size() -> String {
    let mut lines = synthetic_ranks();
    for rank in 256..151_643_u32 {
        // Four bytes that are not UTF-8 occur in no text.
        let token = BASE64_STANDARD.encode(rank.to_be_bytes().map(|byte| byte ^ 0xFF));
        lines.push_str(&format!("{token} {rank}\n"));
    }
    lines
}

#[test]
fn the_size_text_is_single_characters() {
    let tokenizer = tokenizer(&synthetic_ranks()).unwrap();
    assert_eq!(tokenizer.encode("1*25*25"), [16, 9, 17, 20, 9, 17, 20]);
    assert_eq!(tokenizer.encode("*0123456"), [9, 15, 16, 17, 18, 19, 20, 21]);
    assert_eq!(tokenizer.encode(""), [0_i64; 0]);
}

#[test]
fn special_tokens_have_the_published_ids() {
    let tokenizer = tokenizer(&published_size()).unwrap();
    assert_eq!(tokenizer.vocabulary(), 184_622);
    let table = [
        ("<|endoftext|>", 151_643),
        ("<|im_start|>", 151_644),
        ("<|im_end|>", 151_645),
        ("<|extra_0|>", 151_646),
        ("<|extra_196|>", 151_842),
        ("<|extra_197|>", 151_843),
        ("<|extra_198|>", 151_844),
        ("<|extra_199|>", 151_845),
        ("<|extra_200|>", 151_846),
        ("<|extra_201|>", 151_847),
        ("<|extra_202|>", 151_848),
        ("<|extra_203|>", 151_849),
        ("<|extra_204|>", 151_850),
        ("<|image token|>", 151_851),
        ("<|image start|>", 151_852),
        ("<|image end|>", 151_853),
        ("<|visual token 000000|>", 151_854),
        ("<|visual token 032767|>", 184_621),
    ];
    for (name, id) in table {
        assert_eq!(tokenizer.encode(name), [id], "{name}");
        assert_eq!(tokenizer.special(name), Some(id), "{name}");
    }
}

#[test]
fn a_small_rank_file_gives_small_ids() {
    let tokenizer = tokenizer(&synthetic_ranks()).unwrap();
    assert_eq!(tokenizer.encode("<|endoftext|><|visual token 000000|>"), [256, 256 + 211]);
    assert_eq!(tokenizer.vocabulary(), 256 + 211 + 32768);
}

#[test]
fn special_tokens_are_recognized_inside_text() {
    let tokenizer = tokenizer(&synthetic_ranks()).unwrap();
    let begin = tokenizer.special("<|extra_203|>").unwrap();
    assert_eq!(tokenizer.encode("<|extra_203|>1"), [begin, 16]);
    assert_eq!(tokenizer.encode("1<|<|extra_203|>|>"), [16, 27, 91, begin, 91, 29]);
    // A name that is in no list is text.
    assert_eq!(tokenizer.encode("<|no|>").len(), 6);
}

#[test]
fn text_is_composed_before_it_is_encoded() {
    let tokenizer = tokenizer(&synthetic_ranks()).unwrap();
    assert_eq!(tokenizer.encode("e\u{301}"), tokenizer.encode("\u{E9}"));
    assert_eq!(tokenizer.encode("\u{E9}").len(), 2);
}

#[test]
fn pairs_merge_by_rank() {
    let mut ranks = synthetic_ranks();
    for (rank, token) in (256..).zip(["ed", " r", "re", " red", "xx"]) {
        ranks.push_str(&format!("{} {rank}\n", BASE64_STANDARD.encode(token)));
    }
    let tokenizer = tokenizer(&ranks).unwrap();
    assert_eq!(tokenizer.encode("red"), [81, 256]);
    assert_eq!(tokenizer.encode(" red"), [259]);
    assert_eq!(tokenizer.encode(" reds"), [259, 82]);
    assert_eq!(tokenizer.encode("xxx"), [260, 87]);
}

#[test]
fn a_given_list_replaces_the_published_names() {
    let ranks = file(&synthetic_ranks());
    let names = file("<|image token|>\n\n  <|visual token 000000|> \n");
    let tokenizer = TextTokenizer::open(ranks.path(), Some(names.path())).unwrap();
    assert_eq!(tokenizer.vocabulary(), 256 + 208 + 2);
    assert_eq!(tokenizer.special("<|visual token 000000|>"), Some(256 + 209));

    for broken in ["image", "<|a|><|b|>", "<|extra_7|>", "<|a|>\n<|a|>"] {
        let names = file(broken);
        assert!(TextTokenizer::open(ranks.path(), Some(names.path())).is_err(), "{broken}");
    }
}

#[test]
fn broken_rank_files_are_errors() {
    let whole = synthetic_ranks();
    let without_last = &whole[..whole.trim_end().rfind('\n').unwrap()];
    let cases = [
        ("", "lacks the single byte 0"),
        (without_last, "lacks the single byte 173"),
        ("IQ==", "line 1"),
        ("IQ== 0 0", "line 1"),
        ("IQ== 0\n!!!! 1", "line 2"),
        ("IQ== 0\nIg== -1", "line 2"),
        ("IQ== 0\nIg== 99999999999", "line 2"),
        ("IQ== 0\nIg== 0", "repeats a rank"),
        ("IQ== 0\nIg== 4000000000", "lacks rank 1"),
        ("IQ== 0\nIQ== 1", "two ranks for one token"),
    ];
    for (ranks, wanted) in cases {
        let message = tokenizer(ranks).map(|_| ()).unwrap_err().to_string();
        assert!(message.contains(wanted), "`{message}` lacks `{wanted}`");
    }
    assert!(TextTokenizer::open(Path::new("/nonexistent/ranks"), None).is_err());
}
