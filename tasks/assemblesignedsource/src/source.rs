//! The source package that a template holds: taken out of it, and checked before anything is done with it.

use task_sdk::code_signing::{Manifest, Template, Unpacker};
use task_sdk::prelude::*;

/// Its directory, in the local directory and in the instance.
pub const DIRECTORY: &str = "source";

/// The template's directory, likewise.
const TEMPLATE: &str = "template";

/// What a source package has to have.
const NEEDED: [&str; 5] = [
    "debian/source/format",
    "debian/changelog",
    "debian/control",
    "debian/copyright",
    "debian/rules",
];

/// What would make dpkg-source do more than it is told to.
const FORBIDDEN: [&str; 2] = ["debian/source/options", "debian/source/local-options"];

/// The format in which nothing but the directory itself counts.
const FORMAT: &str = "3.0 (native)";

/// In bytes.
const LONGEST_FORMAT: u64 = 4096;

/// Unpacks the template, and takes the source package out of it.
pub fn take_out(unpacker: &Unpacker<'_>, template: &Template) -> Result<Directory> {
    unpacker.unpack(&template.deb, TEMPLATE)?;
    unpacker.pull_directory(TEMPLATE)?;
    let source = format!("{}/source-template", directory(template));
    match unpacker.local.stat(&source)? {
        Some(entry) if entry.type_ == EntryType::Directory => {}
        _ => return refused("source-template", "no such directory in the template"),
    }
    unpacker.local.rename(&source, DIRECTORY)?;
    let source = unpacker.local.open_directory(DIRECTORY)?;
    check(&source)?;
    Ok(source)
}

/// Which files are signed.
pub fn manifest(unpacker: &Unpacker<'_>, template: &Template) -> Result<Manifest> {
    let name = format!("{}/files.json", directory(template));
    Manifest::read(&unpacker.local, &name)
}

/// The template's own directory in the local directory.
fn directory(template: &Template) -> String {
    format!("{TEMPLATE}/{TEMPLATE}/{}", template.directory())
}

fn check(source: &Directory) -> Result<()> {
    for name in NEEDED {
        let found = source.stat(name)?.and_then(|entry| entry.target_type);
        if found != Some(EntryType::Regular) {
            return refused(name, "no such file in the template");
        }
    }
    for name in FORBIDDEN {
        if source.stat(name)?.is_some() {
            return refused(name, "a template may not have it");
        }
    }
    let format = source.read_text("debian/source/format", LONGEST_FORMAT)?;
    if format.trim_end_matches(['\n', '\r']) != FORMAT {
        return refused("debian/source/format", "not 3.0 (native)");
    }
    Ok(())
}

fn refused<T>(name: &str, why: &str) -> Result<T> {
    let words = format!("{name}: {why}; correct the template");
    Err(Failure::new("invalid-data", words))
}
