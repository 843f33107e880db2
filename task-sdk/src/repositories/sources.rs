//! Extra repositories in the form that apt of an environment understands, as files to copy there and lines to add there.

use super::{ExtraRepository, supports_deb822_sources, supports_inline_signed_by};
use crate::failure::Result;
use crate::files::Directory;

/// Where apt looks for sources.
pub const SOURCES_DIRECTORY: &str = "/etc/apt/sources.list.d";
/// Where the keys are put that sources name.
pub const KEYRINGS_DIRECTORY: &str = "/etc/apt/keyrings";

/// The extra repositories of a task, for one release.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExtraSources {
    /// `extra_repository_N.sources`, for [`SOURCES_DIRECTORY`]; none for a release without deb822 sources.
    pub sources: Vec<AptFile>,
    /// One-line sources, for a release without deb822 sources.
    pub lines: Vec<String>,
    /// `extra_apt_key_N.asc`, for [`KEYRINGS_DIRECTORY`]; none for a release with keys inline.
    pub keys: Vec<AptFile>,
}

/// A file of apt's configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AptFile {
    /// Its name, the same in the task's directory and in the environment.
    pub name: String,
    /// Its content.
    pub content: String,
}

impl ExtraSources {
    /// Writes repositories for a release; files are numbered by the position of the repository, from 0.
    pub fn for_release(codename: &str, repositories: &[ExtraRepository]) -> Result<Self> {
        let mut all = Self::default();
        for (number, repository) in repositories.iter().enumerate() {
            let key_file = match repository.key() {
                Some(key) if !supports_inline_signed_by(codename) => Some(all.add_key(number, key)),
                _ => None,
            };
            if supports_deb822_sources(codename) {
                all.sources.push(AptFile {
                    name: format!("extra_repository_{number}.sources"),
                    content: repository.to_deb822(key_file.as_deref())?,
                });
            } else {
                all.lines.push(repository.to_oneline(key_file.as_deref())?);
            }
        }
        Ok(all)
    }

    /// Adds the file of a key; gives its path in the environment.
    fn add_key(&mut self, number: usize, key: &str) -> String {
        let name = format!("extra_apt_key_{number}.asc");
        let path = format!("{KEYRINGS_DIRECTORY}/{name}");
        self.keys.push(AptFile {
            name,
            content: format!("{key}\n"),
        });
        path
    }

    /// Writes the files to a directory of the task.
    pub fn write(&self, directory: &Directory) -> Result<()> {
        let mut files = self.sources.iter().chain(&self.keys);
        files.try_for_each(|file| directory.write(&file.name, 0o644, &file.content))
    }
}
