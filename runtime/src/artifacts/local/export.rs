//! Writing an artifact's files into a directory, without ever leaving it.

use super::Inner;
use super::digest::{Copied, copy};
use super::failure::{Failure, Outcome};
use super::paths;
use super::records;
use crate::artifacts::ArtifactId;
use crate::artifacts::Wanted;
use rustix::fs::{AtFlags, CWD, Mode, OFlags, RenameFlags};
use rustix::io::Errno;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// What an export does with files that are there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overwrite {
    /// Nothing is written if one of them is there.
    Never,
    /// They are replaced, each in one step.
    Replace,
}

/// Writes all files of an artifact beneath `directory` and returns their paths. All are written aside and verified before the first one
/// gets its name.
pub(super) fn export(
    store: &Inner,
    id: ArtifactId,
    directory: &Path,
    overwrite: Overwrite,
) -> Outcome<Vec<PathBuf>> {
    let files = store.read(|connection| Ok(records::artifact(connection, id)?.files))?;
    let mut ready = Vec::new();
    for (number, file) in files.iter().enumerate() {
        paths::check(&file.path)?;
        let place = Place::prepare(directory, &file.path)?;
        if overwrite == Overwrite::Never && place.is_taken() {
            return Err(already_there(&place));
        }
        let content = store.read(|connection| records::file(connection, id, &file.path))?;
        ready.push(Aside::write(store, place, number, content, id)?);
    }
    ready
        .into_iter()
        .map(|aside| aside.name_it(overwrite))
        .collect()
}

/// Where a file is to go: a directory that was reached without following a symlink, and a name in it.
struct Place {
    directory: OwnedFd,
    name: String,
    /// The path within the artifact.
    within: String,
    path: PathBuf,
}

impl Place {
    fn prepare(root: &Path, path: &str) -> Outcome<Self> {
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
        let doing = |errno: Errno| {
            Failure::invalid(format!(
                "export to {}: cannot enter the directory of {path:?}: {errno}; choose an existing directory without symlinks in it",
                root.display()
            ))
        };
        let mut directory = rustix::fs::openat(CWD, root, flags, Mode::empty()).map_err(doing)?;
        let mut parts: Vec<&str> = path.split('/').collect();
        let name = parts.pop().unwrap_or_default().to_owned();
        for part in parts {
            match rustix::fs::mkdirat(&directory, part, Mode::from_raw_mode(0o777)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(errno) => return Err(doing(errno)),
            }
            directory =
                rustix::fs::openat(&directory, part, flags | OFlags::NOFOLLOW, Mode::empty())
                    .map_err(doing)?;
        }
        Ok(Self {
            directory,
            name,
            within: path.to_owned(),
            path: root.join(path),
        })
    }

    fn is_taken(&self) -> bool {
        rustix::fs::statat(&self.directory, &*self.name, AtFlags::SYMLINK_NOFOLLOW).is_ok()
    }
}

/// A file that is written but has not got its name yet; dropped before, it is removed.
struct Aside {
    place: Place,
    name: String,
    named: bool,
}

impl Aside {
    fn write(
        store: &Inner,
        place: Place,
        number: usize,
        content: Copied,
        id: ArtifactId,
    ) -> Outcome<Self> {
        let name = format!(".export-{}-{id}-{number}.part", std::process::id());
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(0o666);
        let target =
            rustix::fs::openat(&place.directory, &*name, flags, mode).map_err(|errno| {
                Failure::io(format!("exporting {}", place.path.display()))(errno.into())
            })?;
        let named = false;
        let aside = Self { place, name, named };
        let source = store.blobs.open_blob(content.digest);
        let source = source.map_err(|error| super::lost(id, &aside.place.within, &error))?;
        let writing = format!("exporting {}", aside.place.path.display());
        let target = File::from(target);
        let copied = copy(&source, &target, None, &Wanted::always(), &writing)?;
        target.sync_all().map_err(Failure::io(writing))?;
        match copied == content {
            true => Ok(aside),
            false => Err(super::changed(id, &aside.place.within, content, copied)),
        }
    }

    fn name_it(mut self, overwrite: Overwrite) -> Outcome<PathBuf> {
        let flags = match overwrite {
            Overwrite::Never => RenameFlags::NOREPLACE,
            Overwrite::Replace => RenameFlags::empty(),
        };
        let Place {
            directory,
            name,
            path,
            ..
        } = &self.place;
        match rustix::fs::renameat_with(directory, &*self.name, directory, &**name, flags) {
            Ok(()) => {}
            Err(Errno::EXIST) => return Err(already_there(&self.place)),
            Err(errno) => {
                return Err(Failure::io(format!("exporting {}", path.display()))(
                    errno.into(),
                ));
            }
        }
        self.named = true;
        rustix::fs::fsync(directory)
            .map_err(|errno| Failure::io(format!("exporting {}", path.display()))(errno.into()))?;
        Ok(path.clone())
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        if !self.named {
            let _ = rustix::fs::unlinkat(&self.place.directory, &*self.name, AtFlags::empty());
        }
    }
}

fn already_there(place: &Place) -> Failure {
    Failure::invalid(format!(
        "export to {}: the file is there already; choose another directory, or ask for it to be replaced",
        place.path.display()
    ))
}
