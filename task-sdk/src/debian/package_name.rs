//! Names of packages (Debian policy, 5.6.1 and 5.6.7): safe as file names, too.

use std::fmt;
use std::str::FromStr;

/// How much of a name an error shows, in characters.
const SHOWN: usize = 100;

/// The name of a package: at least two characters of `a-z0-9+.-`, the first of them a letter or a digit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PackageName(String);

/// A text is no name of a package.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "package name {0:?}: it has to be two or more of a-z 0-9 + . - and begin with a letter or digit; correct it"
)]
pub struct PackageNameError(pub String);

impl PackageName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PackageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for PackageName {
    type Err = PackageNameError;

    fn from_str(name: &str) -> Result<Self, PackageNameError> {
        let is_first = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let is_further = |byte: u8| is_first(byte) || b"+.-".contains(&byte);
        match name.as_bytes() {
            [first, further @ ..]
                if is_first(*first)
                    && !further.is_empty()
                    && further.iter().copied().all(is_further) =>
            {
                Ok(Self(name.to_owned()))
            }
            _ => Err(PackageNameError(name.chars().take(SHOWN).collect())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_can_lead_nowhere() {
        for name in ["hello", "0ad", "g++", "libc6.1-dev", "a."] {
            assert_eq!(
                name.parse::<PackageName>().map(|name| name.0),
                Ok(name.to_owned())
            );
        }
        for name in [
            "", "h", "Hello", "-rf", "..", ".a", "+a", "a/b", "a b", "a\n", "a\0", "é1", "a_b",
        ] {
            assert!(name.parse::<PackageName>().is_err(), "{name:?}");
        }
    }

    #[test]
    fn an_error_is_short_however_long_the_name_is() {
        let error = "X".repeat(1 << 20).parse::<PackageName>().unwrap_err();
        assert_eq!(error.0.len(), SHOWN);
    }
}
