//! os-release(5): which distribution a system is.

use crate::shell::{self, SplitError};

/// Why an os-release file does not answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OsReleaseError {
    /// It does not set the variable.
    #[error("os-release: {0} is not set; add it to the image")]
    Missing(String),
    /// The text does not consist of shell words.
    #[error("os-release: {0}; correct the file in the image")]
    Words(#[from] SplitError),
    /// A word is no assignment.
    #[error("os-release: {0:?}: not NAME=VALUE; correct the file in the image")]
    Assignment(String),
}

/// The value of a variable, quotes removed. The case of its name counts; the first assignment does, too.
///
/// As the reference reads it: the whole text is split as a shell would, but for comments, and what comes before the variable must be assignments.
pub fn value(text: &str, variable: &str) -> Result<String, OsReleaseError> {
    for word in shell::split(text)? {
        match word.split_once('=') {
            Some((name, value)) if name == variable => return Ok(value.to_owned()),
            Some(_) => {}
            None => return Err(OsReleaseError::Assignment(word)),
        }
    }
    Err(OsReleaseError::Missing(variable.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str =
        "PRETTY_NAME=\"A \\\"B\\\"\"\n\nID=debian\nEMPTY=\nEQ='a=b'\nX=a\\ b LAST=z\n";

    #[test]
    fn values_lose_their_quotes() {
        for (name, expected) in [
            ("PRETTY_NAME", "A \"B\""),
            ("ID", "debian"),
            ("EMPTY", ""),
            ("EQ", "a=b"),
            ("X", "a b"),
            ("LAST", "z"),
        ] {
            assert_eq!(value(TEXT, name).unwrap(), expected);
        }
    }

    #[test]
    fn what_is_missing_or_no_assignment_is_an_error() {
        assert_eq!(
            value(TEXT, "id"),
            Err(OsReleaseError::Missing("id".to_owned()))
        );
        assert!(matches!(
            value("A=it's\nID=debian\n", "ID"),
            Err(OsReleaseError::Words(_))
        ));
        let commented = "ID=debian\n# comment\nVERSION_CODENAME=x\n";
        assert_eq!(value(commented, "ID").unwrap(), "debian");
        assert_eq!(
            value(commented, "VERSION_CODENAME"),
            Err(OsReleaseError::Assignment("#".to_owned()))
        );
    }
}
