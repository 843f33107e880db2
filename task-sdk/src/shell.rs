//! Shell words: quoting commands for logs and scripts, and splitting what a shell would split.

use std::borrow::Cow;

/// The word as a POSIX shell reads it back: as it is if that is safe, in single quotes otherwise.
pub fn quote(word: &str) -> Cow<'_, str> {
    let is_safe = |c: char| c.is_ascii_alphanumeric() || "@%+=:,./-_".contains(c);
    if !word.is_empty() && word.chars().all(is_safe) {
        return Cow::Borrowed(word);
    }
    Cow::Owned(format!("'{}'", word.replace('\'', r#"'"'"'"#)))
}

/// The words quoted, a blank between them.
pub fn join<I>(words: I) -> String
where
    I: IntoIterator,
    I::Item: AsRef<str>,
{
    let quoted: Vec<String> = words
        .into_iter()
        .map(|word| quote(word.as_ref()).into_owned())
        .collect();
    quoted.join(" ")
}

/// Why a text cannot be split into words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SplitError {
    /// A quote is never closed.
    #[error("a quote is not closed: add the closing one")]
    OpenQuote,
    /// It ends in a backslash.
    #[error("nothing after the last backslash: remove it, or add what it should escape")]
    OpenEscape,
}

/// Splits a text into words as a POSIX shell would, without any expansion; `#` begins no comment.
pub fn split(text: &str) -> Result<Vec<String>, SplitError> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        if matches!(c, ' ' | '\t' | '\r' | '\n') {
            words.extend(word.take());
            continue;
        }
        let word = word.get_or_insert_default();
        match c {
            '\\' => word.push(characters.next().ok_or(SplitError::OpenEscape)?),
            '\'' => read_single_quoted(&mut characters, word)?,
            '"' => read_double_quoted(&mut characters, word)?,
            c => word.push(c),
        }
    }
    words.extend(word);
    Ok(words)
}

fn read_single_quoted(
    characters: &mut impl Iterator<Item = char>,
    word: &mut String,
) -> Result<(), SplitError> {
    for c in characters {
        if c == '\'' {
            return Ok(());
        }
        word.push(c);
    }
    Err(SplitError::OpenQuote)
}

/// Within double quotes a backslash escapes only a double quote and a backslash.
fn read_double_quoted(
    characters: &mut impl Iterator<Item = char>,
    word: &mut String,
) -> Result<(), SplitError> {
    while let Some(c) = characters.next() {
        match c {
            '"' => return Ok(()),
            '\\' => {
                let escaped = characters.next().ok_or(SplitError::OpenEscape)?;
                if !matches!(escaped, '"' | '\\') {
                    word.push('\\');
                }
                word.push(escaped);
            }
            c => word.push(c),
        }
    }
    Err(SplitError::OpenQuote)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_shell_would_change_is_quoted() {
        assert_eq!(quote("a@%+=:,./-_B9"), "a@%+=:,./-_B9");
        assert_eq!(quote(""), "''");
        assert_eq!(quote("é"), "'é'");
        assert_eq!(quote("it's"), r#"'it'"'"'s'"#);
        assert_eq!(join(["rm", "-f", "a b"]), "rm -f 'a b'");
    }

    #[test]
    fn what_is_joined_splits_into_the_same_words() {
        let words = ["", "a b", "'", "\"", "\\", "\n", "$x", "#"];
        assert_eq!(split(&join(words)).unwrap(), words);
    }

    #[test]
    fn quotes_and_backslashes_follow_the_shell() {
        assert_eq!(
            split(r#"a\ b "c\"\n" 'd\'e"#).unwrap(),
            ["a b", r#"c"\n"#, r"d\e"]
        );
        assert_eq!(split("'a"), Err(SplitError::OpenQuote));
        assert_eq!(split("\"a"), Err(SplitError::OpenQuote));
        assert_eq!(split("a\\"), Err(SplitError::OpenEscape));
    }
}
