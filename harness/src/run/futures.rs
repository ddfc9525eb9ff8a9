//! Images of the future that the policy predicts, next to what was observed, like the paper's figure 4.
//!
//! `futures/<episode>/call-004.png` has a row per camera and three columns: what the policy saw
//! when it was asked for the fifth time, what it predicted for the end of its actions, and what
//! was seen once they were played. Each worker thread writes those of its own episode.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use udvla_results::run::timeline::FutureGrid;
use udvla_sims::episode::EpisodeKey;
use udvla_sims::observation::Image;

use crate::images;

/// The predicted futures of one episode.
pub struct Futures {
    folder: PathBuf,
    pending: Option<Prediction>,
    /// Where the images are in the files; all files have the same rows.
    pub grid: Option<FutureGrid>,
}

/// What a policy predicted when it was asked.
pub struct Prediction {
    /// How many times the episode had asked before.
    pub call: u32,
    /// Control steps played before.
    pub steps: u32,
    /// What the policy saw.
    pub observed: Vec<Image>,
    /// What it predicted for the end of its actions, in the size the model works with.
    pub predicted: Vec<Image>,
}

impl Futures {
    /// An empty folder for the episode: what an earlier attempt left in it is removed.
    ///
    /// # Errors
    /// When the folder cannot be emptied or made.
    pub fn new(run_directory: &Path, key: &EpisodeKey) -> Result<Self> {
        let folder = run_directory.join("futures").join(key.to_string());
        let made = match fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
            _ => fs::create_dir_all(&folder),
        };
        made.with_context(|| format!("cannot write `{}`", folder.display()))?;
        Ok(Self { folder, pending: None, grid: None })
    }

    /// Keeps a prediction until its actions are played.
    pub fn predict(&mut self, prediction: Prediction) {
        self.pending = Some(prediction);
    }

    /// Saves the pending prediction, if there is one, with what is observed now, after `steps`
    /// control steps. Without an observation the last column is missing.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save(&mut self, steps: u32, observed: &[Image]) -> Result<()> {
        let Some(before) = self.pending.take() else { return Ok(()) };
        let columns = [
            format!("observed at step {}", before.steps),
            "expected".into(),
            format!("observed at step {steps}"),
        ];
        let rows: Vec<Vec<Image>> = (0..)
            .zip(&before.predicted)
            .map(|(camera, predicted)| {
                let size = [predicted.height, predicted.width];
                let scaled = |image: &Image| images::resize(image, size);
                let seen = before.observed.get(camera).map(scaled);
                let now = observed.get(camera).map(scaled);
                seen.into_iter().chain([predicted.clone()]).chain(now).collect()
            })
            .collect();
        let rows = images::enlarged(rows);
        self.grid = Some(images::first_column(&rows));
        let used = rows.iter().map(Vec::len).max().unwrap_or(0);
        let file = self.folder.join(format!("call-{:03}.png", before.call));
        images::write(&file, &images::labelled(&columns[..used], &rows)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_decision_gets_an_image_of_before_predicted_and_after() {
        let run = tempfile::tempdir().unwrap();
        let key = EpisodeKey { suite: "long".into(), task: 3, trial: 1 };
        let image = |side: u32, byte: u8| Image {
            height: side,
            width: side,
            rgb: vec![byte; (3 * side * side) as usize],
        };
        let mut futures = Futures::new(run.path(), &key).unwrap();
        futures.save(0, &[image(90, 9)]).unwrap();
        for (call, end) in [(0, vec![image(90, 60)]), (1, vec![])] {
            let (observed, predicted) = (vec![image(90, 20)], vec![image(80, 40)]);
            futures.predict(Prediction { call, steps: 10 * call, observed, predicted });
            futures.save(10 * call + 10, &end).unwrap();
        }
        let folder = run.path().join("futures").join("long-task03-trial001");
        let count = |name: &str, byte: u8| {
            let read = images::read(&folder.join(name)).unwrap();
            read.rgb.chunks_exact(3).filter(|pixel| pixel == &[byte; 3]).count()
        };
        // Below the headings, which contain greys of their own, every image is whole.
        for byte in [20, 40, 60] {
            assert!(count("call-000.png", byte) >= 80 * 80, "{byte}");
        }
        assert!(count("call-001.png", 40) >= 80 * 80 && count("call-001.png", 60) < 80);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 2);
        Futures::new(run.path(), &key).unwrap();
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
    }
}
