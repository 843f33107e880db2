//! Many workers, asked by many tasks: what a task reads of one worker answers for all that say the same there.
//!
//! A farm has thousands of workers and a handful of kinds of them. Whether a task can run on a worker depends on the few keys that the task
//! reads of it, and the next key that it reads on the values of those before: a tree, with a key at each node, its values as branches and
//! answers as leaves. The task itself is asked once for each leaf, everything else is a walk through numbered values.

use crate::listed_metadata::ListedMetadata;
use crate::worker_metadata::{Metadata, NotedMetadata};
use serde_json::Value;
use std::cell::RefCell;
use std::collections::HashMap;

/// The metadata of workers, in the order in which they came.
#[derive(Debug, Default)]
pub struct Workers {
    metadata: Vec<ListedMetadata>,
    columns: Vec<Column>,
}

/// One key: its distinct values are numbered, and each worker has the number of its value.
#[derive(Debug)]
struct Column {
    key: String,
    numbers: HashMap<String, usize>,
    values: Vec<usize>,
}

/// What a task reads of workers, as far as it is known.
#[derive(Default)]
struct Tree {
    root: Branch,
    nodes: Vec<Node>,
}

#[derive(Clone, Copy, Default)]
enum Branch {
    #[default]
    Unknown,
    Answer(bool),
    Node(usize),
}

/// A key that is read, and where each of its values leads.
struct Node {
    column: usize,
    branches: Vec<Branch>,
}

impl Workers {
    /// Adds a worker.
    pub fn add(&mut self, metadata: ListedMetadata) {
        for column in &mut self.columns {
            column.add(&metadata);
        }
        self.metadata.push(metadata);
    }

    /// The answers of a question for every worker: bit n of element n / 64 is worker n. Same metadata, same answer: the question has no
    /// other source.
    pub fn ask(&mut self, question: impl Fn(&dyn Metadata) -> bool) -> Vec<u64> {
        let mut tree = Tree::default();
        let mut answers = vec![0; self.metadata.len().div_ceil(64)];
        for worker in 0..self.metadata.len() {
            let known = tree.answer(&self.columns, worker);
            let answer = known.unwrap_or_else(|| self.learn(&mut tree, worker, &question));
            answers[worker / 64] |= u64::from(answer) << (worker % 64);
        }
        answers
    }

    /// Asks the task itself, and adds to the tree what it read.
    fn learn(
        &mut self,
        tree: &mut Tree,
        worker: usize,
        question: impl Fn(&dyn Metadata) -> bool,
    ) -> bool {
        let noted = NotedMetadata {
            metadata: &self.metadata[worker],
            keys: RefCell::default(),
        };
        let answer = question(&noted);
        let keys = noted.keys.into_inner();
        let path: Vec<usize> = keys.into_iter().map(|key| self.column(key)).collect();
        tree.add(&self.columns, worker, &path, answer);
        answer
    }

    fn column(&mut self, key: String) -> usize {
        if let Some(known) = self.columns.iter().position(|column| column.key == key) {
            return known;
        }
        let mut column = Column {
            key,
            numbers: HashMap::new(),
            values: Vec::with_capacity(self.metadata.len()),
        };
        for metadata in &self.metadata {
            column.add(metadata);
        }
        self.columns.push(column);
        self.columns.len() - 1
    }
}

impl Column {
    fn add(&mut self, metadata: &ListedMetadata) {
        // No JSON text is empty: a missing value is a value of its own.
        let value = metadata.get(&self.key).map(Value::to_string);
        let next = self.numbers.len();
        let number = *self
            .numbers
            .entry(value.unwrap_or_default())
            .or_insert(next);
        self.values.push(number);
    }
}

impl Tree {
    fn answer(&self, columns: &[Column], worker: usize) -> Option<bool> {
        let mut branch = self.root;
        loop {
            match branch {
                Branch::Answer(answer) => return Some(answer),
                Branch::Unknown => return None,
                Branch::Node(node) => {
                    let node = &self.nodes[node];
                    branch = node.branches[columns[node.column].values[worker]];
                }
            }
        }
    }

    /// Adds the path of columns that led to an answer. A task that reads other keys of the same values is not pure: its path is not kept.
    fn add(&mut self, columns: &[Column], worker: usize, path: &[usize], answer: bool) {
        let mut last = None;
        for &column in path {
            let node = match *self.branch(last) {
                Branch::Node(node) => node,
                Branch::Answer(_) => return,
                Branch::Unknown => {
                    let node = self.nodes.len();
                    *self.branch(last) = Branch::Node(node);
                    let branches = vec![Branch::Unknown; columns[column].numbers.len()];
                    self.nodes.push(Node { column, branches });
                    node
                }
            };
            if self.nodes[node].column != column {
                return;
            }
            last = Some((node, columns[column].values[worker]));
        }
        let leaf = self.branch(last);
        if matches!(leaf, Branch::Unknown) {
            *leaf = Branch::Answer(answer);
        }
    }

    fn branch(&mut self, at: Option<(usize, usize)>) -> &mut Branch {
        match at {
            None => &mut self.root,
            Some((node, value)) => &mut self.nodes[node].branches[value],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::cell::Cell;

    fn worker(number: usize) -> ListedMetadata {
        let mut value = json!({
            "number": number,
            "kind": if number.is_multiple_of(3) { json!("a") } else { json!(["b", number % 2]) },
            "tool": number.is_multiple_of(2),
        });
        if number.is_multiple_of(5) {
            value.as_object_mut().map(|members| members.remove("kind"));
        }
        ListedMetadata::parse(value.to_string())
    }

    /// Reads `tool` only of some kinds.
    fn question(metadata: &dyn Metadata) -> bool {
        match metadata.get("kind") {
            Some(Value::String(_)) => metadata.get("tool") == Some(&json!(true)),
            Some(_) => metadata.get("kind") == Some(&json!(["b", 1])),
            None => false,
        }
    }

    #[test]
    fn answers_are_those_of_asking_each_worker() {
        let mut workers = Workers::default();
        for round in [0..70, 70..200] {
            for number in round {
                workers.add(worker(number));
            }
            let answers = workers.ask(question);
            for (number, metadata) in workers.metadata.iter().enumerate() {
                let answer = answers[number / 64] >> (number % 64) & 1 == 1;
                assert_eq!(answer, question(metadata), "worker {number}");
            }
        }
    }

    #[test]
    fn a_task_is_asked_once_for_each_kind_of_worker() {
        let mut workers = Workers::default();
        for number in 0..1000 {
            workers.add(worker(number));
        }
        let asked = Cell::new(0);
        workers.ask(|metadata| {
            asked.set(asked.get() + 1);
            question(metadata)
        });
        assert!(asked.get() <= 5, "{}", asked.get());
    }

    #[test]
    fn a_question_that_reads_nothing_has_one_answer() {
        let mut workers = Workers::default();
        assert!(workers.ask(|_| true).is_empty());
        workers.add(worker(1));
        workers.add(worker(2));
        assert_eq!(workers.ask(|_| true), [3]);
        assert_eq!(workers.ask(|_| false), [0]);
    }

    #[test]
    fn a_task_that_is_not_pure_still_gets_an_answer() {
        let mut workers = Workers::default();
        for number in 0..10 {
            workers.add(worker(number));
        }
        let turn = Cell::new(0);
        let keys = ["kind", "tool", "number"];
        workers.ask(|metadata| {
            turn.set(turn.get() + 1);
            metadata.get(keys[turn.get() % 3]).is_some()
        });
    }
}
