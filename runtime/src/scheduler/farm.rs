//! Workers, and the classes of them that say the same of themselves.

use serde::Serializer;
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::iter::Enumerate;
use std::sync::{Mutex, PoisonError};
use std::vec::IntoIter;

/// The workers of a scheduler.
#[derive(Debug, Default)]
pub struct Farm {
    classes: Vec<String>,
    numbers: HashMap<String, u32>,
    workers: Vec<u32>,
}

impl Farm {
    /// Adds workers, given by their metadata in normal form; their numbers follow the last one's.
    pub(super) fn extend(&mut self, workers: impl IntoIterator<Item = String>) {
        for metadata in workers {
            self.add(metadata);
        }
    }

    fn add(&mut self, metadata: String) {
        let next =
            u32::try_from(self.classes.len()).expect("memory ends before four billion workers");
        let class = *self.numbers.entry(metadata).or_insert_with_key(|text| {
            self.classes.push(text.clone());
            next
        });
        self.workers.push(class);
    }

    /// The metadata of each class, as JSON.
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// The class of each worker.
    pub fn workers(&self) -> &[u32] {
        &self.workers
    }
}

/// Workers that are not in their normal form yet.
type Newcomers = Vec<Map<String, Value>>;

/// Newcomers in shares, of which every thread takes one after the other.
pub(super) struct Shares(Mutex<Enumerate<IntoIter<Newcomers>>>);

/// How many workers one share has.
const SHARE: usize = 32;

impl Shares {
    pub fn of(newcomers: Newcomers) -> Self {
        let mut newcomers = newcomers.into_iter();
        let share = || Some(newcomers.by_ref().take(SHARE).collect::<Newcomers>());
        let shares = std::iter::from_fn(share).take_while(|share| !share.is_empty());
        let shares: Vec<_> = shares.collect();
        Self(Mutex::new(shares.into_iter().enumerate()))
    }

    /// Puts into their normal form what is not taken yet: the place of each share, and what its workers say.
    pub fn normalise(&self) -> Vec<(usize, Vec<String>)> {
        let next = || self.0.lock().unwrap_or_else(PoisonError::into_inner).next();
        let shares = std::iter::from_fn(next);
        let normalised =
            shares.map(|(place, some)| (place, some.iter().map(normal_form).collect()));
        normalised.collect()
    }
}

/// Metadata as JSON in normal form: the order in which a worker lists them says nothing about it.
fn normal_form(metadata: &Map<String, Value>) -> String {
    let mut members: Vec<_> = metadata.iter().collect();
    members.sort_unstable_by_key(|(name, _)| *name);
    let mut text = Vec::with_capacity(1024);
    let written = serde_json::Serializer::new(&mut text).collect_map(members);
    written.expect("JSON can be written to memory");
    String::from_utf8(text).expect("JSON is UTF-8")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_metadata_are_one_class_whatever_their_order() {
        let mut farm = Farm::default();
        let workers = [r#"{"a":1,"b":2}"#, r#"{"b":2,"a":1}"#, r#"{"a":1}"#];
        farm.extend(workers.map(|text| normal_form(&serde_json::from_str(text).unwrap())));
        assert_eq!(farm.workers(), [0, 0, 1]);
        assert_eq!(farm.classes().len(), 2);
    }
}
