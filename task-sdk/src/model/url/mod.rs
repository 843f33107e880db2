//! URLs, checked and normalised as pydantic 1 does: a scheme, `://`, a plausible host, a port that fits.
//!
//! It is a check of shape, not RFC 3986: case and escapes stay as they are, and only hosts without a top-level domain or
//! with letters beyond ASCII are written anew (the latter in Punycode).

mod host;

use super::coercion::{self, is_blank};
use super::field::FieldType;
use super::schema::{Definitions, literal};
use super::violation::{Refusal, Report};
use serde_json::Value;
use std::fmt;

/// A URL with a host, e.g. `https://deb.example.org/debian`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    text: String,
    scheme: String,
    path: String,
}

impl Url {
    /// Checks a text; blanks around it do not count.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        parse(text, None)
    }

    /// The whole URL.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// What stands before `://`, in lower case.
    pub fn scheme(&self) -> &str {
        &self.scheme
    }

    /// From the first `/` after the host up to `?` or `#`; may be empty.
    pub fn path(&self) -> &str {
        &self.path
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A `file:` URL, which needs no host, e.g. `file:///usr/share/keyrings/debian-archive-keyring.gpg`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileUrl(pub Url);

impl FileUrl {
    /// Checks a text; blanks around it do not count.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        parse(text, Some("file")).map(Self)
    }
}

impl FieldType for Url {
    fn read(value: &Value, report: &mut Report) -> Option<Self> {
        let url = coercion::text(value).and_then(|text| Self::parse(&text));
        url.map_err(|refusal| report.add(refusal)).ok()
    }

    fn to_json(&self) -> Value {
        self.as_str().into()
    }

    fn schema(_: &mut Definitions) -> Value {
        literal(r#"{"type": "string", "format": "uri", "minLength": 1, "maxLength": 65536}"#)
    }
}

impl FieldType for FileUrl {
    fn read(value: &Value, report: &mut Report) -> Option<Self> {
        let url = coercion::text(value).and_then(|text| Self::parse(&text));
        url.map_err(|refusal| report.add(refusal)).ok()
    }

    fn to_json(&self) -> Value {
        self.0.as_str().into()
    }

    fn schema(_: &mut Definitions) -> Value {
        literal(r#"{"type": "string", "format": "uri", "pattern": "^[Ff][Ii][Ll][Ee]://"}"#)
    }
}

/// In characters.
const LONGEST: usize = 1 << 16;

fn refusal(kind: &'static str, message: &'static str) -> Refusal {
    Refusal::new(kind, message)
}

/// Checks a URL; one of a given scheme needs no host.
fn parse(text: &str, only_scheme: Option<&str>) -> Result<Url, Refusal> {
    let text = text.trim_matches(is_blank);
    if text.is_empty() {
        return Err(refusal(
            "value_error.any_str.min_length",
            "empty: give a URL",
        ));
    }
    if text.chars().count() > LONGEST {
        return Err(refusal(
            "value_error.any_str.max_length",
            "longer than 65536 characters: shorten it",
        ));
    }
    let parts = Parts::of(text)?;
    if only_scheme.is_some_and(|only| !parts.scheme.eq_ignore_ascii_case(only)) {
        return Err(refusal(
            "value_error.url.scheme",
            "not a file: URL: begin it with file://",
        ));
    }
    if parts.port.is_some_and(|port| !port_fits(port)) {
        return Err(refusal(
            "value_error.url.port",
            "no such port: use a number up to 65535",
        ));
    }
    if !parts.rest.is_empty() {
        return Err(refusal(
            "value_error.url.extra",
            "something follows the URL: remove it, or escape blanks as %20",
        ));
    }
    if parts.host.is_empty() && only_scheme.is_none() {
        return Err(refusal(
            "value_error.url.host",
            "no host: write SCHEME://HOST/PATH",
        ));
    }
    let normal_host = host::normalise(parts.host)?;
    Ok(Url {
        text: normal_host.map_or_else(|| text.to_owned(), |host| parts.rebuilt(&host)),
        scheme: parts.scheme.to_ascii_lowercase(),
        path: parts.path.to_owned(),
    })
}

fn port_fits(port: &str) -> bool {
    port.parse::<u64>().is_ok_and(|port| port <= 65_535)
}

/// A URL taken apart.
struct Parts<'a> {
    scheme: &'a str,
    user: Option<&'a str>,
    password: Option<&'a str>,
    host: &'a str,
    port: Option<&'a str>,
    path: &'a str,
    query: &'a str,
    fragment: &'a str,
    /// What no part can hold: a blank and all that follows it.
    rest: &'a str,
}

impl<'a> Parts<'a> {
    fn of(text: &'a str) -> Result<Self, Refusal> {
        let Some((scheme, rest)) = scheme(text) else {
            return Err(refusal(
                "value_error.url.scheme",
                "no scheme: begin the URL with one, e.g. https://",
            ));
        };
        let (user, password, rest) = user_info(rest);
        let (host, rest) = host::split(rest);
        let (port, rest) = match rest
            .strip_prefix(':')
            .map(|after| run(after, |c| c.is_ascii_digit()))
        {
            Some((port, after)) if !port.is_empty() => (Some(port), after),
            _ => (None, rest),
        };
        let (path, rest) = match rest.starts_with('/') {
            true => run(rest, |c| !is_blank(c) && c != '?' && c != '#'),
            false => ("", rest),
        };
        let (query, rest) = match rest.strip_prefix('?') {
            Some(query) => run(query, |c| !is_blank(c) && c != '#'),
            None => ("", rest),
        };
        let (fragment, rest) = match rest.strip_prefix('#') {
            Some(fragment) => run(fragment, |c| !is_blank(c) && c != '#'),
            None => ("", rest),
        };
        Ok(Self {
            scheme,
            user,
            password,
            host,
            port,
            path,
            query,
            fragment,
            rest,
        })
    }

    /// The URL with another host; empty parts lose their signs.
    fn rebuilt(&self, host: &str) -> String {
        let given = |part: Option<&'a str>| part.filter(|part| !part.is_empty());
        let mut url = [self.scheme, "://"].concat();
        let mut add = |sign: &str, part: Option<&str>| {
            if let Some(part) = part {
                url.push_str(sign);
                url.push_str(part);
            }
        };
        let (user, password) = (given(self.user), given(self.password));
        add("", user);
        add(":", password);
        add("@", user.or(password).map(|_| ""));
        add("", Some(host));
        add(":", self.port);
        add("", Some(self.path));
        add("?", given(Some(self.query)));
        add("#", given(Some(self.fragment)));
        url
    }
}

/// Splits off the longest beginning of characters that pass.
fn run(text: &str, passes: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(|c| !passes(c)).unwrap_or(text.len()))
}

/// A scheme of at least two characters, and what follows its `://`.
fn scheme(text: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = run(text, |c| c.is_ascii_alphanumeric() || "+-.".contains(c));
    let rest = rest.strip_prefix("://")?;
    let fits = scheme.len() > 1 && scheme.starts_with(|c: char| c.is_ascii_alphabetic());
    fits.then_some((scheme, rest))
}

/// User, password, and what follows the `@` after them; the last `@` that can be one counts.
fn user_info(text: &str) -> (Option<&str>, Option<&str>, &str) {
    let (user, rest) = run(text, |c| !is_blank(c) && c != ':' && c != '/');
    if let Some(after) = rest.strip_prefix(':') {
        let (password, _) = run(after, |c| !is_blank(c) && c != '/');
        if let Some(at) = password.rfind('@') {
            return (Some(user), Some(&password[..at]), &after[at + 1..]);
        }
    }
    match user.rfind('@') {
        Some(at) => (Some(&user[..at]), None, &text[at + 1..]),
        None => (None, None, text),
    }
}

#[cfg(test)]
mod tests;
