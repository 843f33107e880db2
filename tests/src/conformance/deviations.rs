//! Where ours departs from the reference on purpose: a list of vectors, each group with its reason.

use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;

/// The listed vectors.
#[derive(Debug, Default)]
pub struct Deviations {
    reasons: BTreeMap<String, String>,
}

/// One fault of the reference that is not copied.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Deviation {
    reason: String,
    vectors: Vec<String>,
}

impl Deviations {
    /// Reads the list: a JSON array of objects with a `reason` and the names of its `vectors`.
    pub fn read(path: &Path) -> Result<Self, String> {
        let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
        let text = std::fs::read_to_string(path).map_err(|error| failed(&error))?;
        let listed: Vec<Deviation> = serde_json::from_str(&text).map_err(|error| failed(&error))?;
        let mut reasons = BTreeMap::new();
        for deviation in listed {
            for vector in deviation.vectors {
                reasons.insert(vector, deviation.reason.clone());
            }
        }
        Ok(Self { reasons })
    }

    /// Why a vector may fail; none if it must pass.
    pub fn reason(&self, id: &str) -> Option<&str> {
        self.reasons.get(id).map(String::as_str)
    }

    /// The names of all listed vectors.
    pub fn vectors(&self) -> impl Iterator<Item = &str> {
        self.reasons.keys().map(String::as_str)
    }
}
