//! Why a package cannot be built: what dose-builddebcheck wrote into the log of a build.
//!
//! The report is YAML (output version 1.2 of dose3). As artifact data its scalars become text first, numbers and
//! truth values only where the model below says so.

use super::yaml;
use crate::prelude::*;
use std::io::{self, BufRead};

pub use super::yaml::YamlError;

/// The line of a log after which a report begins.
const MARKER: &[u8] = b"(I)Dose_applications: Solving...";
/// How many bytes of a log a report may have.
const LONGEST_REPORT: usize = 8 << 20;

/// Why a log cannot be asked for an explanation.
#[derive(Debug, thiserror::Error)]
pub enum Dose3Error {
    /// It has a report that cannot be read.
    #[error("dose3 report in the build log: {0}")]
    Yaml(#[from] YamlError),
    /// It has a report that is too long.
    #[error("dose3 report in the build log: more than {LONGEST_REPORT} bytes; look at it there")]
    TooLong,
    /// The log could not be read.
    #[error("the build log could not be read: {0}")]
    Read(#[from] io::Error),
}

/// The explanation in a build log; none if there is no report, or one of another shape.
pub fn explanation(log: impl BufRead) -> Result<Option<DoseDistCheck>, Dose3Error> {
    let Some(report) = find_report(log)? else {
        return Ok(None);
    };
    let report = yaml::parse(&report)?;
    Ok(DoseDistCheck::parse(&report).ok())
}

/// The lines right after the first marker, up to a headline of sbuild or the end.
fn find_report(mut log: impl BufRead) -> Result<Option<String>, Dose3Error> {
    let mut line = Vec::new();
    while read_line(&mut log, &mut line)? {
        if line.strip_suffix(b"\n").map(without_carriage_return) == Some(MARKER) {
            let is_report = read_line(&mut log, &mut line)? && line.starts_with(b"output-version");
            return match is_report {
                true => collect_report(log, line).map(Some),
                false => Ok(None),
            };
        }
    }
    Ok(None)
}

fn collect_report(mut log: impl BufRead, first: Vec<u8>) -> Result<String, Dose3Error> {
    let mut report = Vec::new();
    let mut line = first;
    loop {
        report.append(&mut line);
        if report.len() > LONGEST_REPORT {
            return Err(Dose3Error::TooLong);
        }
        if !read_line(&mut log, &mut line)? || line.starts_with(b"+----") {
            break;
        }
    }
    Ok(String::from_utf8_lossy(&report).into_owned())
}

fn without_carriage_return(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// Reads a line with its newline; of an endless one only so much that a report with it is too long. False at the end.
fn read_line(log: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<bool> {
    line.clear();
    loop {
        let available = log.fill_buf()?;
        if available.is_empty() {
            return Ok(!line.is_empty());
        }
        let end = available.iter().position(|&byte| byte == b'\n');
        let count = end.map_or(available.len(), |end| end + 1);
        let room = (LONGEST_REPORT + 1).saturating_sub(line.len());
        line.extend_from_slice(&available[..count.min(room)]);
        log.consume(count);
        if end.is_some() {
            return Ok(true);
        }
    }
}

choices! {
    /// Whether a package can be installed.
    pub literal DoseStatus {
        /// It cannot.
        Broken = "broken",
        /// It can.
        Ok = "ok",
    }
}

model! {
    /// The result of checking packages for installability.
    pub struct DoseDistCheck {
        /// Version of the output format.
        pub output_version as "output-version": String,
        /// The architecture of the machine.
        pub native_architecture as "native-architecture": Option<String> = None,
        /// Further architectures that may be used.
        pub foreign_architecture as "foreign-architecture": Option<String> = None,
        /// The architecture that is built for.
        pub host_architecture as "host-architecture": Option<String> = None,
        /// The packages that were checked.
        pub report: Vec<DosePackage>,
        /// How many packages there were.
        pub total_packages as "total-packages": i64,
        /// How many of them cannot be installed.
        pub broken_packages as "broken-packages": i64,
        /// How many of them were only there to satisfy dependencies.
        pub background_packages as "background-packages": i64,
        /// How many of them were checked.
        pub foreground_packages as "foreground-packages": i64,
    }
}

model! {
    /// What was found about a package.
    pub struct DosePackage {
        /// Its name.
        pub package: String,
        /// Its version.
        pub version: String,
        /// Its architecture.
        pub architecture: Option<String> = None,
        /// Whether it is essential.
        pub essential: Option<bool> = None,
        /// Binary or source package.
        pub r#type as "type": Option<String> = None,
        /// The source package it is from.
        pub source: Option<String> = None,
        /// Whether it can be installed.
        pub status: DoseStatus,
        /// How it can be installed.
        pub success: Option<String> = None,
        /// Why it cannot be installed.
        pub reasons: Vec<DoseReason>,
    }
}

union! {
    /// Why a package cannot be installed.
    pub enum DoseReason {
        /// Something that it needs does not exist.
        Missing(DoseMissing),
        /// Two packages that it needs exclude each other.
        Conflict(DoseConflict),
    }
}

model! {
    /// Something does not exist.
    pub struct DoseMissing {
        /// What, and who needs it.
        pub missing: DoseMissingReason,
    }
}

model! {
    /// What does not exist, and who needs it.
    pub struct DoseMissingReason {
        /// The package that needs it.
        pub pkg: DoseUnsatisfied,
        /// How the package that was checked comes to need that one.
        pub depchains: Vec<DoseChain> = Vec::new(),
    }
}

model! {
    /// A package that needs what does not exist.
    pub struct DoseUnsatisfied {
        /// Its name.
        pub package: String,
        /// Its version.
        pub version: String,
        /// Its architecture.
        pub architecture: Option<String> = None,
        /// The dependency that nothing satisfies.
        pub unsat_dependency as "unsat-dependency": Option<String> = None,
    }
}

model! {
    /// Two packages exclude each other.
    pub struct DoseConflict {
        /// Which, and who needs them.
        pub conflict: DoseConflictReason,
    }
}

model! {
    /// Which packages exclude each other, and who needs them.
    pub struct DoseConflictReason {
        /// The one.
        pub pkg1: DoseConflicting,
        /// The other.
        pub pkg2: DoseConflicting,
        /// How the package that was checked comes to need the one.
        pub depchain1: Vec<DoseChain> = Vec::new(),
        /// How it comes to need the other.
        pub depchain2: Vec<DoseChain> = Vec::new(),
    }
}

model! {
    /// A package that excludes another.
    pub struct DoseConflicting {
        /// Its name.
        pub package: String,
        /// Its version.
        pub version: String,
        /// Its architecture.
        pub architecture: Option<String> = None,
        /// The conflict that it declares.
        pub unsat_conflict as "unsat-conflict": Option<String> = None,
    }
}

model! {
    /// Dependencies that lead from one package to another.
    pub struct DoseChain {
        /// The packages on the way.
        pub depchain: Vec<DoseLink>,
    }
}

model! {
    /// A package on the way.
    pub struct DoseLink {
        /// Its name.
        pub package: String,
        /// Its version.
        pub version: String,
        /// Its architecture.
        pub architecture: Option<String> = None,
        /// The dependency that leads on.
        pub depends: Option<String> = None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPORT: &str = "output-version: 1.2\nreport:\n -\n  package: a\n  version: 1\n  status: broken\n  essential: yes\n  reasons:\n   -\n    conflict:\n     pkg1: {package: b, version: 2}\n     pkg2: {package: c, version: 3, unsat-conflict: b}\nbackground-packages: 5\nforeground-packages: 1\ntotal-packages: 6\nbroken-packages: 1\n";

    fn explain(text: &str) -> Result<Option<DoseDistCheck>, Dose3Error> {
        explanation(text.as_bytes())
    }

    #[test]
    fn a_report_ends_at_the_next_headline() {
        let log = format!("x\n(I)Dose_applications: Solving...\n{REPORT}\n+------+\n| Next |\n");
        let found = explain(&log).unwrap().unwrap();
        assert_eq!(found.total_packages, 6);
        assert_eq!(found.report[0].essential, Some(true));
        assert!(matches!(
            found.report[0].reasons[0],
            DoseReason::Conflict(_)
        ));
    }

    #[test]
    fn a_log_without_a_report_or_with_one_of_another_shape_explains_nothing() {
        for log in [
            "",
            REPORT,
            &format!("(I)Dose_applications: Solving...\n\n{REPORT}"),
            "(I)Dose_applications: Solving...\noutput-version\n",
            &format!("(I)Dose_applications: Solving...\n{REPORT}more: 1\n"),
        ] {
            assert_eq!(explain(log).unwrap(), None);
        }
    }

    #[test]
    fn a_report_that_is_no_yaml_is_an_error() {
        let error = explain("(I)Dose_applications: Solving...\noutput-version: [\n").unwrap_err();
        assert!(matches!(error, Dose3Error::Yaml(_)));
    }

    #[test]
    fn a_line_of_a_hundred_megabytes_is_not_kept() {
        let mut log = b"(I)Dose_applications: Solving...\noutput-version: ".to_vec();
        log.resize(100 << 20, b'x');
        assert!(matches!(explanation(&log[..]), Err(Dose3Error::TooLong)));
        assert!(matches!(explanation(&vec![b'x'; 100 << 20][..]), Ok(None)));
    }
}
