//! What `.dsc` and `.changes` files have in common: a stanza in which some fields are lists of files.

use super::deb822::{Stanza, StanzaError, write_field};
use super::field_map::FieldMap;
use super::text;
use serde_json::{Map, Value as Json};

/// A field that lists files, and the names of its columns; the names are those of the artifact data of the reference.
pub type ListField = (&'static str, &'static [&'static str]);

pub(super) const CHECKSUM_FIELDS: [ListField; 3] = [
    ("Checksums-Sha1", &["sha1", "size", "name"]),
    ("Checksums-Sha256", &["sha256", "size", "name"]),
    ("Checksums-Sha512", &["sha512", "size", "name"]),
];

/// One line of a list of files: column names and their text. A short line has the first columns only.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Entry {
    columns: Vec<(&'static str, String)>,
}

impl Entry {
    fn parse(line: &str, columns: &[&'static str]) -> Self {
        let columns = columns
            .iter()
            .zip(text::words(line))
            .map(|(&column, word)| (column, word.to_owned()))
            .collect();
        Self { columns }
    }

    /// The text of a column, e.g. `size`, which stays text.
    pub fn get(&self, column: &str) -> Option<&str> {
        self.columns
            .iter()
            .find(|(name, _)| *name == column)
            .map(|(_, value)| value.as_str())
    }

    /// Name of the file.
    pub fn name(&self) -> Option<&str> {
        self.get("name")
    }

    /// Has it no column? So it is for a field without a list.
    pub fn is_empty(&self) -> bool {
        self.columns.is_empty()
    }

    fn update(&mut self, other: Self) {
        for (column, value) in other.columns {
            match self.columns.iter_mut().find(|(name, _)| *name == column) {
                Some((_, known)) => *known = value,
                None => self.columns.push((column, value)),
            }
        }
    }

    fn to_json(&self) -> Json {
        let columns = self.columns.iter();
        let object: Map<String, Json> = columns
            .map(|(name, value)| ((*name).to_owned(), value.as_str().into()))
            .collect();
        object.into()
    }

    fn write(&self, out: &mut String) {
        for (_, value) in &self.columns {
            out.push(' ');
            out.push_str(value);
        }
    }
}

/// The value of a field of an upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FieldValue {
    /// Text, with the newlines and leading blanks of its continuation lines.
    Text(String),
    /// A list of files, one a line.
    Files(Vec<Entry>),
    /// A list of files whose field has no continuation lines: what is on its own line, often nothing.
    OneLine(Entry),
}

impl FieldValue {
    /// The text, if this is no list of files.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Files(_) | Self::OneLine(_) => None,
        }
    }

    /// The files listed.
    pub fn files(&self) -> &[Entry] {
        match self {
            Self::Files(entries) => entries,
            Self::Text(_) | Self::OneLine(_) => &[],
        }
    }

    fn to_json(&self) -> Json {
        match self {
            Self::Text(text) => text.as_str().into(),
            Self::Files(entries) => entries.iter().map(Entry::to_json).collect(),
            Self::OneLine(entry) => entry.to_json(),
        }
    }

    fn to_text(&self) -> String {
        let mut out = String::new();
        match self {
            Self::Text(text) => out.push_str(text),
            Self::OneLine(entry) => entry.write(&mut out),
            Self::Files(entries) => {
                for entry in entries {
                    out.push('\n');
                    entry.write(&mut out);
                }
            }
        }
        out
    }
}

/// The fields of an upload, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UploadFields {
    pub(super) fields: FieldMap<FieldValue>,
}

impl UploadFields {
    /// Reads the stanza of an upload, signed or not; `lists` says which fields list files.
    pub(super) fn parse(content: &[u8], lists: &[ListField]) -> Result<Self, StanzaError> {
        let list = |name: &str| {
            let mut lists = lists.iter();
            lists.find(|(list, _)| name.eq_ignore_ascii_case(list))
        };
        let stanza = Stanza::parse_upload(content, |name| list(name).is_some())?;
        let mut fields = FieldMap::default();
        for (name, value) in stanza.into_fields() {
            let value = match list(&name) {
                Some((_, columns)) => parse_list(&value, columns),
                None => FieldValue::Text(value),
            };
            fields.set(&name, value);
        }
        Ok(Self { fields })
    }

    /// The value of a field; its name's case does not matter.
    pub fn get(&self, name: &str) -> Option<&FieldValue> {
        self.fields.get(name)
    }

    /// The value of a field of text.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.get(name)?.text()
    }

    /// The files that a field lists; none if it is missing.
    pub fn files(&self, name: &str) -> &[Entry] {
        self.get(name).map_or(&[], FieldValue::files)
    }

    /// As the `dsc_fields` and `changes_fields` of artifacts have it.
    pub fn to_json(&self) -> Map<String, Json> {
        self.fields
            .iter()
            .map(|(name, value)| (name.to_owned(), value.to_json()))
            .collect()
    }

    /// As a file, without a signature.
    pub fn to_text(&self) -> String {
        let mut out = String::new();
        for (name, value) in self.fields.iter() {
            // Writing to a String cannot fail.
            let _ = write_field(&mut out, name, &value.to_text());
        }
        out
    }
}

fn parse_list(value: &str, columns: &[&'static str]) -> FieldValue {
    let entries = text::lines(value)
        .filter(|line| !line.is_empty())
        .map(|line| Entry::parse(line, columns));
    if value.contains('\n') {
        return FieldValue::Files(entries.collect());
    }
    let mut all = Entry::default();
    entries.for_each(|entry| all.update(entry));
    FieldValue::OneLine(all)
}
