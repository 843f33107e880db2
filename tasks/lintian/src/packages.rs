//! What the packages among the inputs are called in lintian's output, and which analysis they belong to.

use std::collections::{BTreeMap, BTreeSet};
use task_sdk::debian::deb::Deb;
use task_sdk::debian::deb822::LONGEST_STANZA;
use task_sdk::debian::dsc::Dsc;
use task_sdk::prelude::*;

/// What follows the name of a source package in lintian's output.
const SOURCE: &str = " source";

/// A kind of packages that gets an analysis of its own; in the order in which they are uploaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PackageKind {
    /// The source package.
    Source,
    /// Binary packages for every architecture.
    BinaryAll,
    /// Binary packages for one architecture.
    BinaryAny,
}

impl PackageKind {
    /// All kinds.
    pub const ALL: [Self; 3] = [Self::Source, Self::BinaryAll, Self::BinaryAny];

    /// Its name in the contexts of a task.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::BinaryAll => "binary-all",
            Self::BinaryAny => "binary-any",
        }
    }
}

/// The packages among the inputs, by the names that they have in lintian's output.
#[derive(Debug, Default)]
pub struct Packages {
    files: BTreeMap<String, String>,
    kinds: BTreeMap<PackageKind, BTreeSet<String>>,
}

impl Packages {
    /// Looks into the files of a directory. One that looks like a `.dsc` and is none is logged and does not count.
    pub fn find(download: &Directory) -> Result<Self> {
        let mut packages = Self::default();
        for entry in download.entries()? {
            let file = entry.name;
            let suffix = suffix(&file);
            if [".deb", ".udeb"].contains(&suffix) {
                let (package, kind) = read_deb(download, &file)?;
                packages.add(package, kind, file);
            } else if is_taken_for_dsc(suffix) {
                match read_dsc(download, &file)? {
                    Some(source) => {
                        packages.add(format!("{source}{SOURCE}"), PackageKind::Source, file);
                    }
                    None => append_to_log(
                        "configure_for_execution.log",
                        &format!("{file:?} is no .dsc file of a source package: not analysed\n"),
                    )?,
                }
            }
        }
        Ok(packages)
    }

    /// Adds a package; its name is the one in lintian's output.
    pub fn add(&mut self, package: String, kind: PackageKind, file: String) {
        self.kinds.entry(kind).or_default().insert(package.clone());
        self.files.insert(package, file);
    }

    /// Whether there is a package of this name.
    pub fn contains(&self, package: &str) -> bool {
        self.files.contains_key(package)
    }

    /// The packages of a kind, ordered by name.
    pub fn of(&self, kind: PackageKind) -> impl Iterator<Item = &str> {
        let packages = self.kinds.get(&kind).into_iter().flatten();
        packages.map(String::as_str)
    }

    /// The name of a package's file; empty if there is no such package.
    pub fn file(&self, package: &str) -> &str {
        self.files.get(package).map_or("", String::as_str)
    }
}

/// A package's name as people know it.
pub fn plain_name(package: &str) -> &str {
    package.strip_suffix(SOURCE).unwrap_or(package)
}

/// What a file's name ends with from its last dot on; nothing if that dot is its first or last character.
fn suffix(name: &str) -> &str {
    match name.rfind('.') {
        Some(dot) if 0 < dot && dot + 1 < name.len() => &name[dot..],
        _ => "",
    }
}

/// Part of `.dsc` suffices, and none as well: so the reference does, and tells in its log which files were none.
fn is_taken_for_dsc(suffix: &str) -> bool {
    ".dsc".contains(suffix)
}

fn read_deb(download: &Directory, file: &str) -> Result<(String, PackageKind)> {
    let while_reading = |failure: Failure| failure.while_doing(format!("package {file:?}"));
    let deb = Deb::read(&download.open(file)?).map_err(|error| while_reading(error.into()))?;
    let field = |name| {
        let value = deb.control().get(name);
        required(value, &format!("field {name}")).map_err(while_reading)
    };
    let kind = match field("Architecture")? {
        "all" => PackageKind::BinaryAll,
        _ => PackageKind::BinaryAny,
    };
    Ok((field("Package")?.to_owned(), kind))
}

/// The name of a source package; none if the file is no `.dsc`.
fn read_dsc(download: &Directory, file: &str) -> Result<Option<String>> {
    let opened = download.open(file)?;
    if opened.size() > LONGEST_STANZA as u64 {
        return Ok(None);
    }
    let content = download.read_text(file, LONGEST_STANZA as u64)?;
    let dsc = Dsc::parse(content.as_bytes())?;
    Ok(dsc.map(|dsc| dsc.source().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suffix_is_neither_the_first_nor_the_last_dot_of_a_name() {
        for (name, expected) in [
            ("a.dsc", ".dsc"),
            ("a.tar.xz", ".xz"),
            ("..dsc", ".dsc"),
            (".dsc", ""),
            ("README", ""),
            ("a.", ""),
            ("é.udeb", ".udeb"),
        ] {
            assert_eq!(suffix(name), expected, "{name}");
        }
    }

    #[test]
    fn parts_of_the_suffix_of_a_dsc_are_taken_for_one() {
        assert!([".dsc", ".ds", ".d", ""].into_iter().all(is_taken_for_dsc));
        assert!(![".deb", ".xz", ".dscx"].into_iter().any(is_taken_for_dsc));
    }
}
