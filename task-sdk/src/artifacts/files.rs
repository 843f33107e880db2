//! Which files an artifact has, by its category.

use super::{ArtifactError, Category, Directory, FileOf};
use serde::de::IgnoredAny;
use serde_json::Value;
use std::collections::BTreeSet;
use std::io::BufReader;

/// Why files are not those of an artifact.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FilesError {
    /// A path is there twice.
    #[error("file {0:?}: given twice; give each file once")]
    Twice(String),
    /// There are too few or too many of a kind.
    #[error("{category} with {found} files {pattern}: it has exactly one; give that one")]
    NotOne {
        /// The category.
        category: Category,
        /// Which files were counted.
        pattern: &'static str,
        /// How many there are.
        found: usize,
    },
    /// There are none.
    #[error("{0} without files: give at least one")]
    None(Category),
    /// A file is of another kind.
    #[error("{category} with file {file:?}: its files are {pattern}; leave that one out")]
    Kind {
        /// The category.
        category: Category,
        /// The file.
        file: String,
        /// The files that it may have.
        pattern: &'static str,
    },
    /// The files are not those that a `.dsc` or `.changes` lists.
    #[error("{category}: file {file:?} is {how}; give exactly the files that are listed")]
    Listed {
        /// The category.
        category: Category,
        /// The file.
        file: String,
        /// `listed, but not given` or the reverse.
        how: &'static str,
    },
    /// The analysis of lintian is no JSON.
    #[error("analysis.json: {0}; write it as JSON")]
    Json(String),
}

const DEBS: &[&str] = &[".deb", ".udeb"];

/// Checks the files of an artifact against its category and its data (in normal form).
pub(super) fn check(category: Category, data: &Value, paths: &[&str]) -> Result<(), FilesError> {
    let files = Files { category, paths };
    match category {
        Category::DebugLogs
        | Category::Autopkgtest
        | Category::Blhc
        | Category::Debdiff
        | Category::SigningOutput
        | Category::Test => {}
        Category::PackageBuildLog => files.only_one("*.build", &[".build"])?,
        Category::BinaryPackage => files.only_one("*.deb or *.udeb", DEBS)?,
        Category::SystemTarball => files.only_one("*.tar.xz", &[".tar.xz"])?,
        Category::SystemImage => files.only_one("*.tar.xz or *.qcow2", &[".tar.xz", ".qcow2"])?,
        Category::SigningInput => files.some()?,
        Category::BinaryPackages => {
            files.some()?;
            files.all("*.deb or *.udeb", DEBS)?;
        }
        Category::Upload => {
            files.one("*.changes", ".changes")?;
            files.as_listed(&data["changes_fields"]["Files"], ".changes")?;
        }
        Category::SourcePackage => {
            files.one("*.dsc", ".dsc")?;
            files.as_listed(&data["dsc_fields"]["Files"], ".dsc")?;
        }
        Category::Lintian => files.exactly(&["analysis.json", "lintian.txt"])?,
    }
    Ok(())
}

struct Files<'a> {
    category: Category,
    paths: &'a [&'a str],
}

impl Files<'_> {
    fn some(&self) -> Result<(), FilesError> {
        if self.paths.is_empty() {
            return Err(FilesError::None(self.category));
        }
        Ok(())
    }

    fn one(&self, pattern: &'static str, suffix: &str) -> Result<(), FilesError> {
        let found = self
            .paths
            .iter()
            .filter(|path| path.ends_with(suffix))
            .count();
        if found != 1 {
            return Err(FilesError::NotOne {
                category: self.category,
                pattern,
                found,
            });
        }
        Ok(())
    }

    fn only_one(&self, pattern: &'static str, suffixes: &[&str]) -> Result<(), FilesError> {
        if self.paths.len() != 1 {
            return Err(FilesError::NotOne {
                category: self.category,
                pattern,
                found: self.paths.len(),
            });
        }
        self.all(pattern, suffixes)
    }

    fn all(&self, pattern: &'static str, suffixes: &[&str]) -> Result<(), FilesError> {
        let is_other = |path: &&&str| !suffixes.iter().any(|suffix| path.ends_with(suffix));
        match self.paths.iter().find(is_other) {
            None => Ok(()),
            Some(file) => Err(FilesError::Kind {
                category: self.category,
                file: (*file).to_owned(),
                pattern,
            }),
        }
    }

    fn exactly(&self, names: &[&str]) -> Result<(), FilesError> {
        self.same(set(self.paths), set(names))
    }

    /// All files but the listing one are those that it lists.
    fn as_listed(&self, list: &Value, listing: &str) -> Result<(), FilesError> {
        let entries = list.as_array().into_iter().flatten();
        let listed = entries.filter_map(|entry| entry["name"].as_str()).collect();
        let mut given = set(self.paths);
        given.retain(|path| !path.ends_with(listing));
        self.same(given, listed)
    }

    fn same(&self, given: BTreeSet<&str>, listed: BTreeSet<&str>) -> Result<(), FilesError> {
        let refuse = |file: &str, how| {
            Err(FilesError::Listed {
                category: self.category,
                file: file.to_owned(),
                how,
            })
        };
        if let Some(file) = listed.difference(&given).next() {
            return refuse(file, "listed, but not given");
        }
        if let Some(file) = given.difference(&listed).next() {
            return refuse(file, "given, but not listed");
        }
        Ok(())
    }
}

fn set<'a>(names: &[&'a str]) -> BTreeSet<&'a str> {
    names.iter().copied().collect()
}

/// Checks that an analysis of lintian is JSON, without keeping it.
pub(super) fn check_analysis(directory: &dyn Directory, path: &str) -> Result<(), ArtifactError> {
    let file = FileOf { directory, path };
    let read: Result<IgnoredAny, _> = serde_json::from_reader(BufReader::new(file.stream()));
    match read {
        Ok(IgnoredAny) => Ok(()),
        Err(error) if error.is_io() => Err(ArtifactError::Read {
            file: path.to_owned(),
            source: error.into(),
        }),
        Err(error) => Err(FilesError::Json(error.to_string()).into()),
    }
}
