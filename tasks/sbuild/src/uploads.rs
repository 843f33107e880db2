//! What becomes of the files that sbuild left: artifacts, and how they relate.

use crate::data::{BuildComponent, SbuildData};
use task_sdk::artifacts::{Draft, SigningInput, build};
use task_sdk::debian::deb822::LONGEST_STANZA;
use task_sdk::debian::dose3;
use task_sdk::debian::dsc::Dsc;
use task_sdk::prelude::*;

/// The results of a build, about to be uploaded.
pub struct Results<'a> {
    /// The task data.
    pub data: &'a SbuildData,
    /// The source package.
    pub dsc: &'a Dsc,
    /// Where they are.
    pub directory: &'a Directory,
    /// Numbers of the artifacts that they were built from.
    pub sources: &'a [i64],
}

/// An upload, and the request to sign it.
struct Upload {
    id: i64,
    signing_input: i64,
}

/// Reads a `.dsc` file; none if it is no source package.
pub fn read_dsc(directory: &Directory, name: &str) -> Result<Option<Dsc>> {
    let content = directory.read(name, LONGEST_STANZA as u64)?;
    Ok(Dsc::parse(&content)?)
}

impl Results<'_> {
    /// Uploads the log, and of a successful build the packages as well.
    pub fn upload(&self, success: bool) -> Result<()> {
        let log = self.upload_log(success)?;
        if !success {
            return Ok(());
        }
        let mut drafts = Vec::new();
        for (component, architecture) in [
            (BuildComponent::Any, self.data.host_architecture.as_str()),
            (BuildComponent::All, "all"),
        ] {
            if self.data.build_components.contains(&component) {
                drafts.extend(self.packages(architecture)?);
            }
        }
        // All are looked at before any is uploaded.
        let packages = drafts.into_iter();
        let packages = packages.map(|draft| upload(draft, self.directory));
        let packages = packages.collect::<Result<Vec<_>>>()?;
        let upload = self.upload_changes()?;
        self.relate(log, &packages, upload.as_ref())
    }

    /// Uploads the log; that of a failed build with the reason why build dependencies cannot be installed, if that was it.
    fn upload_log(&self, success: bool) -> Result<Option<i64>> {
        let Some(name) = self.directory.find_file(&[".build"])? else {
            return Ok(None);
        };
        let explanation = match success {
            true => None,
            false => dose3::explanation(self.directory.open(&name)?.reader())?,
        };
        let (source, version) = (self.dsc.source(), self.dsc.version());
        let draft = build::package_build_log(self.directory, source, version, &name, explanation)?;
        let log = upload(draft, self.directory)?;
        for source in self.sources {
            relate(log, *source, RelationType::RelatesTo)?;
        }
        Ok(Some(log))
    }

    /// The packages of an architecture: one by one, then together.
    fn packages(&self, architecture: &str) -> Result<Vec<Draft>> {
        let suffixes = [".deb", ".udeb"].map(|suffix| format!("_{architecture}{suffix}"));
        let names = self
            .directory
            .find_files(&suffixes.each_ref().map(String::as_str))?;
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let single = |name: &String| build::binary_package(self.directory, name);
        let mut drafts = names.iter().map(single).collect::<Result<Vec<_>, _>>()?;
        let of_build = build::Build {
            source: self.dsc.source(),
            source_version: self.dsc.version(),
            version: self.dsc.version(),
            architecture,
        };
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        drafts.push(build::binary_packages(self.directory, of_build, &names)?);
        Ok(drafts)
    }

    /// Uploads what the `.changes` file lists, and the file itself once more for somebody to sign.
    fn upload_changes(&self) -> Result<Option<Upload>> {
        let Some(changes) = self.directory.find_file(&[".changes"])? else {
            return Ok(None);
        };
        let draft = build::upload(self.directory, &changes)?;
        let id = upload(draft, self.directory)?;
        let to_be_signed = SigningInput {
            trusted_certs: None,
            binary_package_name: None,
        };
        let draft = build::signing_input(self.directory, "", &to_be_signed, &[&changes])?;
        let signing_input = upload(draft, self.directory)?;
        Ok(Some(Upload { id, signing_input }))
    }

    fn relate(&self, log: Option<i64>, packages: &[i64], upload: Option<&Upload>) -> Result<()> {
        for package in packages {
            for source in self.sources {
                relate(*package, *source, RelationType::BuiltUsing)?;
            }
            if let Some(log) = log {
                relate(log, *package, RelationType::RelatesTo)?;
            }
            if let Some(upload) = upload {
                relate(upload.id, *package, RelationType::Extends)?;
                relate(upload.id, *package, RelationType::RelatesTo)?;
            }
        }
        match upload {
            Some(upload) => relate(upload.signing_input, upload.id, RelationType::RelatesTo),
            None => Ok(()),
        }
    }
}
