//! The base tarball: the system in which packages are installed, in a form that piuparts can unpack.
//!
//! piuparts makes devices itself, and copies the name servers of its environment over `/etc/resolv.conf`, which a link there would
//! lead astray. So devices and such a link are filtered out. A system tarball may have gigabytes: it passes through here in
//! pieces.

use crate::archive;
use std::io::{BufWriter, Read, Write};
use task_sdk::debian::compression::{Compression, LONGEST_MAGIC};
use task_sdk::paths;
use task_sdk::prelude::*;

/// The directory of the tarball, among the inputs.
const DIRECTORY: &str = "base_tar";

/// The file that a link may stand for, as members of archives are called.
const RESOLV_CONF: &str = "./etc/resolv.conf";

/// How much of the new tarball is written at once, in bytes.
const PIECE: usize = 256 << 10;

/// The base tarball among the inputs.
pub struct BaseTarball {
    directory: Directory,
    name: String,
    /// The data of its artifact.
    data: Value,
}

impl BaseTarball {
    /// Fetches the tarball of an artifact.
    pub fn fetch(id: i64, download: &Directory) -> Result<Self> {
        let directory = new_directory(download, DIRECTORY)?;
        let data = Artifact::fetch(id, &directory)?.data;
        let what = format!("filename in the data of artifact {id}");
        let name = required(data["filename"].as_str(), &what)?.to_owned();
        paths::check_name(&name)?;
        Ok(Self {
            directory,
            name,
            data,
        })
    }

    /// Its absolute path.
    pub fn path(&self) -> String {
        self.directory.path(&self.name)
    }

    /// The release that it holds.
    pub fn codename(&self) -> Result<&str> {
        required(
            self.data["codename"].as_str(),
            "codename of the base tarball",
        )
    }

    /// Replaces it by one that piuparts can unpack, if need be.
    pub fn prepare(&mut self, instance: &Instance) -> Result<()> {
        let has_devices = self.data["with_dev"] == true;
        let has_link = archive::is_link(self.content()?, RESOLV_CONF).map_err(|error| {
            let words = format!("{}: {error}; give a tarball that is whole", self.path());
            Failure::new("invalid-data", words)
        })?;
        if !has_devices && !has_link {
            return Ok(());
        }
        let mut filter = vec!["mmtarfilter"];
        if has_devices {
            filter.push("--path-exclude=/dev/*");
        }
        if has_link {
            filter.push("--path-exclude=/etc/resolv.conf");
        }
        let filtered = self.filter(&filter, instance)?;
        self.directory.remove(&self.name)?;
        self.pack(&filtered, has_link.then_some(RESOLV_CONF))
    }

    /// What it holds, unpacked.
    fn content(&self) -> Result<Box<dyn Read>> {
        let start = self.directory.open(&self.name)?;
        let start = start.read_piece(0, LONGEST_MAGIC as u32)?;
        let packed = self.directory.open(&self.name)?.reader();
        Ok(Compression::of_magic(&start).unpack(packed)?)
    }

    /// Sends it through a filter in the instance; gives the name of the file with what came out.
    fn filter(&self, filter: &[&str], instance: &Instance) -> Result<String> {
        let filtered = self.directory.temporary_name("filtered-", ".tar");
        let command = Command::new(filter.iter().copied())
            .input(&self.name)
            .output(Output::File(filtered.clone()));
        let outcome = instance.run(&command, &self.directory)?;
        if outcome.succeeded() {
            return Ok(filtered);
        }
        let words = format!(
            "{}: {} ended with {:?}; check that the file is a tarball that tar can list",
            self.path(),
            filter.join(" "),
            outcome.exit
        );
        Err(Failure::new("command-failed", words))
    }

    /// Makes a compressed tarball of what the filter let through, perhaps with an empty file in addition.
    ///
    /// It is written aside first: it may get the name that the old one had.
    fn pack(&mut self, filtered: &str, empty_file: Option<&str>) -> Result<()> {
        let aside = self.directory.temporary_name("packed-", ".tar.gz");
        let target = BufWriter::with_capacity(PIECE, self.directory.create(&aside, 0o644)?);
        // It is unpacked soon and once: time counts more than size.
        let mut target = flate2::write::GzEncoder::new(target, flate2::Compression::fast());
        let content = self.directory.open(filtered)?;
        if content.size() == 0 && empty_file.is_some() {
            let words = format!(
                "{}: the filter let nothing through; give a tarball that is whole",
                self.path()
            );
            return Err(Failure::new("invalid-data", words));
        }
        let content = content.reader();
        archive::copy(content, &mut target, empty_file)
            .map_err(|error| Failure::from(error).while_doing("packing the filtered tarball"))?;
        target.finish()?.flush()?;
        self.directory.remove(filtered)?;
        self.name = packed_name(&self.name);
        self.directory.rename(&aside, &self.name)
    }
}

/// What the tarball of this name is called once it is compressed by gzip.
fn packed_name(name: &str) -> String {
    let stem = name.rfind(".tar").map_or(name, |end| &name[..end]);
    format!("{stem}.tar.gz")
}

/// Makes a directory; one that is there already holds a package's files, which are not to be mixed with the task's.
pub fn new_directory(download: &Directory, name: &str) -> Result<Directory> {
    if download.stat(name)?.is_some() {
        let words = format!("{}: an input has this name; rename it", download.path(name));
        return Err(Failure::new("file-exists", words));
    }
    download.create_directory(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tarball_keeps_its_name_but_for_the_compression() {
        for (name, packed) in [
            ("system.tar.xz", "system.tar.gz"),
            ("system.tar.gz", "system.tar.gz"),
            ("a.tar.b.tar", "a.tar.b.tar.gz"),
            ("system", "system.tar.gz"),
        ] {
            assert_eq!(packed_name(name), packed);
        }
    }
}
