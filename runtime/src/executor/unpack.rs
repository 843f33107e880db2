//! Unpacking tar archives that nobody vouches for: images, and directories on their way into a sandbox.
//!
//! Runs where the root directory already is the target's (or a sandbox's), so that no name and no link can lead anywhere else.

use super::ids::IDS;
use super::orders::Failure;
use liblzma::bufread::XzDecoder;
use liblzma::stream::MtStreamBuilder;
use nix::sys::stat::{Mode, UtimensatFlags, umask, utimensat};
use nix::sys::time::TimeSpec;
use std::cell::Cell;
use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{
    DirBuilderExt, OpenOptionsExt, PermissionsExt, chown, fchown, lchown, symlink,
};
use std::path::{Path, PathBuf};
use tar::{Archive, Entry, EntryType};

const BUFFER: usize = 1 << 18;
/// Whoever unpacks is root, in a user namespace: what it makes is root's already.
const UNPACKER: (u32, u32) = (0, 0);
/// A tar archive ends with two blocks of zeros.
const END_OF_ARCHIVE: u64 = 1024;
/// Bytes that may describe one entry, its name among them: they are held in memory, and the longest path of Linux has 4096.
const DESCRIPTION: u64 = 1 << 20;
/// Entries of an archive. A system with everything in it has a tenth of it; an empty file costs an inode and no byte.
const ENTRIES: u64 = 5_000_000;

/// What an archive may do.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    /// Whom everything belongs to; none is as the archive says.
    pub(super) owner: Option<(u32, u32)>,
    /// Permission bits that may be set.
    pub(super) mode: u32,
    /// Leave out what is beneath `dev/`: a sandbox has its own.
    pub(super) without_devices: bool,
    /// How many bytes the archive may have when it is decompressed.
    pub(super) size: u64,
}

/// A decompressed view of an archive: plain, gzip, xz or zstd, told apart by their first bytes.
pub(super) fn decompress(file: File) -> io::Result<Box<dyn Read>> {
    let mut input = BufReader::with_capacity(BUFFER, file);
    let start = input.fill_buf()?;
    Ok(match start {
        [0x1f, 0x8b, ..] => Box::new(flate2::bufread::MultiGzDecoder::new(input)),
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Box::new(Xz::new(input)?),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Box::new(zstd::stream::read::Decoder::with_buffer(input)?),
        _ => Box::new(input),
    })
}

/// Decompresses xz, the blocks of a stream in parallel and one stream after the other.
struct Xz(Option<XzDecoder<BufReader<File>>>);

impl Xz {
    fn new(input: BufReader<File>) -> io::Result<Self> {
        let stream = MtStreamBuilder::new()
            .threads(std::thread::available_parallelism().map_or(1, |count| count.get() as u32))
            .memlimit_threading(512 << 20)
            .memlimit_stop(1 << 30)
            .decoder()?;
        Ok(Self(Some(XzDecoder::new_stream(input, stream))))
    }
}

impl Read for Xz {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let Some(decoder) = &mut self.0 else {
                return Ok(0);
            };
            match decoder.read(buffer)? {
                0 if !buffer.is_empty() => {}
                length => return Ok(length),
            }
            let mut rest = self
                .0
                .take()
                .map(XzDecoder::into_inner)
                .ok_or(io::ErrorKind::Other)?;
            if rest.fill_buf()?.is_empty() {
                return Ok(0);
            }
            *self = Self::new(rest)?;
        }
    }
}

/// Hands on what an archive holds, piece by piece, up to `size` bytes.
pub(super) fn pour(
    mut source: impl Read,
    size: u64,
    mut to: impl FnMut(&[u8]) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut buffer = vec![0; BUFFER];
    let mut room = size;
    loop {
        let length = match source.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(damaged(error)),
        };
        room = room.checked_sub(length as u64).ok_or_else(too_big)?;
        to(&buffer[..length])?;
    }
}

/// Unpacks an archive into the current directory.
pub(super) fn unpack(source: impl Read, rules: Rules) -> Result<(), Failure> {
    // Files get the modes that the archive names.
    let mask = umask(Mode::empty());
    let unpacked = unpack_entries(source, rules);
    umask(mask);
    unpacked
}

fn unpack_entries(source: impl Read, rules: Rules) -> Result<(), Failure> {
    let allowed = Cell::new(DESCRIPTION);
    let mut source = Watched {
        source,
        left: rules.size,
        allowed: &allowed,
        zeros: 0,
    };
    let mut archive = Archive::new(&mut source);
    let mut directories = Vec::new();
    let mut buffer = vec![0; BUFFER];
    let mut room = rules.size;
    let mut entries = 0u64;
    let mut described = archive.entries().map_err(damaged)?;
    loop {
        allowed.set(DESCRIPTION);
        let Some(entry) = described.next() else { break };
        let mut entry = entry.map_err(damaged)?;
        allowed.set(u64::MAX);
        let path = inside(&entry.path_bytes())?;
        let is_device = |path: &Path| path.starts_with("dev") && path != Path::new("dev");
        let Some(path) = path.filter(|path| !(rules.without_devices && is_device(path))) else {
            io::copy(&mut entry, &mut io::sink()).map_err(damaged)?;
            continue;
        };
        entries += 1;
        if entries > ENTRIES {
            return Err(too_big());
        }
        let mut place = Place {
            rules: &rules,
            path: &path,
            room: &mut room,
        };
        place.write(&mut entry, &mut buffer)?;
        if entry.header().entry_type() == EntryType::Directory {
            directories.push((path, entry.header().mtime().unwrap_or(0)));
        }
        // What belongs to it and was of no use.
        io::copy(&mut entry, &mut io::sink()).map_err(damaged)?;
    }
    allowed.set(u64::MAX);
    io::copy(&mut source, &mut io::sink()).map_err(damaged)?;
    if source.zeros < END_OF_ARCHIVE {
        return Err(damaged(io::ErrorKind::UnexpectedEof.into()));
    }
    if entries == 0 {
        return Err(Failure::Image(
            "the archive is empty; it has to hold a root directory with its files".into(),
        ));
    }
    // What was put into a directory changed its time.
    for (path, time) in directories.into_iter().rev() {
        set_time(&path, time).map_err(|error| cannot_write(&path, error))?;
    }
    Ok(())
}

/// A name as a path beneath the current directory; none for the directory itself.
fn inside(name: &[u8]) -> Result<Option<PathBuf>, Failure> {
    let mut path = PathBuf::new();
    for part in name.split(|&byte| byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => {
                return Err(Failure::Image(format!(
                    "the archive's entry {} leads out of it; it is not a root file system",
                    String::from_utf8_lossy(name)
                )));
            }
            part => path.push(OsStr::from_bytes(part)),
        }
    }
    Ok((!path.as_os_str().is_empty()).then_some(path))
}

/// Where one entry goes.
struct Place<'a> {
    rules: &'a Rules,
    path: &'a Path,
    /// Bytes that files may still get. More than the archive itself may have matters for sparse files only.
    room: &'a mut u64,
}

impl Place<'_> {
    fn write<R: Read>(
        &mut self,
        entry: &mut Entry<'_, R>,
        buffer: &mut [u8],
    ) -> Result<(), Failure> {
        let header = entry.header();
        let mode = header.mode().map_err(damaged)? & self.rules.mode;
        let time = header.mtime().map_err(damaged)?;
        let (uid, gid) = match self.rules.owner {
            Some(owner) => owner,
            None => (
                known_id(header.uid().map_err(damaged)?)?,
                known_id(header.gid().map_err(damaged)?)?,
            ),
        };
        let (owner, group) = (Some(uid), Some(gid));
        let path = self.path;
        let failed = |error| cannot_write(path, error);
        match header.entry_type() {
            EntryType::Directory => {
                self.make_directory().map_err(failed)?;
                chown(path, owner, group).map_err(failed)?;
                fs::set_permissions(path, Permissions::from_mode(mode)).map_err(failed)
            }
            EntryType::Symlink => {
                let target = link_target(entry)?;
                self.anew(|| symlink(OsStr::from_bytes(&target), path))
                    .map_err(failed)?;
                if (uid, gid) != UNPACKER {
                    lchown(path, owner, group).map_err(failed)?;
                }
                set_time(path, time).map_err(failed)
            }
            EntryType::Link => {
                let Some(target) = inside(&link_target(entry)?)? else {
                    return Err(Failure::Image(format!(
                        "the archive's hard link {} has no target",
                        path.display()
                    )));
                };
                if target == path {
                    return Ok(());
                }
                self.anew(|| fs::hard_link(&target, path)).map_err(failed)
            }
            EntryType::Fifo => {
                self.anew(|| Ok(nix::unistd::mkfifo(path, Mode::S_IRUSR)?))
                    .map_err(failed)?;
                lchown(path, owner, group).map_err(failed)?;
                fs::set_permissions(path, Permissions::from_mode(mode)).map_err(failed)
            }
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                // Right from the start where that can be: of a small file, each further call costs as much as writing it.
                let mut file = self
                    .anew(|| {
                        OpenOptions::new()
                            .write(true)
                            .create_new(true)
                            .mode(mode & 0o777)
                            .open(path)
                    })
                    .map_err(failed)?;
                self.copy(entry, &mut file, buffer)?;
                if (uid, gid) != UNPACKER {
                    fchown(&file, owner, group).map_err(failed)?;
                }
                if mode & !0o777 != 0 {
                    file.set_permissions(Permissions::from_mode(mode))
                        .map_err(failed)?;
                }
                set_open_time(&file, time).map_err(failed)
            }
            // Devices cannot be made in a user namespace, and no sandbox needs the image's.
            _ => Ok(()),
        }
    }

    fn copy<R: Read>(
        &mut self,
        entry: &mut Entry<'_, R>,
        file: &mut File,
        buffer: &mut [u8],
    ) -> Result<(), Failure> {
        loop {
            let length = entry.read(buffer).map_err(damaged)?;
            if length == 0 {
                return Ok(());
            }
            *self.room = self.room.checked_sub(length as u64).ok_or_else(too_big)?;
            file.write_all(&buffer[..length])
                .map_err(|error| cannot_write(self.path, error))?;
        }
    }

    /// Makes something that must not exist yet; what is in its way, a directory excepted, is removed, and missing directories are made.
    fn anew<T>(&self, make: impl Fn() -> io::Result<T>) -> io::Result<T> {
        match make() {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                fs::remove_file(self.path)?;
                make()
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if let Some(parent) = self.path.parent() {
                    DirBuilder::new()
                        .recursive(true)
                        .mode(0o755)
                        .create(parent)?;
                }
                make()
            }
            result => result,
        }
    }

    fn make_directory(&self) -> io::Result<()> {
        let exists = |metadata: fs::Metadata| metadata.is_dir();
        if fs::symlink_metadata(self.path).is_ok_and(exists) {
            return Ok(());
        }
        self.anew(|| DirBuilder::new().mode(0o700).create(self.path))
    }
}

/// An owner as the archive names it, if a sandbox has such a user.
fn known_id(id: u64) -> Result<u32, Failure> {
    u32::try_from(id).ok().filter(|&id| id < IDS).ok_or_else(|| {
        Failure::Image(format!(
            "the archive has files of user or group {id}, but sandboxes have ids up to {} only; make the image with smaller ids",
            IDS - 1
        ))
    })
}

fn link_target<R: Read>(entry: &Entry<'_, R>) -> Result<Vec<u8>, Failure> {
    entry
        .link_name_bytes()
        .map(|name| name.into_owned())
        .ok_or_else(|| {
            Failure::Image("the archive has a link without a target; it is damaged".into())
        })
}

fn set_time(path: &Path, seconds: u64) -> io::Result<()> {
    let time = TimeSpec::new(seconds as i64, 0);
    Ok(utimensat(
        nix::fcntl::AT_FDCWD,
        path,
        &time,
        &time,
        UtimensatFlags::NoFollowSymlink,
    )?)
}

fn set_open_time(file: &File, seconds: u64) -> io::Result<()> {
    let time = TimeSpec::new(seconds as i64, 0);
    Ok(nix::sys::stat::futimens(file, &time, &time)?)
}

fn damaged(error: io::Error) -> Failure {
    if error.get_ref().is_some_and(|inner| inner.is::<TooBig>()) {
        return too_big();
    }
    Failure::Image(format!(
        "the archive is damaged or incomplete: {error}; fetch it again"
    ))
}

fn too_big() -> Failure {
    Failure::Image("the archive holds more than an image may (a decompression bomb?); raise the limit if it is meant to".into())
}

fn cannot_write(path: &Path, error: io::Error) -> Failure {
    Failure::System(format!(
        "cannot unpack {}: {error}; is the disk full?",
        path.display()
    ))
}

#[derive(Debug, thiserror::Error)]
#[error("too big")]
struct TooBig;

/// Counts what passes, and the zeros at its end.
struct Watched<'a, R> {
    source: R,
    left: u64,
    /// How much of it may pass until somebody allows more.
    allowed: &'a Cell<u64>,
    zeros: u64,
}

impl<R: Read> Read for Watched<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.source.read(buffer)?;
        let without = |bytes: u64| {
            let left = bytes.checked_sub(length as u64);
            left.ok_or_else(|| io::Error::other(TooBig))
        };
        self.left = without(self.left)?;
        self.allowed.set(without(self.allowed.get())?);
        let read = &buffer[..length];
        self.zeros = match read.iter().rposition(|&byte| byte != 0) {
            Some(last) => (length - 1 - last) as u64,
            None => self.zeros + length as u64,
        };
        Ok(length)
    }
}
