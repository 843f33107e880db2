//! Whether the files that sbuild left fit each other: what `.changes` and `.dsc` list is there and unchanged, and nothing else is.

use std::collections::BTreeMap;
use task_sdk::debian::changes::Changes;
use task_sdk::debian::deb822::LONGEST_STANZA;
use task_sdk::debian::dsc::Dsc;
use task_sdk::debian::uploads::{FieldValue, UploadFields};
use task_sdk::paths;
use task_sdk::prelude::*;

/// What need not be listed anywhere.
const UNLISTED: [&str; 3] = [".dsc", ".changes", ".build"];

/// A kind of checksum, and how an upload lists it.
#[derive(Debug)]
struct Checksum {
    field: &'static str,
    column: &'static str,
    algorithm: DigestAlgorithm,
}

static CHECKSUMS: [Checksum; 3] = [
    Checksum {
        field: "Checksums-Sha1",
        column: "sha1",
        algorithm: DigestAlgorithm::Sha1,
    },
    Checksum {
        field: "Checksums-Sha256",
        column: "sha256",
        algorithm: DigestAlgorithm::Sha256,
    },
    Checksum {
        field: "Files",
        column: "md5sum",
        algorithm: DigestAlgorithm::Md5,
    },
];

/// A line for each flaw.
pub fn flaws(directory: &Directory) -> Result<Vec<String>> {
    let mut contents = Contents::of(directory)?;
    let mut flaws = Vec::new();
    if let Some(name) = directory.find_file(&[".changes"])? {
        let content = directory.read(&name, LONGEST_STANZA as u64)?;
        let changes = Changes::parse(&content)?;
        contents.check(".changes", changes.fields(), &mut flaws)?;
    }
    if let Some(name) = directory.find_file(&[".dsc"])? {
        let content = directory.read(&name, LONGEST_STANZA as u64)?;
        if let Some(dsc) = Dsc::parse(&content)? {
            contents.check(".dsc", dsc.fields(), &mut flaws)?;
        }
    }
    flaws.extend(contents.unlisted());
    Ok(flaws)
}

/// The entries of a directory.
struct Contents<'a> {
    directory: &'a Directory,
    entries: BTreeMap<String, State>,
}

/// What is known of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// A file, or a link to one, that is listed or need not be.
    Expected,
    /// A file, or a link to one.
    File,
    /// Anything else; being listed does not make it right.
    NoFile,
}

impl<'a> Contents<'a> {
    fn of(directory: &'a Directory) -> Result<Self> {
        let entries = directory.entries()?.into_iter();
        let entries = entries.map(|entry| {
            let is_file = entry.target_type == Some(EntryType::Regular);
            let state = match UNLISTED.iter().any(|suffix| entry.name.ends_with(suffix)) {
                _ if !is_file => State::NoFile,
                true => State::Expected,
                false => State::File,
            };
            (entry.name, state)
        });
        Ok(Self {
            directory,
            entries: entries.collect(),
        })
    }

    /// Checks what a file lists, and ticks it off. `by` is the file's suffix: flaws name the files that are flawed, and no other.
    fn check(&mut self, by: &str, fields: &UploadFields, flaws: &mut Vec<String>) -> Result<()> {
        for listed in listed_files(fields)? {
            flaws.extend(self.flaw(by, &listed)?);
            if let Some(state @ State::File) = self.entries.get_mut(listed.name) {
                *state = State::Expected;
            }
        }
        Ok(())
    }

    fn flaw(&self, by: &str, listed: &ListedFile<'_>) -> Result<Option<String>> {
        let ListedFile {
            name,
            value,
            checksum,
        } = listed;
        let column = checksum.column;
        if let Err(error) = paths::check_name(name) {
            return Ok(Some(format!(
                "{by} lists a {column} that cannot be checked: {error}"
            )));
        }
        let is_file = matches!(self.entries.get(*name), Some(State::File | State::Expected));
        if !is_file {
            let words = format!("{by} lists the {column} of {name:?}, which is no file here");
            return Ok(Some(words));
        }
        let found = self.directory.digest(name, checksum.algorithm)?;
        let differs = found != *value;
        Ok(differs
            .then(|| format!("the {column} of {name:?} is {found}, but {by} lists {value:?}")))
    }

    /// The flaw that there is what nothing lists.
    fn unlisted(&self) -> Option<String> {
        let unlisted = self
            .entries
            .iter()
            .filter(|(_, state)| **state != State::Expected);
        let names: Vec<String> = unlisted.map(|(name, _)| format!("{name:?}")).collect();
        if names.is_empty() {
            return None;
        }
        Some(format!(
            "neither .changes nor .dsc list: {}",
            names.join(", ")
        ))
    }
}

/// A file as an upload lists it.
struct ListedFile<'a> {
    name: &'a str,
    value: &'a str,
    checksum: &'static Checksum,
}

/// The files of an upload, once for each checksum; an upload without one of the lists is none.
fn listed_files(fields: &UploadFields) -> Result<Vec<ListedFile<'_>>> {
    let mut listed = Vec::new();
    for checksum in &CHECKSUMS {
        let &Checksum { field, column, .. } = checksum;
        let entries = match required(fields.get(field), field)? {
            FieldValue::Files(entries) => entries.as_slice(),
            // An empty list; a file on the line of the field itself is no list.
            FieldValue::OneLine(entry) if entry.get(column).is_none() => &[],
            FieldValue::OneLine(_) | FieldValue::Text(_) => {
                let words = format!("{field}: not a list; give each file a line of its own");
                return Err(Failure::new("invalid-data", words));
            }
        };
        for entry in entries {
            listed.push(ListedFile {
                name: required(entry.name(), field)?,
                value: required(entry.get(column), field)?,
                checksum,
            });
        }
    }
    Ok(listed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(changes: &str) -> Result<Vec<String>> {
        let changes = Changes::parse(changes.as_bytes()).unwrap();
        let listed = listed_files(changes.fields())?;
        let line = |file: &ListedFile<'_>| {
            format!("{} {} {}", file.checksum.column, file.value, file.name)
        };
        Ok(listed.iter().map(line).collect())
    }

    #[test]
    fn a_file_is_checked_by_each_of_its_checksums() {
        let changes = "Checksums-Sha1:\n 1a 5 x.deb\nChecksums-Sha256:\n 2b 5 x.deb\nFiles:\n 3c 5 misc optional x.deb\n";
        let expected = ["sha1 1a x.deb", "sha256 2b x.deb", "md5sum 3c x.deb"];
        assert_eq!(list(changes).unwrap(), expected);
    }

    #[test]
    fn an_empty_list_is_one_and_a_missing_list_is_not() {
        let empty = "Checksums-Sha1:\nChecksums-Sha256:\nFiles:\n";
        assert!(list(empty).unwrap().is_empty());
        assert!(list("").is_err());
        assert!(list("Checksums-Sha1:\nChecksums-Sha256:\n").is_err());
        assert!(list("Checksums-Sha1: 1a 5 x.deb\nChecksums-Sha256:\nFiles:\n").is_err());
        assert!(list("Checksums-Sha1:\n 1a\nChecksums-Sha256:\nFiles:\n").is_err());
    }
}
