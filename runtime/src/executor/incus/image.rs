//! Images in the form in which incus imports them: one archive with a description, and the root file system or the disk.

use crate::executor::unpack::decompress;
use crate::executor::{Abort, Command, Commands, ExecutorError, Exit, HostCommands, Stderr};
use serde_json::json;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};
use tar::{Archive, Builder, Entry, EntryType, Header};

/// An image to import.
#[derive(Debug, Clone)]
pub struct IncusImage {
    /// The name under which it is launched.
    pub alias: String,
    /// What it is made from.
    pub kind: IncusImageKind,
    /// The sha256 of the file that it is made from, in hexadecimal.
    pub sha256: String,
    /// The machine as incus names it, such as `x86_64`.
    pub architecture: String,
    /// What people see of it: `description`, `os`, `release` and the like.
    pub properties: Vec<(String, String)>,
}

/// What an image is made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IncusImageKind {
    /// An archive of a root file system, for containers.
    Tarball,
    /// A disk in the format qcow2.
    Qcow2,
    /// An archive with one file, which is a raw disk.
    RawTarball,
}

/// Where an init may be; a system without one does not boot.
const INITS: [&str; 2] = ["sbin/init", "usr/sbin/init"];

/// Units that are switched on: the network is to be up.
const UNITS: [(&str, &str); 2] = [
    (
        "etc/systemd/system/multi-user.target.wants",
        "systemd-networkd.service",
    ),
    (
        "etc/systemd/system/network-online.target.wants",
        "systemd-networkd-wait-online.service",
    ),
];

/// Run by systemd in the container before it starts anything: takes away what services of systemd before version 257 ask for and an
/// unprivileged container cannot give.
const GENERATOR: (&str, &str) = (
    "etc/systemd/system-generators/lxc",
    "#!/bin/sh\n\
     # Settings of services that cannot be had in an unprivileged container.\n\
     set -eu\n\
     grep -qz '^container=lxc$' /proc/1/environ || exit 0\n\
     mkdir -p \"$1/service.d\"\n\
     printf '[Service]\\n%s\\n%s\\n%s\\n%s\\n%s\\n%s\\n' ProcSubset=all ProtectProc=default ProtectControlGroups=no \\\n\
     \x20   ProtectKernelTunables=no LoadCredential= ImportCredential= > \"$1/service.d/zz-container.conf\"\n",
);

/// Files that incus fills in when an instance is made: path inside, name in the image, content.
const TEMPLATES: [(&str, &str, &str); 2] = [
    ("/etc/hostname", "hostname.tpl", "{{ instance.name }}"),
    (
        "/etc/hosts",
        "hosts.tpl",
        "127.0.1.1   {{ instance.name }}\n127.0.0.1   localhost\n::1         localhost ip6-localhost ip6-loopback\n\
         ff02::1     ip6-allnodes\nff02::2     ip6-allrouters\n",
    ),
];

impl IncusImage {
    /// Writes the archive into a directory; where it is.
    pub(super) async fn build(
        &self,
        file: &Path,
        directory: &Path,
        host: &HostCommands,
        abort: &Abort,
    ) -> Result<PathBuf, ExecutorError> {
        let disk = match self.kind {
            IncusImageKind::RawTarball => Some(qcow2(file, directory, host, abort).await?),
            IncusImageKind::Qcow2 => Some(file.to_owned()),
            IncusImageKind::Tarball => None,
        };
        let target = directory.join("incus.tar");
        let (image, file, written) = (self.clone(), file.to_owned(), target.clone());
        let write = tokio::task::spawn_blocking(move || image.write(&file, disk, &written));
        tokio::select! {
            result = write => result.unwrap_or_else(|error| Err(ExecutorError::System(error.to_string()))),
            () = abort.cancelled() => Err(ExecutorError::Aborted),
        }?;
        Ok(target)
    }

    fn write(
        &self,
        file: &Path,
        disk: Option<PathBuf>,
        target: &Path,
    ) -> Result<(), ExecutorError> {
        let target = File::create_new(target).map_err(cannot_convert)?;
        let mut archive = Builder::new(io::BufWriter::with_capacity(1 << 18, target));
        self.describe(&mut archive).map_err(cannot_convert)?;
        match disk {
            Some(disk) => {
                let mut disk = File::open(disk).map_err(cannot_convert)?;
                archive
                    .append_file("rootfs.img", &mut disk)
                    .map_err(cannot_convert)?;
            }
            None => {
                let source = File::open(file).and_then(decompress).map_err(damaged)?;
                copy_root(source, &mut archive)?;
            }
        }
        let mut target = archive.into_inner().map_err(cannot_convert)?;
        target.flush().map_err(cannot_convert)
    }

    fn describe(&self, archive: &mut Builder<impl Write>) -> io::Result<()> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let properties = self.properties.iter().cloned();
        let made_from = (super::MADE_FROM.to_owned(), self.sha256.clone());
        let templates = TEMPLATES.map(|(path, template, _)| {
            let when = json!({"when": ["create", "copy"], "create_only": false, "template": template, "properties": {}});
            (path.to_owned(), when)
        });
        // JSON is YAML too.
        let description = json!({
            "architecture": self.architecture,
            "creation_date": now.map_or(0, |now| now.as_secs()),
            "profiles": [super::INCUS_PROFILE],
            "properties": properties.chain([made_from]).collect::<std::collections::BTreeMap<_, _>>(),
            "templates": serde_json::Map::from_iter(templates),
        });
        add_file(archive, "metadata.yaml", description.to_string(), 0o644)?;
        add_directory(archive, "templates")?;
        for (_, name, content) in TEMPLATES {
            add_file(archive, &format!("templates/{name}"), content, 0o644)?;
        }
        Ok(())
    }
}

/// Copies a root file system beneath `rootfs/`, and adds what makes it boot in a container.
fn copy_root(source: impl Read, archive: &mut Builder<impl Write>) -> Result<(), ExecutorError> {
    let mut source = Archive::new(source);
    let mut directories = BTreeSet::new();
    let mut boots = false;
    for entry in source.entries().map_err(damaged)? {
        let mut entry = entry.map_err(damaged)?;
        let name = plain(&entry.path().map_err(damaged)?);
        boots |= INITS.iter().any(|init| Path::new(init) == name);
        if entry.header().entry_type() == EntryType::Directory {
            directories.insert(name.clone());
        }
        copy_entry(&mut entry, &Path::new("rootfs").join(&name), archive)
            .map_err(cannot_convert)?;
    }
    if !boots {
        return Err(ExecutorError::Image(
            "the image has no init and does not boot in a container; make one with the package init or systemd-sysv".into(),
        ));
    }
    add_units(archive, directories).map_err(cannot_convert)
}

fn add_units(
    archive: &mut Builder<impl Write>,
    mut directories: BTreeSet<PathBuf>,
) -> io::Result<()> {
    let files = UNITS.map(|(directory, _)| directory).into_iter();
    let generators = Path::new(GENERATOR.0).parent().unwrap_or(Path::new(""));
    for directory in files.map(Path::new).chain([generators]) {
        let parents: Vec<&Path> = directory.ancestors().collect();
        for parent in parents.into_iter().rev().filter(|it| *it != Path::new("")) {
            if directories.insert(parent.to_owned()) {
                add_directory(archive, &format!("rootfs/{}", parent.display()))?;
            }
        }
    }
    for (directory, unit) in UNITS {
        let mut header = new_header(EntryType::Symlink, 0o777);
        let target = format!("/lib/systemd/system/{unit}");
        archive.append_link(&mut header, format!("rootfs/{directory}/{unit}"), target)?;
    }
    let (path, content) = GENERATOR;
    add_file(archive, &format!("rootfs/{path}"), content, 0o755)
}

/// A name in an archive as a relative path.
fn plain(path: &Path) -> PathBuf {
    use std::path::Component;
    path.components()
        .filter(|part| !matches!(part, Component::CurDir | Component::RootDir))
        .collect()
}

fn copy_entry(
    entry: &mut Entry<'_, impl Read>,
    path: &Path,
    archive: &mut Builder<impl Write>,
) -> io::Result<()> {
    let extended: Vec<(String, Vec<u8>)> = match entry.pax_extensions()? {
        Some(extensions) => extensions
            .flatten()
            .filter_map(|it| Some((it.key().ok()?.to_owned(), it.value_bytes().to_owned())))
            .filter(|(key, _)| key.starts_with("SCHILY.xattr."))
            .collect(),
        None => Vec::new(),
    };
    if !extended.is_empty() {
        let extended = extended
            .iter()
            .map(|(key, value)| (key.as_str(), &value[..]));
        archive.append_pax_extensions(extended)?;
    }
    let mut header = entry.header().clone();
    let target = entry.link_name()?.map(|target| target.into_owned());
    match (header.entry_type(), target) {
        (EntryType::Link, Some(target)) => {
            archive.append_link(&mut header, path, Path::new("rootfs").join(plain(&target)))
        }
        (EntryType::Symlink, Some(target)) => archive.append_link(&mut header, path, target),
        _ => {
            // Files with holes come out whole.
            if header.entry_type() == EntryType::GNUSparse {
                header.set_entry_type(EntryType::Regular);
            }
            header.set_size(entry.size());
            archive.append_data(&mut header, path, entry)
        }
    }
}

fn new_header(kind: EntryType, mode: u32) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(0);
    header
}

fn add_directory(archive: &mut Builder<impl Write>, path: &str) -> io::Result<()> {
    let mut header = new_header(EntryType::Directory, 0o755);
    archive.append_data(&mut header, format!("{path}/"), io::empty())
}

fn add_file(
    archive: &mut Builder<impl Write>,
    path: &str,
    content: impl AsRef<[u8]>,
    mode: u32,
) -> io::Result<()> {
    let content = content.as_ref();
    let mut header = new_header(EntryType::Regular, mode);
    header.set_size(content.len() as u64);
    archive.append_data(&mut header, path, content)
}

/// The disk in an archive, in the format of which incus knows the real size.
async fn qcow2(
    file: &Path,
    directory: &Path,
    host: &HostCommands,
    abort: &Abort,
) -> Result<PathBuf, ExecutorError> {
    let (raw, disk) = (directory.join("raw"), directory.join("image.qcow2"));
    let (from, to) = (file.to_owned(), raw.clone());
    let extracted = tokio::task::spawn_blocking(move || extract_only_file(&from, &to)).await;
    extracted.unwrap_or_else(|error| Err(ExecutorError::System(error.to_string())))?;
    let convert = ["qemu-img", "convert", "-f", "raw", "-O", "qcow2"].map(OsString::from);
    let command = Command {
        arguments: convert
            .into_iter()
            .chain([raw.clone().into(), disk.clone().into()])
            .collect(),
        directory: None,
        environment: None,
        as_root: false,
        stdin: None,
        stdout: None,
        stderr: Stderr::Discard,
        timeout: None,
    };
    match host.run(command, abort).await? {
        Exit::Exited(0) => {}
        Exit::Aborted => return Err(ExecutorError::Aborted),
        _ => {
            return Err(ExecutorError::System(
                "cannot convert the image: qemu-img fails; is the disk full, or the image damaged?"
                    .into(),
            ));
        }
    }
    std::fs::remove_file(raw).map_err(cannot_convert)?;
    Ok(disk)
}

fn extract_only_file(archive: &Path, to: &Path) -> Result<(), ExecutorError> {
    let wrong = || {
        ExecutorError::Image(
            "the archive of a raw image has to hold one file and nothing else; make it again"
                .into(),
        )
    };
    let source = File::open(archive).and_then(decompress).map_err(damaged)?;
    let mut archive = Archive::new(source);
    let mut found = false;
    for entry in archive.entries().map_err(damaged)? {
        let mut entry = entry.map_err(damaged)?;
        let is_plain = entry
            .path()
            .is_ok_and(|path| path.components().count() == 1);
        let is_file = matches!(
            entry.header().entry_type(),
            EntryType::Regular | EntryType::GNUSparse
        );
        if found || !is_plain || !is_file {
            return Err(wrong());
        }
        found = true;
        write_sparse(&mut entry, to).map_err(cannot_convert)?;
    }
    if found { Ok(()) } else { Err(wrong()) }
}

/// A disk is mostly zeros, for which no space is needed.
fn write_sparse(source: &mut impl Read, to: &Path) -> io::Result<()> {
    use std::os::unix::fs::FileExt;
    let file = File::create_new(to)?;
    let mut buffer = vec![0; 1 << 16];
    let mut position = 0;
    loop {
        let length = source.read(&mut buffer)?;
        if length == 0 {
            return file.set_len(position);
        }
        if buffer[..length].iter().any(|&byte| byte != 0) {
            file.write_all_at(&buffer[..length], position)?;
        }
        position += length as u64;
    }
}

fn damaged(error: io::Error) -> ExecutorError {
    ExecutorError::Image(format!(
        "the image is damaged or incomplete: {error}; fetch it again"
    ))
}

fn cannot_convert(error: io::Error) -> ExecutorError {
    ExecutorError::System(format!(
        "cannot convert the image: {error}; is the disk full, or the image damaged?"
    ))
}
