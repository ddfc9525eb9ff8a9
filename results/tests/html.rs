//! The pages: valid, escaped, self-contained, and telling what the records tell.

use scraper::{ElementRef, Html, Selector};
use udvla_results::compare::pairs::compare;
use udvla_results::out::html::{compare_page, run_page};
use udvla_results::out::plots::{of_comparison, of_run};
use udvla_results::run::read::Run;

use crate::build;

fn page(run: &Run) -> String {
    let paper = build::paper();
    run_page(run, &build::summary(run), &of_run(run, &paper).unwrap(), &paper)
}

fn compared(a: &Run, b: &Run) -> String {
    let comparison = compare(a, b).unwrap();
    compare_page(&comparison, ["runs/a", "runs/<b>"], &of_comparison(&comparison).unwrap())
}

fn all<'a>(html: &'a Html, selector: &str) -> Vec<ElementRef<'a>> {
    html.select(&Selector::parse(selector).unwrap()).collect()
}

fn texts(html: &Html, selector: &str) -> Vec<String> {
    all(html, selector).iter().map(|element| element.text().collect()).collect()
}

/// A run with an episode of every kind.
fn mixed() -> Run {
    let mut run = build::libero_long(3);
    for (task, successes) in (0..).zip([50, 31, 0]) {
        build::task_counts(&mut run, "long", task, successes);
    }
    build::fail(&mut run, "long", 1, 49);
    build::forget(&mut run, "long", 2, 49);
    run
}

/// Runs of all benchmarks and troubles.
fn runs() -> Vec<(&'static str, Run)> {
    let mut hostile = mixed();
    let evil = "</script></style><img src=x onerror=alert(1)>\"'&]]>-->";
    hostile.manifest.run = evil.into();
    hostile.manifest.directory = evil.into();
    hostile.manifest.command = vec!["libero".into(), evil.into()];
    hostile.manifest.plan[0].instruction = evil.into();
    hostile.manifest.subject.other.insert("note".into(), evil.into());
    hostile.manifest.setting.other.insert("note".into(), evil.into());
    for record in hostile.records.values_mut() {
        record.error_message = Some(evil.into());
        record.video = Some("javascript:alert(1)".into());
        record.started = evil.into();
    }
    vec![
        ("mixed", mixed()),
        ("nothing", build::libero_long(3)),
        ("libero", build::libero_as_published()),
        ("calvin", build::calvin_as_published()),
        ("simpler", build::simpler_as_published()),
        ("chains", build::calvin_of_lengths(&[5, 3, 0])),
        ("hostile", hostile),
    ]
}

/// Whether a browser would fetch something from elsewhere, or run what a run says.
#[track_caller]
fn assert_self_contained(name: &str, html: &Html) {
    for attribute in ["src", "href", "action", "poster", "data", "srcset", "xlink:href"] {
        for element in all(html, &format!("[{}]", attribute.replace(':', "\\:"))) {
            let target = element.value().attr(attribute).unwrap();
            let inside = target.starts_with('#') || target.starts_with("./");
            assert!(inside, "{name}: {attribute} leads to {target}");
        }
    }
    for element in all(html, "*") {
        let handlers = element.value().attrs().filter(|(key, _)| key.starts_with("on"));
        assert_eq!(handlers.count(), 0, "{name}: {:?}", element.value());
    }
    assert_eq!(all(html, "script").len(), usize::from(name != "compare"), "{name}");
    assert!(all(html, "img, link, iframe, object, embed, base").is_empty(), "{name}");
    let style: String = texts(html, "style").concat();
    assert!(!style.contains("url(") && !style.contains("@import"), "{name}");
    let policy = all(html, "meta[http-equiv=Content-Security-Policy]");
    assert!(policy[0].value().attr("content").unwrap().starts_with("default-src 'none'"));
}

#[test]
fn pages_are_valid_and_fetch_nothing() {
    let mut pages: Vec<(&str, String)> =
        runs().iter().map(|(name, run)| (*name, page(run))).collect();
    pages.push(("compare", compared(&mixed(), &build::libero_long_counts(&[40, 40, 1]))));
    for (name, text) in pages {
        let html = Html::parse_document(&text);
        assert_eq!(html.errors, Vec::<String>::new(), "{name}");
        assert_self_contained(name, &html);
        let ids: Vec<&str> =
            all(&html, "[id]").iter().filter_map(|element| element.value().id()).collect();
        let mut unique = ids.clone();
        unique.sort_unstable();
        unique.dedup();
        assert_eq!(unique.len(), ids.len(), "{name}: an id stands twice");
        for link in all(&html, "a[href^='#']") {
            let target = link.value().attr("href").unwrap().trim_start_matches('#');
            assert!(unique.binary_search(&target).is_ok(), "{name}: nothing has the id {target}");
        }
        for element in all(&html, "[aria-labelledby]") {
            let label = element.value().attr("aria-labelledby").unwrap();
            assert!(unique.binary_search(&label).is_ok(), "{name}: no label {label}");
        }
        assert_eq!(all(&html, "h1").len(), 1, "{name}");
        assert_eq!(all(&html, "html[lang]").len(), 1, "{name}");
    }
}

#[test]
fn every_row_has_a_cell_per_column() {
    for (name, run) in runs() {
        let html = Html::parse_document(&page(&run));
        let cell = Selector::parse("th, td").unwrap();
        for table in all(&html, "table") {
            let rows = Selector::parse("tr").unwrap();
            let widths: Vec<usize> =
                table.select(&rows).map(|row| row.select(&cell).count()).collect();
            let head = table.text().take(3).collect::<String>();
            assert!(widths.iter().all(|width| *width == widths[0]), "{name}: {head}: {widths:?}");
        }
    }
}

#[test]
fn a_page_has_all_its_parts_and_numbers() {
    let html = Html::parse_document(&page(&build::libero_as_published()));
    let heads = texts(&html, "main > section > h2");
    let expected = [
        "Summary",
        "Tables",
        "Plots",
        "Episodes",
        "Differences to the paper",
        "Protocol",
        "Manifest",
    ];
    assert_eq!(heads, expected);
    let numbers = texts(&html, ".card .number");
    assert_eq!(numbers, ["96.1 %", "96.2 %", "98.8 %", "94.2 %", "95.2 %"]);
    assert_eq!(texts(&html, ".card .verdict"), ["✓ agrees"; 5]);
    assert_eq!(all(&html, "figure svg[role=img]").len(), 4);
    assert_eq!(all(&html, "#grids a.cell").len(), 2000);
    assert_eq!(all(&html, "#tables table").len(), 5);
    let calvin = Html::parse_document(&page(&build::calvin_as_published()));
    assert_eq!(texts(&calvin, ".card .number"), ["4.64"]);
    let simpler = Html::parse_document(&page(&build::simpler_as_published()));
    assert_eq!(texts(&simpler, ".card .number"), ["76.0 %"]);
}

#[test]
fn an_episode_is_told_by_sign_and_words_as_well_as_by_colour() {
    let html = Html::parse_document(&page(&mixed()));
    let signs = |class: &str| -> Vec<String> {
        let mut signs = texts(&html, &format!("#grids .cell.{class}"));
        signs.dedup();
        signs
    };
    assert_eq!(signs("solved"), ["✓"]);
    assert_eq!(signs("failed"), ["×"]);
    assert_eq!(signs("error"), ["!"]);
    assert_eq!(signs("missing"), ["·"]);
    for (class, count) in [("solved", 81), ("failed", 67), ("error", 1), ("missing", 1)] {
        assert_eq!(all(&html, &format!("#grids .cell.{class}")).len(), count, "{class}");
    }
    let label = all(&html, "#grids .cell.error")[0].value().attr("aria-label").unwrap();
    assert_eq!(label, "trial 49: error: could not be run, 0 steps");
    let mut noted = build::simpler_as_published();
    for record in noted.records.values_mut() {
        record.notes.insert("success_any".into(), true.into());
    }
    let noted = Html::parse_document(&page(&noted));
    assert!(texts(&noted, "#widowx-task00-trial000 td").contains(&"success_any true".to_owned()));
    let row = &texts(&html, "#long-task01-trial049")[0];
    assert!(row.contains("lost: the simulator went away"), "{row}");
}

#[test]
fn a_chain_shows_how_far_it_came() {
    let html = Html::parse_document(&page(&build::calvin_as_published()));
    let signs = texts(&html, "#grids a.cell");
    for (length, count) in (0..).zip([4, 12, 16, 16, 32, 420]) {
        let found = signs.iter().filter(|sign| **sign == format!("{length}")).count();
        assert_eq!(found, count, "chains of {length}");
    }
}

#[test]
fn a_chain_names_its_sub_tasks_and_the_first_that_failed() {
    let html = Html::parse_document(&page(&build::calvin_of_lengths(&[5, 1])));
    let cells = |id: &str| texts(&html, &format!("#{id} td"));
    let whole = &cells("abcd-d-task00-trial000")[3];
    assert_eq!(whole.matches('✓').count(), 5, "{whole}");
    let cut = &cells("abcd-d-task00-trial001")[3];
    let signs: String = cut.chars().filter(|c| "✓×·".contains(*c)).collect();
    assert_eq!(signs, "✓×···", "{cut}");
}

#[test]
fn texts_of_a_run_stay_texts() {
    let (_, hostile) = runs().pop().expect("the hostile run is the last");
    let text = page(&hostile);
    assert!(!text.contains("<img"), "markup got through");
    let html = Html::parse_document(&text);
    let video = all(&html, "a.video")[0].value().attr("href").unwrap();
    assert_eq!(video, "./javascript%3Aalert%281%29");
    let instruction = all(&html, ".task")[0].value().attr("data-instruction").unwrap();
    assert!(instruction.starts_with("</script></style><img"), "{instruction}");
}

#[test]
fn settings_that_differ_from_the_papers_are_named() {
    let mut run = build::calvin_as_published();
    for (key, value) in [("attention", "released"), ("target", "future"), ("chunk", "10")] {
        build::set_subject(&mut run, key, value);
    }
    let html = Html::parse_document(&page(&run));
    let rows: Vec<String> = all(&html, "#paper tr")
        .iter()
        .map(|row| row.text().collect::<Vec<_>>().join("|"))
        .collect();
    let has =
        |start: &str| assert!(rows.iter().any(|row| row.starts_with(start)), "{start}: {rows:#?}");
    has("protocol|calvin-abcd-d|calvin-abcd-d|same");
    has("attention|hybrid|released|differs");
    has("target of the visual generation|future|future|same");
    has("actions in a chunk|10|10|same|settings of CALVIN");
    has("CALVIN ABCD→D, average length|4.64|4.64|+0.00");
    has("CALVIN ABCD→D, 5 in a row|0.840|0.840");
}

#[test]
fn a_comparison_lists_every_flip_with_what_to_type() {
    let html = Html::parse_document(&compared(&mixed(), &build::libero_long_counts(&[48, 33, 0])));
    assert_eq!(texts(&html, "#a h2"), ["A did better: 2 episodes"]);
    assert_eq!(texts(&html, "#b h2"), ["B did better: 2 episodes"]);
    assert_eq!(
        texts(&html, "#a tbody tr td:first-child"),
        ["long-task00-trial048", "long-task00-trial049"]
    );
    let commands = texts(&html, "#b code.command");
    assert_eq!(commands[1], "udvla-eval replay 'runs/<b>' long-task01-trial031 --video videos");
    assert_eq!(all(&html, "figure svg").len(), 1);
}
