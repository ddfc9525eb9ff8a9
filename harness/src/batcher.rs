//! The policy's threads: each collects questions from one queue into batches and answers them.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use udvla_policies::{Answer, Policy, PolicyInput};

use crate::event::{Event, Remarked};

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

/// The questions of all workers, which the replicas of a policy take batches from, one at a time.
pub struct Queue {
    questions: Mutex<Receiver<Question>>,
    closing: Closing,
    /// Workers that are in an episode.
    busy: Arc<AtomicUsize>,
    /// Rows that a replica is answering.
    answering: AtomicUsize,
    replicas: usize,
}

impl Queue {
    /// The queue for `replicas` of a policy; `busy` counts workers that are in an episode.
    pub fn new(
        questions: Receiver<Question>,
        closing: Closing,
        busy: Arc<AtomicUsize>,
        replicas: usize,
    ) -> Self {
        let (questions, answering) = (Mutex::new(questions), AtomicUsize::new(0));
        Self { questions, closing, busy, answering, replicas: replicas.max(1) }
    }

    /// The next batch, or nothing when every asker is gone.
    ///
    /// It is closed when it is full, when it has its share of the busy workers (so that no replica
    /// idles while another takes all), when every busy worker is in it or being answered, or after
    /// the wait.
    fn next(&self, last: Duration) -> Option<Vec<Question>> {
        // Whoever collected before may have panicked; a receiver has no state that could suffer.
        let questions = self.questions.lock().unwrap_or_else(PoisonError::into_inner);
        let mut batch = vec![questions.recv().ok()?];
        let end = Instant::now() + self.closing.wait.unwrap_or(last / 2);
        loop {
            let busy = self.busy.load(Ordering::SeqCst);
            if batch.len() >= self.closing.max_rows.min(busy.div_ceil(self.replicas).max(1)) {
                break;
            }
            // Whoever waits already is taken without looking at the clock.
            let all = batch.len() + self.answering.load(Ordering::SeqCst) >= busy;
            let patience = match all {
                true => Duration::ZERO,
                false => end.saturating_duration_since(Instant::now()),
            };
            match questions.recv_timeout(patience) {
                Ok(question) => batch.push(question),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
            }
        }
        self.answering.fetch_add(batch.len(), Ordering::SeqCst);
        Some(batch)
    }
}

/// Answers questions until every asker is gone or the policy fails.
pub fn run(mut policy: Box<dyn Policy>, queue: &Queue, events: &Sender<Event>) {
    let mut last = Duration::from_millis(20);
    while let Some(batch) = queue.next(last) {
        let rows = batch.len();
        let (inputs, replies): (Vec<_>, Vec<_>) =
            batch.into_iter().map(|question| (question.input, question.reply)).unzip();
        let start = Instant::now();
        // libtorch's own errors can surface as panics: they end the run with a message as well.
        let answers = catch_unwind(AssertUnwindSafe(|| policy.infer(&inputs)));
        last = start.elapsed();
        queue.answering.fetch_sub(rows, Ordering::SeqCst);
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
        let remarks = remarks(&inputs, &answers);
        let _ = events.send(Event::Batch { rows, seconds: last.as_secs_f64(), remarks });
        for (reply, answer) in replies.into_iter().zip(answers) {
            // An asker that gave up in the meantime is no fault of the batch.
            let _ = reply.send(answer);
        }
    }
}

/// What the policy has to say about its answers.
fn remarks(inputs: &[PolicyInput], answers: &[Answer]) -> Vec<Remarked> {
    let of_row = |(input, answer): (&PolicyInput, &Answer)| match answer {
        Answer::Script { .. } => vec![],
        Answer::Chunk(decision) => decision
            .remarks
            .iter()
            .map(|remark| Remarked {
                key: input.key.clone(),
                call: input.call,
                remark: remark.clone(),
            })
            .collect(),
    };
    inputs.iter().zip(answers).flat_map(of_row).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{channel, sync_channel};

    use udvla_policies::Idle;
    use udvla_sims::episode::EpisodeKey;
    use udvla_sims::observation::Observation;

    use super::*;

    /// Sends `rows` questions at once and returns the sizes of the batches in which one of
    /// `replicas` answers them.
    fn shared(rows: u16, busy: usize, closing: Closing, replicas: usize) -> Vec<usize> {
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
        let queue = Queue::new(questions, closing, Arc::new(AtomicUsize::new(busy)), replicas);
        run(Box::new(Idle::new(vec![0.0; 7])), &queue, &events);
        assert_eq!(queue.answering.load(Ordering::SeqCst), 0);
        drop(events);
        seen.iter()
            .map(|event| match event {
                Event::Batch { rows, .. } => rows,
                other => panic!("{other:?}"),
            })
            .collect()
    }

    fn batches(rows: u16, busy: usize, closing: Closing) -> Vec<usize> {
        shared(rows, busy, closing, 1)
    }

    #[test]
    fn replicas_share_the_busy_workers() {
        let closing = Closing { max_rows: 8, wait: Some(Duration::from_secs(3600)) };
        assert_eq!(shared(6, 6, closing, 2), [3, 3]);
        assert_eq!(shared(5, 5, closing, 4), [2, 2, 1]);
        assert_eq!(shared(8, 32, closing, 3), [8]);
    }

    #[test]
    fn whoever_is_being_answered_by_a_replica_is_not_waited_for() {
        let (ask, questions) = channel();
        let closing = Closing { max_rows: 8, wait: Some(Duration::from_secs(3600)) };
        let queue = Queue::new(questions, closing, Arc::new(AtomicUsize::new(4)), 1);
        let (reply, _answers) = sync_channel(4);
        let question = |trial| Question {
            input: PolicyInput {
                key: EpisodeKey { suite: "long".into(), task: 0, trial },
                call: 0,
                seed: 0,
                observation: Observation {
                    images: vec![],
                    state: vec![],
                    instruction: "".into(),
                    stage: 0,
                },
            },
            reply: reply.clone(),
        };
        queue.answering.store(2, Ordering::SeqCst);
        (0..2).for_each(|trial| ask.send(question(trial)).unwrap());
        assert_eq!(queue.next(Duration::ZERO).map(|batch| batch.len()), Some(2));
        assert_eq!(queue.answering.load(Ordering::SeqCst), 4);
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
