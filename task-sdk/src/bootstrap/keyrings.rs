//! Keyrings that are fetched for repositories which the machine's own keys do not sign.

use super::data::Keyring;
use crate::exchange::fetch_url;
use crate::failure::{Failure, Result};
use crate::files::{DigestAlgorithm, Directory};

/// Where the new system has its keyrings.
pub(super) const INSTALLED: &str = "/etc/apt/keyrings-debusine";

/// In bytes.
const LARGEST: u64 = 100 << 20;

/// A keyring until it has been checked.
const UNCHECKED: &str = "unchecked";

/// With what a key in ASCII armor begins (RFC 9580, 6.2).
const ARMOR: &[u8] = b"-----BEGIN";

/// A keyring that was fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyringFile {
    /// Its absolute path.
    pub path: String,
    /// Where the new system is to have it, if it is.
    pub installed_path: Option<String>,
}

/// Fetches a keyring, checks it, and gives it the name by which apt knows its format: `.asc` is text, `.gpg` is not.
pub(super) fn fetch(keyring: &Keyring, install: bool, keyrings: &Directory) -> Result<KeyringFile> {
    fetch_url(keyring.url.url().as_str(), keyrings, UNCHECKED, LARGEST)?;
    let suffix = match checked(keyring, keyrings) {
        Ok(suffix) => suffix,
        Err(failure) => {
            keyrings.remove(UNCHECKED)?;
            return Err(failure);
        }
    };
    let name = keyrings.temporary_name("keyring-repo-", suffix);
    keyrings.rename(UNCHECKED, &name)?;
    Ok(KeyringFile {
        path: keyrings.path(&name),
        installed_path: install.then(|| [INSTALLED, "/", &name].concat()),
    })
}

/// The ending that fits a keyring; a failure if it is not the expected one.
fn checked(keyring: &Keyring, keyrings: &Directory) -> Result<&'static str> {
    if !keyring.sha256sum.is_empty() {
        let found = keyrings.digest(UNCHECKED, DigestAlgorithm::Sha256)?;
        if found != keyring.sha256sum {
            let words = format!(
                "keyring {}: its SHA-256 is {found}, expected {}; check the URL, or correct sha256sum",
                keyring.url.url(),
                keyring.sha256sum
            );
            return Err(Failure::new("wrong-checksum", words));
        }
    }
    let beginning = keyrings
        .open(UNCHECKED)?
        .read_piece(0, ARMOR.len() as u32)?;
    Ok(if beginning == ARMOR { ".asc" } else { ".gpg" })
}
