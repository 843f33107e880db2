//! Directories and files of a run. A task has handles, never paths; what commands must name they get from [`Directory::path`].

use crate::bindings::debusine::task::files as wit;
use crate::debian::read_at::ReadAt;
use crate::failure::{Failure, Result, from_host};
use crate::host::files as host;
use std::io;

pub use wit::{DigestAlgorithm, Entry, EntryType};

/// How much of a file is read at once, in bytes.
const PIECE: u32 = 256 * 1024;

/// A directory of the run.
pub struct Directory(pub(crate) host::Directory);

/// The directories of a run.
pub struct Workspace {
    /// Inputs.
    pub download: Directory,
    /// Working directory of the task's command, where its results are.
    pub execute: Directory,
}

impl Directory {
    /// Its absolute path as commands see it.
    pub fn location(&self) -> String {
        self.0.location()
    }

    /// The absolute path of a name in it, for a command line.
    pub fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.location())
    }

    /// Its entries, ordered by name.
    pub fn entries(&self) -> Result<Vec<Entry>> {
        all_pages(|after| self.0.entries(after))
    }

    /// Everything beneath it, ordered by the parts of the paths.
    pub fn entries_recursive(&self) -> Result<Vec<Entry>> {
        all_pages(|after| self.0.entries_recursive(after))
    }

    /// What `name` is; none if there is no such entry.
    pub fn stat(&self, name: &str) -> Result<Option<Entry>> {
        self.0.stat(name).map_err(from_host)
    }

    /// Names of the regular files directly in it that end in one of the suffixes, ordered. Links and directories do not count.
    pub fn find_files(&self, suffixes: &[&str]) -> Result<Vec<String>> {
        let is_match = |entry: &Entry| {
            entry.type_ == EntryType::Regular
                && suffixes.iter().any(|suffix| entry.name.ends_with(suffix))
        };
        let found = self.entries()?.into_iter().filter(is_match);
        Ok(found.map(|entry| entry.name).collect())
    }

    /// The one regular file that ends in one of the suffixes; none if there is none. More than one is a failure.
    pub fn find_file(&self, suffixes: &[&str]) -> Result<Option<String>> {
        let mut found = self.find_files(suffixes)?;
        if found.len() > 1 {
            return Err(Failure::new(
                "several-files",
                format!(
                    "{}: one file ending in {} expected, found {}",
                    self.location(),
                    suffixes.join(" or "),
                    found.join(", ")
                ),
            ));
        }
        Ok(found.pop())
    }

    /// Opens a regular file for reading.
    pub fn open(&self, name: &str) -> Result<File> {
        let handle = self.0.open(name).map_err(from_host)?;
        Ok(File { handle })
    }

    /// Reads a whole file; more than `at_most` bytes are a failure.
    pub fn read(&self, name: &str, at_most: u64) -> Result<Vec<u8>> {
        let file = self.open(name)?;
        if file.size() > at_most {
            let words = format!("{}: larger than {at_most} bytes", self.path(name));
            return Err(Failure::new("too-large", words));
        }
        let mut content = Vec::new();
        loop {
            let piece = file.read_piece(content.len() as u64, PIECE)?;
            if piece.is_empty() {
                return Ok(content);
            }
            content.extend(piece);
            if content.len() as u64 > at_most {
                let words = format!("{}: larger than {at_most} bytes", self.path(name));
                return Err(Failure::new("too-large", words));
            }
        }
    }

    /// Reads a whole text file; more than `at_most` bytes, or bytes that are no UTF-8, are a failure.
    pub fn read_text(&self, name: &str, at_most: u64) -> Result<String> {
        String::from_utf8(self.read(name, at_most)?)
            .map_err(|error| Failure::new("invalid-data", format!("{}: {error}", self.path(name))))
    }

    /// Writes a file with these permission bits (whatever the umask), replacing one that is there.
    pub fn write(&self, name: &str, mode: u32, content: impl AsRef<[u8]>) -> Result<()> {
        let file = self.create(name, mode)?;
        for piece in content.as_ref().chunks(PIECE as usize) {
            file.append(piece)?;
        }
        Ok(())
    }

    /// Creates a file, or empties one that is there, for [`File::append`].
    pub fn create(&self, name: &str, mode: u32) -> Result<File> {
        let handle = self.0.create(name, mode).map_err(from_host)?;
        Ok(File { handle })
    }

    /// Makes a directory in it, or opens the one that is there.
    pub fn create_directory(&self, name: &str) -> Result<Directory> {
        self.0
            .create_directory(name)
            .map(Directory)
            .map_err(from_host)
    }

    /// Opens a directory in it.
    pub fn open_directory(&self, name: &str) -> Result<Directory> {
        self.0
            .open_directory(name)
            .map(Directory)
            .map_err(from_host)
    }

    /// Copies a regular file of another directory into this one.
    pub fn copy(&self, from: &Directory, source: &str, target: &str) -> Result<()> {
        self.0.copy(&from.0, source, target).map_err(from_host)
    }

    /// Gives a file another name in it.
    pub fn rename(&self, source: &str, target: &str) -> Result<()> {
        self.0.rename(source, target).map_err(from_host)
    }

    /// Removes a file, or a directory with everything in it.
    pub fn remove(&self, name: &str) -> Result<()> {
        self.0.remove(name).map_err(from_host)
    }

    /// A name that is free in it: `prefix`, random letters, `suffix`.
    pub fn temporary_name(&self, prefix: &str, suffix: &str) -> String {
        self.0.temporary_name(prefix, suffix)
    }

    /// The checksum of a file in lower-case hexadecimal digits; its bytes do not pass through the task.
    pub fn digest(&self, name: &str, algorithm: DigestAlgorithm) -> Result<String> {
        self.0.digest(name, algorithm).map_err(from_host)
    }

    /// Packs the content of the directory `source` into the tar file `target`.
    pub fn pack(&self, source: &str, target: &str) -> Result<()> {
        self.0.pack(source, target).map_err(from_host)
    }

    /// Unpacks the tar file `source` into the new directory `target`.
    pub fn unpack(&self, source: &str, target: &str) -> Result<()> {
        self.0.unpack(source, target).map_err(from_host)
    }
}

/// An open file.
pub struct File {
    handle: host::File,
}

impl File {
    /// Its size in bytes.
    pub fn size(&self) -> u64 {
        self.handle.size()
    }

    /// At most `length` bytes from `offset`; none beyond the end.
    pub fn read_piece(&self, offset: u64, length: u32) -> Result<Vec<u8>> {
        self.handle.read(offset, length).map_err(from_host)
    }

    /// Appends bytes.
    pub fn append(&self, bytes: &[u8]) -> Result<()> {
        self.handle.write(bytes).map_err(from_host)
    }

    /// Reads it from the start, in pieces: for parsers, and for text line by line.
    pub fn reader(self) -> Reader {
        Reader {
            file: self,
            piece: Vec::new(),
            used: 0,
            offset: 0,
        }
    }
}

/// Each call crosses the boundary to the host: put a buffer before it.
impl io::Write for File {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = bytes.len().min(PIECE as usize);
        self.append(&bytes[..count]).map_err(other)?;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl ReadAt for File {
    fn size(&self) -> io::Result<u64> {
        Ok(File::size(self))
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let length = u32::try_from(buffer.len()).unwrap_or(u32::MAX).min(PIECE);
        let piece = self.read_piece(offset, length).map_err(other)?;
        buffer[..piece.len()].copy_from_slice(&piece);
        Ok(piece.len())
    }
}

/// The builders of artifacts read files here.
impl crate::artifacts::Directory for Directory {
    fn size(&self, path: &str) -> io::Result<u64> {
        Ok(self.open(path).map_err(other)?.size())
    }

    fn read_at(&self, path: &str, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.open(path).map_err(other)?.read_at(offset, buffer)
    }
}

/// Reads a file from its start to its end.
pub struct Reader {
    file: File,
    piece: Vec<u8>,
    used: usize,
    offset: u64,
}

impl io::Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let available = io::BufRead::fill_buf(self)?;
        let length = available.len().min(buffer.len());
        buffer[..length].copy_from_slice(&available[..length]);
        io::BufRead::consume(self, length);
        Ok(length)
    }
}

impl io::BufRead for Reader {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.used == self.piece.len() {
            self.piece = self.file.read_piece(self.offset, PIECE).map_err(other)?;
            self.offset += self.piece.len() as u64;
            self.used = 0;
        }
        Ok(&self.piece[self.used..])
    }

    fn consume(&mut self, amount: usize) {
        self.used += amount;
    }
}

fn other(failure: Failure) -> io::Error {
    io::Error::other(failure.message)
}

fn all_pages(
    mut page: impl FnMut(
        Option<&str>,
    ) -> Result<Vec<Entry>, crate::bindings::debusine::task::types::Failure>,
) -> Result<Vec<Entry>> {
    let mut entries: Vec<Entry> = Vec::new();
    loop {
        let more = page(entries.last().map(|entry| entry.name.as_str())).map_err(from_host)?;
        if more.is_empty() {
            return Ok(entries);
        }
        entries.extend(more);
    }
}
