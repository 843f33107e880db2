//! The server's side of `compute_dynamic_data`: resolving what task data name.

use crate::artifacts;
use crate::bindings::debusine::task::task_database as wit;
use crate::failure::Failure;
use crate::host::task_database as host;
use crate::model::{FieldType, coercion};
use serde_json::Value;

pub use crate::bindings::debusine::task::types::RelationType;

/// An artifact as look-ups see it: without its files.
#[derive(Debug, Clone, PartialEq)]
pub struct FoundArtifact {
    /// Its number.
    pub id: i64,
    /// Its category.
    pub category: String,
    /// Its data.
    pub data: Value,
}

/// Why dynamic data cannot be computed.
#[derive(Debug, Clone, PartialEq)]
pub enum DynamicDataError {
    /// What the data name does not fit the task, e.g. an artifact of another category.
    Config(String),
    /// A look-up has no answer.
    Lookup(String),
    /// The task failed by itself.
    Internal(Failure),
}

/// Whom a task asks. Only the SDK makes one, so it cannot be asked at another time.
pub struct TaskDatabase(pub(crate) ());

impl TaskDatabase {
    /// The artifact that a single look-up names.
    pub fn lookup_single(
        &self,
        lookup: &impl FieldType,
        default_category: Option<&str>,
    ) -> Result<FoundArtifact, DynamicDataError> {
        let lookup = lookup.to_json().to_string();
        let found = host::lookup_single(&lookup, default_category)?;
        FoundArtifact::from_wit(found)
    }

    /// The artifacts that a multiple look-up, given in its export form, names.
    pub fn lookup_multiple(
        &self,
        lookup: &Value,
        default_category: Option<&str>,
    ) -> Result<Vec<FoundArtifact>, DynamicDataError> {
        all(&host::lookup_multiple(
            &lookup.to_string(),
            default_category,
        )?)
    }

    /// The artifacts of `category` that have this relation to one of `targets`.
    pub fn related(
        &self,
        targets: &[i64],
        category: &str,
        relation: RelationType,
    ) -> Result<Vec<FoundArtifact>, DynamicDataError> {
        let targets: Vec<u64> = targets.iter().map(|id| *id as u64).collect();
        all(&host::related(&targets, category, relation)?)
    }

    /// A setting of the server.
    pub fn setting(&self, name: &str) -> Result<Option<String>, DynamicDataError> {
        Ok(host::setting(name)?)
    }
}

impl FoundArtifact {
    /// The name of the source package that it is about. That an upload does not say so, or in another way than as text, is the
    /// failure of the task; only null is no name.
    pub fn source_name(&self) -> Result<Option<String>, DynamicDataError> {
        let category = self.category.parse().ok();
        let name = category.and_then(|category| artifacts::source_name(category, &self.data));
        let name = crate::exchange::required(name, &self.what("name of the source package"));
        self.name(name.map_err(DynamicDataError::Internal)?)
    }

    /// The name of a binary package; none if its control fields have none.
    pub fn package_name(&self) -> Result<Option<String>, DynamicDataError> {
        self.name(&self.data["deb_fields"]["Package"])
    }

    fn name(&self, value: &Value) -> Result<Option<String>, DynamicDataError> {
        if value.is_null() {
            return Ok(None);
        }
        let text = coercion::text(value).map_err(|_| {
            let words = format!("{}: {value} is not text; correct it", self.what("name"));
            DynamicDataError::Internal(Failure::new("invalid-data", words))
        })?;
        Ok(Some(text.into_owned()))
    }

    fn what(&self, field: &str) -> String {
        format!("{field} in the data of artifact {}", self.id)
    }

    fn from_wit(artifact: wit::Artifact) -> Result<Self, DynamicDataError> {
        let data = serde_json::from_str(&artifact.data)
            .map_err(|error| DynamicDataError::Internal(error.into()))?;
        Ok(Self {
            id: artifact.id as i64,
            category: artifact.category,
            data,
        })
    }
}

impl From<wit::LookupError> for DynamicDataError {
    fn from(error: wit::LookupError) -> Self {
        match error {
            wit::LookupError::NotFound(words)
            | wit::LookupError::Invalid(words)
            | wit::LookupError::Unavailable(words) => Self::Lookup(words),
        }
    }
}

fn all(list: &host::Artifacts) -> Result<Vec<FoundArtifact>, DynamicDataError> {
    let mut found = Vec::new();
    loop {
        let page = list.next(1000);
        if page.is_empty() {
            return Ok(found);
        }
        for artifact in page {
            found.push(FoundArtifact::from_wit(artifact)?);
        }
    }
}
