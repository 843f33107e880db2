//! Look-ups that answer with what the vector says, and the record of what was asked.

use async_trait::async_trait;
use serde_json::{Value, json};
use std::sync::{Mutex, PoisonError};
use task_runtime::artifacts::{Artifact, ArtifactId, RelationType, StoreError, TaskDatabase};

/// The server's side of `compute-dynamic-data`.
pub struct ScriptedDatabase {
    answers: Value,
    calls: Mutex<Vec<Value>>,
}

impl ScriptedDatabase {
    /// A database with a vector's answers.
    pub fn new(answers: &Value) -> Self {
        Self {
            answers: answers.clone(),
            calls: Mutex::default(),
        }
    }

    /// What was asked, in order.
    pub fn calls(&self) -> Vec<Value> {
        let calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        calls.clone()
    }

    /// The answer to a question: the last element of the entry that begins with `question`.
    fn ask(&self, kind: &str, question: &[Value]) -> Result<&Value, StoreError> {
        let mut call = vec![json!(kind)];
        call.extend_from_slice(question);
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        calls.push(Value::Array(call));
        let entries = self.answers[kind].as_array().into_iter().flatten();
        let answer = entries
            .filter_map(Value::as_array)
            .find_map(|entry| entry.strip_prefix(question)?.first());
        answer
            .filter(|answer| !answer.is_null())
            .ok_or_else(|| StoreError::NotFound(format!("nothing matches {question:?}")))
    }
}

#[async_trait]
impl TaskDatabase for ScriptedDatabase {
    async fn lookup_single(
        &self,
        lookup: &Value,
        default_category: Option<&str>,
    ) -> Result<Artifact, StoreError> {
        artifact(self.ask("single", &[lookup.clone(), json!(default_category)])?)
    }

    async fn lookup_multiple(
        &self,
        lookup: &Value,
        default_category: Option<&str>,
    ) -> Result<Vec<Artifact>, StoreError> {
        if lookup.as_array().is_some_and(Vec::is_empty) {
            return Ok(Vec::new());
        }
        artifacts(self.ask("multiple", &[lookup.clone(), json!(default_category)])?)
    }

    async fn related(
        &self,
        targets: &[ArtifactId],
        category: &str,
        relation: RelationType,
    ) -> Result<Vec<Artifact>, StoreError> {
        let question = [json!(targets), json!(category), json!(relation.name())];
        artifacts(self.ask("related", &question)?)
    }

    async fn setting(&self, name: &str) -> Result<Option<String>, StoreError> {
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        calls.push(json!(["setting", name]));
        let value = self.answers["settings"].get(name);
        Ok(value.and_then(Value::as_str).map(str::to_owned))
    }
}

fn artifacts(recorded: &Value) -> Result<Vec<Artifact>, StoreError> {
    let recorded = recorded.as_array().into_iter().flatten();
    recorded.map(artifact).collect()
}

fn artifact(recorded: &Value) -> Result<Artifact, StoreError> {
    serde_json::from_value(recorded.clone())
        .map_err(|error| StoreError::Invalid(format!("{recorded}: {error}")))
}
