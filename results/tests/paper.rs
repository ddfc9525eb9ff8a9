//! The published numbers, as data.

use udvla_results::paper::Paper;

#[test]
fn libero_suites_are_counts_of_500() {
    let table = Paper::bundled().table("libero").unwrap().clone();
    for (suite, share) in [("spatial", 0.962), ("object", 0.988), ("goal", 0.942), ("long", 0.952)]
    {
        assert_eq!(table.suite(suite).unwrap().estimate.value, share, "{suite}");
    }
    let average = table.average().unwrap();
    assert_eq!((format!("{:.4}", average.estimate.value), average.n), ("0.9610".into(), 2000));
}

#[test]
fn every_model_has_a_cell_per_component() {
    let table = Paper::bundled().components;
    for row in &table.rows {
        assert_eq!(row.cells.len(), table.columns.len(), "{}", row.method);
    }
}

#[test]
fn simpler_is_73_of_96() {
    let table = Paper::bundled().table("simpler").unwrap().clone();
    let suite = table.suite("widowx").unwrap();
    assert_eq!((suite.estimate.value, suite.n), (73.0 / 96.0, 96));
    // 91.6 is 22/24, truncated and not rounded.
    assert_eq!(table.task("widowx", 3).unwrap().estimate.value, 22.0 / 24.0);
}

#[test]
fn calvins_shares_give_its_average_length() {
    let table = Paper::bundled().table("calvin").unwrap().clone();
    let length = table.average_length("abcd-d", 5).unwrap();
    assert!((length.estimate.value - 4.64).abs() < 1e-12);
    assert_eq!(table.in_a_row("abcd-d", 1).unwrap().estimate.value, 0.992);
    assert_eq!(table.suite("abcd-d"), None);
}

#[test]
fn every_row_has_a_value_per_column_and_counts_where_it_names_n() {
    for table in Paper::bundled().tables {
        for row in &table.rows {
            assert_eq!(row.values.len(), table.columns.len(), "{}", row.method);
            assert_eq!(row.status, "published");
            for &value in row.n.iter().flat_map(|_| &row.values) {
                let count = table.measure.count(value, row.n.unwrap());
                assert!(count.is_some(), "{} {value}", row.method);
            }
        }
    }
}
