//! Reading parts of a file wherever it lies: in memory, on disk, behind a handle of the host.

use std::io::{self, Read};

/// A file of which any part can be read.
pub trait ReadAt {
    /// Its size in bytes.
    fn size(&self) -> io::Result<u64>;

    /// Fills `buffer` from `offset` on, as far as one call gets; 0 means that the file ends there.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize>;
}

impl ReadAt for [u8] {
    fn size(&self) -> io::Result<u64> {
        Ok(self.len() as u64)
    }

    fn read_at(&self, offset: u64, mut buffer: &mut [u8]) -> io::Result<usize> {
        let start = usize::try_from(offset).map_or(self.len(), |start| start.min(self.len()));
        io::Write::write(&mut buffer, &self[start..])
    }
}

impl ReadAt for Vec<u8> {
    fn size(&self) -> io::Result<u64> {
        self.as_slice().size()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.as_slice().read_at(offset, buffer)
    }
}

#[cfg(unix)]
impl ReadAt for std::fs::File {
    fn size(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        std::os::unix::fs::FileExt::read_at(self, buffer, offset)
    }
}

/// Part of a file as a stream.
pub struct Section<'a> {
    file: &'a dyn ReadAt,
    offset: u64,
    left: u64,
}

impl<'a> Section<'a> {
    /// `length` bytes from `offset` on, or fewer if the file ends before.
    pub fn new(file: &'a dyn ReadAt, offset: u64, length: u64) -> Self {
        Self {
            file,
            offset,
            left: length,
        }
    }
}

impl Read for Section<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).map_or(buffer.len(), |left| left.min(buffer.len()));
        if most == 0 {
            return Ok(0);
        }
        let count = self.file.read_at(self.offset, &mut buffer[..most])?;
        self.offset += count as u64;
        self.left -= count as u64;
        Ok(count)
    }
}
