//! Who works on what next: two lanes share a stretch of the jobs, from both its ends, and help out elsewhere once they have met.

use std::sync::atomic::{AtomicU64, Ordering};

/// The places of jobs that are not taken yet. Neighbours are of one component, so that most lanes have instances of a few components only.
pub struct Turns {
    stretches: Vec<Stretch>,
    /// How many jobs must be left for a lane to help with a stretch that is not its own.
    worth_a_change: usize,
}

/// Neighbouring jobs, taken from both ends.
struct Stretch {
    start: usize,
    length: u32,
    /// How many are taken at the front, and in the upper half how many at the back.
    taken: AtomicU64,
}

/// An end of a stretch.
#[derive(Clone, Copy)]
enum End {
    Front,
    Back,
}

impl Turns {
    /// Spreads jobs over lanes.
    pub fn new(jobs: usize, lanes: usize, worth_a_change: usize) -> Self {
        let pairs = lanes.div_ceil(2);
        // A lane without a partner has half as much.
        let bound = |pair: usize| jobs * (2 * pair).min(lanes) / lanes.max(1);
        let stretches = (0..pairs).map(|pair| Stretch::new(bound(pair), bound(pair + 1)));
        Self {
            stretches: stretches.collect(),
            worth_a_change,
        }
    }

    /// The places of the jobs that a lane works on.
    pub fn of(&self, lane: usize) -> impl Iterator<Item = usize> {
        let own = lane / 2;
        let end = if lane.is_multiple_of(2) {
            End::Front
        } else {
            End::Back
        };
        let others = (own + 1..self.stretches.len()).chain(0..own);
        let places = move |stretch: usize, least: usize| {
            std::iter::from_fn(move || self.stretches[stretch].take(end, least))
        };
        let own = (own < self.stretches.len()).then(|| places(own, 1));
        own.into_iter()
            .flatten()
            .chain(others.flat_map(move |other| places(other, self.worth_a_change.max(1))))
    }
}

impl Stretch {
    /// No machine has memory for four billion jobs.
    fn new(start: usize, end: usize) -> Self {
        Self {
            start,
            length: u32::try_from(end - start).expect("jobs that fit in memory"),
            taken: AtomicU64::new(0),
        }
    }

    /// The place of the next job at an end, if at least so many are left.
    fn take(&self, end: End, least: usize) -> Option<usize> {
        let one = match end {
            End::Front => 1,
            End::Back => 1 << 32,
        };
        let left = |taken: u64| self.length - (taken as u32 + (taken >> 32) as u32);
        let taken = self
            .taken
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |taken| {
                (left(taken) as usize >= least).then_some(taken + one)
            });
        let taken = taken.ok()?;
        Some(match end {
            End::Front => self.start + taken as u32 as usize,
            End::Back => self.start + self.length as usize - 1 - (taken >> 32) as usize,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_job_has_its_turn_once() {
        for (jobs, lanes) in [
            (0, 1),
            (1, 1),
            (100, 1),
            (1000, 2),
            (7, 3),
            (1000, 5),
            (3, 8),
        ] {
            let turns = Turns::new(jobs, lanes, 1);
            let mut ahead: Vec<_> = (0..lanes).map(|lane| turns.of(lane)).collect();
            let mut places = Vec::new();
            // The lanes in turn, as if all were equally fast.
            while places.len() < jobs {
                places.extend(ahead.iter_mut().filter_map(Iterator::next));
            }
            assert_eq!(ahead.iter_mut().find_map(Iterator::next), None);
            places.sort_unstable();
            assert_eq!(places, (0..jobs).collect::<Vec<_>>());
        }
    }

    #[test]
    fn lanes_that_share_a_stretch_meet_in_it() {
        let turns = Turns::new(10, 2, 1000);
        let (mut front, mut back) = (turns.of(0), turns.of(1));
        assert_eq!([front.next(), front.next()], [Some(0), Some(1)]);
        assert_eq!([back.next(), back.next()], [Some(9), Some(8)]);
        assert_eq!(front.collect::<Vec<_>>(), [2, 3, 4, 5, 6, 7]);
        assert_eq!(back.next(), None);
    }

    #[test]
    fn a_lane_helps_with_a_stretch_of_which_much_is_left() {
        let turns = Turns::new(1000, 4, 100);
        assert_eq!(turns.of(0).count(), 500 + 401);
        assert_eq!(turns.of(2).count(), 99);
    }
}
