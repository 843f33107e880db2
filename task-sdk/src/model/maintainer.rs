//! A person or team with a mail address: `Foo Bar <foo@example.org>`.

use super::coercion;
use super::field::FieldType;
use super::letter_case::lower;
use super::schema::{Definitions, literal};
use super::violation::{Refusal, Report};
use serde_json::Value;
use std::fmt;

/// A name and a mail address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Maintainer {
    /// The name; the local part of the address if none was given.
    pub name: String,
    /// The address, its domain in lower case.
    pub email: String,
}

impl Maintainer {
    /// Reads `NAME <ADDRESS>` or an address alone.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        let (name, address) = name_and_address(text);
        let address = address.trim_matches(coercion::is_blank);
        let well_formed = address
            .rsplit_once('@')
            .filter(|(local, domain)| is_local_part(local) && is_domain(domain))
            .filter(|_| text.len() <= LONGEST_TEXT && address.len() <= LONGEST_ADDRESS);
        let Some((local, domain)) = well_formed else {
            return Err(Refusal::new(
                "value_error.email",
                "not a mail address: write it like Name <name@example.org>",
            ));
        };
        Ok(Self {
            name: if name.is_empty() { local } else { name }.to_owned(),
            email: format!("{local}@{}", lower(domain)),
        })
    }
}

const LONGEST_TEXT: usize = 2048;
/// RFC 3696, erratum 1690.
const LONGEST_ADDRESS: usize = 254;

/// Top-level domains whose addresses reach nobody (RFC 6761, 6762, 7686).
const UNREACHABLE: [&str; 6] = ["arpa", "invalid", "local", "localhost", "onion", "test"];

/// A name of letters, digits, `_` and blanks before an address in angle brackets; anything else is an address.
fn name_and_address(text: &str) -> (&str, &str) {
    let bracketed = text
        .trim_end_matches(' ')
        .strip_suffix('>')
        .and_then(|text| text.split_once('<'))
        .filter(|(name, address)| {
            name.chars()
                .all(|c| c == ' ' || c == '_' || c.is_alphanumeric())
                && !address.contains('\n')
        });
    match bracketed {
        Some((name, address)) => (name.trim_end_matches(' '), address),
        None => ("", text),
    }
}

/// RFC 5322 dot-atom, and letters beyond ASCII (RFC 6531).
fn is_local_part(local: &str) -> bool {
    let is_atom = |c: char| {
        c.is_ascii_alphanumeric()
            || "_!#$%&'*+-/=?^`{|}~".contains(c)
            || (!c.is_ascii() && !c.is_control())
    };
    local
        .split('.')
        .all(|atom| !atom.is_empty() && atom.chars().all(is_atom))
}

/// At least two labels; the last one ends in a letter and is not a name without mail.
fn is_domain(domain: &str) -> bool {
    let is_label = |label: &str| {
        let inner = |c: char| c == '-' || c.is_ascii_alphanumeric() || !c.is_ascii();
        // Two hyphens in third place are reserved, Punycode has them.
        let reserved = label.get(2..4) == Some("--")
            && !label
                .get(..2)
                .is_some_and(|two| two.eq_ignore_ascii_case("xn"));
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.chars().all(inner)
            && !reserved
    };
    let Some((_, top)) = domain.rsplit_once('.') else {
        return false;
    };
    domain.len() <= 253
        && domain.split('.').all(is_label)
        && top.ends_with(|c: char| c.is_ascii_alphabetic() || !c.is_ascii())
        && !UNREACHABLE
            .iter()
            .any(|name| top.eq_ignore_ascii_case(name))
}

impl fmt::Display for Maintainer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} <{}>", self.name, self.email)
    }
}

impl FieldType for Maintainer {
    fn read(value: &Value, report: &mut Report) -> Option<Self> {
        let maintainer = coercion::text(value).and_then(|text| Self::parse(&text));
        maintainer.map_err(|refusal| report.add(refusal)).ok()
    }

    fn to_json(&self) -> Value {
        self.to_string().into()
    }

    fn schema(_: &mut Definitions) -> Value {
        literal(r#"{"type": "string", "format": "name-email"}"#)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_maintainer_is_normalised() {
        for (text, normal) in [
            ("Foo Bar <foo@example.org>", "Foo Bar <foo@example.org>"),
            ("Foo <FOO@Example.ORG>", "Foo <FOO@example.org>"),
            ("foo@example.org", "foo <foo@example.org>"),
            (" <a.b@c.d.e> ", "a.b <a.b@c.d.e>"),
        ] {
            assert_eq!(Maintainer::parse(text).unwrap().to_string(), normal);
        }
    }

    #[test]
    fn what_no_mail_reaches_is_refused() {
        for text in [
            "bad",
            "a@b",
            "a@b.local",
            "a..b@c.org",
            "a b@c.org",
            "F-B <a@c.org>",
            "a@-c.org",
            "a@c.o1",
        ] {
            assert_eq!(
                Maintainer::parse(text).unwrap_err().kind,
                "value_error.email",
                "{text}"
            );
        }
    }
}
