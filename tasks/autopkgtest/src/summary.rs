//! The summary: what autopkgtest found out, a line for each test.
//!
//! autopkgtest(1): `name STATUS details`. Lines like `blame: hello` or `badpkg: no such package` are about no test.

use crate::SUMMARY;
use crate::data::FailOn;
use std::collections::BTreeMap;
use task_sdk::artifacts::{AutopkgtestResult, AutopkgtestStatus};
use task_sdk::debian::text;
use task_sdk::prelude::*;

/// The longest summary that is read, in bytes. Thousands of tests take less than one MiB.
const LONGEST: u64 = 16 << 20;

/// How much of a line an error shows, in characters.
const SHOWN: usize = 200;

/// The results, in the order of the tests. Of several results of one name the last one counts.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Summary(pub Dictionary<AutopkgtestResult>);

impl Summary {
    /// Reads the summary in the working directory.
    pub fn read(execute: &Directory) -> Result<Self> {
        Self::parse(&execute.read_text(SUMMARY, LONGEST)?)
    }

    /// Reads a summary. A line that is neither a result nor a remark is a failure.
    pub fn parse(summary: &str) -> Result<Self> {
        // As in a text file of Python, every kind of line end counts.
        let summary = summary.replace("\r\n", "\n").replace('\r', "\n");
        let mut places: BTreeMap<&str, usize> = BTreeMap::new();
        let mut results = Vec::new();
        for line in summary.lines().map(text::trim_end) {
            if is_remark(line) {
                continue;
            }
            let Some((name, result)) = result(line) else {
                let shown: String = line.chars().take(SHOWN).collect();
                let words =
                    format!("{SUMMARY}: {shown:?} is not the result of a test; see cmd-output.log");
                return Err(Failure::new("invalid-data", words));
            };
            match places.get(name) {
                Some(&place) => results[place] = (name.to_owned(), result),
                None => {
                    places.insert(name, results.len());
                    results.push((name.to_owned(), result));
                }
            }
        }
        Ok(Self(Dictionary(results)))
    }

    /// Whether the task succeeds with these results when autopkgtest ends so; `fail_on` decides about each kind of result.
    pub fn allows_success(&self, fail_on: &FailOn, exit: Exit) -> bool {
        let is_fatal = |result: &AutopkgtestResult| match result.status {
            AutopkgtestStatus::Pass => false,
            AutopkgtestStatus::Fail => fail_on.failed_test,
            AutopkgtestStatus::Flaky => fail_on.flaky_test,
            AutopkgtestStatus::Skip => fail_on.skipped_test,
        };
        if self.0.iter().any(|(_, result)| is_fatal(result)) {
            return false;
        }
        // autopkgtest(1), exit status: 2 some tests were skipped or flaky, 4 some failed, 8 there were none or all were skipped.
        match exit {
            Exit::Exited(0) => true,
            Exit::Exited(2) => !fail_on.flaky_test,
            Exit::Exited(4) => !fail_on.failed_test,
            Exit::Exited(8) => !fail_on.skipped_test,
            _ => false,
        }
    }
}

/// Is this a word or more in lower case, a colon, and text?
fn is_remark(line: &str) -> bool {
    let is_plain = |about: &str| {
        !about.is_empty() && about.chars().all(|c| c.is_ascii_lowercase() || c == ' ')
    };
    line.split_once(": ")
        .is_some_and(|(about, _)| is_plain(about))
}

/// Name and result; none if the line is neither.
fn result(line: &str) -> Option<(&str, AutopkgtestResult)> {
    let (name, rest) = split_word(line)?;
    let (word, details) = match split_word(rest) {
        Some((word, details)) => (word, Some(details)),
        None => (rest, None),
    };
    let status = match word {
        "PASS" => AutopkgtestStatus::Pass,
        "FAIL" => AutopkgtestStatus::Fail,
        "SKIP" => AutopkgtestStatus::Skip,
        "FLAKY" => AutopkgtestStatus::Flaky,
        _ => return None,
    };
    let details = details.map(str::to_owned);
    Some((name, AutopkgtestResult { status, details }))
}

/// The first word and what follows the blanks behind it; none if the line begins with a blank or has no other word.
fn split_word(line: &str) -> Option<(&str, &str)> {
    let (word, rest) = line.split_at(line.find(text::is_blank)?);
    let rest = rest.trim_start_matches(text::is_blank);
    (!word.is_empty() && !rest.is_empty()).then_some((word, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn results(summary: &str) -> Value {
        Summary::parse(summary).unwrap().0.to_json()
    }

    #[test]
    fn a_line_is_a_name_a_status_and_perhaps_details() {
        assert_eq!(
            results("a PASS\nb\tFAIL  non-zero  exit\t1 \r\n* SKIP no tests\n"),
            json!({
                "a": {"status": "PASS", "details": null},
                "b": {"status": "FAIL", "details": "non-zero  exit\t1"},
                "*": {"status": "SKIP", "details": "no tests"},
            })
        );
        assert_eq!(results(""), json!({}));
    }

    #[test]
    fn of_several_results_of_a_test_the_last_one_counts() {
        let twice = results("a FAIL x\nb PASS\na PASS\n");
        assert_eq!(twice["a"], json!({"status": "PASS", "details": null}));
        assert_eq!(twice.as_object().unwrap().len(), 2);
    }

    #[test]
    fn remarks_are_no_results() {
        assert_eq!(
            results("blame: hello\nerror : x\nbadpkg: t PASS\n"),
            json!({})
        );
        assert_eq!(results("T: PASS\n")["T:"]["status"], "PASS");
    }

    #[test]
    fn a_line_that_says_nothing_is_not_passed_over() {
        for line in [
            "\n",
            "t\n",
            "t \n",
            "t pass\n",
            "t WEIRD\n",
            " t PASS\n",
            ": x\n",
            "t PASSED\n",
        ] {
            let failure = Summary::parse(line).unwrap_err();
            assert_eq!(failure.kind, "invalid-data", "{line:?}");
        }
        let flood = "x".repeat(1 << 20);
        assert!(Summary::parse(&flood).unwrap_err().message.len() < 500);
    }

    #[test]
    fn each_kind_of_result_can_be_fatal_or_not() {
        let fail_on = |failed_test, flaky_test, skipped_test| FailOn {
            failed_test,
            flaky_test,
            skipped_test,
        };
        let allows = |summary: &str, fail_on: &FailOn, exit| {
            Summary::parse(summary)
                .unwrap()
                .allows_success(fail_on, exit)
        };
        let usual = fail_on(true, false, false);
        assert!(allows("a PASS\n", &usual, Exit::Exited(0)));
        assert!(allows("a FLAKY\nb SKIP\n", &usual, Exit::Exited(2)));
        assert!(allows("* SKIP\n", &usual, Exit::Exited(8)));
        assert!(!allows("a FAIL\n", &usual, Exit::Exited(4)));
        assert!(!allows("", &usual, Exit::Exited(4)));
        assert!(allows(
            "a FAIL\n",
            &fail_on(false, false, false),
            Exit::Exited(4)
        ));
        assert!(!allows(
            "a FLAKY\n",
            &fail_on(false, true, false),
            Exit::Exited(0)
        ));
        assert!(!allows("", &fail_on(true, true, false), Exit::Exited(2)));
        assert!(!allows(
            "a SKIP\n",
            &fail_on(true, false, true),
            Exit::Exited(2)
        ));
        assert!(!allows("", &fail_on(true, false, true), Exit::Exited(8)));
        for exit in [
            Exit::Exited(20),
            Exit::Signalled(9),
            Exit::TimedOut,
            Exit::Aborted,
        ] {
            assert!(!allows("a PASS\n", &usual, exit));
        }
    }
}
