//! Packing and unpacking directories of a task as tar files. An archive may come from a sandbox: nothing in it is believed.

use super::listing::{BOUNDS, TooMuch};
use super::long_work::Wanted;
use cap_std::fs::{
    Dir, DirBuilder, DirBuilderExt, Metadata, MetadataExt, OpenOptions, OpenOptionsExt,
};
use std::cell::Cell;
use std::io::{self, BufReader, BufWriter, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, SystemTime};
use tar::{Archive, Entry, EntryType, Header};

/// How deep directories may be nested: walking and removing them takes a descriptor for each level.
const DEEPEST: usize = 200;

/// The most bytes that may describe an entry. Long names are read whole.
const LONGEST_DESCRIPTION: u64 = 64 << 10;

const BUFFER: usize = 1 << 20;

/// Writes everything beneath a directory to a tar file: directories, regular files, symbolic links, with their times.
pub fn pack(tree: &Dir, archive: std::fs::File, wanted: &Wanted) -> io::Result<()> {
    let mut builder = tar::Builder::new(BufWriter::with_capacity(BUFFER, archive));
    pack_directory(tree, Path::new(""), DEEPEST, &mut builder, wanted)?;
    builder
        .into_inner()?
        .into_inner()
        .map_err(io::IntoInnerError::into_error)?;
    Ok(())
}

fn pack_directory(
    directory: &Dir,
    prefix: &Path,
    deeper: usize,
    builder: &mut tar::Builder<impl io::Write>,
    wanted: &Wanted,
) -> io::Result<()> {
    let Some(deeper) = deeper.checked_sub(1) else {
        return Err(refused(prefix, "too many directories in one another"));
    };
    let mut names = Vec::new();
    for listed in directory.entries()? {
        if names.len() >= BOUNDS.width {
            return Err(io::Error::other(TooMuch::Wide(BOUNDS.width)));
        }
        names.push(listed?.file_name());
    }
    names.sort();
    for name in names {
        wanted.check()?;
        let path = prefix.join(&name);
        let found = directory.symlink_metadata(&name)?;
        if found.is_dir() {
            let mut header = header(EntryType::Directory, 0o755, &found);
            builder.append_data(&mut header, &path, io::empty())?;
            pack_directory(&directory.open_dir(&name)?, &path, deeper, builder, wanted)?;
        } else if found.is_symlink() {
            let target = directory.read_link_contents(&name)?;
            let mut header = header(EntryType::Symlink, 0o777, &found);
            builder.append_link(&mut header, &path, target)?;
        } else if found.is_file() {
            let file = directory.open(&name)?.into_std();
            let mut header = header(EntryType::Regular, found.mode() & 0o777, &found);
            let size = file.metadata()?.len();
            header.set_size(size);
            // No more than it has now: it may be the archive itself, which grows with all that is taken from it.
            let mut content = wanted.reader(file).take(size);
            builder.append_data(&mut header, &path, &mut content)?;
            if content.limit() > 0 {
                return Err(refused(&path, "it was made shorter while it was packed"));
            }
        } else {
            return Err(refused(&path, "neither file, directory nor symbolic link"));
        }
    }
    Ok(())
}

fn header(kind: EntryType, mode: u32, found: &Metadata) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(0);
    header.set_mtime(u64::try_from(found.mtime()).unwrap_or(0));
    header
}

/// Unpacks a tar file beneath a directory that nobody else writes to. What would lead out of it or through a link, devices, and files
/// with holes (larger than the archive that they are in) are refused; permission bits that change the user are dropped.
pub fn unpack(archive: std::fs::File, tree: &Dir, wanted: &Wanted) -> io::Result<()> {
    let allowance = Cell::new(0);
    let mut archive = Archive::new(Rationed {
        source: BufReader::with_capacity(BUFFER, wanted.reader(archive)),
        allowance: &allowance,
    });
    let mut entries = archive.entries()?;
    let mut place = Place::new(tree)?;
    loop {
        allowance.set(LONGEST_DESCRIPTION);
        let Some(entry) = entries.next() else {
            return Ok(());
        };
        let mut entry = entry?;
        allowance.set(u64::MAX);
        let path = plain(&entry.path()?)?;
        let Some(name) = path.file_name() else {
            continue;
        };
        place.go_to(tree, path.parent().unwrap_or(Path::new("")))?;
        unpack_entry(&mut entry, &path, tree, &place.directory, Path::new(name))?;
    }
}

/// Makes what one entry says, under `name` in `directory`, which is somewhere beneath `tree`.
fn unpack_entry(
    entry: &mut Entry<'_, impl Read>,
    path: &Path,
    tree: &Dir,
    directory: &Dir,
    name: &Path,
) -> io::Result<()> {
    let (kind, mode) = (entry.header().entry_type(), entry.header().mode()? & 0o777);
    match kind {
        EntryType::Directory => make_directory(directory, name),
        EntryType::Regular | EntryType::Continuous => {
            let mut options = OpenOptions::new();
            options.write(true).create_new(true).mode(mode | 0o600);
            let mut file = directory.open_with(name, &options)?.into_std();
            let size = entry.size();
            if io::copy(entry, &mut file)? < size {
                return Err(refused(path, "the archive ends within it"));
            }
            // Whatever the umask. The time goes into source packages that are made of such a tree.
            file.set_permissions(std::fs::Permissions::from_mode(mode | 0o600))?;
            let seconds = Duration::from_secs(entry.header().mtime()?);
            match SystemTime::UNIX_EPOCH.checked_add(seconds) {
                Some(time) => file.set_modified(time),
                None => Err(refused(path, "its time is beyond all times")),
            }
        }
        EntryType::Symlink => match entry.link_name()? {
            Some(target) => directory.symlink_contents(target, name),
            None => Err(refused(path, "a symbolic link to nothing")),
        },
        EntryType::Link => match entry.link_name()? {
            Some(target) => tree.hard_link(plain(&target)?, directory, name),
            None => Err(refused(path, "a hard link to nothing")),
        },
        EntryType::XGlobalHeader => Ok(()),
        EntryType::GNUSparse => Err(refused(path, "a file with holes")),
        _ => Err(refused(path, "neither file, directory nor link")),
    }
}

/// The directory that entries are being put into. An archive has those of one directory together.
struct Place {
    path: PathBuf,
    directory: Dir,
}

impl Place {
    fn new(tree: &Dir) -> io::Result<Self> {
        Ok(Self {
            path: PathBuf::new(),
            directory: tree.try_clone()?,
        })
    }

    /// Goes to a directory beneath the tree, and makes it if it is missing. Links are not followed: directories behind them could be
    /// nested deeper than any path says.
    fn go_to(&mut self, tree: &Dir, path: &Path) -> io::Result<()> {
        if self.path == path {
            return Ok(());
        }
        let mut directory = tree.try_clone()?;
        for part in path.components() {
            let part = Path::new(part.as_os_str());
            make_directory(&directory, part)?;
            if !directory.symlink_metadata(part)?.is_dir() {
                return Err(refused(
                    path,
                    "leads through something that is no directory",
                ));
            }
            directory = directory.open_dir(part)?;
        }
        *self = Self {
            path: path.to_owned(),
            directory,
        };
        Ok(())
    }
}

/// Makes a directory; one that is there stays.
fn make_directory(parent: &Dir, name: &Path) -> io::Result<()> {
    match parent.create_dir_with(name, DirBuilder::new().mode(0o755)) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        result => result,
    }
}

/// A path without `.` that leads down only, and not too far.
fn plain(path: &Path) -> io::Result<PathBuf> {
    let mut plain = PathBuf::new();
    let mut depth = 0;
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::Normal(part) => plain.push(part),
            _ => return Err(refused(path, "leads out of the archive")),
        }
        depth += 1;
    }
    if depth > DEEPEST {
        return Err(refused(path, "too many directories in one another"));
    }
    Ok(plain)
}

fn refused(path: &Path, why: &str) -> io::Error {
    let shown: String = path.to_string_lossy().chars().take(200).collect();
    io::Error::other(format!("{shown}: {why}"))
}

/// Gives out no more bytes than are allowed at the moment.
struct Rationed<'a, R> {
    source: R,
    allowance: &'a Cell<u64>,
}

impl<R: Read> Read for Rationed<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let allowed = self.allowance.get();
        if allowed == 0 && !buffer.is_empty() {
            let words = format!("an entry is described in more than {LONGEST_DESCRIPTION} bytes");
            return Err(io::Error::other(words));
        }
        let most = usize::try_from(allowed).map_or(buffer.len(), |most| most.min(buffer.len()));
        let length = self.source.read(&mut buffer[..most])?;
        self.allowance.set(allowed - length as u64);
        Ok(length)
    }
}

#[cfg(test)]
mod tests;
