//! Merging uploads: one `.changes` file out of those of several builds of the same source, as mergechanges(1) does it.

use super::changes::Changes;
use super::deb822::{StanzaError, check_value};
use super::uploads::{Entry, FieldValue};
use super::{text, version};
use std::collections::{BTreeMap, BTreeSet};

/// The lists that every upload must have, and the only ones that can be merged.
const LISTS: [&str; 3] = ["Files", "Checksums-Sha1", "Checksums-Sha256"];

/// Why uploads cannot be merged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MergeError {
    /// There is nothing to merge.
    #[error("no .changes file to merge: give at least one upload")]
    Nothing,
    /// A field that is needed is in none of them, or in one that must have it.
    #[error("field {0}: missing; merge uploads that have it")]
    Missing(&'static str),
    /// The format of the files is not the one that can be merged.
    #[error("format {0:?} of .changes files: only 1.8 can be merged")]
    Format(String),
    /// A field must be the same in all, and is not.
    #[error("field {field}: {first:?} and {other:?} differ; merge only builds of one source")]
    Differs {
        /// Name of the field.
        field: &'static str,
        /// Its value in the first upload.
        first: String,
        /// Its value in another one.
        other: String,
    },
    /// A checksum that the merged upload would lack for some files.
    #[error("field {0}: only Checksums-Sha1 and Checksums-Sha256 can be merged")]
    Checksum(String),
    /// A package has two descriptions.
    #[error("package {0}: described in two ways; build it with one description")]
    Description(String),
    /// A file is listed in two ways.
    #[error("file {file:?}: entries in {field} differ; build it only once")]
    File {
        /// Name of the file.
        file: String,
        /// The list.
        field: &'static str,
    },
    /// A file is in two of the uploads.
    #[error("file {file:?}: {field} of two uploads list it; merge uploads of different files")]
    Twice {
        /// Name of the file.
        file: String,
        /// The list.
        field: &'static str,
    },
    /// A list of files is none.
    #[error("field {0}: not a list of files, one a line; correct the .changes file")]
    List(&'static str),
    /// Values of one line and of several cannot be merged with each other.
    #[error("field {0}: on one line in one upload, on several in another; write it in one way")]
    Lines(&'static str),
    /// A merged value is none.
    #[error(transparent)]
    Value(#[from] StanzaError),
}

/// Merges uploads into the first of them: binaries and architectures together, descriptions and files of all.
pub fn merge(uploads: &[Changes]) -> Result<Changes, MergeError> {
    let first = uploads.first().ok_or(MergeError::Nothing)?;
    check_same(first, uploads)?;
    check_checksums(uploads)?;
    check_descriptions(uploads)?;
    for field in LISTS {
        // A lone upload has nothing to compare with, and may lack it.
        if uploads.len() > 1 || first.fields.get(field).is_some() {
            check_files(field, uploads)?;
        }
    }
    let mut merged = first.clone();
    for upload in &uploads[1..] {
        merge_words(&mut merged, upload, "Binary")?;
        merge_words(&mut merged, upload, "Architecture")?;
        merge_descriptions(&mut merged, upload)?;
        for field in LISTS {
            merge_files(&mut merged, upload, field)?;
        }
    }
    check_complete(&merged)?;
    for (field, reference) in [("Binary", "Source"), ("Description", "Changes")] {
        for needed in [field, reference] {
            merged
                .fields
                .get(needed)
                .ok_or(MergeError::Missing(needed))?;
        }
        merged.fields.fields.move_before(field, reference);
    }
    Ok(merged)
}

/// Name of the file for a merged upload: `hello_1.0-1_multi.changes`; the epoch of the version is left out.
pub fn file_name(merged: &Changes) -> Result<String, MergeError> {
    let field = |name| merged.fields.text(name).ok_or(MergeError::Missing(name));
    let version = version::without_epoch(field("Version")?);
    Ok(format!("{}_{version}_multi.changes", field("Source")?))
}

fn check_same(first: &Changes, uploads: &[Changes]) -> Result<(), MergeError> {
    let field = |upload: &Changes, name| {
        let text = upload.fields.text(name).ok_or(MergeError::Missing(name))?;
        Ok::<String, MergeError>(text.to_owned())
    };
    let format = field(first, "Format")?;
    if format != "1.8" {
        return Err(MergeError::Format(format));
    }
    for name in ["Format", "Source", "Version"] {
        let value = field(first, name)?;
        for upload in uploads {
            let other = field(upload, name)?;
            if other != value {
                return Err(MergeError::Differs {
                    field: name,
                    first: value,
                    other,
                });
            }
        }
    }
    Ok(())
}

fn check_checksums(uploads: &[Changes]) -> Result<(), MergeError> {
    let names = uploads
        .iter()
        .flat_map(|upload| upload.fields.fields.iter().map(|(name, _)| name));
    for name in names {
        let known = LISTS.iter().any(|list| list.eq_ignore_ascii_case(name));
        if !known && name.to_ascii_lowercase().starts_with("checksums-") {
            return Err(MergeError::Checksum(name.to_owned()));
        }
    }
    Ok(())
}

/// A description is a line ` package - words`; other lines are taken over without a look.
fn description(line: &str) -> Option<(&str, &str)> {
    let (package, rest) = line.strip_prefix(' ')?.split_once(' ')?;
    let words = rest.strip_prefix("- ")?;
    (!package.is_empty() && !words.is_empty()).then_some((package, words))
}

fn check_descriptions(uploads: &[Changes]) -> Result<(), MergeError> {
    let mut known = BTreeMap::new();
    for upload in uploads {
        for line in descriptions(upload) {
            let Some((package, words)) = description(line) else {
                continue;
            };
            if *known.entry(package).or_insert(words) != words {
                return Err(MergeError::Description(package.to_owned()));
            }
        }
    }
    Ok(())
}

fn descriptions(upload: &Changes) -> impl Iterator<Item = &str> {
    text::lines(upload.fields.text("Description").unwrap_or_default())
}

/// A list that is written must be one: an empty field among the uploads is passed over, not made the result.
fn check_complete(merged: &Changes) -> Result<(), MergeError> {
    let is_none = |field: &&str| matches!(merged.fields.get(field), Some(FieldValue::OneLine(_)));
    match LISTS.into_iter().find(is_none) {
        Some(field) => Err(MergeError::List(field)),
        None => Ok(()),
    }
}

/// The entries of a list that every upload must have.
fn list<'a>(upload: &'a Changes, field: &'static str) -> Result<&'a [Entry], MergeError> {
    match upload.fields.get(field) {
        None => Err(MergeError::Missing(field)),
        Some(FieldValue::Files(entries)) => Ok(entries),
        Some(FieldValue::OneLine(entry)) if entry.is_empty() => Ok(&[]),
        Some(_) => Err(MergeError::List(field)),
    }
}

fn check_files(field: &'static str, uploads: &[Changes]) -> Result<(), MergeError> {
    let mut known = BTreeMap::new();
    for upload in uploads {
        for entry in list(upload, field)? {
            let file = entry.name().ok_or(MergeError::List(field))?;
            if *known.entry(file).or_insert(entry) != entry {
                let file = file.to_owned();
                return Err(MergeError::File { file, field });
            }
        }
    }
    Ok(())
}

/// Merges fields that hold words: a missing or empty one gives way, single lines become one of sorted, distinct words. One of the
/// two must have the field, even if it is empty there.
fn merge_words(
    merged: &mut Changes,
    upload: &Changes,
    field: &'static str,
) -> Result<(), MergeError> {
    let value = match (merged.fields.text(field), upload.fields.text(field)) {
        (None, None) => return Err(MergeError::Missing(field)),
        (Some(_), None | Some("")) => return Ok(()),
        (None | Some(""), Some(theirs)) => theirs.to_owned(),
        (Some(ours), Some(theirs)) => match (ours.contains('\n'), theirs.contains('\n')) {
            (false, false) => merge_single_lines(ours, theirs),
            (true, true) => merge_many_lines(ours, theirs),
            _ => return Err(MergeError::Lines(field)),
        },
    };
    check_value(field, &value)?;
    merged.fields.fields.set(field, FieldValue::Text(value));
    Ok(())
}

fn merge_single_lines(ours: &str, theirs: &str) -> String {
    let comma = ours.contains(", ") || theirs.contains(", ");
    let delimiter = if comma { ", " } else { " " };
    let mut words: Vec<&str> = ours
        .split(delimiter)
        .chain(theirs.split(delimiter))
        .collect();
    words.sort_unstable();
    words.dedup();
    words.join(delimiter)
}

/// Adds the lines that are missing, line ends included: so the reference does it, and refuses the blank lines which that leaves.
fn merge_many_lines(ours: &str, theirs: &str) -> String {
    let known: BTreeSet<&str> = ours.split_inclusive('\n').collect();
    let mut merged = ours.to_owned();
    for line in theirs.split_inclusive('\n') {
        if !known.contains(line) {
            merged.push('\n');
            merged.push_str(line);
        }
    }
    merged
}

fn merge_descriptions(merged: &mut Changes, upload: &Changes) -> Result<(), MergeError> {
    let description = |upload: &Changes| {
        let text = upload.fields.text("Description").unwrap_or_default();
        text.to_owned()
    };
    let (ours, theirs) = (description(merged), description(upload));
    if theirs.is_empty() {
        return Ok(());
    }
    let first = if ours.is_empty() { &theirs } else { &ours };
    let mut value = first.clone();
    let mut known: BTreeSet<&str> = text::lines(first).collect();
    for line in text::lines(&theirs) {
        if known.insert(line) {
            value.push('\n');
            value.push_str(line);
        }
    }
    // The blank line before descriptions on lines of their own has no place after one that begins on the field's line.
    check_value("Description", &value)?;
    let value = FieldValue::Text(value);
    merged.fields.fields.set("Description", value);
    Ok(())
}

fn name_of(entry: &Entry) -> Option<String> {
    entry.name().map(str::to_owned)
}

fn merge_files(
    merged: &mut Changes,
    upload: &Changes,
    field: &'static str,
) -> Result<(), MergeError> {
    let theirs = list(upload, field)?;
    let ours = match merged.fields.fields.get_mut(field) {
        Some(FieldValue::Files(entries)) => entries,
        Some(_) => return Err(MergeError::List(field)),
        None => return Err(MergeError::Missing(field)),
    };
    // Entries of one name are equal, that has been checked. One upload may list a file twice, if it likes.
    let known: BTreeSet<String> = ours.iter().filter_map(name_of).collect();
    for entry in theirs {
        let file = name_of(entry).unwrap_or_default();
        if known.contains(&file) {
            return Err(MergeError::Twice { file, field });
        }
        ours.push(entry.clone());
    }
    Ok(())
}

#[cfg(test)]
mod tests;
