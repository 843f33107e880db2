//! The host of a URL: an address, or a domain name that may need Punycode (RFC 3492).

use super::run;
use crate::model::coercion::is_blank;
use crate::model::letter_case::lower;
use crate::model::violation::Refusal;
use std::borrow::Cow;

/// Splits off the host: an IPv4 address, an IPv6 address in brackets, or anything up to `/`, `:`, `?`, `#` or a blank.
pub fn split(text: &str) -> (&str, &str) {
    if let Some(close) = text.find(']').filter(|_| text.starts_with('[')) {
        let (host, rest) = text.split_at(close + 1);
        if is_ipv6(host) && (rest.is_empty() || rest.starts_with(['/', ':', '#', '?'])) {
            return (host, rest);
        }
    }
    run(text, |c| !is_blank(c) && !"/:?#".contains(c))
}

fn is_ipv6(host: &str) -> bool {
    let inner = &host[1..host.len() - 1];
    // At least one colon, and something after the first.
    let colon = inner.find(':');
    colon.is_some_and(|colon| colon + 1 < inner.len())
        && inner.chars().all(|c| c == ':' || c.is_ascii_hexdigit())
}

fn is_ipv4(host: &str) -> bool {
    host.split('.').count() == 4
        && host
            .split('.')
            .all(|part| (1..=3).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit()))
}

/// Checks a host; gives it back if the URL is to be written anew with it.
pub fn normalise(host: &str) -> Result<Option<String>, Refusal> {
    if host.is_empty()
        || is_ipv4(host)
        || (host.starts_with('[') && host.ends_with(']') && is_ipv6(host))
    {
        return Ok(None);
    }
    let labels: Vec<&str> = host.strip_suffix('.').unwrap_or(host).split('.').collect();
    if labels.iter().all(|label| is_label(label, is_ascii_part)) {
        let ends_in_domain = labels.len() > 1
            && labels.last().is_some_and(|last| {
                last.len() > 1 && last.bytes().all(|byte| byte.is_ascii_alphabetic())
            });
        return Ok((!ends_in_domain).then(|| host.to_owned()));
    }
    if !labels
        .iter()
        .all(|label| is_label(label, is_international_part))
    {
        return Err(Refusal::new(
            "value_error.url.host",
            "not a host name: use letters, digits, dots and inner hyphens",
        ));
    }
    let encoded: Option<Vec<Cow<'_, str>>> = host.split(DOTS).map(encode).collect();
    encoded.map(|labels| Some(labels.join("."))).ok_or_else(|| {
        Refusal::new(
            "value_error.unicode",
            "a part of the host is longer than 63 characters in Punycode: shorten it",
        )
    })
}

fn is_label(label: &str, is_part: fn(char) -> bool) -> bool {
    let inner = |c: char| c == '-' || is_part(c);
    label.starts_with(is_part)
        && label.ends_with(is_part)
        && label.chars().all(inner)
        && label.chars().count() <= 63
}

fn is_ascii_part(c: char) -> bool {
    c == '_' || c.is_ascii_alphanumeric()
}

/// The reference takes any character from `a` up to U+40000.
fn is_international_part(c: char) -> bool {
    is_ascii_part(c) || ('a'..='\u{40000}').contains(&c)
}

/// What separates labels beyond ASCII (RFC 3490, section 3.1).
const DOTS: [char; 4] = ['.', '\u{3002}', '\u{ff0e}', '\u{ff61}'];

/// A label as ASCII, `xn--` and Punycode unless it is ASCII already; none if it becomes too long.
fn encode(label: &str) -> Option<Cow<'_, str>> {
    if label.is_ascii() {
        return Some(Cow::Borrowed(label));
    }
    let encoded = ["xn--", &punycode(&lower(label))?].concat();
    (encoded.len() <= 63).then_some(Cow::Owned(encoded))
}

/// RFC 3492, section 6.3; none if a number overflows, which only absurd labels make it do.
fn punycode(label: &str) -> Option<String> {
    let mut output: String = label.chars().filter(char::is_ascii).collect();
    let basic = output.len() as u32;
    if basic > 0 {
        output.push('-');
    }
    let total = label.chars().count() as u32;
    let (mut handled, mut n, mut delta, mut bias) = (basic, 128, 0_u32, 72);
    while handled < total {
        let next = label.chars().map(u32::from).filter(|&c| c >= n).min()?;
        delta = delta.checked_add((next - n).checked_mul(handled + 1)?)?;
        n = next;
        for character in label.chars().map(u32::from) {
            if character < n {
                delta += 1;
            } else if character == n {
                write_number(delta, bias, &mut output);
                bias = adapt(delta, handled + 1, handled == basic);
                delta = 0;
                handled += 1;
            }
        }
        delta += 1;
        n += 1;
    }
    Some(output)
}

fn write_number(number: u32, bias: u32, output: &mut String) {
    let digit = |value: u32| char::from(b"abcdefghijklmnopqrstuvwxyz0123456789"[value as usize]);
    let mut rest = number;
    for k in (36_u32..).step_by(36) {
        let threshold = k.saturating_sub(bias).clamp(1, 26);
        if rest < threshold {
            break;
        }
        output.push(digit(threshold + (rest - threshold) % (36 - threshold)));
        rest = (rest - threshold) / (36 - threshold);
    }
    output.push(digit(rest));
}

fn adapt(delta: u32, points: u32, is_first: bool) -> u32 {
    let mut delta = delta / if is_first { 700 } else { 2 };
    delta += delta / points;
    let mut k = 0;
    while delta > 35 * 26 / 2 {
        delta /= 35;
        k += 36;
    }
    k + 36 * delta / (delta + 38)
}
