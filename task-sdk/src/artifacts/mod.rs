//! Artifacts: the categories that Debusine knows, what their data look like, which files they have, and how tasks make them.
//!
//! A task makes a [`Draft`] with one of the functions of [`build`]; whoever stores it applies [`check`] again.

pub mod build;
mod category;
mod data;
mod directory;
mod draft;
mod files;

pub use category::{Category, UnknownCategory};
pub use data::analyses::{
    Autopkgtest, AutopkgtestResult, AutopkgtestSource, AutopkgtestStatus, Debdiff, Lintian,
    LintianSummary, SeverityCounts,
};
pub use data::logs::PackageBuildLog;
pub use data::no_data::NoData;
pub use data::packages::{BinaryPackage, BinaryPackages, Dpkg, SourcePackage, Upload};
pub use data::signing::{SigningInput, SigningOutput, SigningPurpose, SigningResult};
pub use data::systems::{BootMechanism, ImageFormat, SystemImage, SystemTarball};
pub use data::{LabelError, label, normalise, source_name};
pub use directory::{Directory, FileOf};
pub use draft::{Draft, DraftFile};
pub use files::FilesError;

use crate::debian::deb::DebError;
use crate::debian::deb822::StanzaError;
use crate::model::Violation;
use crate::paths::PathError;
use serde_json::Value;
use std::fmt;
use std::io;

/// Why something is no artifact.
#[derive(Debug, thiserror::Error)]
pub enum ArtifactError {
    /// Debusine has no such category.
    #[error(transparent)]
    Category(#[from] UnknownCategory),
    /// The data break the rules of the category.
    #[error("data of the artifact: {}", Violations(.0))]
    Data(Vec<Violation>),
    /// The files are not those that the category has.
    #[error(transparent)]
    Files(#[from] FilesError),
    /// A file has a name that cannot be used.
    #[error(transparent)]
    Path(#[from] PathError),
    /// A file that describes others is damaged.
    #[error("{file}: {source}")]
    Stanza {
        /// Its name.
        file: String,
        /// What is wrong with it.
        source: StanzaError,
    },
    /// A binary package is damaged.
    #[error("{file}: {source}")]
    Deb {
        /// Its name.
        file: String,
        /// What is wrong with it.
        source: DebError,
    },
    /// A file is missing, no regular file, or cannot be read.
    #[error("{file}: {source}; check that the file is there and readable")]
    Read {
        /// Its name.
        file: String,
        /// What happened.
        source: io::Error,
    },
}

/// Checks an artifact that is about to be stored: gives its data in normal form.
///
/// `paths` are those of its files within the artifact. With `contents` (the files by those paths) contents count as well.
pub fn check(
    category: &str,
    data: &Value,
    paths: &[&str],
    contents: Option<&dyn Directory>,
) -> Result<Value, ArtifactError> {
    let category: Category = category.parse()?;
    let data = normalise(category, data).map_err(ArtifactError::Data)?;
    files::check(category, &data, paths)?;
    if let (Category::Lintian, Some(directory)) = (category, contents) {
        files::check_analysis(directory, "analysis.json")?;
    }
    Ok(data)
}

/// All violations on one line.
struct Violations<'a>(&'a [Violation]);

impl fmt::Display for Violations<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, violation) in self.0.iter().enumerate() {
            if place > 0 {
                f.write_str("; ")?;
            }
            violation.fmt(f)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
