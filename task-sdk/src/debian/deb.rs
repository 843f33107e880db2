//! Binary packages: what `.deb` and `.udeb` files say about themselves.
//!
//! deb(5): an ar archive with `debian-binary`, `control.tar*` and `data.tar*`. Only the control archive is unpacked, and of it
//! no more than fits: a package may come from anybody.

use super::compression::Compression;
use super::deb822::{Stanza, StanzaError};
use super::read_at::{ReadAt, Section};
use super::text;
use std::io::{self, Read};

/// How far a control archive is unpacked, in bytes. The largest of the archive (lists of checksums) need 4 MiB.
pub const LARGEST_CONTROL_ARCHIVE: u64 = 32 << 20;
/// The longest `control` file within it that is read, in bytes.
pub const LONGEST_CONTROL_FILE: u64 = 1 << 20;
/// How many members the ar archive may have. A package has three; dpkg ignores others whose names begin with `_`.
const MOST_MEMBERS: usize = 64;

/// Why a file is no binary package that can be described.
#[derive(Debug, thiserror::Error)]
pub enum DebError {
    /// Not of the format, or cut short.
    #[error("not a Debian binary package: {0}; build or fetch it again")]
    Format(String),
    /// Its control archive takes more room than is granted.
    #[error(
        "control archive of the package: more than {LARGEST_CONTROL_ARCHIVE} bytes unpacked; look into it with dpkg-deb"
    )]
    TooLarge,
    /// Its `control` file is damaged.
    #[error("control file of the package: {0}")]
    Control(#[from] StanzaError),
    /// It has no field that every package has.
    #[error("control file of the package: no field {0}; build the package again")]
    Missing(&'static str),
    /// The file could not be read.
    #[error("the package could not be read: {0}")]
    Read(#[from] io::Error),
}

/// What a binary package says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deb {
    control: Stanza,
    control_files: Vec<String>,
}

impl Deb {
    /// Reads the control archive of a package.
    pub fn read(file: &dyn ReadAt) -> Result<Self, DebError> {
        let member = find_control(file)?;
        let section = Section::new(file, member.offset, member.size);
        let archive = member.compression.unpack(section).map_err(archive_error)?;
        read_control_archive(archive)
    }

    /// The fields of `control`.
    pub fn control(&self) -> &Stanza {
        &self.control
    }

    /// Names of the files in the control archive, sorted, without leading `./`.
    pub fn control_files(&self) -> &[String] {
        &self.control_files
    }

    /// Name and version of the source package: `Source: name (version)`, where name and version of the package itself are left out.
    pub fn source(&self) -> Result<(String, String), DebError> {
        let field = |name| self.control.get(name).ok_or(DebError::Missing(name));
        let package = field("Package")?;
        let Some(source) = self.control.get("Source") else {
            return Ok((package.to_owned(), field("Version")?.to_owned()));
        };
        let (name, version) = split_source(source);
        if name.is_empty() {
            return Err(DebError::Missing("Source"));
        }
        let version = match version {
            Some(version) => version,
            None => field("Version")?,
        };
        Ok((name.to_owned(), version.to_owned()))
    }
}

/// Splits `name (version)` as it stands in `Source` fields; the version may be missing.
pub fn split_source(source: &str) -> (&str, Option<&str>) {
    let (name, rest) = source.split_at(source.find(' ').unwrap_or(source.len()));
    let version = rest
        .strip_prefix(" (")
        .map(|rest| rest.split('\n').next().unwrap_or_default())
        .and_then(|rest| rest.rfind(')').map(|end| &rest[..end]))
        .filter(|version| !version.is_empty());
    (name, version)
}

/// The control archive as a member of the package.
struct Member {
    offset: u64,
    size: u64,
    compression: Compression,
}

/// Walks the ar archive. Each of the three parts has to be there once, and whole.
fn find_control(file: &dyn ReadAt) -> Result<Member, DebError> {
    let refuse = |why: &str| Err(DebError::Format(why.to_owned()));
    let size = file.size()?;
    let mut magic = [0; 8];
    if !fill(file, 0, &mut magic)? || magic != *b"!<arch>\n" {
        return refuse("it does not begin like an ar archive");
    }
    let (mut format, mut data, mut control) = (0, 0, Vec::new());
    let mut offset = magic.len() as u64;
    let mut members = 0;
    while offset < size {
        let mut header = [0; 60];
        if !fill(file, offset, &mut header)? {
            return refuse("it ends within the header of a member");
        }
        let Some((name, length)) = read_header(&header) else {
            return refuse("a member has a damaged header");
        };
        let start = offset + header.len() as u64;
        if length > size - start {
            return refuse("it ends within a member");
        }
        members += 1;
        if members > MOST_MEMBERS {
            return refuse("it has too many members");
        }
        if name == "debian-binary" {
            format += 1;
        } else if let Some(extension) = name.strip_prefix("control.tar") {
            if let Some(compression) = Compression::of_extension(extension) {
                control.push(Member {
                    offset: start,
                    size: length,
                    compression,
                });
            }
        } else if name.starts_with("data.tar") {
            data += 1;
        }
        offset = start + length + length % 2;
    }
    if (format, data) != (1, 1) {
        return refuse("it has not exactly one debian-binary and one data archive");
    }
    match control.pop() {
        Some(member) if control.is_empty() => Ok(member),
        _ => refuse("it has not exactly one control archive (plain, gz, xz or zst)"),
    }
}

/// Name and size of a member.
fn read_header(header: &[u8; 60]) -> Option<(&str, u64)> {
    if !header.ends_with(b"`\n") {
        return None;
    }
    let name = std::str::from_utf8(&header[..16]).ok()?.trim_end();
    let size = std::str::from_utf8(&header[48..58]).ok()?.trim_end();
    let is_number = size.bytes().all(|digit| digit.is_ascii_digit());
    let size = is_number.then(|| size.parse().ok())??;
    Some((name.strip_suffix('/').unwrap_or(name), size))
}

/// Fills `buffer`; false if the file ends before.
fn fill(file: &dyn ReadAt, offset: u64, buffer: &mut [u8]) -> io::Result<bool> {
    let mut section = Section::new(file, offset, buffer.len() as u64);
    match section.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

fn read_control_archive(archive: Box<dyn Read + '_>) -> Result<Deb, DebError> {
    let mut archive = tar::Archive::new(Bounded {
        inner: archive,
        left: LARGEST_CONTROL_ARCHIVE,
    });
    let mut control = None;
    let mut control_files = Vec::new();
    for entry in archive.entries().map_err(archive_error)? {
        let mut entry = entry.map_err(archive_error)?;
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let name = path.strip_prefix("./").unwrap_or(&path);
        if name == "control" {
            control = Some(read_control(&mut entry)?);
        }
        control_files.push(name.to_owned());
    }
    control_files.sort();
    let control = control
        .ok_or_else(|| DebError::Format("its control archive has no file control".to_owned()))?;
    Ok(Deb {
        control,
        control_files,
    })
}

fn read_control(entry: &mut impl Read) -> Result<Stanza, DebError> {
    let mut content = Vec::new();
    let mut bounded = entry.take(LONGEST_CONTROL_FILE + 1);
    bounded.read_to_end(&mut content).map_err(archive_error)?;
    if content.len() as u64 > LONGEST_CONTROL_FILE {
        let length = content.len() as u64;
        return Err(StanzaError::TooLong { length }.into());
    }
    Ok(Stanza::parse(&content)?)
}

/// Tells a bomb from damage: the bound marks its error.
fn archive_error(error: io::Error) -> DebError {
    if error.kind() == io::ErrorKind::FileTooLarge {
        return DebError::TooLarge;
    }
    DebError::Format(format!(
        "control archive: {}",
        text::trim(&error.to_string())
    ))
}

/// A stream that fails, rather than ends, behind its bound.
struct Bounded<R> {
    inner: R,
    left: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.left = self
            .left
            .checked_sub(count as u64)
            .ok_or(io::ErrorKind::FileTooLarge)?;
        Ok(count)
    }
}

#[cfg(test)]
mod tests;
