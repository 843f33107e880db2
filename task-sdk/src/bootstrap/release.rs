//! Which components a repository has, by the Release file of its suite.

use super::data::BootstrapRepository;
use crate::debian::deb822::{LONGEST_STANZA, Stanza, StanzaError};
use crate::exchange::fetch_url;
use crate::failure::{Failure, Result};
use crate::files::Directory;

/// The file while it is being read; nothing else in the directory has this name.
const FILE: &str = "Release";

/// Why a Release file does not tell the components.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReleaseError {
    /// It is no stanza.
    #[error(transparent)]
    Stanza(#[from] StanzaError),
    /// It has no field for them.
    #[error("no field Components; give the repository's components in the task data")]
    NoComponents,
    /// One has a name that could be anything, e.g. an option of apt.
    #[error("component {0:?}: not letters, - and / only; give components in the task data")]
    Component(String),
}

/// The components of a repository: those that the data give, or else all that its Release file lists.
///
/// The file passes through `download`; it is not verified, apt does that with what it fetches itself.
pub(super) fn components(
    repository: &BootstrapRepository,
    download: &Directory,
) -> Result<Vec<String>> {
    if let Some(components) = &repository.components {
        return Ok(components.clone());
    }
    let url = url(repository);
    fetch_url(&url, download, FILE, LONGEST_STANZA as u64)?;
    let content = download.read(FILE, LONGEST_STANZA as u64);
    download.remove(FILE)?;
    listed(&content?).map_err(|error| Failure::from(error).while_doing(url))
}

/// Where the Release file of a suite is (Debian's repository format, "dists").
pub(super) fn url(repository: &BootstrapRepository) -> String {
    let mirror = &repository.mirror;
    let host = mirror.find("://").map_or(0, |scheme| scheme + 3);
    let path = mirror[host..]
        .find('/')
        .map_or(mirror.len(), |at| host + at);
    let (root, path) = mirror.split_at(path);
    // The case of a scheme does not matter (RFC 3986, 3.1), and the reference writes it small.
    let scheme = root.find("://").unwrap_or(0);
    let root = [&root[..scheme].to_ascii_lowercase(), &root[scheme..]].concat();
    // The suite of a flat repository is a path that ends in a slash, often `./`: RFC 3986, 5.2.4.
    let mut segments = Vec::new();
    for segment in [path, "dists", &repository.suite]
        .iter()
        .flat_map(|part| part.split('/'))
    {
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()),
            segment => segments.push(segment),
        }
    }
    let segments = segments.join("/");
    let slashes = [root.as_str(), &segments, "Release"]
        .into_iter()
        .filter(|part| !part.is_empty());
    slashes.collect::<Vec<_>>().join("/")
}

/// The components that a Release file lists; there may be none.
pub(super) fn listed(content: &[u8]) -> Result<Vec<String>, ReleaseError> {
    let release = Stanza::parse(content)?;
    let components = release
        .get("Components")
        .ok_or(ReleaseError::NoComponents)?;
    let plain = |component: &str| match is_plain(component) {
        true => Ok(component.to_owned()),
        false => Err(ReleaseError::Component(component.to_owned())),
    };
    components.split_whitespace().map(plain).collect()
}

/// A letter, then letters, `-` and `/`.
fn is_plain(component: &str) -> bool {
    component.starts_with(|first: char| first.is_ascii_alphabetic())
        && component
            .chars()
            .all(|c| c.is_ascii_alphabetic() || matches!(c, '-' | '/'))
}
