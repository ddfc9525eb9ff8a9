//! When the next question can come: what decides whether a batch waits for more rows.
//!
//! Times are since the start of the queue, so that tests can run on a clock of their own.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// Rounds of a seat that its pace is taken from.
const REMEMBERED: usize = 8;
/// A seat may be this much faster than it was in any of them.
const FASTER: f64 = 0.8;

/// What is known of the pace of each seat (a simulator, or a client of `serve`).
#[derive(Debug, Default)]
pub struct Arrivals {
    seats: BTreeMap<usize, Seat>,
}

#[derive(Debug, Default)]
struct Seat {
    /// When it got its last answer; none while it waits for one.
    answered: Option<Duration>,
    /// Times from an answer to the next question.
    rounds: VecDeque<Duration>,
}

/// A batch that is being collected.
#[derive(Debug, Clone, Copy)]
pub struct Collected {
    /// Rows in it.
    pub rows: usize,
    /// Rows of other batches that are being answered.
    pub in_flight: usize,
    /// Seats that are in an episode.
    pub busy: usize,
    /// The time now.
    pub now: Duration,
    /// When it is closed in any case.
    pub deadline: Duration,
}

impl Arrivals {
    /// A seat asked.
    pub fn asked(&mut self, seat: usize, now: Duration) {
        let seat = self.seats.entry(seat).or_default();
        if let Some(answered) = seat.answered.take() {
            seat.rounds.truncate(REMEMBERED - 1);
            seat.rounds.push_front(now.saturating_sub(answered));
        }
    }

    /// A seat got its answer.
    pub fn answered(&mut self, seat: usize, now: Duration) {
        self.seats.entry(seat).or_default().answered = Some(now);
    }

    /// How long to wait for another row: not at all if every busy seat is in the batch or being
    /// answered, or if none of the others can ask before the deadline.
    pub fn wait(&self, batch: Collected) -> Duration {
        let Collected { rows, in_flight, busy, now, deadline } = batch;
        let acting = self.seats.values().filter_map(Seat::earliest);
        let (count, earliest) = acting
            .fold((0, Duration::MAX), |(count, earliest), next| (count + 1, earliest.min(next)));
        let others = busy.saturating_sub(rows + in_flight);
        // A seat that has not asked yet may ask at any time.
        if others == 0 || (count >= others && earliest > deadline) {
            return Duration::ZERO;
        }
        deadline.saturating_sub(now)
    }
}

impl Seat {
    /// When it can ask again; none while it waits for an answer.
    fn earliest(&self) -> Option<Duration> {
        let shortest = self.rounds.iter().min().copied().unwrap_or_default();
        Some(self.answered? + shortest.mul_f64(FASTER))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROWS: usize = 4;

    fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    /// Rounds that each seat finished in 20 s of a clock of its own, once every seat has asked twice. A
    /// seat acts for its time, a batch of at most [`ROWS`] takes `latency`, and the wait for more rows is
    /// half of that.
    fn rounds(acting: &[Duration], latency: Duration, knows: bool) -> Vec<usize> {
        let mut arrivals = Arrivals::default();
        let mut asks: Vec<(Duration, usize)> =
            acting.iter().enumerate().map(|(seat, _)| (Duration::ZERO, seat)).collect();
        let (mut finished, mut free) = (vec![0; acting.len()], Duration::ZERO);
        loop {
            asks.sort_unstable();
            let mut now = free.max(asks[0].0);
            if now > ms(26_000) {
                return finished;
            }
            let deadline = now + latency / 2;
            let mut batch = vec![];
            while batch.len() < ROWS && !asks.is_empty() {
                let (when, seat) = asks[0];
                let mut limit = now;
                if !batch.is_empty() {
                    let (rows, busy) = (batch.len(), acting.len());
                    let collected = Collected { rows, in_flight: 0, busy, now, deadline };
                    limit = now + arrivals.wait(collected);
                }
                if when > limit {
                    now = limit;
                    break;
                }
                now = now.max(when);
                if knows {
                    arrivals.asked(seat, when);
                }
                batch.push(seat);
                asks.remove(0);
            }
            free = now + latency;
            for seat in batch {
                finished[seat] += usize::from(now > ms(6_000));
                if knows {
                    arrivals.answered(seat, free);
                }
                asks.push((free + acting[seat], seat));
            }
        }
    }

    #[test]
    fn a_slow_seat_delays_nobody() {
        let fast = [ms(100), ms(100), ms(100)];
        let alone = rounds(&fast, ms(60), true);
        let seats: Vec<Duration> = fast.iter().copied().chain([ms(5000)]).collect();
        let together = rounds(&seats, ms(60), true);
        let slow = together[3];
        assert!((3..=5).contains(&slow), "{slow} rounds");
        for (alone, together) in alone.iter().zip(&together) {
            // Each of its rounds costs the others a batch of its own, and waits while it is due.
            assert!(together + 2 * slow >= *alone, "{together} instead of {alone} rounds");
        }
        // What it would cost to wait for it every time.
        let blind = rounds(&seats, ms(60), false);
        assert!(blind[0] * 10 < alone[0] * 9, "{} of {} rounds", blind[0], alone[0]);
    }

    #[test]
    fn seats_of_one_pace_still_share_batches() {
        for acting in [ms(5), ms(40), ms(100)] {
            let seats = [acting; 4];
            let (known, blind) = (rounds(&seats, ms(60), true), rounds(&seats, ms(60), false));
            assert_eq!(known, blind);
        }
    }

    #[test]
    fn a_seat_that_never_asked_may_ask_at_any_time() {
        let mut arrivals = Arrivals::default();
        arrivals.asked(0, ms(10));
        let batch = Collected { rows: 1, in_flight: 0, busy: 2, now: ms(10), deadline: ms(30) };
        assert_eq!(arrivals.wait(batch), ms(20));
        assert_eq!(arrivals.wait(Collected { busy: 1, ..batch }), Duration::ZERO);
        assert_eq!(arrivals.wait(Collected { in_flight: 1, ..batch }), Duration::ZERO);
        // Its first round is not known either.
        arrivals.answered(1, ms(5));
        assert_eq!(arrivals.wait(batch), ms(20));
    }
}
