//! Template packages among the inputs of a task.

use crate::exchange::{Artifact, required};
use crate::failure::Result;
use crate::paths;

/// A template package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    /// Its name, safe as a file name. Its own files lie in a directory of this name.
    pub name: String,
    /// Where its `.deb` file lies, among the inputs.
    pub deb: String,
}

impl Template {
    /// The template that an artifact of category `debian:binary-package` is; `deb` is where its file lies.
    pub fn new(artifact: &Artifact, deb: String) -> Result<Self> {
        let name = package_name(artifact)?.to_owned();
        paths::check_name(&name)?;
        Ok(Self { name, deb })
    }

    /// The directory with the template's own files, in the tree of the unpacked package.
    pub fn directory(&self) -> String {
        format!("usr/share/code-signing/{}", self.name)
    }
}

/// The name of the package that an artifact of category `debian:binary-package` is.
pub fn package_name(artifact: &Artifact) -> Result<&str> {
    let name = artifact.data["deb_fields"]["Package"].as_str();
    required(name, &format!("field Package of artifact {}", artifact.id))
}
