//! The policy's threads: each collects questions from one queue into batches and answers them.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use udvla_policies::{Answer, Policy, PolicyInput};

use super::arrivals::{Arrivals, Collected};
use super::event::Event;
use crate::report::PolicyRemark;

/// How long the first batch is assumed to take, for the wait that depends on the last batch.
const FIRST_BATCH: Duration = Duration::from_millis(20);

/// An observation that waits for the policy.
pub struct Question {
    /// Input of one row of a batch.
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

/// The questions of all workers, from which the replicas of a policy take batches in turn.
pub struct Queue {
    questions: Mutex<Receiver<Question>>,
    closing: Closing,
    /// Workers that are in an episode.
    busy: Arc<AtomicUsize>,
    /// Rows in batches that are being answered.
    in_flight: AtomicUsize,
    replicas: usize,
    arrivals: Mutex<Arrivals>,
    begun: Instant,
}

impl Queue {
    /// The queue for `replicas` of a policy; `busy` counts workers that are in an episode.
    pub fn new(
        questions: Receiver<Question>,
        closing: Closing,
        busy: Arc<AtomicUsize>,
        replicas: usize,
    ) -> Self {
        Self {
            questions: Mutex::new(questions),
            closing,
            busy,
            in_flight: AtomicUsize::new(0),
            replicas: replicas.max(1),
            arrivals: Mutex::default(),
            begun: Instant::now(),
        }
    }

    /// The next batch, or `None` when no worker can ask any more.
    ///
    /// It is closed when it is full, when it has its share of the busy workers (so that no replica
    /// idles while another takes all), when every busy worker is in it or in flight, when none of the
    /// others can ask in time, or after the wait.
    fn next(&self, last_batch: Duration) -> Option<Vec<Question>> {
        // Poisoning is harmless here: a receiver has no state to be left inconsistent.
        let questions = self.questions.lock().unwrap_or_else(PoisonError::into_inner);
        let mut batch = vec![];
        let mut take = |question: Question| {
            self.arrivals().asked(question.input.seat, self.begun.elapsed());
            batch.push(question);
            batch.len()
        };
        let mut rows = take(questions.recv().ok()?);
        let deadline = self.begun.elapsed() + self.closing.wait.unwrap_or(last_batch / 2);
        loop {
            let busy = self.busy.load(Ordering::SeqCst);
            if rows >= self.closing.max_rows.min(busy.div_ceil(self.replicas).max(1)) {
                break;
            }
            let in_flight = self.in_flight.load(Ordering::SeqCst);
            let now = self.begun.elapsed();
            let wait = self.arrivals().wait(Collected { rows, in_flight, busy, now, deadline });
            // Questions that are in the queue already join whatever the time.
            match questions.recv_timeout(wait) {
                Ok(question) => rows = take(question),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
            }
        }
        self.in_flight.fetch_add(rows, Ordering::SeqCst);
        Some(batch)
    }

    fn arrivals(&self) -> MutexGuard<'_, Arrivals> {
        // Poisoning is harmless: every change is complete in itself.
        self.arrivals.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Answers questions until no worker can ask any more or the policy fails.
pub fn run(mut policy: Box<dyn Policy>, queue: &Queue, events: &Sender<Event>) {
    let mut last_batch = FIRST_BATCH;
    while let Some(batch) = queue.next(last_batch) {
        let rows = batch.len();
        let (inputs, replies): (Vec<_>, Vec<_>) =
            batch.into_iter().map(|question| (question.input, question.reply)).unzip();
        let start = Instant::now();
        let answers = infer(policy.as_mut(), &inputs);
        last_batch = start.elapsed();
        queue.in_flight.fetch_sub(rows, Ordering::SeqCst);
        let answers = match answers {
            Ok(answers) => answers,
            Err(message) => {
                let _ = events.send(Event::PolicyFailed { message });
                return;
            }
        };
        // Reported first: a record must not overtake the batch that it came from.
        let remarks = remarks(&inputs, &answers);
        let _ = events.send(Event::Batch { rows, seconds: last_batch.as_secs_f64(), remarks });
        let now = queue.begun.elapsed();
        inputs.iter().for_each(|input| queue.arrivals().answered(input.seat, now));
        for (reply, answer) in replies.into_iter().zip(answers) {
            // A worker that stopped in the meantime needs no answer.
            let _ = reply.send(answer);
        }
    }
}

/// One answer per input, or why there is none.
fn infer(policy: &mut dyn Policy, inputs: &[PolicyInput]) -> Result<Vec<Answer>, String> {
    let rows = inputs.len();
    // libtorch's own errors can surface as panics: they end the run with a message as well.
    match catch_unwind(AssertUnwindSafe(|| policy.infer(inputs))) {
        Ok(Ok(answers)) if answers.len() == rows => Ok(answers),
        Ok(Ok(answers)) => Err(format!("{} answers for {rows} rows", answers.len())),
        Ok(Err(error)) => Err(format!("{error} (batch of {rows})")),
        Err(_) => Err(format!("it panicked, see above (batch of {rows})")),
    }
}

/// The remarks of all answers, with the questions they belong to.
fn remarks(inputs: &[PolicyInput], answers: &[Answer]) -> Vec<PolicyRemark> {
    let mut remarks = vec![];
    for (input, answer) in inputs.iter().zip(answers) {
        let Answer::Chunk(decision) = answer else { continue };
        remarks.extend(decision.remarks.iter().map(|remark| PolicyRemark {
            key: input.key.clone(),
            call: input.call,
            remark: remark.clone(),
        }));
    }
    remarks
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{channel, sync_channel};

    use udvla_policies::weightless;
    use udvla_sims::episode::EpisodeKey;
    use udvla_sims::observation::Observation;
    use udvla_sims::protocol::Protocol;

    use super::*;

    /// Question number `trial`, with an empty observation.
    fn question(trial: u16, reply: &SyncSender<Answer>) -> Question {
        let key = EpisodeKey { suite: "long".into(), task: 0, trial };
        let observation =
            Observation { images: vec![], state: vec![], instruction: "".into(), stage: 0 };
        let input = PolicyInput { key, call: 0, seed: 0, seat: 0, observation };
        Question { input, reply: reply.clone() }
    }

    /// Sends `rows` questions at once and returns the sizes of the batches in which one of
    /// `replicas` answers them.
    fn shared_batches(rows: u16, busy: usize, closing: Closing, replicas: usize) -> Vec<usize> {
        let (ask, questions) = channel();
        let (events, seen) = channel();
        let (reply, _answers) = sync_channel(usize::from(rows));
        for trial in 0..rows {
            ask.send(question(trial, &reply)).unwrap();
        }
        drop(ask);
        let queue = Queue::new(questions, closing, Arc::new(AtomicUsize::new(busy)), replicas);
        run(weightless::open("idle", &Protocol::libero()).unwrap().unwrap(), &queue, &events);
        assert_eq!(queue.in_flight.load(Ordering::SeqCst), 0);
        drop(events);
        seen.iter()
            .map(|event| match event {
                Event::Batch { rows, .. } => rows,
                other => panic!("{other:?}"),
            })
            .collect()
    }

    fn batches(rows: u16, busy: usize, closing: Closing) -> Vec<usize> {
        shared_batches(rows, busy, closing, 1)
    }

    #[test]
    fn replicas_share_the_busy_workers() {
        let closing = Closing { max_rows: 8, wait: Some(Duration::from_secs(3600)) };
        assert_eq!(shared_batches(6, 6, closing, 2), [3, 3]);
        assert_eq!(shared_batches(5, 5, closing, 4), [2, 2, 1]);
        assert_eq!(shared_batches(8, 32, closing, 3), [8]);
    }

    #[test]
    fn a_batch_does_not_wait_for_workers_that_are_being_answered() {
        let (ask, questions) = channel();
        let closing = Closing { max_rows: 8, wait: Some(Duration::from_secs(3600)) };
        let queue = Queue::new(questions, closing, Arc::new(AtomicUsize::new(4)), 1);
        let (reply, _answers) = sync_channel(4);
        queue.in_flight.store(2, Ordering::SeqCst);
        (0..2).for_each(|trial| ask.send(question(trial, &reply)).unwrap());
        assert_eq!(queue.next(Duration::ZERO).map(|batch| batch.len()), Some(2));
        assert_eq!(queue.in_flight.load(Ordering::SeqCst), 4);
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
    fn questions_in_the_queue_join_even_without_a_wait() {
        let closing = Closing { max_rows: 8, wait: Some(Duration::ZERO) };
        assert_eq!(batches(5, 16, closing), [5]);
    }
}
