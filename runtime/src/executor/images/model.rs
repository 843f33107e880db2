//! What is known of images.

use crate::executor::ExecutorError;
use std::fmt;
use std::str::FromStr;
use std::time::SystemTime;

/// A sha256 checksum, in lower-case hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ImageDigest(pub(super) String);

impl FromStr for ImageDigest {
    type Err = ExecutorError;

    fn from_str(text: &str) -> Result<Self, ExecutorError> {
        let hexadecimal = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if text.len() == 64 && text.bytes().all(hexadecimal) {
            return Ok(Self(text.to_owned()));
        }
        Err(ExecutorError::Image(format!(
            "{text:?} is no sha256 checksum; it needs 64 lower-case hexadecimal digits"
        )))
    }
}

impl fmt::Display for ImageDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What an image file has to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageFile {
    /// Its name, kept because tools judge files by their names.
    pub name: String,
    /// Its size in bytes.
    pub size: u64,
    /// Its checksum.
    pub sha256: ImageDigest,
}

/// How an image is recoded for tools that unpack it each time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recoding {
    /// Not compressed.
    Tar,
    /// Compressed with zstd: unpacks about as fast, takes a third of the space.
    TarZst,
}

impl Recoding {
    pub(super) fn file_name(self) -> &'static str {
        match self {
            Self::Tar => "recoded.tar",
            Self::TarZst => "recoded.tar.zst",
        }
    }
}

/// An image as [`ImageCache::list`](super::ImageCache::list) shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CachedImage {
    /// Its checksum.
    pub sha256: ImageDigest,
    /// The names of its file.
    pub names: Vec<String>,
    /// The size of its file in bytes.
    pub size: u64,
    /// Bytes that it takes in all its forms, about.
    pub room: u64,
    /// Whether it is unpacked.
    pub unpacked: bool,
    /// When it was last asked for.
    pub used: SystemTime,
}
