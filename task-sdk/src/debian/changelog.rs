//! `debian/changelog`: what its newest entry says in its heading (Debian policy, 4.4).

use super::package_name::{PackageName, PackageNameError};
use super::text;
use std::io::{self, BufRead};

/// How far into a changelog its first heading is looked for, in bytes.
const LONGEST_START: u64 = 64 << 10;

/// The heading of an entry, e.g. `hello (2.10-3) unstable; urgency=medium`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heading {
    /// Name of the source package.
    pub source: PackageName,
    /// Its version, epoch and revision included; nothing but letters, digits and `.+-~:`.
    pub version: String,
    /// The distributions it is meant for, one at least; nothing but letters, digits and `.+-`.
    pub distributions: Vec<String>,
}

/// Why a changelog has no heading.
#[derive(Debug, thiserror::Error)]
pub enum ChangelogError {
    /// It cannot be read.
    #[error("changelog: {0}; check the file")]
    Read(#[from] io::Error),
    /// No line near its start is a heading.
    #[error(
        "changelog: no line like `hello (1.0) unstable; urgency=medium` in its first {LONGEST_START} bytes; begin with one"
    )]
    NoHeading,
    /// Its heading does not begin with the name of a package.
    #[error("changelog: {0}")]
    Source(#[from] PackageNameError),
}

impl Heading {
    /// The first heading of a changelog. What stands before it (empty lines, comments) does not count; what follows is not read.
    pub fn read(changelog: impl BufRead) -> Result<Self, ChangelogError> {
        let mut start = changelog.take(LONGEST_START);
        let mut line = Vec::new();
        while start.read_until(b'\n', &mut line)? > 0 {
            if let Some(heading) = std::str::from_utf8(&line).ok().and_then(Self::parts) {
                return heading;
            }
            line.clear();
        }
        Err(ChangelogError::NoHeading)
    }

    /// The parts of a heading; none if the line is none.
    fn parts(line: &str) -> Option<Result<Self, ChangelogError>> {
        let (start, _metadata) = line.split_once(';')?;
        let (source, rest) = start.split_once(" (")?;
        let (version, distributions) = rest.split_once(')')?;
        let distributions: Vec<String> = text::words(distributions).map(str::to_owned).collect();
        let is_name = |c: char| c.is_ascii_alphanumeric() || "-+.".contains(c);
        let is_version = |c: char| is_name(c) || "~:".contains(c);
        if source.contains(text::is_blank)
            || !version.starts_with(|c: char| c.is_ascii_alphanumeric())
            || !version.chars().all(is_version)
            || distributions.is_empty()
            || !distributions.iter().all(|name| name.chars().all(is_name))
        {
            return None;
        }
        Some(
            source
                .parse()
                .map_err(ChangelogError::from)
                .map(|source| Self {
                    source,
                    version: version.to_owned(),
                    distributions,
                }),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Heading, ChangelogError> {
        Heading::read(text.as_bytes())
    }

    #[test]
    fn the_first_heading_counts() {
        let text = "\n# a comment (really); yes\nhello-signed (1:1.0~1+2) bookworm-security trixie; urgency=medium\n\n  * x\n\nhello (0.9) unstable; urgency=low\n";
        let heading = read(text).unwrap();
        assert_eq!(heading.source.as_str(), "hello-signed");
        assert_eq!(heading.version, "1:1.0~1+2");
        assert_eq!(heading.distributions, ["bookworm-security", "trixie"]);
        assert_eq!(read("a1 (1) x;\n").unwrap().distributions, ["x"]);
    }

    #[test]
    fn nothing_of_a_heading_can_leave_a_file_name_or_a_shell_word() {
        for text in [
            "",
            "hello\n",
            "hello (1.0); urgency=low\n",
            "hello (1/../../etc) unstable; urgency=low\n",
            "hello (-x) unstable; urgency=low\n",
            "hello (1 0) unstable; urgency=low\n",
            "hello (1.0) $(reboot); urgency=low\n",
            "hello (1.0) a'b; urgency=low\n",
            "../hello (1.0) unstable; urgency=low\n",
            "Hello (1.0) unstable; urgency=low\n",
        ] {
            assert!(read(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn an_endless_line_is_not_read_to_its_end() {
        let endless = io::BufReader::new(io::repeat(b'x'));
        assert!(matches!(
            Heading::read(endless),
            Err(ChangelogError::NoHeading)
        ));
    }

    #[test]
    fn bytes_that_are_no_utf8_matter_in_the_heading_only() {
        let text = b"\xff\nhello (1.0) unstable; urgency=low\n\n  * \xff\n";
        assert!(Heading::read(text.as_slice()).is_ok());
    }
}
