//! What the policy expected of each chunk beside what came, as pictures like the paper's figure 4.
//!
//! `futures/<episode>/call-004.png` has a row per camera and three columns: what the policy saw
//! when it was asked for the fifth time, what it expected to see behind its actions, and what was
//! seen once they were played. Each pool thread writes those of its own episode.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use udvla_sims::episode::EpisodeKey;
use udvla_sims::observation::Image;

use crate::pictures;

/// The pictures of one episode.
pub struct Futures {
    folder: PathBuf,
    waiting: Option<Waiting>,
}

/// A decision whose actions are being played.
struct Waiting {
    call: u32,
    /// Control steps played before it.
    steps: u32,
    seen: Vec<Image>,
    expected: Vec<Image>,
}

impl Futures {
    /// An empty folder for the episode: what an earlier attempt left in it is removed.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn of(run_directory: &Path, key: &EpisodeKey) -> Result<Self> {
        let folder = run_directory.join("futures").join(key.to_string());
        let made = match fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
            _ => fs::create_dir_all(&folder),
        };
        made.with_context(|| format!("cannot write `{}`", folder.display()))?;
        Ok(Self { folder, waiting: None })
    }

    /// Notes what question number `call` showed, `steps` control steps into the episode, and what
    /// the policy expects of it.
    pub fn expect(&mut self, call: u32, steps: u32, seen: Vec<Image>, expected: Vec<Image>) {
        self.waiting = Some(Waiting { call, steps, seen, expected });
    }

    /// Writes the picture of the decision that was waiting, with what is seen now, behind `steps`
    /// control steps. Where nothing was looked at, the last column is missing.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn happened(&mut self, steps: u32, now: &[Image]) -> Result<()> {
        let Some(waiting) = self.waiting.take() else { return Ok(()) };
        let columns = [
            format!("seen at step {}", waiting.steps),
            "expected".into(),
            format!("seen at step {steps}"),
        ];
        let alike =
            |image: &Image, model: &Image| pictures::resize(image, [model.height, model.width]);
        let row = |(index, expected): (usize, &Image)| {
            let seen = waiting.seen.get(index).into_iter().map(|image| alike(image, expected));
            let now = now.get(index).into_iter().map(|image| alike(image, expected));
            seen.chain([expected.clone()]).chain(now).collect::<Vec<_>>()
        };
        let rows: Vec<Vec<Image>> = waiting.expected.iter().enumerate().map(row).collect();
        let count = rows.iter().map(Vec::len).max().unwrap_or(0);
        let file = self.folder.join(format!("call-{:03}.png", waiting.call));
        pictures::write(&file, &pictures::labelled(&columns[..count], &rows)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_decision_gets_a_picture_of_before_expected_and_after() {
        let run = tempfile::tempdir().unwrap();
        let key = EpisodeKey { suite: "long".into(), task: 3, trial: 1 };
        let image = |side: u32, byte: u8| Image {
            height: side,
            width: side,
            rgb: vec![byte; (3 * side * side) as usize],
        };
        let mut futures = Futures::of(run.path(), &key).unwrap();
        futures.happened(0, &[image(90, 9)]).unwrap();
        for (call, end) in [(0, vec![image(90, 60)]), (1, vec![])] {
            futures.expect(call, 10 * call, vec![image(90, 20)], vec![image(80, 40)]);
            futures.happened(10 * call + 10, &end).unwrap();
        }
        let folder = run.path().join("futures").join("long-task03-trial001");
        let count = |name: &str, byte: u8| {
            let read = pictures::read(&folder.join(name)).unwrap();
            read.rgb.chunks_exact(3).filter(|pixel| pixel == &[byte; 3]).count()
        };
        // Behind the headings, which hold greys of their own, every picture is whole.
        for byte in [20, 40, 60] {
            assert!(count("call-000.png", byte) >= 80 * 80, "{byte}");
        }
        assert!(count("call-001.png", 40) >= 80 * 80 && count("call-001.png", 60) < 80);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 2);
        Futures::of(run.path(), &key).unwrap();
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
    }
}
