//! Repositories as apt reads them: stanzas of a deb822 `.sources` file (sources.list(5)).

use super::data::{BootstrapRepository, RepositoryType, SignatureCheck};
use super::keyrings::KeyringFile;
use crate::debian::deb822::{Stanza, StanzaError};

/// A repository with what had to be found out about it.
pub(super) struct Source<'a> {
    pub(super) repository: &'a BootstrapRepository,
    pub(super) components: Vec<String>,
    /// The keyring to name in the stanza.
    pub(super) signed_by: Option<KeyringFile>,
}

/// The sources that the tool reads on the machine it runs on.
pub(super) fn for_host(sources: &[Source<'_>]) -> Result<String, StanzaError> {
    file(sources, |keyring| Some(&keyring.path))
}

/// The sources that the new system gets: they name only keyrings that it has.
pub(super) fn for_system(sources: &[Source<'_>]) -> Result<String, StanzaError> {
    file(sources, |keyring| keyring.installed_path.as_deref())
}

/// The stanzas, each with a blank line after it.
fn file(
    sources: &[Source<'_>],
    path_of: impl Fn(&KeyringFile) -> Option<&str>,
) -> Result<String, StanzaError> {
    let mut text = String::new();
    for source in sources {
        let signed_by = source.signed_by.as_ref().and_then(&path_of);
        text.push_str(&stanza(source, signed_by)?.to_string());
        text.push('\n');
    }
    Ok(text)
}

fn stanza(source: &Source<'_>, signed_by: Option<&str>) -> Result<Stanza, StanzaError> {
    let repository = source.repository;
    let types: Vec<&str> = repository
        .types
        .iter()
        .copied()
        .map(RepositoryType::as_str)
        .collect();
    let mut stanza = Stanza::default();
    stanza.set("Types", types.join(" "))?;
    stanza.set("URIs", repository.mirror.clone())?;
    stanza.set("Suites", repository.suite.clone())?;
    stanza.set("Components", source.components.join(" "))?;
    if repository.check_signature_with == SignatureCheck::NoCheck {
        stanza.set("Trusted", "yes".to_owned())?;
    }
    if let Some(path) = signed_by {
        stanza.set("Signed-By", path.to_owned())?;
    }
    Ok(stanza)
}
