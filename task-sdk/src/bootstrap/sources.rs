//! Repositories as apt reads them: stanzas of a deb822 `.sources` file (sources.list(5)).

use super::data::{BootstrapRepository, RepositoryType, SignatureCheck};
use super::keyrings::KeyringFile;
use crate::debian::deb822::{Stanza, StanzaError};

/// A repository with what had to be found out about it.
pub(super) struct Source {
    /// All fields but the one that names the keyring.
    stanza: Stanza,
    /// The keyring to name in the stanza.
    pub(super) signed_by: Option<KeyringFile>,
}

impl Source {
    /// What is known before anything is fetched. A field that would smuggle in another is refused here.
    pub(super) fn new(repository: &BootstrapRepository) -> Result<Self, StanzaError> {
        let types = repository.types.iter().copied();
        let types: Vec<&str> = types.map(RepositoryType::as_str).collect();
        let mut stanza = Stanza::default();
        stanza.set("Types", types.join(" "))?;
        stanza.set("URIs", repository.mirror.clone())?;
        stanza.set("Suites", repository.suite.clone())?;
        let signed_by = None;
        Ok(Self { stanza, signed_by })
    }

    /// Adds the components, and that what they hold is trusted if the repository is not checked.
    pub(super) fn set_components(
        &mut self,
        components: &[String],
        check: SignatureCheck,
    ) -> Result<(), StanzaError> {
        self.stanza.set("Components", components.join(" "))?;
        if check == SignatureCheck::NoCheck {
            self.stanza.set("Trusted", "yes".to_owned())?;
        }
        Ok(())
    }
}

/// The sources that the tool reads on the machine it runs on.
pub(super) fn for_host(sources: &[Source]) -> Result<String, StanzaError> {
    file(sources, |keyring| Some(&keyring.path))
}

/// The sources that the new system gets: they name only keyrings that it has.
pub(super) fn for_system(sources: &[Source]) -> Result<String, StanzaError> {
    file(sources, |keyring| keyring.installed_path.as_deref())
}

/// The stanzas, each with a blank line after it.
fn file(
    sources: &[Source],
    path_of: impl Fn(&KeyringFile) -> Option<&str>,
) -> Result<String, StanzaError> {
    let mut text = String::new();
    for source in sources {
        let mut stanza = source.stanza.clone();
        if let Some(path) = source.signed_by.as_ref().and_then(&path_of) {
            stanza.set("Signed-By", path.to_owned())?;
        }
        text.push_str(&stanza.to_string());
        text.push('\n');
    }
    Ok(text)
}
