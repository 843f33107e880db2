//! Directories and files of the scripted world: plain ones of this machine. What is read through a handle lies beneath its directory, as
//! with the real host; what else a task may name is checked by that only.

use super::{Failure, failure};
use crate::bindings::debusine::task::files::{DigestAlgorithm, Entry, EntryType};
use sha2::digest::DynDigest;
use std::fs::{self, FileType, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

pub(crate) struct Directory(PathBuf);

pub(crate) struct File(fs::File);

impl Directory {
    pub(crate) fn made(path: PathBuf) -> Self {
        fs::create_dir_all(&path).expect("a directory of the test can be made");
        Self(path)
    }

    pub(crate) fn content(&self, name: &str) -> Result<Vec<u8>, Failure> {
        self.inside(name)
            .and_then(fs::read)
            .map_err(|error| self.failed(name, &error))
    }

    /// The path that a name leads to, once symbolic links have been followed; an error if that is elsewhere.
    fn inside(&self, name: &str) -> io::Result<PathBuf> {
        let path = self.0.join(name).canonicalize()?;
        match path.starts_with(self.0.canonicalize()?) {
            true => Ok(path),
            false => Err(io::Error::other("it leads out of the directory")),
        }
    }

    pub(crate) fn put(&self, name: &str, content: &[u8]) -> Result<(), Failure> {
        let path = self.0.join(name);
        path.parent()
            .map_or(Ok(()), fs::create_dir_all)
            .and_then(|()| fs::write(path, content))
            .map_err(|error| self.failed(name, &error))
    }

    fn failed(&self, name: &str, error: &io::Error) -> Failure {
        let kind = match error.kind() {
            io::ErrorKind::NotFound => "not-found",
            _ => "file",
        };
        failure(kind, format!("{}: {error}", self.0.join(name).display()))
    }

    pub(crate) fn location(&self) -> String {
        self.0.display().to_string()
    }

    pub(crate) fn entries(&self, after: Option<&str>) -> Result<Vec<Entry>, Failure> {
        match after {
            Some(_) => Ok(Vec::new()),
            None => list(&self.0, "").map_err(|error| self.failed("", &error)),
        }
    }

    pub(crate) fn entries_recursive(&self, after: Option<&str>) -> Result<Vec<Entry>, Failure> {
        let mut found = Vec::new();
        if after.is_none() {
            walk(&self.0, "", &mut found).map_err(|error| self.failed("", &error))?;
        }
        Ok(found)
    }

    pub(crate) fn stat(&self, name: &str) -> Result<Option<Entry>, Failure> {
        let path = self.0.join(name);
        match fs::symlink_metadata(&path) {
            Ok(_) => self
                .described(&path, name)
                .map(Some)
                .map_err(|error| self.failed(name, &error)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.failed(name, &error)),
        }
    }

    fn described(&self, path: &Path, name: &str) -> io::Result<Entry> {
        if let Some((parent, _)) = name.rsplit_once('/') {
            self.inside(parent)?;
        }
        let found = entry(path, name.to_owned())?;
        Ok(match self.inside(name) {
            Ok(_) => found,
            Err(_) => Entry {
                target_type: None,
                size: 0,
                ..found
            },
        })
    }

    pub(crate) fn open(&self, name: &str) -> Result<File, Failure> {
        let path = self
            .inside(name)
            .map_err(|error| self.failed(name, &error))?;
        if path.is_dir() {
            return Err(failure(
                "file",
                format!("{}: not a regular file", path.display()),
            ));
        }
        fs::File::open(path)
            .map(File)
            .map_err(|error| self.failed(name, &error))
    }

    pub(crate) fn create(&self, name: &str, mode: u32) -> Result<File, Failure> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(mode);
        let file = options
            .open(self.0.join(name))
            .map_err(|error| self.failed(name, &error))?;
        file.set_permissions(fs::Permissions::from_mode(mode))
            .map_err(|error| self.failed(name, &error))?;
        Ok(File(file))
    }

    pub(crate) fn create_directory(&self, name: &str) -> Result<Directory, Failure> {
        let path = self.0.join(name);
        fs::create_dir_all(&path).map_err(|error| self.failed(name, &error))?;
        Ok(Self(path))
    }

    pub(crate) fn open_directory(&self, name: &str) -> Result<Directory, Failure> {
        let path = self.0.join(name);
        if !path.is_dir() {
            return Err(failure(
                "not-found",
                format!("{}: no directory", path.display()),
            ));
        }
        Ok(Self(path))
    }

    pub(crate) fn copy(&self, from: &Directory, source: &str, target: &str) -> Result<(), Failure> {
        self.put(target, &from.content(source)?)
    }

    pub(crate) fn rename(&self, source: &str, target: &str) -> Result<(), Failure> {
        fs::rename(self.0.join(source), self.0.join(target))
            .map_err(|error| self.failed(source, &error))
    }

    pub(crate) fn remove(&self, name: &str) -> Result<(), Failure> {
        let path = self.0.join(name);
        let removed = match path.is_dir() && !path.is_symlink() {
            true => fs::remove_dir_all(path),
            false => fs::remove_file(path),
        };
        removed.map_err(|error| self.failed(name, &error))
    }

    pub(crate) fn temporary_name(&self, prefix: &str, suffix: &str) -> String {
        let is_free = |name: &String| !self.0.join(name).exists();
        (1..)
            .map(|number| format!("{prefix}{number}{suffix}"))
            .find(is_free)
            .expect("some number is free")
    }

    pub(crate) fn digest(&self, name: &str, algorithm: DigestAlgorithm) -> Result<String, Failure> {
        let mut hasher: Box<dyn DynDigest> = match algorithm {
            DigestAlgorithm::Md5 => Box::new(md5::Md5::default()),
            DigestAlgorithm::Sha1 => Box::new(sha1::Sha1::default()),
            DigestAlgorithm::Sha256 => Box::new(sha2::Sha256::default()),
            DigestAlgorithm::Sha512 => Box::new(sha2::Sha512::default()),
        };
        hasher.update(&self.content(name)?);
        Ok(hex(&hasher.finalize()))
    }

    pub(crate) fn pack(&self, source: &str, target: &str) -> Result<(), Failure> {
        let archive = fs::File::create(self.0.join(target));
        archive
            .and_then(|archive| {
                let mut builder = tar::Builder::new(archive);
                builder.append_dir_all("", self.0.join(source))?;
                builder.finish()
            })
            .map_err(|error| self.failed(source, &error))
    }

    pub(crate) fn unpack(&self, source: &str, target: &str) -> Result<(), Failure> {
        let archive = fs::File::open(self.0.join(source));
        archive
            .and_then(|archive| tar::Archive::new(archive).unpack(self.0.join(target)))
            .map_err(|error| self.failed(source, &error))
    }
}

impl File {
    pub(crate) fn size(&self) -> u64 {
        self.0.metadata().map_or(0, |found| found.len())
    }

    pub(crate) fn read(&self, offset: u64, length: u32) -> Result<Vec<u8>, Failure> {
        let mut bytes = vec![0; length as usize];
        let read = self.0.read_at(&mut bytes, offset);
        bytes.truncate(read.map_err(|error| failure("file", error))?);
        Ok(bytes)
    }

    pub(crate) fn write(&self, bytes: &[u8]) -> Result<(), Failure> {
        (&self.0)
            .write_all(bytes)
            .map_err(|error| failure("file", error))
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn walk(directory: &Path, prefix: &str, found: &mut Vec<Entry>) -> io::Result<()> {
    for listed in list(directory, prefix)? {
        let path = listed.name.clone();
        let below = directory.join(path.rsplit('/').next().unwrap_or(&path));
        let is_directory = listed.type_ == EntryType::Directory;
        found.push(listed);
        if is_directory {
            walk(&below, &format!("{path}/"), found)?;
        }
    }
    Ok(())
}

fn list(directory: &Path, prefix: &str) -> io::Result<Vec<Entry>> {
    let mut found = Vec::new();
    for listed in fs::read_dir(directory)? {
        let listed = listed?;
        let name = format!("{prefix}{}", listed.file_name().to_string_lossy());
        found.push(entry(&listed.path(), name)?);
    }
    found.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(found)
}

fn entry(path: &Path, name: String) -> io::Result<Entry> {
    let target = fs::metadata(path).ok();
    let is_file = target.as_ref().is_some_and(fs::Metadata::is_file);
    Ok(Entry {
        name,
        type_: entry_type(fs::symlink_metadata(path)?.file_type()),
        target_type: target.as_ref().map(|found| entry_type(found.file_type())),
        size: target.filter(|_| is_file).map_or(0, |found| found.len()),
    })
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
