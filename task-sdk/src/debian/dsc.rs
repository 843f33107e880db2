//! `.dsc` files: what a source package consists of.

use super::deb822::StanzaError;
use super::uploads::{CHECKSUM_FIELDS, ListField, UploadFields};

const LISTS: [ListField; 4] = [
    ("Files", &["md5sum", "size", "name"]),
    CHECKSUM_FIELDS[0],
    CHECKSUM_FIELDS[1],
    CHECKSUM_FIELDS[2],
];

/// A `.dsc` file that names a source package and its version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dsc {
    fields: UploadFields,
}

impl Dsc {
    /// Reads a `.dsc`, clear-signed or not. None if it lacks `Source` or `Version`: then it is no `.dsc`.
    pub fn parse(content: &[u8]) -> Result<Option<Self>, StanzaError> {
        let fields = UploadFields::parse(content, &LISTS)?;
        let is_dsc = fields.text("Source").is_some() && fields.text("Version").is_some();
        Ok(is_dsc.then_some(Self { fields }))
    }

    /// Name of the source package.
    pub fn source(&self) -> &str {
        self.fields.text("Source").unwrap_or_default()
    }

    /// Its version, epoch and revision included.
    pub fn version(&self) -> &str {
        self.fields.text("Version").unwrap_or_default()
    }

    /// All fields.
    pub fn fields(&self) -> &UploadFields {
        &self.fields
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn lists_of_files_keep_sizes_as_text_and_names_up_to_the_first_blank() {
        let text = b"SOURCE: x\nVersion: 1\nFiles:\n abc 5 f.tar.xz\n abc 6 f with space\nChecksums-Sha1:\n";
        let dsc = Dsc::parse(text).unwrap().unwrap();
        assert_eq!(
            Value::Object(dsc.fields().to_json()),
            json!({
                "SOURCE": "x",
                "Version": "1",
                "Files": [
                    {"md5sum": "abc", "size": "5", "name": "f.tar.xz"},
                    {"md5sum": "abc", "size": "6", "name": "f"},
                ],
                "Checksums-Sha1": {},
            })
        );
        assert_eq!((dsc.source(), dsc.version()), ("x", "1"));
    }

    #[test]
    fn what_has_no_source_or_no_version_is_no_dsc() {
        for text in ["", "garbage\n", "Source: x\n", "Version: 1\n"] {
            assert_eq!(Dsc::parse(text.as_bytes()), Ok(None));
        }
    }
}
