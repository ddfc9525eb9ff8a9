//! The masks against the rules of the released code, position by position.

use super::*;

const TWO_IMAGES: [usize; 2] = [4, 3];

fn parts(images: &[usize]) -> Parts {
    Parts::new(3, images.to_vec(), 5)
}

/// The same without generated images.
fn actions_only(images: &[usize]) -> Parts {
    Parts { future: vec![], ..parts(images) }
}

fn sees(runs: &[Run], query: usize, key: usize) -> bool {
    let run = runs.iter().find(|run| (run.start..run.end).contains(&query));
    run.expect("the runs cover the sequence").attends(query, key)
}

/// One character per position: text, begin mark, end mark, other.
fn marks(parts: &Parts, end_of_actions: Option<usize>) -> Vec<char> {
    let mut marks = vec!['t'; parts.text];
    for length in parts.images.iter().chain(&parts.future) {
        marks.push('b');
        marks.extend(vec!['.'; length - 2]);
        marks.push('e');
    }
    marks.push('b');
    marks.extend(vec!['.'; parts.actions - 1]);
    if let Some(position) = end_of_actions {
        marks[position] = 'e';
    }
    marks
}

/// The released rules, evaluated position by position from the marks.
fn by_marks(attention: Attention, marks: &[char], query: usize, key: usize) -> bool {
    let count = |mark: char, at: usize| marks[..=at].iter().filter(|&&other| other == mark).count();
    let visual = |at: usize| count('b', at) > count('e', at) || marks[at] == 'e';
    let flips = |at: usize| (1..=at).filter(|&i| visual(i) != visual(i - 1)).count();
    let block = |at: usize| if visual(at) { count('b', at) } else { 0 };
    match attention {
        Attention::Released => flips(key) <= flips(query) && (visual(query) || key <= query),
        Attention::ReleasedBidirectional => {
            let (a, b) = (block(query), block(key));
            key <= query || (a > 0 && a == b) || (a >= 3 && b >= 3)
        }
        Attention::Hybrid | Attention::Causal => unreachable!("not made from marks"),
    }
}

#[test]
fn the_released_masks_follow_from_the_marks_with_and_without_an_end_of_actions() {
    for attention in [Attention::Released, Attention::ReleasedBidirectional] {
        let lengths = [&TWO_IMAGES[..], &TWO_IMAGES[..1], &[3, 4, 5]];
        for parts in lengths.into_iter().flat_map(|views| [parts(views), actions_only(views)]) {
            let slots = parts.total() - parts.actions + 1..parts.total();
            for end in slots.map(Some).chain([None]) {
                let runs = attention.runs(&parts, end);
                let marks = marks(&parts, end);
                for (query, key) in square(parts.total()) {
                    let wanted = by_marks(attention, &marks, query, key);
                    let got = sees(&runs, query, key);
                    assert_eq!(got, wanted, "{attention} {end:?}: {query} sees {key}");
                }
                let ids = SpecialIds::default();
                let id = |mark: &char| match mark {
                    'b' => ids.boa_token_id,
                    'e' => ids.eoi_token_id,
                    _ => 7,
                };
                let ids: Vec<i64> = marks.iter().map(id).collect();
                let same = released_runs(&ids, &SpecialIds::default()) == runs;
                assert!(same || attention != Attention::Released, "{end:?}");
            }
        }
    }
}

#[test]
fn hybrid_parts_see_themselves_and_what_stands_before_them() {
    let parts = parts(&TWO_IMAGES);
    let runs = Attention::Hybrid.runs(&parts, None);
    let part = |at: usize| [3, 10, 17, 22].iter().position(|&end| at < end);
    for (query, key) in square(parts.total()) {
        let wanted = if query < 3 { key <= query } else { part(key) <= part(query) };
        assert_eq!(sees(&runs, query, key), wanted, "{query} sees {key}");
    }
}

#[test]
fn causal_is_the_lower_triangle() {
    let runs = Attention::Causal.runs(&parts(&TWO_IMAGES), Some(20));
    assert!(square(22).all(|(query, key)| sees(&runs, query, key) == (key <= query)));
}

#[test]
fn frozen_positions_see_only_frozen_positions() {
    let parts = parts(&TWO_IMAGES);
    let wanted = [3, 10, 10, 10];
    for (attention, wanted) in Attention::ALL.into_iter().zip(wanted) {
        let runs = attention.runs(&parts, None);
        let count = cacheable(&runs, parts.prompt());
        assert_eq!(count, wanted, "{attention}");
        let leak = (0..count).any(|query| (count..22).any(|key| sees(&runs, query, key)));
        assert!(!leak, "{attention}");
    }
}

#[test]
fn runs_from_a_position_keep_what_each_query_sees() {
    for attention in Attention::ALL {
        let runs = attention.runs(&parts(&TWO_IMAGES), Some(19));
        let first = cacheable(&runs, 10);
        let rest = from_position(&runs, first);
        assert_eq!(rest[0].start, first, "{attention}");
        for (query, key) in square(22).filter(|(query, _)| *query >= first) {
            assert_eq!(sees(&rest, query, key), sees(&runs, query, key), "{attention}");
        }
    }
}

#[test]
fn names_read_back() {
    for attention in Attention::ALL {
        assert_eq!(attention.to_string().parse(), Ok(attention));
        let json = serde_json::to_string(&attention).unwrap();
        assert_eq!(json, format!("\"{attention}\""));
    }
    assert!("full".parse::<Attention>().is_err());
}

fn square(n: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..n * n).map(move |index| (index / n, index % n))
}
