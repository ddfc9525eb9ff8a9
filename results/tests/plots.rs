//! The plots: nothing overlaps, nothing is cut off, the same bytes every time.

use std::fs;
use std::sync::Arc;

use resvg::usvg::{Group, Node, Options, Rect, Tree, fontdb::Database};
use udvla_results::out::plots::{Plot, of_run, of_runs, png, success_by_task};
use udvla_results::out::render::{markdown, summary_csv, terminal};
use udvla_results::run::manifest::{BatchCounts, RunStatus};
use udvla_results::run::read::Run;
use udvla_sims::identity::Subject;

use crate::build;

/// Runs of every shape that the plot can have.
fn runs() -> Vec<(&'static str, Run)> {
    let mut one = build::libero_long(1);
    build::task_counts(&mut one, "long", 0, 49);

    let mut ten = build::libero_long(10);
    build::spread(&mut ten, "long", 476);

    let mut troubled = build::libero_long(10);
    build::spread(&mut troubled, "long", 300);
    troubled.manifest.status = RunStatus::Interrupted;
    build::set_setting(&mut troubled, "comparable", "no: stand-in assets");
    for trial in 0..3 {
        build::fail(&mut troubled, "long", 2, trial);
        build::fail(&mut troubled, "long", 4, trial);
        build::forget(&mut troubled, "long", 4, 30 + trial);
    }
    for trial in 0..50 {
        build::forget(&mut troubled, "long", 9, trial);
    }

    let mut nothing = build::libero_long(3);
    nothing.manifest.status = RunStatus::GaveUp;
    build::set_setting(&mut nothing, "simulator", "fake");

    vec![
        ("1-task", one),
        ("10-tasks", ten),
        ("40-tasks", build::libero_as_published()),
        ("errors", troubled),
        ("nothing-ran", nothing),
        ("calvin", build::calvin_as_published()),
        ("simpler", build::simpler_as_published()),
        ("sub-tasks", build::calvin_of_lengths(&[5, 3, 0, 5, 5, 1])),
    ]
}

/// Runs of CALVIN that differ in how they decode and in how many steps.
fn variants() -> Vec<Run> {
    let variant = |(decoding, steps, checkpoint, lengths): (&str, u32, &str, [usize; 6])| {
        let mut run = build::calvin_with_lengths(lengths);
        let mut set = |key: &str, value: &str| build::set_subject(&mut run, key, value);
        set("decoding", decoding);
        set("denoise_steps", &steps.to_string());
        set("checkpoint", checkpoint);
        run.manifest.run = format!("calvin-{decoding}-{steps}");
        run.manifest.batches =
            BatchCounts { batches: 900, rows: 4000, seconds: 20.0 * f64::from(steps) + 1500.0 };
        run
    };
    [
        ("jd3p", 4, "sha256:91c0aa17d3f1b6e2", [90, 40, 30, 20, 20, 300]),
        ("jd3p", 8, "sha256:91c0aa17d3f1b6e2", [30, 20, 20, 20, 30, 380]),
        ("jd3p", 72, "sha256:91c0aa17d3f1b6e2", [4, 12, 16, 16, 32, 420]),
        ("id", 8, "sha256:91c0aa17d3f1b6e2", [50, 30, 20, 20, 40, 340]),
        ("id", 64, "sha256:91c0aa17d3f1b6e2", [20, 12, 16, 26, 42, 384]),
        ("jd3p", 72, "sha256:0123456789abcdef", [500, 0, 0, 0, 0, 0]),
    ]
    .map(variant)
    .into()
}

/// Every plot of every run, and of several together.
fn plots() -> Vec<(String, Plot)> {
    let paper = build::paper();
    let mut plots = Vec::new();
    for (name, run) in runs() {
        let of_run = of_run(&run, &paper).unwrap();
        plots.extend(of_run.into_iter().map(|plot| (format!("{name}-{}", plot.name), plot)));
    }
    let mut expert = build::libero_as_published();
    expert.manifest.subject = Subject { policy: Some("expert".into()), ..Subject::default() };
    let mut mixed = variants();
    mixed.truncate(2);
    mixed[0].manifest.setting.libtorch = Some("2.11.0+cu130 with a very long name".into());
    let mut policies = ["expert", "idle"].map(|policy| {
        let mut run = build::calvin_with_lengths([100, 0, 0, 100, 100, 200]);
        run.manifest.subject = Subject { policy: Some(policy.into()), ..Subject::default() };
        run.manifest.machine.insert("processor".into(), "a processor".into());
        run
    });
    policies[1].manifest.setting.renderer = Some("none".into());
    mixed.extend(policies);
    let several = [
        ("variants", variants()),
        ("policies", mixed),
        ("several", vec![build::libero_as_published(), expert, build::simpler_as_published()]),
    ];
    for (name, runs) in several {
        let of_runs = of_runs(&runs, &[], &paper).unwrap().0;
        plots.extend(of_runs.into_iter().map(|plot| (format!("{name}-{}", plot.name), plot)));
    }
    plots
}

#[test]
fn a_run_has_the_plots_that_its_records_give() {
    let names = |run: &Run| -> Vec<String> {
        of_run(run, &build::paper()).unwrap().into_iter().map(|plot| plot.name).collect()
    };
    let [success, chains, methods, steps, time] =
        ["success-by-task", "in-a-row", "methods", "steps-to-success", "throughput"];
    assert_eq!(names(&build::calvin_as_published()), [success, chains, methods, steps, time]);
    assert_eq!(names(&build::libero_as_published()), [success, methods, steps, time]);
    assert_eq!(names(&build::libero_long(3)), [success, methods]);
}

#[test]
fn several_runs_have_the_plots_that_their_differences_give() {
    let (plots, without) = of_runs(&variants(), &[], &build::paper()).unwrap();
    let names: Vec<_> = plots.iter().map(|plot| plot.name.as_str()).collect();
    let expected =
        ["calvin-methods", "calvin-in-a-row", "calvin-decoding-speed", "calvin-denoising-steps"];
    assert_eq!(names, expected);
    assert_eq!(without.iter().map(|one| one.takes).collect::<Vec<_>>(), ["runs of `real`"]);
    let (plots, without) = of_runs(&[build::libero_as_published()], &[], &build::paper()).unwrap();
    assert_eq!((plots.len(), without.len()), (1, 4));
    assert!(without.iter().any(|plot| plot.takes.contains("--denoise-steps")), "{without:?}");
}

#[test]
fn runs_in_one_plot_are_told_apart_by_what_differs() {
    let (plots, _) = of_runs(&variants(), &[], &build::paper()).unwrap();
    let texts = |plot: &Plot| -> Vec<String> {
        let mut texts = Vec::new();
        collect(tree(&plot.svg).root(), &mut texts);
        texts.into_iter().map(|text| text.0).collect()
    };
    let chains = texts(&plots[1]);
    let told = |start: &str| chains.iter().any(|text| text.starts_with(start));
    assert!(told("udvla 91c0aa17 jd3p 4 steps, n = 500: average length 3."), "{chains:?}");
    assert!(told("udvla 01234567 jd3p 72 steps, n = 500: average length 0.00"), "{chains:?}");
    assert!(told("paper, Table 2, n = 500: average length 4.64"), "{chains:?}");
    // Nothing that other policies do not have tells runs of one policy apart.
    let mut with_expert = variants();
    with_expert.truncate(1);
    let mut expert = with_expert[0].clone();
    expert.manifest.subject = Subject { policy: Some("expert".into()), ..Subject::default() };
    with_expert.push(expert);
    let (mixed, _) = of_runs(&with_expert, &[], &build::paper()).unwrap();
    assert!(texts(&mixed[0]).contains(&"udvla".to_owned()), "{:?}", texts(&mixed[0]));
    assert!(told("share of the episodes that ran") && told("paper"), "{chains:?}");
    // The number of steps is the axis there.
    let steps = texts(&plots[3]);
    assert!(steps.contains(&"udvla 91c0aa17 jd3p".to_owned()), "{steps:?}");
}

#[test]
fn bars_have_their_n_and_names_and_a_zoomed_axis_says_so() {
    let texts = |plot: &Plot| -> Vec<String> {
        let mut texts = Vec::new();
        collect(tree(&plot.svg).root(), &mut texts);
        texts.into_iter().map(|text| text.0).collect()
    };
    let names = [Some("ours, 64 steps".to_owned()), Some("theirs".to_owned())];
    let mut runs = vec![build::calvin_as_published(); 2];
    build::set_subject(&mut runs[1], "decoding", "ar");
    let (plots, _) = of_runs(&runs, &names, &build::paper()).unwrap();
    let bars = texts(&plots[0]);
    for name in ["ours, 64 steps", "theirs"] {
        assert!(bars.iter().any(|text| text == name), "{name}: {bars:?}");
    }
    // Two measured rows, and the published ones whose n is stated.
    assert_eq!(bars.iter().filter(|text| *text == "n = 500").count(), 2 + 3, "{bars:?}");
    assert!(bars.iter().filter(|text| *text == "n not known").count() >= 5, "{bars:?}");
    let chains = texts(&plots[1]);
    let zoomed = |texts: &[String]| texts.iter().any(|text| text.contains("does not begin at 0"));
    assert!(zoomed(&chains), "{chains:?}");
    let all = build::calvin_with_lengths([100, 0, 0, 100, 100, 200]);
    let mut some = build::libero_long_counts(&[0, 31, 50]);
    some.manifest.run = "some".into();
    for run in [all, some] {
        let whole = success_by_task(&build::summary(&run)).unwrap();
        let mut found = Vec::new();
        collect(tree(&whole).root(), &mut found);
        let found: Vec<String> = found.into_iter().map(|text| text.0).collect();
        let begins = found.iter().any(|text| text == "0");
        assert_eq!(begins, !zoomed(&found), "{found:?}");
    }
}

#[test]
fn texts_neither_overlap_nor_leave_the_page() {
    for (name, plot) in plots() {
        let tree = tree(&plot.svg);
        let mut texts = Vec::new();
        collect(tree.root(), &mut texts);
        assert!(texts.len() > 8, "{name} has only {} texts", texts.len());
        for (index, (text, a)) in texts.iter().enumerate() {
            let page = tree.size();
            assert!(a.left() >= 0.0 && a.top() >= 0.0, "{name}: {text}");
            assert!(a.right() <= page.width() - 8.0, "{name}: {text} ends at {}", a.right());
            assert!(a.bottom() <= page.height() - 8.0, "{name}: {text}");
            for (other, b) in &texts[index + 1..] {
                let apart = a.right() <= b.left()
                    || b.right() <= a.left()
                    || a.bottom() <= b.top()
                    || b.bottom() <= a.top();
                assert!(apart, "{name}: `{text}` and `{other}` overlap");
            }
        }
    }
}

#[test]
fn a_plot_has_the_same_bytes_every_time() {
    let (one, other) = (plots(), plots());
    assert!(one == other);
    let pictures = |plots: &[(String, Plot)]| -> Vec<Vec<u8>> {
        plots.iter().take(4).map(|(_, plot)| png(&plot.svg).unwrap()).collect()
    };
    assert!(pictures(&one) == pictures(&other));
}

#[test]
fn pauses_and_unreadable_times_stand_in_the_plot_over_time() {
    let mut run = build::libero_long(2);
    build::task_counts(&mut run, "long", 0, 49);
    build::task_counts(&mut run, "long", 1, 49);
    for (number, record) in run.records.values_mut().enumerate() {
        let hour = if number < 50 { 1 } else { 5 };
        record.started = format!("2026-11-24T{hour:02}:{:02}:03Z", number % 50);
    }
    run.records.values_mut().next().unwrap().started = "yesterday".into();
    let plots = of_run(&run, &build::paper()).unwrap();
    let plot = plots.iter().find(|plot| plot.name == "throughput").unwrap();
    let mut texts = Vec::new();
    collect(tree(&plot.svg).root(), &mut texts);
    let has = |text: &str| texts.iter().any(|(found, _)| found.starts_with(text));
    // 99 episodes from 01:01:03 to 05:49:44.2, and nothing in between.
    assert!(has("99 episodes in 288.7 min: 0.34 per minute"), "{texts:?}");
    assert!(has("! 1 record has no time"), "{texts:?}");
    assert!(has("hours since"), "{texts:?}");
}

#[test]
fn an_instruction_cannot_break_the_svg() {
    let mut run = build::libero_long(1);
    run.manifest.plan[0].instruction = "put <b> & \"c\" on 'd'".into();
    let svg = success_by_task(&build::summary(&run)).unwrap();
    let mut texts = Vec::new();
    collect(tree(&svg).root(), &mut texts);
    assert!(texts.iter().any(|(text, _)| text.contains("put <b> & \"c\" on 'd'")), "{texts:?}");
}

#[test]
#[ignore = "writes plots and tables to look at into UDVLA_PLOTS"]
fn plots_and_tables_to_look_at() {
    let folder = std::env::var("UDVLA_PLOTS").expect("UDVLA_PLOTS names a folder");
    for (name, plot) in plots() {
        fs::write(format!("{folder}/{name}.png"), png(&plot.svg).unwrap()).unwrap();
        fs::write(format!("{folder}/{name}.svg"), plot.svg).unwrap();
    }
    for (name, run) in runs() {
        let summary = build::summary(&run);
        fs::write(format!("{folder}/{name}.txt"), terminal(&summary)).unwrap();
        fs::write(format!("{folder}/{name}.md"), markdown(&summary)).unwrap();
        fs::write(format!("{folder}/{name}.csv"), summary_csv(&summary).unwrap()).unwrap();
    }
}

fn tree(svg: &str) -> Tree {
    let mut fonts = Database::new();
    fonts.load_font_data(include_bytes!("../fonts/Inter-Regular.otf").to_vec());
    let options = Options { fontdb: Arc::new(fonts), ..Options::default() };
    Tree::from_str(svg, &options).unwrap()
}

fn collect(group: &Group, texts: &mut Vec<(String, Rect)>) {
    for node in group.children() {
        match node {
            Node::Group(group) => collect(group, texts),
            Node::Text(text) => {
                let content = text.chunks().iter().map(|chunk| chunk.text()).collect::<String>();
                // Ink, not the line's height: rows may be close.
                texts.push((content, text.abs_bounding_box()));
            }
            Node::Path(_) | Node::Image(_) => {}
        }
    }
}
