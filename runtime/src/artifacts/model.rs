//! The vocabulary of artifacts: ids, files, relations.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fmt;
use std::fs::File;
use std::str::FromStr;

/// Number of an artifact in its store or on its server; the first is 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ArtifactId(pub u64);

impl fmt::Display for ArtifactId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An artifact as its store describes it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Artifact {
    /// Its number.
    pub id: ArtifactId,
    /// Its category, e.g. `debian:source-package`.
    pub category: String,
    /// Its data, an object whose shape the category defines.
    pub data: Value,
    /// Its files, in the order in which the store lists them. Look-ups may leave them out.
    #[serde(default)]
    pub files: Vec<ArtifactFile>,
}

/// One file of an artifact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArtifactFile {
    /// Path within the artifact: relative, `/` between its parts.
    pub path: String,
    /// Size in bytes.
    pub size: u64,
    /// SHA-256 of the content, 64 lower-case hexadecimal digits.
    pub sha256: String,
    /// Where a server offers it, if the store is a server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

/// An artifact that is about to be stored.
#[derive(Debug)]
pub struct NewArtifact {
    /// Its category, e.g. `debian:binary-package`.
    pub category: String,
    /// Its data, an object.
    pub data: Value,
    /// Its files; no path twice.
    pub files: Vec<NewFile>,
    /// The work request that made it, if one did.
    pub work_request: Option<u64>,
    /// The workspace it belongs to; none leaves that to the store.
    pub workspace: Option<String>,
}

/// A file that is about to be stored: an open descriptor, so that nobody can exchange the file behind its name.
#[derive(Debug)]
pub struct NewFile {
    /// Path within the artifact.
    pub path: String,
    /// The content, from offset 0 to its end.
    pub content: File,
}

/// `from` has a relation to `to`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Relation {
    /// The newer artifact, as a rule.
    pub from: ArtifactId,
    /// The artifact that it refers to.
    pub to: ArtifactId,
    /// How.
    #[serde(rename = "type")]
    pub kind: RelationType,
}

/// The kinds of relation that Debusine knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RelationType {
    /// `from` adds to `to`, e.g. an upload to its source package.
    Extends,
    /// `from` was made by looking at `to`.
    RelatesTo,
    /// `from` was built with the help of `to`.
    BuiltUsing,
}

impl RelationType {
    /// Its name on the wire: `extends`, `relates-to`, `built-using`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Extends => "extends",
            Self::RelatesTo => "relates-to",
            Self::BuiltUsing => "built-using",
        }
    }
}

impl fmt::Display for RelationType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for RelationType {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        [Self::Extends, Self::RelatesTo, Self::BuiltUsing]
            .into_iter()
            .find(|kind| kind.name() == name)
            .ok_or_else(|| {
                format!("unknown relation type {name:?}: use extends, relates-to or built-using")
            })
    }
}
