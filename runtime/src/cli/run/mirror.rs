//! A failure whose cause is the network: apt's words for a mirror that does not answer, found in a log.

/// What apt says before the URL of what it did not get, in errors and in warnings.
const BEFORE_URL: &str = "Failed to fetch ";

/// What it says behind it if the mirror did not answer at all, rather than "404 Not Found".
const NO_ANSWER: [&str; 8] = [
    "Could not connect",
    "Cannot initiate the connection",
    "Unable to connect",
    "Connection refused",
    "Connection timed out",
    "Temporary failure resolving",
    "Could not resolve",
    "Connection failed",
];

/// The first mirror that apt could not reach, in one sentence.
pub fn unreachable(log: &str) -> Option<String> {
    log.lines().find_map(|line| {
        let (_, told) = line.split_once(BEFORE_URL)?;
        let (url, why) = told.split_once(char::is_whitespace)?;
        let known = NO_ANSWER.iter().any(|words| why.contains(words));
        known.then(|| {
            format!(
                "the mirror {} cannot be reached: {}; check its address and the network",
                mirror(url),
                why.trim().trim_end_matches('.')
            )
        })
    })
}

/// The part of a URL that task data name.
fn mirror(url: &str) -> &str {
    let ends = ["/dists/", "/pool/"].map(|part| url.find(part));
    let end = ends.into_iter().flatten().min();
    end.map_or(url, |end| &url[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mirror_that_does_not_answer_is_told_in_one_sentence() {
        let refused = "Err:1 http://127.0.0.1:9/debian trixie InRelease\n  Could not connect to 127.0.0.1:9 (127.0.0.1). - connect (111: Connection refused)\nW: Failed to fetch http://127.0.0.1:9/debian/dists/trixie/InRelease  Could not connect to 127.0.0.1:9 (127.0.0.1). - connect (111: Connection refused)\n";
        assert_eq!(
            unreachable(refused).unwrap(),
            "the mirror http://127.0.0.1:9/debian cannot be reached: Could not connect to 127.0.0.1:9 (127.0.0.1). - connect (111: Connection refused); check its address and the network"
        );
        let unknown = "E: Failed to fetch http://no.such/debian/pool/main/a/a_1.deb  Temporary failure resolving 'no.such'";
        let words = unreachable(unknown).unwrap();
        assert!(
            words.starts_with("the mirror http://no.such/debian cannot be reached: Temporary"),
            "{words}"
        );
    }

    #[test]
    fn other_failures_keep_their_own_words() {
        let missing = "E: Failed to fetch http://e.org/debian/dists/x/Release  404  Not Found";
        assert_eq!(unreachable(missing), None);
        assert_eq!(unreachable("test: Connection refused"), None);
        assert_eq!(unreachable("E: Failed to fetch"), None);
    }
}
