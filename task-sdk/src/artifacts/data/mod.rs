//! What the data of an artifact look like, by its category, and what can be said about them.

pub mod analyses;
pub mod logs;
pub mod no_data;
pub mod packages;
pub mod signing;
pub mod systems;

use super::Category;
use crate::model::{Model, Violation, coercion};
use analyses::{Autopkgtest, Debdiff, Lintian};
use logs::PackageBuildLog;
use no_data::NoData;
use packages::{BinaryPackage, BinaryPackages, SourcePackage, Upload};
use serde_json::Value;
use signing::{SigningInput, SigningOutput};
use systems::{SystemImage, SystemTarball};

/// Checks data, and gives them in normal form: every key present, scalars of the types that they should have.
pub fn normalise(category: Category, data: &Value) -> Result<Value, Vec<Violation>> {
    fn by<M: Model>(data: &Value) -> Result<Value, Vec<Violation>> {
        M::parse(data).map(|model| model.to_json())
    }
    match category {
        Category::DebugLogs | Category::Blhc | Category::Test => by::<NoData>(data),
        Category::PackageBuildLog => by::<PackageBuildLog>(data),
        Category::Upload => by::<Upload>(data),
        Category::SourcePackage => by::<SourcePackage>(data),
        Category::BinaryPackage => by::<BinaryPackage>(data),
        Category::BinaryPackages => by::<BinaryPackages>(data),
        Category::Lintian => by::<Lintian>(data),
        Category::Autopkgtest => by::<Autopkgtest>(data),
        Category::SystemTarball => by::<SystemTarball>(data),
        Category::SystemImage => by::<SystemImage>(data),
        Category::Debdiff => by::<Debdiff>(data),
        Category::SigningInput => by::<SigningInput>(data),
        Category::SigningOutput => by::<SigningOutput>(data),
    }
}

/// A label needs a field that the data lack.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("label of {category}: no {field} in its data; add it")]
pub struct LabelError {
    /// The category.
    pub category: Category,
    /// The field.
    pub field: &'static str,
}

/// What to call an artifact, from data in normal form; none if there is nothing to call it by.
pub fn label(category: Category, data: &Value) -> Result<Option<String>, LabelError> {
    let text = |value: &Value| match coercion::text(value) {
        Ok(text) => text.into_owned(),
        Err(_) => value.to_string(),
    };
    let field = |data: &Value, field: &'static str| {
        let value = data.get(field).ok_or(LabelError { category, field })?;
        Ok(text(value))
    };
    let label = match category {
        Category::PackageBuildLog => {
            let name = field(data, "filename")?;
            name.strip_suffix(".build").unwrap_or(&name).to_owned()
        }
        Category::Upload => {
            let fields = &data["changes_fields"];
            let said = |name: &str| match &fields[name] {
                Value::Null => None,
                value => Some(text(value)).filter(|said| !said.is_empty()),
            };
            match (said("Source"), said("Version")) {
                (Some(source), Some(version)) => format!("{source}_{version}"),
                _ => match &fields["Files"][0]["name"] {
                    Value::Null => return Ok(None),
                    name => text(name),
                },
            }
        }
        Category::SourcePackage => {
            format!("{}_{}", field(data, "name")?, field(data, "version")?)
        }
        Category::BinaryPackage => {
            let fields = &data["deb_fields"];
            let package = field(fields, "Package")?;
            let version = field(fields, "Version")?;
            format!("{package}_{version}_{}", field(fields, "Architecture")?)
        }
        Category::BinaryPackages => {
            let version = field(data, "srcpkg_version")?;
            format!("{}_{version}", field(data, "srcpkg_name")?)
        }
        Category::Lintian => {
            let files = data["summary"]["package_filename"].as_object();
            let mut packages: Vec<&str> = files
                .into_iter()
                .flat_map(|files| files.keys().map(String::as_str))
                .collect();
            packages.sort_unstable();
            format!("lintian: {}", packages.join(", "))
        }
        Category::Autopkgtest => field(&data["source_package"], "name")?,
        Category::SystemTarball | Category::SystemImage => field(data, "filename")?,
        Category::Debdiff => {
            format!(
                "debdiff {} {}",
                field(data, "original")?,
                field(data, "new")?
            )
        }
        Category::DebugLogs
        | Category::Blhc
        | Category::SigningInput
        | Category::SigningOutput
        | Category::Test => return Ok(None),
    };
    Ok(Some(label))
}

/// The name of the source package that an artifact is about, text as a rule; none if its category has none, or the data lack it.
pub fn source_name(category: Category, data: &Value) -> Option<&Value> {
    match category {
        Category::SourcePackage => data.get("name"),
        Category::Upload => data.get("changes_fields")?.get("Source"),
        Category::BinaryPackage | Category::BinaryPackages => data.get("srcpkg_name"),
        Category::PackageBuildLog => data.get("source"),
        _ => None,
    }
}
