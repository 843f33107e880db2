//! A tag that lintian found, and the line of its output that names it.

use serde::Serialize;
use task_sdk::debian::text::{is_blank, trim};

/// How bad a tag is; the worse one is the greater one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Switched off; such tags count nowhere.
    Masked,
    /// Not an issue, but what kind of package it is.
    Classification,
    /// Overridden by the package's maintainer.
    Overridden,
    /// Of a check that is still being tried out.
    Experimental,
    /// Of interest to those who want every detail right.
    Pedantic,
    /// A remark.
    Info,
    /// Likely a violation.
    Warning,
    /// Surely a violation.
    Error,
}

impl Severity {
    /// All that are counted, the worst one first.
    pub const COUNTED: [Self; 7] = [
        Self::Error,
        Self::Warning,
        Self::Info,
        Self::Pedantic,
        Self::Experimental,
        Self::Overridden,
        Self::Classification,
    ];

    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Masked => "masked",
            Self::Classification => "classification",
            Self::Overridden => "overridden",
            Self::Experimental => "experimental",
            Self::Pedantic => "pedantic",
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }

    /// The severity that a letter at the start of a line stands for.
    fn of_letter(letter: char) -> Option<Self> {
        Some(match letter {
            'E' => Self::Error,
            'W' => Self::Warning,
            'I' => Self::Info,
            'P' => Self::Pedantic,
            'X' => Self::Experimental,
            'O' => Self::Overridden,
            'C' => Self::Classification,
            'M' => Self::Masked,
            _ => return None,
        })
    }
}

/// A tag of a package, with the members that it has in `analysis.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Tag<T = String> {
    /// How bad it is.
    pub severity: Severity,
    /// The package; a source package's name is followed by ` source` in lintian's output.
    pub package: T,
    /// What it is called, e.g. `no-manual-page`.
    pub tag: T,
    /// What it means.
    pub explanation: T,
    /// What the package's maintainer says about it, with an override.
    pub comment: T,
    /// Why this package has it.
    pub note: T,
    /// Where in the package, e.g. `debian/rules:10`.
    pub pointer: T,
}

/// A line that begins with the letter of a severity.
#[derive(Debug, PartialEq, Eq)]
pub enum TagLine<'a> {
    /// It names a tag.
    Tag(Tag<&'a str>),
    /// It says too little: lintian of bullseye repeats some tags without their package.
    Short,
}

impl<'a> TagLine<'a> {
    /// Reads `LETTER: PACKAGE[ source]: TAG[ NOTE][ [POINTER]]`; none if the line is of another kind.
    pub fn parse(line: &'a str) -> Option<Self> {
        let mut characters = line.chars();
        let severity = Severity::of_letter(characters.next()?)?;
        let rest = after_blank(characters.as_str().strip_prefix(':')?)?;
        let Some((package, rest)) = split_package(rest) else {
            return Some(Self::Short);
        };
        let (tag, note) = split_word(rest);
        Some(Self::Tag(Tag {
            severity,
            package,
            tag,
            explanation: "",
            comment: "",
            note: trim(note.split('[').next().unwrap_or_default()),
            pointer: pointer(line),
        }))
    }
}

/// Splits the package off, also from the colon and the blank behind it.
fn split_package(text: &str) -> Option<(&str, &str)> {
    const SOURCE: &str = " source";
    let (word, rest) = split_word(text);
    if let Some(rest) = rest.strip_prefix(SOURCE)
        && let Some(rest) = rest.strip_prefix(':').and_then(after_blank)
    {
        return Some((&text[..word.len() + SOURCE.len()], rest));
    }
    let package = word.strip_suffix(':').filter(|word| !word.is_empty())?;
    Some((package, after_blank(rest)?))
}

/// The text behind the one blank that it begins with; none if a word does not follow right there.
fn after_blank(text: &str) -> Option<&str> {
    let mut characters = text.chars();
    characters.next().filter(|&first| is_blank(first))?;
    let rest = characters.as_str();
    rest.starts_with(|next| !is_blank(next)).then_some(rest)
}

/// The first word, and what is behind it.
fn split_word(text: &str) -> (&str, &str) {
    text.split_at(text.find(is_blank).unwrap_or(text.len()))
}

/// What the last brackets of a line enclose, wherever in it; empty if there are none.
///
/// The last bracket to close counts, and the last one to open before it: names of files may hold either.
fn pointer(line: &str) -> &str {
    let found = line.rfind(']').and_then(|end| {
        let start = line[..end].rfind('[')?;
        Some(&line[start + 1..end])
    });
    found.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(line: &str) -> [&str; 4] {
        match TagLine::parse(line) {
            Some(TagLine::Tag(tag)) => [tag.package, tag.tag, tag.note, tag.pointer],
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn a_line_tells_package_tag_note_and_pointer() {
        for (line, expected) in [
            ("E: a: t", ["a", "t", "", ""]),
            ("E:\ta:\u{a0}t\u{a0}n", ["a", "t", "n", ""]),
            ("E: a source: t n n [p q]", ["a source", "t", "n n", "p q"]),
            ("E: a: source: t", ["a: source", "t", "", ""]),
            ("E: a: source:t u", ["a", "source:t", "u", ""]),
            ("E: a: b: t", ["a", "b:", "t", ""]),
            ("E: a:b: t", ["a:b", "t", "", ""]),
            ("E: :: t", [":", "t", "", ""]),
            (
                "E: a: t   double  note  [p]  q",
                ["a", "t", "double  note", "p"],
            ),
        ] {
            assert_eq!(fields(line), expected, "{line}");
        }
    }

    #[test]
    fn brackets_may_stand_anywhere() {
        for (line, expected) in [
            ("E: a: t [x] [y]", ["a", "t", "", "y"]),
            ("E: a: t [x] y] [z", ["a", "t", "", "x] y"]),
            ("E: a: t [a [b].gz]", ["a", "t", "", "b].gz"]),
            ("E: a: t ]x[ y]", ["a", "t", "]x", " y"]),
            ("E: a: t ][", ["a", "t", "]", ""]),
            ("E: a: t [unclosed", ["a", "t", "", ""]),
            ("E: a: t-[x", ["a", "t-[x", "", ""]),
            ("E: a[b: t]", ["a[b", "t]", "", "b: t"]),
        ] {
            assert_eq!(fields(line), expected, "{line}");
        }
    }

    #[test]
    fn a_line_without_package_is_short() {
        for line in [
            "E: tag",
            "E: a:tag",
            "E: a b: tag",
            "E: a  source: tag",
            "E: a\u{a0}source: tag",
            "E: a:  tag",
            "E: : tag",
            "E: a:",
            "M: tag",
        ] {
            assert_eq!(TagLine::parse(line), Some(TagLine::Short), "{line}");
        }
    }

    #[test]
    fn other_lines_are_no_tags() {
        for line in [
            "",
            "E",
            "E:",
            "E:a: tag",
            "E:  a: tag",
            "e: a: tag",
            "Z: a: tag",
            "EE: a: tag",
            "warning: cannot run",
            "\u{feff}E: a: tag",
            "é: a: tag",
        ] {
            assert_eq!(TagLine::parse(line), None, "{line}");
        }
    }
}
