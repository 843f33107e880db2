//! What the tools read, written before they run.

use super::data::{BootstrapFields, BootstrapRepository, SystemOptions};
use super::keyrings::{self, KeyringFile};
use super::release;
use super::sources::{self, Source};
use crate::exchange::copy_to_log;
use crate::failure::Result;
use crate::files::Directory;

/// Sources for the tool, also the name of their log.
const HOST_SOURCES: &str = "host.sources";
/// Sources for the new system, also the name of their log.
const CHROOT_SOURCES: &str = "chroot.sources";
const KEYRINGS: &str = "keyrings";
const CUSTOMIZATION_SCRIPT: &str = "customization_script";

/// What was prepared, by the absolute paths that commands see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preparation {
    /// Sources for the tool.
    pub host_sources: String,
    /// Sources for the new system.
    pub chroot_sources: String,
    /// Keyrings that were fetched, in the order of the repositories.
    pub keyrings: Vec<KeyringFile>,
    /// Packages with keys, for the new system.
    pub keyring_packages: Vec<String>,
    /// The script to run in the new system at the end.
    pub customization_script: Option<String>,
}

impl Preparation {
    /// Writes everything to `download`: components and keyrings are fetched first, the sources become logs as well.
    pub fn make(
        options: &SystemOptions,
        fields: &BootstrapFields,
        download: &Directory,
    ) -> Result<Self> {
        let mut fetched = Vec::new();
        let sources = sources(options, fields, download, &mut fetched)?;
        write_with_log(download, HOST_SOURCES, &sources::for_host(&sources)?)?;
        write_with_log(download, CHROOT_SOURCES, &sources::for_system(&sources)?)?;
        Ok(Self {
            host_sources: download.path(HOST_SOURCES),
            chroot_sources: download.path(CHROOT_SOURCES),
            keyrings: fetched,
            keyring_packages: keyring_packages(&fields.bootstrap_repositories),
            customization_script: write_customization_script(fields, download)?,
        })
    }
}

/// Finds out what the sources need; keyrings are added to `fetched`.
fn sources(
    options: &SystemOptions,
    fields: &BootstrapFields,
    download: &Directory,
    fetched: &mut Vec<KeyringFile>,
) -> Result<Vec<Source>> {
    let keyrings = download.create_directory(KEYRINGS)?;
    let mut sources = Vec::new();
    for repository in &fields.bootstrap_repositories {
        let mut source = Source::new(repository)?;
        let components = release::components(repository, download)?;
        source.set_components(&components, repository.check_signature_with)?;
        if let Some(keyring) = repository.external_keyring() {
            // A source that names no keyring has no use for one in the system.
            let install = keyring.install && options.use_signed_by;
            let file = keyrings::fetch(keyring, install, &keyrings)?;
            source.signed_by = options.use_signed_by.then(|| file.clone());
            fetched.push(file);
        }
        sources.push(source);
    }
    Ok(sources)
}

/// Writes the script, if there is one, and gives its path; the tool makes it executable in the system.
fn write_customization_script(
    fields: &BootstrapFields,
    download: &Directory,
) -> Result<Option<String>> {
    match fields.customization_script.as_deref() {
        None | Some("") => Ok(None),
        Some(script) => {
            download.write(CUSTOMIZATION_SCRIPT, 0o644, script)?;
            Ok(Some(download.path(CUSTOMIZATION_SCRIPT)))
        }
    }
}

fn keyring_packages(repositories: &[BootstrapRepository]) -> Vec<String> {
    let named = repositories
        .iter()
        .filter_map(|repository| repository.keyring_package.clone());
    named.filter(|package| !package.is_empty()).collect()
}

fn write_with_log(download: &Directory, name: &str, text: &str) -> Result<()> {
    download.write(name, 0o644, text)?;
    copy_to_log(name, download, name)
}
