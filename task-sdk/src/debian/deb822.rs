//! Deb822 stanzas: the `Field: value` paragraphs of control files, `.dsc`, `.changes` and Release files.
//!
//! Debian policy 5.1 describes the format. This reader takes what the reference takes: names in their original spelling,
//! continuation lines as they stand (newline and leading blanks included), clear-signed text with or without its signature,
//! and lines that make no sense are passed over.

use super::field_map::FieldMap;
use super::text;
use std::borrow::Cow;
use std::fmt;

/// The longest control file that is read, in bytes. The largest uploads of the archive list some thousand files in 1 MiB.
pub const LONGEST_STANZA: usize = 16 << 20;

/// Why a text is no stanza.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StanzaError {
    /// Longer than [`LONGEST_STANZA`].
    #[error(
        "control file of {length} bytes: no more than {LONGEST_STANZA} are read; check that it is one"
    )]
    TooLong {
        /// Its length in bytes.
        length: u64,
    },
    /// An upload that is not UTF-8, which Debian policy (5.1) demands.
    #[error("line {line}: not UTF-8, as control files must be; convert it")]
    NotUtf8 {
        /// The line, counted from 1.
        line: usize,
    },
    /// A value that would read otherwise once it is written out again: a blank line in it, or a line that begins like a field.
    #[error("field {field}: {why}; remove the control character from the value")]
    Value {
        /// Name of the field.
        field: String,
        /// What is wrong with it.
        why: &'static str,
    },
}

/// One stanza: fields and their values as text.
///
/// A value holds no blanks at its ends, apart from those of continuation lines: `A:\n b\n  c` has the value `"\n b\n  c"`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stanza {
    fields: FieldMap<String>,
}

impl Stanza {
    /// The first stanza of a text, e.g. of a package's `control` file. Comment lines are dropped first.
    pub fn parse(content: &[u8]) -> Result<Self, StanzaError> {
        refuse_long(content)?;
        let lines = lines_of_any_end(content).filter(|line| !line.starts_with(b"#"));
        Self::from_payload(payload(lines), |_| false)
    }

    /// The stanza of a `.dsc` or `.changes` file: unsigned text up to its first blank line, or what a clear signature covers.
    pub fn parse_signed(content: &[u8]) -> Result<Self, StanzaError> {
        Self::parse_upload(content, |_| false)
    }

    /// The same, where some fields are lists: their values are not checked, because they are taken apart by lines anyway.
    pub(super) fn parse_upload(
        content: &[u8],
        is_list: impl Fn(&str) -> bool,
    ) -> Result<Self, StanzaError> {
        refuse_long(content)?;
        if let Err(error) = std::str::from_utf8(content) {
            let before = &content[..error.valid_up_to()];
            let ends = |byte: &&u8| **byte == b'\n';
            let line = before.iter().filter(ends).count() + 1;
            return Err(StanzaError::NotUtf8 { line });
        }
        let mut lines = payload(lines_of_any_end(content));
        // Comments count as lines until the stanza has been cut out: a blank line after a leading comment ends it.
        lines.retain(|line| !line.starts_with(b"#"));
        Self::from_payload(lines, is_list)
    }

    fn from_payload(
        lines: Vec<&[u8]>,
        is_list: impl Fn(&str) -> bool,
    ) -> Result<Self, StanzaError> {
        let mut decoder = Decoder::default();
        let mut fields: Vec<(String, String)> = Vec::new();
        for line in lines {
            let line = decoder.decode(line);
            if let Some((name, value)) = split_field(&line) {
                fields.push((name.to_owned(), value.to_owned()));
            } else if line.starts_with(text::is_blank)
                && !line.chars().all(text::is_blank)
                && let Some((_, value)) = fields.last_mut()
            {
                value.push('\n');
                value.push_str(&line);
            }
        }
        let mut stanza = Self::default();
        for (name, value) in fields {
            if !is_list(&name) {
                check_value(&name, &value)?;
            }
            stanza.fields.set(&name, value);
        }
        Ok(stanza)
    }

    /// The value of a field; its name's case does not matter.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.fields.get(name).map(String::as_str)
    }

    /// Sets a field. Refuses a value whose later lines do not begin with a blank.
    pub fn set(&mut self, name: &str, value: String) -> Result<(), StanzaError> {
        check_value(name, &value)?;
        self.fields.set(name, value);
        Ok(())
    }

    /// Names and values in the order of the text.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields
            .iter()
            .map(|(name, value)| (name, value.as_str()))
    }

    /// Is there no field? So it is for a text that is no stanza at all.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// Names and values, given away.
    pub fn into_fields(self) -> FieldMap<String> {
        self.fields
    }

    /// Names and values as a JSON object.
    pub fn to_json(&self) -> serde_json::Map<String, serde_json::Value> {
        self.iter()
            .map(|(name, value)| (name.to_owned(), value.into()))
            .collect()
    }
}

impl fmt::Display for Stanza {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.iter()
            .try_for_each(|(name, value)| write_field(f, name, value))
    }
}

/// Writes `Name: value` and a newline; no blank stands at the end of the line when the value begins on the next one.
pub fn write_field(out: &mut impl fmt::Write, name: &str, value: &str) -> fmt::Result {
    let gap = if value.is_empty() || value.starts_with('\n') {
        ""
    } else {
        " "
    };
    writeln!(out, "{name}:{gap}{value}")
}

/// Refuses a value of several lines that would not survive being written and read again.
pub fn check_value(field: &str, value: &str) -> Result<(), StanzaError> {
    let refuse = |why| {
        Err(StanzaError::Value {
            field: field.to_owned(),
            why,
        })
    };
    if !value.contains('\n') {
        return Ok(());
    }
    if value.ends_with('\n') {
        return refuse("it ends in a newline");
    }
    for line in text::lines(value).skip(1) {
        match line.chars().next() {
            None => return refuse("it has a blank line"),
            Some(first) if !text::is_blank(first) => {
                return refuse("a line of it does not begin with a blank");
            }
            Some(_) => {}
        }
    }
    Ok(())
}

fn refuse_long(content: &[u8]) -> Result<(), StanzaError> {
    if content.len() > LONGEST_STANZA {
        return Err(StanzaError::TooLong {
            length: content.len() as u64,
        });
    }
    Ok(())
}

/// Splits `Name: value`. The name has no blank, colon or control blank; blanks around the colon and at the end do not count.
fn split_field(line: &str) -> Option<(&str, &str)> {
    let end = line.find([' ', ':', '\t', '\n', '\r', '\x0c', '\x0b'])?;
    let (name, rest) = line.split_at(end);
    let value = rest.trim_start_matches(text::is_blank).strip_prefix(':')?;
    (!name.is_empty()).then(|| (name, text::trim(value)))
}

/// Lines that end in a newline, a carriage return, or both.
fn lines_of_any_end(content: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = content;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let is_end = |byte: &u8| matches!(byte, b'\n' | b'\r');
        let Some(at) = rest.iter().position(is_end) else {
            return Some(std::mem::take(&mut rest));
        };
        let (line, tail) = rest.split_at(at);
        rest = tail.strip_prefix(b"\r\n").unwrap_or(&tail[1..]);
        Some(line)
    })
}

/// Where a line of a clear-signed text stands.
#[derive(PartialEq)]
enum Part {
    Payload,
    ArmorHeaders,
    Elsewhere,
}

/// The lines of the first stanza, without those of an OpenPGP armor (RFC 9580, 7): what is not signed is not read.
fn payload<'a>(lines: impl Iterator<Item = &'a [u8]>) -> Vec<&'a [u8]> {
    let mut payload = Vec::new();
    let mut part = Part::Payload;
    let mut signed = false;
    let mut begun = false;
    for line in lines {
        let line = trim_line_ends(line);
        let blank = line.iter().all(|&byte| is_ascii_blank(byte));
        if blank && !begun {
            continue;
        }
        begun = true;
        if let Some((action, what)) = armor_marker(line) {
            if action == Marker::End {
                break;
            }
            part = match what {
                b"SIGNED MESSAGE" => Part::ArmorHeaders,
                _ => Part::Elsewhere,
            };
            signed = signed || payload.is_empty();
            continue;
        }
        match part {
            Part::Payload if !blank => payload.push(line),
            Part::Payload if !signed => break,
            Part::ArmorHeaders if blank => part = Part::Payload,
            Part::ArmorHeaders => signed = true,
            Part::Payload | Part::Elsewhere => {}
        }
    }
    payload
}

#[derive(PartialEq)]
enum Marker {
    Begin,
    End,
}

/// Reads `-----BEGIN PGP SIGNED MESSAGE-----` and its like.
fn armor_marker(line: &[u8]) -> Option<(Marker, &[u8])> {
    let rest = line.strip_prefix(b"-----")?;
    let (marker, rest) = match rest.strip_prefix(b"BEGIN PGP ") {
        Some(rest) => (Marker::Begin, rest),
        None => (Marker::End, rest.strip_prefix(b"END PGP ")?),
    };
    let end = rest.iter().position(|&byte| byte == b'-')?;
    let (what, tail) = rest.split_at(end);
    let tail = tail.strip_prefix(b"-----")?;
    let ends = tail.iter().all(|byte| b"\r\t ".contains(byte));
    (ends && !what.is_empty()).then_some((marker, what))
}

fn is_ascii_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

fn trim_line_ends(mut line: &[u8]) -> &[u8] {
    while let [b'\r' | b'\n', rest @ ..] | [rest @ .., b'\r' | b'\n'] = line {
        line = rest;
    }
    line
}

/// UTF-8 as policy wants it, or ISO 8859-1 from the first line on that is none: old packages have such maintainers' names.
#[derive(Default)]
struct Decoder {
    latin: bool,
}

impl Decoder {
    fn decode<'a>(&mut self, line: &'a [u8]) -> Cow<'a, str> {
        if !self.latin {
            match std::str::from_utf8(line) {
                Ok(line) => return Cow::Borrowed(line),
                Err(_) => self.latin = true,
            }
        }
        line.iter().map(|&byte| char::from(byte)).collect()
    }
}

#[cfg(test)]
mod tests;
