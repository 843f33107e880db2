//! `files`: directories and files by handle. Every name is resolved beneath its directory by the kernel (`openat2`), never as text.

use super::bindings::debusine::task::files::{
    self, DigestAlgorithm, Entry, EntryType, HostDirectory, HostFile,
};
use super::listing::{BOUNDS, Bounds, Found, Listing};
use super::long_work::{self, Wanted};
use super::{Fault, HostState};
use crate::component::LimitReached;
use crate::executor::remove::remove_all;
use cap_std::ambient_authority;
use cap_std::fs::{Dir, FileType, Metadata, OpenOptions, OpenOptionsExt, Permissions};
use cap_std::fs::{DirBuilder, DirBuilderExt, MetadataExt, PermissionsExt};
use md5::Md5;
use sha1::Sha1;
use sha2::digest::DynDigest;
use sha2::{Sha256, Sha512};
use std::io::{self, Read, Write};
use std::ops::ControlFlow;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileExt, MetadataExt as Stat};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use wasmtime::component::Resource;

/// The most entries that one page of a listing holds.
const PAGE: usize = 1000;

/// The most bytes that one read returns.
const LONGEST_READ: u32 = 1 << 20;

/// The longest name that is looked up, as the kernel has it (`PATH_MAX`).
const LONGEST_NAME: usize = 4095;

/// A directory that a component may use, with everything beneath it.
#[derive(Clone, Debug)]
pub struct DirectoryHandle {
    directory: Arc<Dir>,
    location: PathBuf,
    /// Of one that was opened for the component.
    _counted: Option<OpenFile>,
}

/// An open regular file.
pub struct FileHandle {
    file: std::fs::File,
    name: String,
    writable: bool,
    _counted: OpenFile,
}

/// Counts for as long as a descriptor is open that a component has asked for.
#[derive(Clone, Debug, Default)]
pub(super) struct OpenFile(Arc<()>);

impl DirectoryHandle {
    /// A handle on a directory of the host, by its absolute path.
    pub fn open(location: &Path) -> io::Result<Self> {
        Ok(Self {
            directory: Arc::new(Dir::open_ambient_dir(location, ambient_authority())?),
            location: location.to_owned(),
            _counted: None,
        })
    }

    /// Its absolute path, as commands see it.
    pub fn location(&self) -> &Path {
        &self.location
    }

    /// The same path, for those who can only be told a path: an error if it does not lead to this directory any more. A component can move
    /// directories, and links to anywhere into their places.
    pub fn reachable_location(&self) -> Result<&Path, Fault> {
        let here = self.directory.dir_metadata();
        let there = std::fs::symlink_metadata(&self.location);
        match (here, there) {
            (Ok(here), Ok(there))
                if (here.dev(), here.ino()) == (Stat::dev(&there), Stat::ino(&there)) =>
            {
                Ok(&self.location)
            }
            _ => Err(Fault::new(
                "file",
                format!(
                    "{}: this is no longer the directory's place; open it again where it is now",
                    self.location.display()
                ),
            )),
        }
    }

    /// Opens a regular file beneath it for reading. Anything else (a FIFO, a device, a directory) is refused without waiting for it.
    pub fn open_file(&self, name: &str) -> Result<std::fs::File, Fault> {
        let name = checked(name)?;
        let failed = |error| Fault::io(self.shown(name), &error);
        let file = self
            .directory
            .open_with(
                name,
                OpenOptions::new().read(true).custom_flags(libc_nonblock()),
            )
            .map_err(failed)?;
        if !file.metadata().map_err(failed)?.is_file() {
            return Err(Fault::new(
                "file",
                format!("{}: not a regular file", self.shown(name)),
            ));
        }
        Ok(file.into_std())
    }

    /// Creates or empties a file beneath it.
    pub fn create_file(&self, name: &str, mode: u32) -> Result<std::fs::File, Fault> {
        let name = checked(name)?;
        let failed = |error| Fault::io(self.shown(name), &error);
        let mut options = OpenOptions::new();
        options
            .write(true)
            .create(true)
            .truncate(true)
            .mode(mode & 0o777)
            .custom_flags(libc_nonblock());
        let file = self.directory.open_with(name, &options).map_err(failed)?;
        if !file.metadata().map_err(failed)?.is_file() {
            return Err(Fault::new(
                "file",
                format!("{}: not a regular file", self.shown(name)),
            ));
        }
        // Whatever the umask: the mode is part of what the component asked for.
        file.set_permissions(Permissions::from_mode(mode & 0o777))
            .map_err(failed)?;
        Ok(file.into_std())
    }

    /// Path of a name beneath it, for messages and command lines.
    pub fn shown(&self, name: &str) -> String {
        self.location.join(name).display().to_string()
    }

    /// Calls a function with the names (relative paths) of everything beneath it, parents first, ordered by the parts of their paths;
    /// symbolic links are not followed.
    pub(super) fn each_name(
        &self,
        bounds: Bounds,
        wanted: &Wanted,
        mut visitor: impl FnMut(String) -> io::Result<ControlFlow<()>>,
    ) -> io::Result<()> {
        let listing = Listing {
            bounds,
            most: usize::MAX,
            recursive: true,
            wanted,
            visitor: |_: &Dir, path: String, _: &Found| visitor(path),
        };
        listing.run(&self.directory, None)
    }

    /// Removes a file beneath it.
    pub fn remove_file(&self, name: &str) -> io::Result<()> {
        self.directory.remove_file(name)
    }

    /// Gives a file beneath it another name, replacing a file that is there.
    pub fn rename_file(&self, source: &str, target: &str) -> Result<(), Fault> {
        self.directory
            .rename(checked(source)?, &self.directory, checked(target)?)
            .map_err(|error| Fault::io(self.shown(source), &error))
    }

    /// Makes a directory beneath it, with the directories that lead there.
    pub fn create_directories(&self, name: &str) -> Result<(), Fault> {
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(0o755);
        self.directory
            .create_dir_with(checked(name)?, &builder)
            .map_err(|error| Fault::io(self.shown(name), &error))
    }

    fn subdirectory(&self, name: &str) -> Result<Self, Fault> {
        let name = checked(name)?;
        let directory = self
            .directory
            .open_dir(name)
            .map_err(|error| Fault::io(self.shown(name), &error))?;
        Ok(Self {
            directory: Arc::new(directory),
            location: self.location.join(name),
            _counted: None,
        })
    }

    /// One page of a listing: what follows `after`.
    fn page(
        &self,
        recursive: bool,
        after: Option<&str>,
        wanted: &Wanted,
    ) -> Result<Vec<Entry>, Fault> {
        let mut found = Vec::new();
        let listing = Listing {
            bounds: BOUNDS,
            most: PAGE,
            recursive,
            wanted,
            visitor: |directory: &Dir, path: String, one: &Found| {
                let metadata = directory.symlink_metadata(one.name())?;
                found.push(describe(directory, one.name(), path, &metadata));
                Ok(match found.len() {
                    PAGE => ControlFlow::Break(()),
                    _ => ControlFlow::Continue(()),
                })
            },
        };
        listing
            .run(&self.directory, after)
            .map_err(|error| Fault::io(self.location.display(), &error))?;
        Ok(found)
    }

    fn stat(&self, name: &str) -> Result<Option<Entry>, Fault> {
        let name = checked(name)?;
        match self.directory.symlink_metadata(name) {
            Ok(found) => Ok(Some(describe(
                &self.directory,
                name,
                name.to_owned(),
                &found,
            ))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Fault::io(self.shown(name), &error)),
        }
    }

    /// Removes a file, or a directory with everything in it, however deep that is.
    fn remove(&self, name: &str) -> Result<(), Fault> {
        let path = Path::new(checked(name)?);
        let failed = |error| Fault::io(self.shown(name), &error);
        let found = self.directory.symlink_metadata(path).map_err(failed)?;
        if !found.is_dir() {
            return self.directory.remove_file(path).map_err(failed);
        }
        let Some(last) = path.file_name() else {
            return Err(Fault::new(
                "invalid-name",
                format!("{name:?}: this directory itself; give the name of an entry"),
            ));
        };
        let parent = path.parent().filter(|it| !it.as_os_str().is_empty());
        let parent = self.directory.open_dir(parent.unwrap_or(Path::new(".")));
        remove_all(parent.map_err(failed)?.as_fd(), last)
            .map_err(|error| Fault::new("file", format!("removing {}: {error}", self.shown(name))))
    }

    fn digest(
        &self,
        name: &str,
        algorithm: DigestAlgorithm,
        wanted: &Wanted,
    ) -> Result<String, Fault> {
        let mut file = wanted.reader(self.open_file(name)?);
        let mut hasher: Box<dyn DynDigest> = match algorithm {
            DigestAlgorithm::Md5 => Box::new(Md5::default()),
            DigestAlgorithm::Sha1 => Box::new(Sha1::default()),
            DigestAlgorithm::Sha256 => Box::new(Sha256::default()),
            DigestAlgorithm::Sha512 => Box::new(Sha512::default()),
        };
        let mut buffer = vec![0; 256 * 1024];
        loop {
            match file.read(&mut buffer) {
                Ok(0) => return Ok(hex(&hasher.finalize())),
                Ok(length) => hasher.update(&buffer[..length]),
                Err(error) => return Err(Fault::io(self.shown(name), &error)),
            }
        }
    }

    fn pack(&self, source: &str, target: &str, wanted: &Wanted) -> Result<(), Fault> {
        let tree = self.subdirectory(source)?;
        let archive = self.create_file(target, 0o644)?;
        super::archive::pack(&tree.directory, archive, wanted)
            .map_err(|error| Fault::io(format!("packing {}", self.shown(source)), &error))
    }

    fn unpack(&self, source: &str, target: &str, wanted: &Wanted) -> Result<(), Fault> {
        let archive = self.open_file(source)?;
        let target = checked(target)?;
        self.directory
            .create_dir(target)
            .map_err(|error| Fault::io(self.shown(target), &error))?;
        let tree = self.subdirectory(target)?;
        super::archive::unpack(archive, &tree.directory, wanted)
            .map_err(|error| Fault::io(format!("unpacking {}", self.shown(source)), &error))
    }
}

/// A name that may be looked up: relative, without `..`, NUL or empty text, of bearable length. Links are the kernel's business.
fn checked(name: &str) -> Result<&str, Fault> {
    let refused = |why: &str| {
        let shown: String = name.chars().take(80).collect();
        Err(Fault::new(
            "invalid-name",
            format!("{shown:?}: {why}; give a name relative to the directory"),
        ))
    };
    if name.is_empty() {
        return refused("the name is empty");
    }
    if name.len() > LONGEST_NAME {
        return refused("the name is too long");
    }
    if name.contains('\0') {
        return refused("the name contains a NUL");
    }
    if name.starts_with('/') {
        return refused("the name is absolute");
    }
    if name.split('/').any(|part| part == "..") {
        return refused("the name contains `..`");
    }
    Ok(name)
}

/// Opening a FIFO must not wait for its other end.
fn libc_nonblock() -> i32 {
    nix::fcntl::OFlag::O_NONBLOCK.bits()
}

fn describe(directory: &Dir, name: impl AsRef<Path>, shown: String, found: &Metadata) -> Entry {
    let target = if found.is_symlink() {
        directory.metadata(name).ok()
    } else {
        Some(found.clone())
    };
    Entry {
        name: shown,
        type_: entry_type(found.file_type()),
        target_type: target.as_ref().map(|target| entry_type(target.file_type())),
        size: target
            .filter(Metadata::is_file)
            .map_or(0, |target| target.len()),
    }
}

fn entry_type(kind: FileType) -> EntryType {
    if kind.is_file() {
        EntryType::Regular
    } else if kind.is_dir() {
        EntryType::Directory
    } else if kind.is_symlink() {
        EntryType::Symlink
    } else {
        EntryType::Other
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl HostState {
    /// The directory behind a handle of the component.
    pub(super) fn directory(
        &self,
        handle: &Resource<DirectoryHandle>,
    ) -> Result<DirectoryHandle, Fault> {
        Ok(self.table.get(handle)?.clone())
    }

    /// Lends the component a directory of its run.
    pub fn lend(
        &mut self,
        directory: DirectoryHandle,
    ) -> wasmtime::Result<Resource<DirectoryHandle>> {
        Ok(self.table.push(directory)?)
    }

    /// Gives the component a directory that it has asked for.
    fn grant_directory(
        &mut self,
        directory: DirectoryHandle,
    ) -> Result<Resource<DirectoryHandle>, Fault> {
        let counted = Some(self.count_open_file()?);
        Ok(self.table.push(DirectoryHandle {
            _counted: counted,
            ..directory
        })?)
    }

    fn grant_file(
        &mut self,
        file: std::fs::File,
        name: String,
        writable: bool,
    ) -> Result<Resource<FileHandle>, Fault> {
        let counted = self.count_open_file()?;
        Ok(self.table.push(FileHandle {
            file,
            name,
            writable,
            _counted: counted,
        })?)
    }

    /// One more open file of this component. Descriptors are the process's: one component must not take them from everybody else.
    fn count_open_file(&self) -> Result<OpenFile, Fault> {
        let allowed = self.most_open_files;
        match Arc::strong_count(&self.open_files.0) > allowed {
            true => Err(Fault::Trap(LimitReached::OpenFiles { allowed }.into())),
            false => Ok(self.open_files.clone()),
        }
    }
}

impl files::Host for HostState {}

impl HostDirectory for HostState {
    async fn location(&mut self, handle: Resource<DirectoryHandle>) -> wasmtime::Result<String> {
        Ok(self.table.get(&handle)?.location.display().to_string())
    }

    async fn entries(
        &mut self,
        handle: Resource<DirectoryHandle>,
        after: Option<String>,
    ) -> Result<Vec<Entry>, Fault> {
        let directory = self.directory(&handle)?;
        long_work::to_its_end(move |wanted| directory.page(false, after.as_deref(), wanted)).await
    }

    async fn entries_recursive(
        &mut self,
        handle: Resource<DirectoryHandle>,
        after: Option<String>,
    ) -> Result<Vec<Entry>, Fault> {
        let directory = self.directory(&handle)?;
        long_work::to_its_end(move |wanted| directory.page(true, after.as_deref(), wanted)).await
    }

    async fn stat(
        &mut self,
        handle: Resource<DirectoryHandle>,
        name: String,
    ) -> Result<Option<Entry>, Fault> {
        self.directory(&handle)?.stat(&name)
    }

    async fn open(
        &mut self,
        handle: Resource<DirectoryHandle>,
        name: String,
    ) -> Result<Resource<FileHandle>, Fault> {
        let file = self.directory(&handle)?.open_file(&name)?;
        self.grant_file(file, name, false)
    }

    async fn create(
        &mut self,
        handle: Resource<DirectoryHandle>,
        name: String,
        mode: u32,
    ) -> Result<Resource<FileHandle>, Fault> {
        let file = self.directory(&handle)?.create_file(&name, mode)?;
        self.grant_file(file, name, true)
    }

    async fn create_directory(
        &mut self,
        handle: Resource<DirectoryHandle>,
        name: String,
    ) -> Result<Resource<DirectoryHandle>, Fault> {
        let parent = self.directory(&handle)?;
        let made = parent
            .directory
            .create_dir_with(checked(&name)?, DirBuilder::new().mode(0o755));
        match made {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(Fault::io(parent.shown(&name), &error));
            }
            _ => {}
        }
        self.grant_directory(parent.subdirectory(&name)?)
    }

    async fn open_directory(
        &mut self,
        handle: Resource<DirectoryHandle>,
        name: String,
    ) -> Result<Resource<DirectoryHandle>, Fault> {
        let found = self.directory(&handle)?.subdirectory(&name)?;
        self.grant_directory(found)
    }

    async fn copy(
        &mut self,
        handle: Resource<DirectoryHandle>,
        from: Resource<DirectoryHandle>,
        source: String,
        target: String,
    ) -> Result<(), Fault> {
        let (into, from) = (self.directory(&handle)?, self.directory(&from)?);
        long_work::until_abort(self.abort()?, move |wanted| {
            let mut source_file = from.open_file(&source)?;
            let mode = source_file
                .metadata()
                .map_err(|error| Fault::io(from.shown(&source), &error))?
                .permissions();
            let mut target_file =
                into.create_file(&target, std::os::unix::fs::PermissionsExt::mode(&mode))?;
            wanted
                .copy(&mut source_file, &mut target_file)
                .map_err(|error| Fault::io(into.shown(&target), &error))
        })
        .await
    }

    async fn rename(
        &mut self,
        handle: Resource<DirectoryHandle>,
        source: String,
        target: String,
    ) -> Result<(), Fault> {
        self.directory(&handle)?.rename_file(&source, &target)
    }

    async fn remove(
        &mut self,
        handle: Resource<DirectoryHandle>,
        name: String,
    ) -> Result<(), Fault> {
        let directory = self.directory(&handle)?;
        long_work::to_its_end(move |_| directory.remove(&name)).await
    }

    async fn temporary_name(
        &mut self,
        handle: Resource<DirectoryHandle>,
        prefix: String,
        suffix: String,
    ) -> wasmtime::Result<String> {
        let directory = self.table.get(&handle)?;
        loop {
            let random: String = std::iter::repeat_with(|| rand::random_range(b'a'..=b'z') as char)
                .take(8)
                .collect();
            let name = format!("{prefix}{random}{suffix}");
            if directory.directory.symlink_metadata(&name).is_err() {
                return Ok(name);
            }
        }
    }

    async fn digest(
        &mut self,
        handle: Resource<DirectoryHandle>,
        name: String,
        algorithm: DigestAlgorithm,
    ) -> Result<String, Fault> {
        let directory = self.directory(&handle)?;
        long_work::until_abort(self.abort()?, move |wanted| {
            directory.digest(&name, algorithm, wanted)
        })
        .await
    }

    async fn pack(
        &mut self,
        handle: Resource<DirectoryHandle>,
        source: String,
        target: String,
    ) -> Result<(), Fault> {
        let directory = self.directory(&handle)?;
        long_work::until_abort(self.abort()?, move |wanted| {
            directory.pack(&source, &target, wanted)
        })
        .await
    }

    async fn unpack(
        &mut self,
        handle: Resource<DirectoryHandle>,
        source: String,
        target: String,
    ) -> Result<(), Fault> {
        let directory = self.directory(&handle)?;
        long_work::until_abort(self.abort()?, move |wanted| {
            directory.unpack(&source, &target, wanted)
        })
        .await
    }

    async fn drop(&mut self, handle: Resource<DirectoryHandle>) -> wasmtime::Result<()> {
        self.table.delete(handle)?;
        Ok(())
    }
}

impl HostFile for HostState {
    async fn size(&mut self, handle: Resource<FileHandle>) -> wasmtime::Result<u64> {
        Ok(self.table.get(&handle)?.file.metadata()?.len())
    }

    async fn read(
        &mut self,
        handle: Resource<FileHandle>,
        offset: u64,
        length: u32,
    ) -> Result<Vec<u8>, Fault> {
        let handle = self.table.get(&handle)?;
        let mut bytes = vec![0; length.min(LONGEST_READ) as usize];
        let mut filled = 0;
        while filled < bytes.len() {
            match handle
                .file
                .read_at(&mut bytes[filled..], offset + filled as u64)
            {
                Ok(0) => break,
                Ok(length) => filled += length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Fault::io(&handle.name, &error)),
            }
        }
        bytes.truncate(filled);
        Ok(bytes)
    }

    async fn write(&mut self, handle: Resource<FileHandle>, bytes: Vec<u8>) -> Result<(), Fault> {
        let handle = self.table.get_mut(&handle)?;
        if !handle.writable {
            return Err(Fault::new(
                "file",
                format!(
                    "{}: opened for reading; use directory.create to write",
                    handle.name
                ),
            ));
        }
        handle
            .file
            .write_all(&bytes)
            .map_err(|error| Fault::io(&handle.name, &error))
    }

    async fn drop(&mut self, handle: Resource<FileHandle>) -> wasmtime::Result<()> {
        self.table.delete(handle)?;
        Ok(())
    }
}
