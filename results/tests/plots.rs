//! The plots: nothing overlaps, nothing is cut off, the same bytes every time.

use std::fs;
use std::sync::Arc;

use resvg::usvg::{Group, Node, Options, Rect, Tree, fontdb::Database};
use udvla_results::manifest::RunStatus;
use udvla_results::plots::{png, success_by_task};
use udvla_results::read::Run;
use udvla_results::render::{markdown, summary_csv, terminal};

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
    troubled.manifest.setting.insert("comparable".into(), "no: stand-in assets".into());
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
    nothing.manifest.setting.insert("simulator".into(), "fake".into());

    vec![
        ("1-task", one),
        ("10-tasks", ten),
        ("40-tasks", build::libero_as_published()),
        ("errors", troubled),
        ("nothing-ran", nothing),
        ("calvin", build::calvin_as_published()),
        ("simpler", build::simpler_as_published()),
    ]
}

#[test]
fn texts_neither_overlap_nor_leave_the_page() {
    for (name, run) in runs() {
        let svg = success_by_task(&build::summary(&run)).unwrap();
        let tree = tree(&svg);
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
    let mut run = build::libero_long(10);
    build::spread(&mut run, "long", 476);
    let draw = || {
        let svg = success_by_task(&build::summary(&run)).unwrap();
        let picture = png(&svg).unwrap();
        (svg, picture)
    };
    assert!(draw() == draw());
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
    for (name, run) in runs() {
        let svg = success_by_task(&build::summary(&run)).unwrap();
        fs::write(format!("{folder}/{name}.png"), png(&svg).unwrap()).unwrap();
        fs::write(format!("{folder}/{name}.svg"), svg).unwrap();
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
