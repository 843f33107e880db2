//! Paths of files within artifacts, as parts of URLs.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What Python's `urllib.parse.quote` leaves alone, beside letters and digits. The server compares the decoded path.
const KEPT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'_')
    .remove(b'.')
    .remove(b'-')
    .remove(b'~')
    .remove(b'/');

/// A path as it stands in a URL.
pub(super) fn quoted(path: &str) -> String {
    utf8_percent_encode(path, KEPT).to_string()
}

/// The address of a file: the server leaves the path in it as it is, `#` and `?` and all.
pub(super) fn file_address(url: &str, path: &str) -> String {
    match url.strip_suffix(path) {
        Some(place) => format!("{place}{}", quoted(path)),
        None => url.to_owned(),
    }
}

/// Why a path may not be made beneath a directory: what a server sends is not trusted to stay there.
pub(super) fn objection(path: &str) -> Option<&'static str> {
    if path.contains('\0') {
        return Some("it contains a NUL");
    }
    if path.starts_with('/') {
        return Some("it is absolute");
    }
    if path.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Some("it has an empty, `.` or `..` part");
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_quoted_as_the_reference_does() {
        assert_eq!(
            quoted("hello_2.10-3_amd64-2026-11-22T15:13:36Z.build"),
            "hello_2.10-3_amd64-2026-11-22T15%3A13%3A36Z.build"
        );
        assert_eq!(quoted("d/f+1~rc.bin"), "d/f%2B1~rc.bin");
        assert_eq!(quoted("ä b#c?"), "%C3%A4%20b%23c%3F");
    }

    #[test]
    fn raw_paths_in_addresses_are_quoted() {
        let address = |url, path| file_address(url, path);
        assert_eq!(
            address("http://h/s/w/artifact/1/download/a#b", "a#b"),
            "http://h/s/w/artifact/1/download/a%23b"
        );
        assert_eq!(address("http://h/a%23b", "a#b"), "http://h/a%23b");
    }

    #[test]
    fn paths_that_leave_are_refused() {
        assert_eq!(objection("a/b.c"), None);
        for path in ["/etc/passwd", "../x", "a/../../x", "a//b", ".", "", "a\0b"] {
            assert!(objection(path).is_some(), "{path:?}");
        }
    }
}
