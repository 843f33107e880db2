//! Task data that mmdebstrap and simplesystemimagebuild have in common: the system to make, and the repositories to make it from.

use crate::model::{FileUrl, Refusal, Url, distinct, min_items};
use crate::{choices, model, union};

choices! {
    /// What a repository is used for.
    pub enum RepositoryType {
        /// Binary packages.
        Deb = "deb",
        /// Source packages.
        DebSrc = "deb-src",
    }
}

choices! {
    /// Which keys may sign a repository.
    pub enum SignatureCheck {
        /// Those of the system that runs the task.
        System = "system",
        /// Those in the given keyring.
        External = "external",
        /// Anybody's.
        NoCheck = "no-check",
    }
}

union! {
    /// Where a keyring is.
    pub enum KeyringUrl {
        /// On another machine.
        Remote(Url),
        /// On the machine that runs the task.
        Local(FileUrl),
    }
}

impl KeyringUrl {
    /// The URL, whatever its kind.
    pub fn url(&self) -> &Url {
        match self {
            Self::Remote(url) => url,
            Self::Local(url) => &url.0,
        }
    }
}

model! {
    /// A keyring that signs a repository.
    pub struct Keyring {
        /// Where it is; `file:` only beneath `/usr/share/keyrings` and `/usr/local/share/keyrings`.
        pub url: KeyringUrl where [public_keyring],
        /// The SHA-256 that it must have; empty: any.
        pub sha256sum: String = String::new(),
        /// Whether the new system gets it too.
        pub install: bool = false,
    }
}

model! {
    /// A repository that a new system is made from.
    pub struct BootstrapRepository {
        /// Where it is.
        pub mirror: String,
        /// The suite, e.g. `trixie`.
        pub suite: String,
        /// What to use it for.
        pub types: Vec<RepositoryType> where [min_items(1), distinct()] = vec![RepositoryType::Deb],
        /// The components; those of its Release file if not given.
        pub components: Option<Vec<String>> where [distinct()] = None,
        /// Which keys may sign it.
        pub check_signature_with: SignatureCheck = SignatureCheck::System,
        /// A package with its keys, for the new system.
        pub keyring_package: Option<String> = None,
        /// The keyring for `external`.
        pub keyring: Option<Keyring> = None,
    }
    rule |partial| match (partial.check_signature_with, &partial.keyring) {
        (Some(SignatureCheck::External), None | Some(None)) => {
            Err("check_signature_with is external, but there is no keyring: give one".into())
        }
        _ => Ok(()),
    };
}

model! {
    /// What the system is like.
    pub struct SystemOptions {
        /// Its architecture.
        pub architecture: String,
        /// More packages to install.
        pub extra_packages: Vec<String> = Vec::new(),
        /// Whether the source of a repository names the keyring that signs it.
        pub use_signed_by: bool = true,
    }
}

model! {
    /// What the system is made from.
    pub struct BootstrapFields {
        /// Where its packages come from; the first repository has the system's own suite.
        pub bootstrap_repositories: Vec<BootstrapRepository> where [min_items(1)],
        /// A script to run in the system at the end.
        pub customization_script: Option<String> = None,
    }
}

impl BootstrapFields {
    /// The repository that gives the system its suite.
    pub fn main_repository(&self) -> &BootstrapRepository {
        // The model refuses an empty list.
        &self.bootstrap_repositories[0]
    }
}

impl BootstrapRepository {
    /// The keyring that signs it, if the task is to fetch it.
    pub fn external_keyring(&self) -> Option<&Keyring> {
        match self.check_signature_with {
            SignatureCheck::External => self.keyring.as_ref(),
            SignatureCheck::System | SignatureCheck::NoCheck => None,
        }
    }
}

/// A keyring of the machine that runs the task must be one that everybody may read.
fn public_keyring(keyring: &KeyringUrl) -> Result<(), Refusal> {
    let url = keyring.url();
    if url.scheme() != "file" {
        return Ok(());
    }
    let mut directories = Vec::new();
    for name in url.path().split('/') {
        match name {
            "" | "." => {}
            ".." => {
                directories.pop();
            }
            name => directories.push(name),
        }
    }
    match directories.as_slice() {
        ["usr", "share", "keyrings", ..] | ["usr", "local", "share", "keyrings", ..] => Ok(()),
        _ => Err(
            "a file: keyring outside /usr/share/keyrings and /usr/local/share/keyrings: \
                  install it there, or give an https: URL"
                .into(),
        ),
    }
}
