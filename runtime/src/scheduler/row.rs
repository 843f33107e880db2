//! The answers for one task: a bit for each class of workers.

use super::Farm;

/// Which workers can run a task.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Row {
    bits: Vec<u64>,
    classes: usize,
}

impl Row {
    /// How many classes are answered.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// Whether workers of a class can run it.
    pub fn class_can_run(&self, class: usize) -> bool {
        let bits = self.bits.get(class / 64).copied().unwrap_or(0);
        bits >> (class % 64) & 1 == 1
    }

    /// The numbers of the workers that can run it.
    pub fn workers<'a>(&'a self, farm: &'a Farm) -> impl Iterator<Item = usize> + 'a {
        let workers = farm.workers().iter().enumerate();
        workers.filter_map(|(number, &class)| self.class_can_run(class as usize).then_some(number))
    }

    /// Sets the answers for the classes from `start` on: bit n of element n / 64 is class `start` + n. Missing bits are no.
    pub(super) fn set(&mut self, start: usize, count: usize, answers: &[u64]) {
        self.classes = self.classes.max(start + count);
        self.bits.resize(self.classes.div_ceil(64), 0);
        // Whole words, where places are the same in both.
        let whole = if start.is_multiple_of(64) {
            count / 64
        } else {
            0
        };
        for word in 0..whole {
            self.bits[start / 64 + word] = answers.get(word).copied().unwrap_or(0);
        }
        for place in whole * 64..count {
            let answer = answers.get(place / 64).copied().unwrap_or(0) >> (place % 64) & 1;
            let class = start + place;
            let bit = 1 << (class % 64);
            match answer {
                0 => self.bits[class / 64] &= !bit,
                _ => self.bits[class / 64] |= bit,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_keep_their_places_when_classes_are_added() {
        let mut row = Row::default();
        row.set(0, 3, &[0b101]);
        row.set(3, 70, &[1 << 63, 0b10]);
        row.set(73, 1, &[]);
        let yes: Vec<_> = (0..80).filter(|&class| row.class_can_run(class)).collect();
        assert_eq!(yes, [0, 2, 66, 68]);
        assert_eq!(row.classes(), 74);
        row.set(64, 130, &[1, 2, 4]);
        let yes: Vec<_> = (0..200).filter(|&class| row.class_can_run(class)).collect();
        assert_eq!(yes, [0, 2, 64, 129]);
    }
}
