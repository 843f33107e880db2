//! Versions of packages: their parts and their order (Debian policy, 5.6.12).
//!
//! Own code: the crates for it refuse what is no valid version, for which the reference has a place in the order too.

use std::cmp::Ordering;

/// The version without its epoch, as file names have it: `1:2.0-1` is `2.0-1`.
pub fn without_epoch(version: &str) -> &str {
    version.split_once(':').map_or(version, |(_, rest)| rest)
}

/// Compares versions as dpkg does. Text that is no valid version has a place in the order all the same.
pub fn compare(left: &str, right: &str) -> Ordering {
    let (left, right) = (Parts::of(left), Parts::of(right));
    compare_numbers(left.epoch, right.epoch)
        .then_with(|| compare_part(left.upstream, right.upstream))
        .then_with(|| compare_part(left.revision, right.revision))
}

struct Parts<'a> {
    epoch: &'a str,
    upstream: &'a str,
    revision: &'a str,
}

impl<'a> Parts<'a> {
    fn of(version: &'a str) -> Self {
        let (epoch, rest) = version.split_once(':').unwrap_or(("", version));
        let (upstream, revision) = rest.rsplit_once('-').unwrap_or((rest, ""));
        Self {
            epoch,
            upstream,
            revision,
        }
    }
}

/// Compares by turns what is no number, and numbers.
fn compare_part(mut left: &str, mut right: &str) -> Ordering {
    while !left.is_empty() || !right.is_empty() {
        let (left_text, left_rest) = split_while(left, |c| !c.is_ascii_digit());
        let (right_text, right_rest) = split_while(right, |c| !c.is_ascii_digit());
        let (left_number, left_tail) = split_while(left_rest, |c| c.is_ascii_digit());
        let (right_number, right_tail) = split_while(right_rest, |c| c.is_ascii_digit());
        let order = compare_text(left_text, right_text)
            .then_with(|| compare_numbers(left_number, right_number));
        if order.is_ne() {
            return order;
        }
        (left, right) = (left_tail, right_tail);
    }
    Ordering::Equal
}

fn split_while(text: &str, belongs: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(|c| !belongs(c)).unwrap_or(text.len()))
}

/// A tilde comes before the end, the end before letters, letters before everything else.
fn compare_text(left: &str, right: &str) -> Ordering {
    let weight = |c: Option<char>| match c {
        Some('~') => (0, '~'),
        None => (1, ' '),
        Some(c) if c.is_ascii_alphabetic() => (2, c),
        Some(c) => (3, c),
    };
    let (mut left, mut right) = (left.chars(), right.chars());
    loop {
        let (a, b) = (left.next(), right.next());
        let order = weight(a).cmp(&weight(b));
        if order.is_ne() || (a.is_none() && b.is_none()) {
            return order;
        }
    }
}

/// Numbers of any length; no number is 0.
fn compare_numbers(left: &str, right: &str) -> Ordering {
    let (left, right) = (left.trim_start_matches('0'), right.trim_start_matches('0'));
    left.len().cmp(&right.len()).then_with(|| left.cmp(right))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_ordered_as_dpkg_orders_them() {
        let ascending = [
            "0~~",
            "0~",
            "0",
            "0a",
            "0+",
            "1.0~rc1-1",
            "1.0-1",
            "1.0-1+b1",
            "1.0-1.1",
            "1.0-10",
            "1.2",
            "1.10",
            "1:0",
            "2:0",
            "10:0",
        ];
        for (place, left) in ascending.iter().enumerate() {
            for (other, right) in ascending.iter().enumerate() {
                assert_eq!(compare(left, right), place.cmp(&other), "{left} {right}");
            }
        }
    }

    #[test]
    fn leading_zeros_an_empty_epoch_and_an_empty_revision_do_not_count() {
        for (left, right) in [("1.01", "1.1"), ("0:1", "1"), ("1-0", "1"), ("1.0", "1.")] {
            assert_eq!(compare(left, right), Ordering::Equal, "{left} {right}");
        }
        let long = "9".repeat(60);
        assert_eq!(compare(&long, &format!("1{long}")), Ordering::Less);
    }

    #[test]
    fn only_the_first_colon_ends_an_epoch() {
        assert_eq!(without_epoch("2:1:0-1"), "1:0-1");
        assert_eq!(without_epoch("1.0"), "1.0");
    }
}
