//! Builds runs for the tests, in memory and on disk.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use resvg::tiny_skia::{Color, Paint, Pixmap, Rect, Transform};
use safetensors::tensor::{Dtype, TensorView};
use udvla_results::paper::Paper;
use udvla_results::run::manifest::{
    BatchCounts, EpisodeCounts, Manifest, PlannedTask, RunStatus, SCHEMA,
};
use udvla_results::run::read::Run;
use udvla_results::run::record::{EpisodeRecord, Seconds, Status};
use udvla_results::run::seal::{Chain, RecordsEnd, manifest_text};
use udvla_results::run::timeline::{FutureGrid, FutureRow, Timeline};
use udvla_results::tables::summary::Summary;
use udvla_sims::episode::{EpisodeKey, Notes};
use udvla_sims::identity::Subject;
use udvla_sims::protocol::{Details, Protocol, Suite};

use crate::instructions::{GOAL, LONG, OBJECT, SPATIAL};

/// Id of the runs that are built here.
const ID: &str = "c0ffee00000000000000000000000001";

/// Suite, trials per task, stages, instructions.
pub type SuiteOf<'a> = (&'a str, u16, u16, Vec<&'a str>);

/// A run with a plan and no records.
pub fn run(name: &str, benchmark: &str, suites: &[SuiteOf<'_>]) -> Run {
    let protocol = Protocol {
        name: name.into(),
        version: 1,
        benchmark: benchmark.into(),
        suites: suites.iter().map(suite).collect(),
        environment: serde_json::from_value(serde_json::json!({"control_hz": 20})).unwrap(),
    };
    let asked = suites.iter().map(|(_, trials, _, tasks)| u32::from(*trials) * tasks.len() as u32);
    let manifest = Manifest {
        schema: SCHEMA,
        run: "test".into(),
        id: Some(ID.into()),
        status: RunStatus::Complete,
        protocol_fingerprint: protocol.fingerprint(),
        protocol,
        subject: Subject::try_from(map(&[
            ("policy", "udvla"),
            ("checkpoint", "sha256:91c0aa17d3f1b6e2"),
            ("decoding", "jd3p"),
            ("dtype", "bf16"),
        ]))
        .unwrap(),
        setting: map(&[("assets", "package"), ("renderer", "egl")]).into(),
        software: map(&[("udvla-eval", "0.1.0")]),
        machine: map(&[("cores", "16")]),
        command: vec!["udvla-eval".into(), name.into()],
        directory: "/home/user".into(),
        plan: suites.iter().flat_map(planned).collect(),
        episodes: EpisodeCounts { asked: asked.sum(), ok: 0, error: 0 },
        remarks: BTreeMap::new(),
        parts: vec![],
        merged: vec![],
        batches: BatchCounts::default(),
        started: "2026-11-24T01:00:00Z".into(),
        ended: None,
        stopped_early: None,
        published: None,
        records: None,
        resolved: None,
    };
    Run { manifest, records: BTreeMap::new(), torn_line: None, notes: Vec::new() }
}

/// LIBERO with all four suites of ten tasks and 50 trials.
pub fn libero() -> Run {
    let spatial =
        SPATIAL.map(|at| format!("pick up the black bowl {at} and place it on the plate"));
    let object = OBJECT.map(|what| format!("pick up the {what} and place it in the basket"));
    let suites = [
        ("spatial", 50, 1, spatial.iter().map(String::as_str).collect()),
        ("object", 50, 1, object.iter().map(String::as_str).collect()),
        ("goal", 50, 1, GOAL.to_vec()),
        ("long", 50, 1, LONG.to_vec()),
    ];
    run("libero", "libero", &suites)
}

/// One suite of LIBERO with that many of its tasks.
pub fn libero_long(tasks: usize) -> Run {
    run("libero", "libero", &[("long", 50, 1, LONG[..tasks].to_vec())])
}

/// The first tasks of one suite of LIBERO with so many successes each.
pub fn libero_long_counts(successes: &[u32]) -> Run {
    let mut run = libero_long(successes.len());
    for (task, successes) in (0..).zip(successes) {
        task_counts(&mut run, "long", task, *successes);
    }
    run
}

/// LIBERO with the paper's counts, spread over the tasks.
pub fn libero_as_published() -> Run {
    let mut run = libero();
    for (suite, successes) in [("spatial", 481), ("object", 494), ("goal", 471), ("long", 476)] {
        spread(&mut run, suite, successes);
    }
    run
}

/// CALVIN with 500 sequences and the lengths of the paper.
pub fn calvin_as_published() -> Run {
    calvin_with_lengths([4, 12, 16, 16, 32, 420])
}

/// CALVIN with so many sequences of every length.
pub fn calvin_with_lengths(counts: [usize; 6]) -> Run {
    let mut run =
        run("calvin-abcd-d", "calvin", &[("abcd-d", 500, 5, vec!["five tasks in a row"])]);
    let mut trial = 0;
    for (length, count) in counts.into_iter().enumerate() {
        for _ in 0..count {
            add(&mut run, record("abcd-d", 0, trial, length as u16, 5));
            trial += 1;
        }
    }
    run
}

/// CALVIN with its own list, and the first chains of it with those lengths.
pub fn calvin_of_lengths(lengths: &[u16]) -> Run {
    let tasks = vec!["five tasks in a row"];
    let mut run = run("calvin-abcd-d", "calvin", &[("abcd-d", lengths.len() as u16, 5, tasks)]);
    run.manifest.protocol = Protocol::calvin();
    run.manifest.protocol_fingerprint = run.manifest.protocol.fingerprint();
    for (trial, &length) in (0..).zip(lengths) {
        add(&mut run, record("abcd-d", 0, trial, length, 5));
    }
    run
}

/// SimplerEnv with the paper's counts.
pub fn simpler_as_published() -> Run {
    let tasks = vec![
        "put the spoon on the towel",
        "put carrot on plate",
        "stack the green block on the yellow block",
        "put eggplant into yellow basket",
    ];
    let mut run = run("simpler-widowx", "simpler", &[("widowx", 24, 1, tasks)]);
    for (task, successes) in (0..).zip([20, 15, 16, 22]) {
        task_counts(&mut run, "widowx", task, successes);
    }
    run
}

/// Sets a field of the subject by its name in the file.
pub fn set_subject(run: &mut Run, name: &str, value: &str) {
    let mut fields = BTreeMap::from(run.manifest.subject.clone());
    fields.insert(name.into(), value.into());
    run.manifest.subject = Subject::try_from(fields).unwrap();
}

/// Sets a field of the setting by its name in the file.
pub fn set_setting(run: &mut Run, name: &str, value: &str) {
    let mut fields = BTreeMap::from(run.manifest.setting.clone());
    fields.insert(name.into(), value.into());
    run.manifest.setting = fields.into();
}

/// Notes of every record whether the goal held after some step, and after the last.
pub fn note_any_step(run: &mut Run, any_step: impl Fn(&EpisodeRecord) -> bool) {
    for record in run.records.values_mut() {
        let any = ("success_any".to_owned(), any_step(record).into());
        let last = ("success_last".to_owned(), (record.stages_completed == 1).into());
        record.notes = [any, last].into();
    }
}

/// Spreads `successes` over the suite's tasks; task 0 gets the first failure.
pub fn spread(run: &mut Run, suite: &str, successes: u32) {
    let tasks: Vec<_> = run.manifest.plan.iter().filter(|task| task.suite == suite).collect();
    let of: u32 = tasks.iter().map(|task| u32::from(task.trials)).sum();
    let (count, failures) = (tasks.len() as u32, of - successes);
    let trials = u32::from(tasks[0].trials);
    let share = |task: u32| failures * (count - task) * 2 / (count * (count + 1));
    let rest = failures - (0..count).map(share).sum::<u32>();
    let mut carried = 0;
    for task in 0..count {
        // Uneven: the first tasks get more failures, as far as they have trials.
        let failed = share(task) + u32::from(task < rest) + carried;
        carried = failed.saturating_sub(trials);
        task_counts(run, suite, task as u16, trials.saturating_sub(failed));
    }
    assert_eq!(carried, 0, "more failures than episodes");
}

/// Gives a task its records: the first `successes` trials succeed.
pub fn task_counts(run: &mut Run, suite: &str, task: u16, successes: u32) {
    let planned = run.manifest.plan.iter().find(|p| p.suite == suite && p.task == task).unwrap();
    for trial in 0..planned.trials {
        let completed = u16::from(u32::from(trial) < successes);
        add(run, record(suite, task, trial, completed, 1));
    }
}

/// A record of an episode that ran.
pub fn record(suite: &str, task: u16, trial: u16, completed: u16, stages: u16) -> EpisodeRecord {
    let truncated = completed < stages;
    EpisodeRecord {
        suite: suite.into(),
        task,
        trial,
        status: Status::Ok,
        error_kind: None,
        error_message: None,
        stages,
        stages_completed: completed,
        steps: if truncated { 520 } else { 200 + u32::from(trial) + 5 * u32::from(task) },
        calls: if truncated { 52 } else { 25 },
        attempts: 1,
        seed: 7,
        truncated,
        seconds: Seconds { wall: 41.2, sim: 22.9, policy: 16.8 },
        started: "2026-11-24T01:02:03Z".into(),
        first_observation_sha256: None,
        final_state_sha256: None,
        notes: Notes::new(),
        actions: None,
        actions_sha256: None,
        video: None,
    }
}

/// Turns an episode into one that could not be run.
pub fn fail(run: &mut Run, suite: &str, task: u16, trial: u16) {
    add(
        run,
        EpisodeRecord {
            status: Status::Error,
            error_kind: Some("lost".into()),
            error_message: Some("the simulator went away".into()),
            attempts: 2,
            truncated: false,
            steps: 0,
            calls: 0,
            ..record(suite, task, trial, 0, stages(run, suite))
        },
    );
}

/// Takes an episode's record away.
pub fn forget(run: &mut Run, suite: &str, task: u16, trial: u16) {
    run.records.retain(|key, _| (&*key.suite, key.task, key.trial) != (suite, task, trial));
}

/// The numbers of `run` beside the bundled paper's.
pub fn summary(run: &Run) -> Summary {
    Summary::new(run, &paper())
}

/// The bundled paper, as if it followed the small protocols of the runs that are built here.
pub fn paper() -> Paper {
    let fingerprint = |run: Run| run.manifest.protocol_fingerprint;
    let long = (1..=10).map(|tasks| fingerprint(libero_long(tasks)));
    let others = [libero(), calvin_as_published(), simpler_as_published()].map(fingerprint);
    let own: Vec<String> = long.chain(others).collect();
    let mut paper = Paper::bundled();
    for table in &mut paper.tables {
        table.fingerprints.extend(own.clone());
    }
    paper
}

/// The records as the lines of a run, by key.
pub fn lines(run: &Run) -> Vec<String> {
    let records = run.records.values().map(|record| serde_json::to_string(record).unwrap());
    sealed(&records.collect::<Vec<_>>())
}

/// Records, each as JSON, as the lines of the run with the tests' id.
pub fn sealed(records: &[String]) -> Vec<String> {
    let mut chain = Chain::new(ID.into(), RecordsEnd::empty());
    let line = |record: &String| {
        let line = chain.line(record);
        chain.advance(&line);
        line.trim_end().to_owned()
    };
    records.iter().map(line).collect()
}

/// Writes the run directory.
pub fn store(run: &Run, dir: &Path, lines: &[String]) {
    fs::write(dir.join("run.json"), manifest_text(&run.manifest)).unwrap();
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    fs::write(dir.join("episodes.jsonl"), text).unwrap();
}

/// Makes the run directory one of schema 2, without checksums, with these records.
pub fn store_schema_2(dir: &Path, records: &[String]) {
    let text = fs::read_to_string(dir.join("run.json")).unwrap();
    let mut manifest: Manifest = serde_json::from_str(&text).unwrap();
    (manifest.schema, manifest.id, manifest.records) = (2, None, None);
    fs::write(dir.join("run.json"), serde_json::to_string_pretty(&manifest).unwrap()).unwrap();
    fs::write(dir.join("episodes.jsonl"), records.join("\n") + "\n").unwrap();
}

/// Gives an episode of a stored run actions of `width` numbers: step `n` plays `n / 10`.
pub fn store_actions(dir: &Path, record: &EpisodeRecord, width: usize, timeline: &Timeline) {
    let steps = record.steps as usize;
    let values = (0..steps).flat_map(|step| vec![step as f32 / 10.0; width]);
    let bytes: Vec<u8> = values.flat_map(f32::to_le_bytes).collect();
    let view = TensorView::new(Dtype::F32, vec![steps, width], &bytes).unwrap();
    let metadata = Some(timeline.to_metadata());
    let file = safetensors::serialize([("actions", view)], metadata).unwrap();
    fs::create_dir_all(dir.join("actions")).unwrap();
    fs::write(dir.join(format!("actions/{}.safetensors", record.key())), file).unwrap();
}

/// Saves an image of a predicted future: white with a gray square for each of `columns`, at the
/// places of [`future_grid`].
pub fn store_future(dir: &Path, key: &EpisodeKey, call: u32, columns: u32) {
    let grid = future_grid();
    let mut image = Pixmap::new(grid.left + columns * grid.pitch, 26 + 84).unwrap();
    image.fill(Color::WHITE);
    for column in 0..columns {
        let (left, top) = (grid.left + column * grid.pitch, grid.rows[0].top);
        let square = Rect::from_xywh(left as f32, top as f32, 80.0, 80.0).unwrap();
        let mut paint = Paint::default();
        let shade = 60 + 40 * column as u8;
        paint.set_color_rgba8(shade, shade, shade, 255);
        image.fill_rect(square, &paint, Transform::identity(), None);
    }
    let folder = dir.join(format!("futures/{key}"));
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join(format!("call-{call:03}.png")), image.encode_png().unwrap()).unwrap();
}

/// One camera's row of 80 x 80 pixels.
pub fn future_grid() -> FutureGrid {
    FutureGrid { left: 4, pitch: 84, rows: vec![FutureRow { top: 26, height: 80, width: 80 }] }
}

fn add(run: &mut Run, record: EpisodeRecord) {
    run.records.insert(record.key(), record);
}

fn stages(run: &Run, suite: &str) -> u16 {
    run.manifest.plan.iter().find(|planned| planned.suite == suite).unwrap().stages
}

fn suite((name, trials, stages, tasks): &SuiteOf<'_>) -> Suite {
    Suite {
        name: (*name).into(),
        tasks: tasks.iter().map(|&task| task.into()).collect(),
        trials: *trials,
        stages: *stages,
        max_steps: 520,
        details: Details::default(),
    }
}

fn planned((name, trials, stages, tasks): &SuiteOf<'_>) -> Vec<PlannedTask> {
    let task = |(task, instruction): (u16, &&str)| PlannedTask {
        suite: (*name).into(),
        task,
        instruction: (*instruction).into(),
        trials: *trials,
        stages: *stages,
    };
    (0..).zip(tasks).map(task).collect()
}

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|&(key, value)| (key.into(), value.into())).collect()
}
