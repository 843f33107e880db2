//! The artifact: everything that autopkgtest left, and what its data say.

use crate::OUTPUT;
use crate::summary::Summary;
use task_sdk::artifacts::{Autopkgtest, AutopkgtestSource};
use task_sdk::paths;
use task_sdk::prelude::*;
use task_sdk::shell;

/// The log that names files which cannot be part of an artifact.
const LOG: &str = "left-out-files.log";

/// The source package that the tests belong to.
#[derive(Debug, Clone)]
pub struct TestedSource {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Where its `.dsc` came from.
    pub url: String,
}

impl TestedSource {
    /// The data of the artifact.
    pub fn describe(
        &self,
        summary: Summary,
        command_line: &[String],
        architecture: &str,
        image: &Image,
    ) -> Result<Autopkgtest> {
        let url = Url::parse(&self.url).map_err(|refusal| {
            let words = format!("URL of the .dsc file {:?}: {}", self.url, refusal.message);
            Failure::new("invalid-data", words)
        })?;
        Ok(Autopkgtest {
            results: summary.0,
            cmdline: shell::join(command_line),
            source_package: AutopkgtestSource {
                name: self.name.clone(),
                version: self.version.clone(),
                url,
            },
            architecture: architecture.to_owned(),
            distribution: format!("{}:{}", image.text("vendor")?, image.text("codename")?),
        })
    }
}

/// Uploads the files that autopkgtest left in the working directory.
pub fn upload_all(data: &Autopkgtest, execute: &Directory) -> Result<()> {
    let mut files = Vec::new();
    for entry in execute.entries_recursive()? {
        // A link counts as the file that it leads to, unless that lies outside of the working directory.
        if entry.target_type != Some(EntryType::Regular) {
            continue;
        }
        let Some(path) = beneath_output(&entry.name) else {
            continue;
        };
        // Tests may call their files anything, which must not cost them their results.
        match is_usable(path) {
            true => files.push(path.to_owned()),
            false => append_to_log(LOG, &format!("{path:?}: not a name for artifacts\n"))?,
        }
    }
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    let draft = artifacts::build::autopkgtest(execute, OUTPUT, data, &files)?;
    upload(draft, execute)?;
    Ok(())
}

fn beneath_output(path: &str) -> Option<&str> {
    path.strip_prefix(OUTPUT)?.strip_prefix('/')
}

/// Names that are not UTF-8 reach a task with the replacement character, by which nothing can be opened.
fn is_usable(path: &str) -> bool {
    paths::check(path).is_ok() && !path.contains(char::REPLACEMENT_CHARACTER)
}
