//! Packing and unpacking directories of a task as tar files.

use cap_std::fs::{Dir, DirBuilder, DirBuilderExt, OpenOptions, OpenOptionsExt};
use std::io::{self, BufReader, BufWriter};
use std::path::{Component, Path};

/// Writes everything beneath a directory to a tar file: directories, regular files, symbolic links.
pub fn pack(tree: &Dir, archive: std::fs::File) -> io::Result<()> {
    let mut builder = tar::Builder::new(BufWriter::with_capacity(1 << 20, archive));
    pack_directory(tree, Path::new(""), &mut builder)?;
    builder
        .into_inner()?
        .into_inner()
        .map_err(io::IntoInnerError::into_error)?;
    Ok(())
}

fn pack_directory(
    directory: &Dir,
    prefix: &Path,
    builder: &mut tar::Builder<impl io::Write>,
) -> io::Result<()> {
    let mut names = Vec::new();
    for listed in directory.entries()? {
        names.push(listed?.file_name());
    }
    names.sort();
    for name in names {
        let path = prefix.join(&name);
        let found = directory.symlink_metadata(&name)?;
        if found.is_dir() {
            let mut header = header(tar::EntryType::Directory, 0o755, 0);
            builder.append_data(&mut header, &path, io::empty())?;
            pack_directory(&directory.open_dir(&name)?, &path, builder)?;
        } else if found.is_symlink() {
            let target = directory.read_link_contents(&name)?;
            let mut header = header(tar::EntryType::Symlink, 0o777, 0);
            builder.append_link(&mut header, &path, target)?;
        } else if found.is_file() {
            let file = directory.open(&name)?.into_std();
            let mode = std::os::unix::fs::PermissionsExt::mode(&file.metadata()?.permissions());
            let mut header = header(
                tar::EntryType::Regular,
                mode & 0o777,
                file.metadata()?.len(),
            );
            builder.append_data(&mut header, &path, file)?;
        } else {
            let what = format!(
                "{}: neither file, directory nor symbolic link",
                path.display()
            );
            return Err(io::Error::other(what));
        }
    }
    Ok(())
}

fn header(kind: tar::EntryType, mode: u32, size: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_mtime(0);
    header
}

/// Unpacks a tar file beneath a directory. What would lead out of it, devices, and special permission bits are refused or dropped.
pub fn unpack(archive: std::fs::File, tree: &Dir) -> io::Result<()> {
    let mut archive = tar::Archive::new(BufReader::with_capacity(1 << 20, archive));
    for entry in archive.entries()? {
        let mut entry = entry?;
        let path = entry.path()?.into_owned();
        let refused = |why: &str| Err(io::Error::other(format!("{}: {why}", path.display())));
        if path
            .components()
            .any(|part| !matches!(part, Component::Normal(_) | Component::CurDir))
        {
            return refused("leads out of the archive");
        }
        let name: &Path = &path
            .components()
            .filter(|part| *part != Component::CurDir)
            .collect::<std::path::PathBuf>();
        if name.as_os_str().is_empty() {
            continue;
        }
        if let Some(parent) = name
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty())
        {
            tree.create_dir_all(parent)?;
        }
        let mode = entry.header().mode()? & 0o777;
        match entry.header().entry_type() {
            tar::EntryType::Directory => {
                match tree.create_dir_with(name, DirBuilder::new().mode(0o755)) {
                    Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                        return Err(error);
                    }
                    _ => {}
                }
            }
            tar::EntryType::Regular | tar::EntryType::Continuous | tar::EntryType::GNUSparse => {
                let mut options = OpenOptions::new();
                options.write(true).create_new(true).mode(mode | 0o600);
                io::copy(&mut entry, &mut tree.open_with(name, &options)?)?;
            }
            tar::EntryType::Symlink => match entry.link_name()? {
                Some(target) => tree.symlink_contents(target, name)?,
                None => return refused("a symbolic link to nothing"),
            },
            tar::EntryType::Link => match entry.link_name()? {
                Some(target) => tree.hard_link(target.as_ref(), tree, name)?,
                None => return refused("a hard link to nothing"),
            },
            tar::EntryType::XGlobalHeader => {}
            _ => return refused("neither file, directory nor link"),
        }
    }
    Ok(())
}
