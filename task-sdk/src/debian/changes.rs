//! `.changes` files: what an upload consists of.

use super::deb822::StanzaError;
use super::uploads::{CHECKSUM_FIELDS, ListField, UploadFields};

const LISTS: [ListField; 4] = [
    ("Files", &["md5sum", "size", "section", "priority", "name"]),
    CHECKSUM_FIELDS[0],
    CHECKSUM_FIELDS[1],
    CHECKSUM_FIELDS[2],
];

/// A `.changes` file. Which fields it has to have depends on what it is used for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    pub(super) fields: UploadFields,
}

impl Changes {
    /// Reads a `.changes` file, clear-signed or not. A text that is none has no fields.
    pub fn parse(content: &[u8]) -> Result<Self, StanzaError> {
        let fields = UploadFields::parse(content, &LISTS)?;
        Ok(Self { fields })
    }

    /// All fields.
    pub fn fields(&self) -> &UploadFields {
        &self.fields
    }

    /// As a file, without a signature.
    pub fn to_text(&self) -> String {
        self.fields.to_text()
    }
}
