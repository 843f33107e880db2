//! Repositories that a task adds to its environment, and how apt wants them written.

use crate::model;
use crate::model::{Refusal, Url, empty_is_null};
use std::fmt;

model! {
    /// A repository to install packages from.
    pub struct ExtraRepository {
        /// Where it is.
        pub url: Url,
        /// The suite, e.g. `trixie`; with a `/` at its end a path to a flat repository.
        pub suite: String where [|suite: &String| plain_suite(suite)],
        /// The components, e.g. `main`; none in a flat repository.
        pub components: Option<Vec<String>> where [plain_components, empty_is_null()] = None,
        /// The OpenPGP key that signs it, ASCII-armoured.
        pub signing_key: Option<String> = None,
    }
    rule |partial| components_fit(
        partial.suite.as_deref(),
        partial.components.as_ref().is_some_and(Option::is_some),
    );
}

/// A letter, digit or underscore of any script.
fn is_word(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

fn plain_suite(suite: &str) -> Result<(), Refusal> {
    // A newline at the end passes, as it does in the reference; the deb822 form refuses it.
    let suite = suite.strip_suffix('\n').unwrap_or(suite);
    if !suite.is_empty() && suite.chars().all(|c| is_word(c) || "./ -".contains(c)) {
        return Ok(());
    }
    Err("not a suite: use letters, digits, and the signs _ . / - and blank".into())
}

fn plain_components(components: &Option<Vec<String>>) -> Result<(), Refusal> {
    let is_plain = |component: &String| {
        let component = component.strip_suffix('\n').unwrap_or(component);
        !component.is_empty() && component.chars().all(|c| is_word(c) || c == '-')
    };
    if components.iter().flatten().all(is_plain) {
        return Ok(());
    }
    Err("not a component: use letters, digits, _ and -".into())
}

/// sources.list(5): exact paths have no components, suites need some.
fn components_fit(suite: Option<&str>, has_components: bool) -> Result<(), Refusal> {
    // One that is missing or wrong is not flat.
    let is_flat = suite.is_some_and(|suite| suite.ends_with('/'));
    match (is_flat, has_components) {
        (true, true) => {
            Err("a flat repository (its suite ends in /) has no components: remove them".into())
        }
        (false, false) => Err("the suite needs components: give some, e.g. main".into()),
        _ => Ok(()),
    }
}

impl ExtraRepository {
    /// The key; an empty one is none.
    pub(super) fn key(&self) -> Option<&str> {
        self.signing_key.as_deref().filter(|key| !key.is_empty())
    }

    /// The one-line form of sources.list(5); a repository with a key needs the file that holds it.
    pub fn to_oneline(&self, key_file: Option<&str>) -> Result<String, KeyWithoutFile> {
        let mut line = String::from("deb ");
        if self.key().is_some() {
            line.extend(["[signed-by=", key_file.ok_or(KeyWithoutFile)?, "] "]);
        }
        line.extend([self.url.as_str(), " ", &self.suite]);
        for component in self.components.iter().flatten() {
            line.extend([" ", component]);
        }
        Ok(line)
    }

    /// The deb822 form of sources.list(5); a key stands in it, unless a file holds it.
    pub fn to_deb822(&self, key_file: Option<&str>) -> Result<String, UnwritableField> {
        let mut text = String::from("Types: deb\n");
        let mut add = |name: &'static str, value: &str| {
            if value.contains('\n') {
                return Err(UnwritableField(name));
            }
            text.extend([name, ": ", value, "\n"]);
            Ok(())
        };
        add("URIs", self.url.as_str())?;
        add("Suites", &self.suite)?;
        if let Some(components) = &self.components {
            add("Components", &components.join(" "))?;
        }
        match (self.key(), key_file) {
            (Some(_), Some(file)) => add("Signed-By", file)?,
            (Some(key), None) => add_inline_key(key, &mut text),
            (None, _) => {}
        }
        Ok(text)
    }
}

/// Each line indented by one blank; an empty line as a lone dot (deb-src-control(5)).
fn add_inline_key(key: &str, text: &mut String) {
    text.push_str("Signed-By:\n");
    for line in split_lines(key) {
        text.extend([" ", if line.is_empty() { "." } else { line }, "\n"]);
    }
}

/// Lines without their ends; every line separator of Unicode counts, and the last line may lack its end.
fn split_lines(text: &str) -> impl Iterator<Item = &str> {
    let is_end =
        |c: char| matches!(c, '\n'..='\r' | '\x1c'..='\x1e' | '\u{85}' | '\u{2028}' | '\u{2029}');
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let end = rest.find(is_end).unwrap_or(rest.len());
        let (line, after) = rest.split_at(end);
        let separator = match after.starts_with("\r\n") {
            true => 2,
            false => after.chars().next().map_or(0, char::len_utf8),
        };
        rest = &after[separator..];
        Some(line)
    })
}

/// The one-line form cannot hold a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyWithoutFile;

impl fmt::Display for KeyWithoutFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the repository has a signing key, which a one-line source cannot hold: write the key to a file and name that")
    }
}

impl std::error::Error for KeyWithoutFile {}

/// The named field of a deb822 source would hold a line break.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnwritableField(pub &'static str);

impl fmt::Display for UnwritableField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the field {} of a deb822 source would hold a line break: remove it from the task data",
            self.0
        )
    }
}

impl std::error::Error for UnwritableField {}
