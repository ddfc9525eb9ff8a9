//! The policy's thread: collects questions into batches and answers them.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender};
use std::time::{Duration, Instant};

use udvla_policies::{Answer, Policy, PolicyInput};

use crate::event::Event;

/// One row that waits for the policy.
pub struct Question {
    /// What the policy is asked.
    pub input: PolicyInput,
    /// Where the answer goes; closed when the policy fails.
    pub reply: SyncSender<Answer>,
}

/// When a batch is closed.
#[derive(Debug, Clone, Copy)]
pub struct Closing {
    /// Rows, at most.
    pub max_rows: usize,
    /// Longest wait for more rows; `None`: half the time that the last batch took.
    pub wait: Option<Duration>,
}

/// Answers questions until every asker is gone or the policy fails.
///
/// A batch is closed when it is full, when every busy worker is in it, or after the wait.
/// `busy` counts workers that are in an episode.
pub fn run(
    mut policy: Box<dyn Policy>,
    questions: &Receiver<Question>,
    closing: Closing,
    busy: &Arc<AtomicUsize>,
    events: &Sender<Event>,
) {
    let mut last = Duration::from_millis(20);
    while let Ok(first) = questions.recv() {
        let wait = closing.wait.unwrap_or(last / 2);
        let batch = collect(first, questions, closing.max_rows, wait, busy);
        let rows = batch.len();
        let (inputs, replies): (Vec<_>, Vec<_>) =
            batch.into_iter().map(|question| (question.input, question.reply)).unzip();
        let start = Instant::now();
        // libtorch's own errors can surface as panics: they end the run with a message as well.
        let answers = catch_unwind(AssertUnwindSafe(|| policy.infer(&inputs)));
        last = start.elapsed();
        let answers = match answers {
            Ok(Ok(answers)) if answers.len() == rows => answers,
            other => {
                let message = match other {
                    Ok(Ok(answers)) => format!("{} answers for {rows} rows", answers.len()),
                    Ok(Err(error)) => format!("{error} (batch of {rows})"),
                    Err(_) => format!("it panicked, see above (batch of {rows})"),
                };
                let _ = events.send(Event::PolicyFailed { message });
                return;
            }
        };
        // Counted first: a record must not overtake the batch that it came from.
        let _ = events.send(Event::Batch { rows, seconds: last.as_secs_f64() });
        for (reply, answer) in replies.into_iter().zip(answers) {
            // An asker that gave up in the meantime is no fault of the batch.
            let _ = reply.send(answer);
        }
    }
}

fn collect(
    first: Question,
    questions: &Receiver<Question>,
    max_rows: usize,
    wait: Duration,
    busy: &AtomicUsize,
) -> Vec<Question> {
    let end = Instant::now() + wait;
    let mut batch = vec![first];
    while batch.len() < max_rows {
        // Whoever waits already is taken without looking at the clock.
        let patience = if batch.len() >= busy.load(Ordering::SeqCst) {
            Duration::ZERO
        } else {
            end.saturating_duration_since(Instant::now())
        };
        match questions.recv_timeout(patience) {
            Ok(question) => batch.push(question),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
        }
    }
    batch
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{channel, sync_channel};

    use udvla_policies::Idle;
    use udvla_sims::episode::EpisodeKey;
    use udvla_sims::observation::Observation;

    use super::*;

    /// Sends `rows` questions at once and returns the sizes of the batches that answered them.
    fn batches(rows: u16, busy: usize, closing: Closing) -> Vec<usize> {
        let (ask, questions) = channel();
        let (events, seen) = channel();
        let (reply, _answers) = sync_channel(usize::from(rows));
        for trial in 0..rows {
            let key = EpisodeKey { suite: "long".into(), task: 0, trial };
            let observation =
                Observation { images: vec![], state: vec![], instruction: "".into(), stage: 0 };
            let input = PolicyInput { key, call: 0, seed: 0, observation };
            ask.send(Question { input, reply: reply.clone() }).unwrap();
        }
        drop(ask);
        let busy = Arc::new(AtomicUsize::new(busy));
        run(Box::new(Idle::new(vec![0.0; 7])), &questions, closing, &busy, &events);
        drop(events);
        seen.iter()
            .map(|event| match event {
                Event::Batch { rows, .. } => rows,
                other => panic!("{other:?}"),
            })
            .collect()
    }

    #[test]
    fn a_full_batch_closes() {
        let closing = Closing { max_rows: 4, wait: Some(Duration::from_secs(3600)) };
        assert_eq!(batches(8, 8, closing), [4, 4]);
    }

    #[test]
    fn a_batch_closes_when_every_busy_worker_is_in_it() {
        let closing = Closing { max_rows: 8, wait: Some(Duration::from_secs(3600)) };
        assert_eq!(batches(3, 3, closing), [3]);
    }

    #[test]
    fn whoever_waits_already_is_taken_even_without_patience() {
        let closing = Closing { max_rows: 8, wait: Some(Duration::ZERO) };
        assert_eq!(batches(5, 16, closing), [5]);
    }
}
