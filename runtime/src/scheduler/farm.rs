//! Workers, and the classes of them that say the same of themselves.

use serde_json::{Map, Value};
use std::collections::HashMap;

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

/// Metadata as JSON in normal form: the order in which a worker lists them says nothing about it.
pub(super) fn normal_form(mut metadata: Map<String, Value>) -> String {
    metadata.sort_keys();
    Value::Object(metadata).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_metadata_are_one_class_whatever_their_order() {
        let mut farm = Farm::default();
        let workers = [r#"{"a":1,"b":2}"#, r#"{"b":2,"a":1}"#, r#"{"a":1}"#];
        farm.extend(workers.map(|text| normal_form(serde_json::from_str(text).unwrap())));
        assert_eq!(farm.workers(), [0, 0, 1]);
        assert_eq!(farm.classes().len(), 2);
    }
}
