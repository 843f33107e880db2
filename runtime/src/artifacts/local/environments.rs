//! Environments: the system tarballs and images that tasks run in, as items of the collection `debian`.
//!
//! Every stored `debian:system-tarball` and `debian:system-image` becomes an item by itself. Its data are those that Debusine documents for
//! `debian:environments`: codename, architecture and variant of the artifact, backend null. A newer item with the same data and format
//! retires the older one.
//!
//! `match:` filters as the reference does, with one addition: an item without a backend serves every backend. On a server somebody ties an
//! environment to a backend when it is added; here nobody does, and the task's own augmentation asks for one. Where both are there, the item
//! that names the backend wins over newer ones that name none, so the answer is the server's whenever the server has one. A look-up without
//! `variant` takes the newest of any variant, `variant=` one that has none: that is the reference's rule.

use super::LocalStore;
use super::collections::{Collection, Item};
use super::failure::{Failure, Outcome};
use super::records::{self, listed};
use crate::artifacts::{ArtifactId, StoreError};
use rusqlite::Connection;
use serde::Serialize;
use serde_json::{Value, json};
use std::fmt;

/// The category of collections of environments.
const CATEGORY: &str = "debian:environments";

/// The collection that holds all environments of a local store.
const COLLECTION: &str = "debian";

/// An environment that look-ups can find.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Environment {
    /// The tarball or image.
    pub artifact: ArtifactId,
    /// What kind of artifact it is.
    pub format: EnvironmentFormat,
    /// Codename of the release, e.g. `bookworm`.
    pub codename: String,
    /// Debian architecture, e.g. `amd64`.
    pub architecture: String,
    /// What it is made for, e.g. `buildd`.
    pub variant: Option<String>,
    /// The only executor backend that it serves; none serves all.
    pub backend: Option<String>,
}

/// How the file system of an environment is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum EnvironmentFormat {
    /// `debian:system-tarball`.
    Tarball,
    /// `debian:system-image`.
    Image,
}

/// What to change of an artifact's own properties when it is added as an environment once more; nothing set keeps them.
#[derive(Debug, Clone, Default)]
pub struct EnvironmentVariables {
    /// Another codename, to use one tarball for a second release.
    pub codename: Option<String>,
    /// Another variant.
    pub variant: Option<String>,
    /// The only backend that it is to serve.
    pub backend: Option<String>,
}

impl LocalStore {
    /// The environments that look-ups find, oldest first.
    pub async fn environments(&self) -> Result<Vec<Environment>, StoreError> {
        self.blocking(|store| {
            store.read(|rows| {
                let items = collection(rows)?.items(rows)?;
                Ok(items.iter().map(Environment::of).collect())
            })
        })
        .await
    }

    /// Adds a system tarball or image to the environments once more, under other properties.
    pub async fn add_environment(
        &self,
        id: ArtifactId,
        variables: EnvironmentVariables,
    ) -> Result<(), StoreError> {
        self.blocking(move |store| {
            store.write(|rows| {
                let artifact = records::artifact(rows, id)?;
                match EnvironmentFormat::of(&artifact.category) {
                    Some(format) => add(rows, id, format, &artifact.data, &variables),
                    None => Err(Failure::invalid(format!(
                        "artifact {id}: {} is no environment; choose a debian:system-tarball or debian:system-image",
                        artifact.category
                    ))),
                }
            })
        })
        .await
    }
}

/// Makes a fresh artifact an environment, if its category is one.
pub(super) fn add_fresh(
    connection: &Connection,
    id: ArtifactId,
    category: &str,
    data: &Value,
) -> Outcome<()> {
    match EnvironmentFormat::of(category) {
        Some(format) => add(
            connection,
            id,
            format,
            data,
            &EnvironmentVariables::default(),
        ),
        None => Ok(()),
    }
}

fn add(
    connection: &Connection,
    artifact: ArtifactId,
    format: EnvironmentFormat,
    data: &Value,
    variables: &EnvironmentVariables,
) -> Outcome<()> {
    let own = |key: &str| data[key].as_str().map(str::to_owned);
    let required = |key: &str, value: Option<String>| {
        value.ok_or_else(|| {
            Failure::invalid(format!(
                "data of a system {}: {key} is missing or no text; name it, for look-ups find the environment by it",
                format.name()
            ))
        })
    };
    let codename = variables.codename.clone().or_else(|| own("codename"));
    let environment = Environment {
        artifact,
        format,
        codename: required("codename", codename)?,
        architecture: required("architecture", own("architecture"))?,
        variant: variables.variant.clone().or_else(|| own("variant")),
        backend: variables.backend.clone(),
    };
    // On a server each vendor has a collection of its own: its look-ups are to work here as well.
    let vendor = own("vendor").map(|vendor| vendor.to_lowercase());
    let vendor = vendor.filter(|vendor| is_collection_name(vendor) && vendor != COLLECTION);
    for name in [Some(COLLECTION), vendor.as_deref()].into_iter().flatten() {
        let collection = Collection::ensure(connection, name, CATEGORY)?;
        let (name, data) = (environment.item_name(), environment.item_data());
        collection.add(connection, artifact, &name, &data)?;
    }
    Ok(())
}

/// The item that a `match:` look-up finds in a collection; `filters` is what follows `match`, e.g. `:codename=sid:variant=`.
pub(super) fn find(
    connection: &Connection,
    collection: &Collection,
    filters: &str,
) -> Outcome<ArtifactId> {
    let filters = Filters::parse(filters)?;
    let items = collection.items(connection)?;
    let best = items
        .iter()
        .map(|item| (item, Environment::of(item)))
        .filter(|(_, environment)| filters.accept(environment))
        .max_by_key(|(item, environment)| {
            (
                environment.backend.is_some() && filters.backend.is_some(),
                item.id,
            )
        });
    match best {
        Some((item, _)) => Ok(item.artifact),
        None => {
            let there: Vec<_> = items
                .iter()
                .rev()
                .map(|item| Environment::of(item).to_string())
                .collect();
            Err(Failure::not_found(format!(
                "no environment matches; {} has {}; import a debian:system-tarball, or build one with mmdebstrap",
                collection.name,
                listed(&there)
            )))
        }
    }
}

/// What a `match:` look-up asks for.
#[derive(Default)]
struct Filters {
    format: Option<EnvironmentFormat>,
    codename: Option<String>,
    architecture: Option<String>,
    /// Empty: an environment without variant.
    variant: Option<String>,
    backend: Option<String>,
}

impl Filters {
    /// Of a key that is given twice the last value counts.
    fn parse(text: &str) -> Outcome<Self> {
        let mut filters = Self::default();
        for item in text.split(':').skip(1) {
            let Some((key, value)) = item.split_once('=') else {
                return Err(Failure::invalid(format!(
                    "{item:?} is no filter; write key=value, e.g. match:codename=bookworm"
                )));
            };
            let given = Some(value.to_owned());
            match (key, value) {
                ("format", "tarball") => filters.format = Some(EnvironmentFormat::Tarball),
                ("format", "image") => filters.format = Some(EnvironmentFormat::Image),
                ("format", _) => {
                    return Err(Failure::invalid(format!(
                        "format {value:?} does not exist; use tarball or image"
                    )));
                }
                ("codename", _) => filters.codename = given,
                ("architecture", _) => filters.architecture = given,
                ("variant", _) => filters.variant = given,
                ("backend", _) => filters.backend = given,
                _ => {
                    return Err(Failure::invalid(format!(
                        "{key:?} is no property of environments; use format, codename, architecture, variant or backend"
                    )));
                }
            }
        }
        Ok(filters)
    }

    fn accept(&self, environment: &Environment) -> bool {
        let is = |wanted: &Option<String>, value: &str| {
            wanted.as_deref().is_none_or(|wanted| wanted == value)
        };
        self.format
            .is_none_or(|format| format == environment.format)
            && is(&self.codename, &environment.codename)
            && is(&self.architecture, &environment.architecture)
            && is(&self.variant, environment.variant.as_deref().unwrap_or(""))
            && environment
                .backend
                .as_deref()
                .is_none_or(|backend| is(&self.backend, backend))
    }
}

impl Environment {
    fn of(item: &Item) -> Self {
        let text = |key: &str| item.data[key].as_str().map(str::to_owned);
        Self {
            artifact: item.artifact,
            format: EnvironmentFormat::of(&item.category).unwrap_or(EnvironmentFormat::Tarball),
            codename: text("codename").unwrap_or_default(),
            architecture: text("architecture").unwrap_or_default(),
            variant: text("variant"),
            backend: text("backend"),
        }
    }

    /// Equal for environments of which only the newest is to be found.
    fn item_name(&self) -> String {
        let mut name = format!(
            "{}-{}-{}",
            self.codename,
            self.architecture,
            self.format.name()
        );
        for (what, value) in [("variant", &self.variant), ("backend", &self.backend)] {
            if let Some(value) = value {
                name += &format!("-{what}-{value}");
            }
        }
        name
    }

    fn item_data(&self) -> Value {
        json!({
            "codename": self.codename,
            "architecture": self.architecture,
            "variant": self.variant,
            "backend": self.backend,
        })
    }
}

impl fmt::Display for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.codename, self.architecture)?;
        for property in [&self.variant, &self.backend].into_iter().flatten() {
            write!(f, " {property}")?;
        }
        write!(f, " ({}, artifact {})", self.format.name(), self.artifact)
    }
}

impl EnvironmentFormat {
    fn of(category: &str) -> Option<Self> {
        match category {
            "debian:system-tarball" => Some(Self::Tarball),
            "debian:system-image" => Some(Self::Image),
            _ => None,
        }
    }

    /// Its name in look-ups: `tarball` or `image`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tarball => "tarball",
            Self::Image => "image",
        }
    }
}

fn collection(connection: &Connection) -> Outcome<Collection> {
    Collection::find(connection, COLLECTION, Some(CATEGORY))
}

fn is_collection_name(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"+-._".contains(&byte))
}
