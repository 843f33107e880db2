//! Where builders read files: beneath a directory, wherever that is.

use crate::debian::read_at::{ReadAt, Section};
use std::io::{self, Read};

/// Files beneath a directory, named by relative paths. Only regular files count; others are as good as missing.
pub trait Directory {
    /// The size of a file in bytes.
    fn size(&self, path: &str) -> io::Result<u64>;

    /// Fills `buffer` with a file's bytes from `offset` on, as far as one call gets; 0 means that the file ends there.
    fn read_at(&self, path: &str, offset: u64, buffer: &mut [u8]) -> io::Result<usize>;
}

/// One file beneath a directory.
#[derive(Clone, Copy)]
pub struct FileOf<'a> {
    /// The directory.
    pub directory: &'a dyn Directory,
    /// The file's path beneath it.
    pub path: &'a str,
}

impl FileOf<'_> {
    /// The content as a stream.
    pub fn stream(&self) -> Section<'_> {
        Section::new(self, 0, u64::MAX)
    }

    /// The whole content, or an error if it has more than `most` bytes.
    pub fn read(&self, most: u64) -> io::Result<Vec<u8>> {
        let mut content = Vec::new();
        self.stream().take(most + 1).read_to_end(&mut content)?;
        if content.len() as u64 > most {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        Ok(content)
    }
}

impl ReadAt for FileOf<'_> {
    fn size(&self) -> io::Result<u64> {
        self.directory.size(self.path)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.directory.read_at(self.path, offset, buffer)
    }
}
