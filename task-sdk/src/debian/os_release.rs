//! os-release(5): which distribution a system is.

use crate::shell::{self, SplitError};

/// Why an os-release file does not answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OsReleaseError {
    /// It does not set the variable.
    #[error("os-release: {0} is not set; add it to the image")]
    Missing(String),
    /// The value is no shell word.
    #[error("os-release: value of {variable}: {source}")]
    Value {
        /// Name of the variable.
        variable: String,
        /// What is wrong with its value.
        source: SplitError,
    },
}

/// The value of a variable, quotes removed. The case of its name counts; the first assignment does, too.
pub fn value(text: &str, variable: &str) -> Result<String, OsReleaseError> {
    let assigned = text
        .lines()
        .filter_map(|line| line.split_once('='))
        .find(|(name, _)| *name == variable);
    let Some((_, value)) = assigned else {
        return Err(OsReleaseError::Missing(variable.to_owned()));
    };
    let words = shell::split(value).map_err(|source| OsReleaseError::Value {
        variable: variable.to_owned(),
        source,
    })?;
    Ok(words.into_iter().next().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "PRETTY_NAME=\"A \\\"B\\\"\"\n# comment\n\nID=debian\nEMPTY=\nEQ='a=b'\nX=a\\ b c\nBAD=\"\n";

    #[test]
    fn values_lose_their_quotes() {
        for (name, expected) in [
            ("PRETTY_NAME", "A \"B\""),
            ("ID", "debian"),
            ("EMPTY", ""),
            ("EQ", "a=b"),
            ("X", "a b"),
        ] {
            assert_eq!(value(TEXT, name).unwrap(), expected);
        }
    }

    #[test]
    fn a_variable_that_is_missing_or_broken_is_an_error() {
        assert_eq!(
            value(TEXT, "id"),
            Err(OsReleaseError::Missing("id".to_owned()))
        );
        assert!(matches!(
            value(TEXT, "BAD"),
            Err(OsReleaseError::Value { .. })
        ));
    }
}
