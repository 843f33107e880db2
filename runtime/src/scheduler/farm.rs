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
    /// Adds a worker; its number follows the last one's.
    pub fn add(&mut self, mut metadata: Map<String, Value>) -> usize {
        // The order in which a worker lists its metadata says nothing about it.
        metadata.sort_keys();
        let text = Value::Object(metadata).to_string();
        let next =
            u32::try_from(self.classes.len()).expect("memory ends before four billion workers");
        let class = *self.numbers.entry(text).or_insert_with_key(|text| {
            self.classes.push(text.clone());
            next
        });
        self.workers.push(class);
        self.workers.len() - 1
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_metadata_are_one_class_whatever_their_order() {
        let mut farm = Farm::default();
        for text in [r#"{"a":1,"b":2}"#, r#"{"b":2,"a":1}"#, r#"{"a":1}"#] {
            farm.add(serde_json::from_str(text).unwrap());
        }
        assert_eq!(farm.workers(), [0, 0, 1]);
        assert_eq!(farm.classes().len(), 2);
    }
}
