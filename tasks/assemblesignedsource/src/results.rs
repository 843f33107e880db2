//! The source package, built: its files, and the artifacts that they become.

use crate::source;
use task_sdk::artifacts::build;
use task_sdk::code_signing::Unpacker;
use task_sdk::debian::changelog::Heading;
use task_sdk::debian::changes::Changes;
use task_sdk::debian::deb822::LONGEST_STANZA;
use task_sdk::debian::dsc::Dsc;
use task_sdk::debian::uploads::UploadFields;
use task_sdk::prelude::*;
use task_sdk::{paths, shell};

/// A source package and its upload.
pub struct Results {
    /// Where the files are.
    directory: Directory,
    /// Name of the `.changes` file.
    changes: String,
}

impl Results {
    /// Builds the source package in the instance, and takes out what became of it.
    pub fn build(unpacker: &Unpacker<'_>, source: &Directory) -> Result<Self> {
        let directory = unpacker.path(source::DIRECTORY);
        in_directory(unpacker, &directory, &["dpkg-source", "-b", "."])?;
        let heading = Heading::read(source.open("debian/changelog")?.reader())?;
        let changes = format!("{}_{}_source.changes", heading.source, heading.version);
        let command = [
            "dpkg-genchanges",
            "-S",
            &format!("-DDistribution={}", heading.distributions[0]),
            "-UCloses",
            &format!("-O{}", unpacker.path(&changes)),
        ];
        in_directory(unpacker, &directory, &command)?;
        Self::pull(unpacker, changes)
    }

    /// Takes the `.changes` file and the files that it lists out of the instance.
    fn pull(unpacker: &Unpacker<'_>, changes: String) -> Result<Self> {
        let directory = unpacker.local.create_directory("results")?;
        unpacker.pull(&changes, &format!("results/{changes}"))?;
        let parsed = Changes::parse(&read(&directory, &changes)?)?;
        for name in listed(parsed.fields())? {
            unpacker.pull(name, &format!("results/{name}"))?;
        }
        Ok(Self { directory, changes })
    }

    /// Uploads the source package, built using these packages, and its upload.
    pub fn upload(&self, built_using: &[i64]) -> Result<()> {
        let package = self.upload_source_package()?;
        for id in built_using {
            relate(package, *id, RelationType::BuiltUsing)?;
        }
        let draft = build::upload(&self.directory, &self.changes)?;
        let id = upload(draft, &self.directory)?;
        relate(id, package, RelationType::Extends)
    }

    fn upload_source_package(&self) -> Result<i64> {
        let file = self.directory.find_file(&[".dsc"])?;
        let file = required(file, ".dsc file of the source package")?;
        let dsc = Dsc::parse(&read(&self.directory, &file)?)?;
        let dsc = required(dsc, &format!("Source or Version in {file}"))?;
        let mut files = listed(dsc.fields())?;
        files.insert(0, &file);
        let (source, version) = (dsc.source(), dsc.version());
        let draft = build::source_package(&self.directory, source, version, &files)?;
        upload(draft, &self.directory)
    }
}

/// Runs a command in a directory of the instance.
fn in_directory(unpacker: &Unpacker<'_>, directory: &str, command: &[&str]) -> Result<()> {
    let (directory, command) = (shell::quote(directory), shell::join(command));
    unpacker.run(&["sh", "-c", &format!("cd {directory} && {command}")])
}

fn read(directory: &Directory, name: &str) -> Result<Vec<u8>> {
    directory.read(name, LONGEST_STANZA as u64)
}

/// Names of the files that a `.dsc` or `.changes` file lists; one that could lead to another directory is a failure.
fn listed(fields: &UploadFields) -> Result<Vec<&str>> {
    let names = fields
        .files("Files")
        .iter()
        .filter_map(|entry| entry.name());
    let names: Vec<&str> = names.collect();
    for name in &names {
        paths::check_name(name)?;
    }
    Ok(names)
}
