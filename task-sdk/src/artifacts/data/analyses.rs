//! Data of what tools found out about packages.

use crate::model::Definitions;
use crate::prelude::*;

model! {
    /// What debdiff compared.
    pub struct Debdiff {
        /// Name of the one file.
        pub original: String,
        /// Name of the other one.
        pub new: String,
    }
}

model! {
    /// What lintian found.
    pub struct Lintian {
        /// It in short.
        pub summary: LintianSummary,
    }
}

model! {
    /// What lintian found, in short.
    pub struct LintianSummary {
        /// How many tags of each severity there are.
        pub tags_count_by_severity: SeverityCounts,
        /// The packages that have tags, and their files.
        pub package_filename: Dictionary<String>,
        /// The tags.
        pub tags_found: Vec<String>,
        /// Those that were overridden.
        pub overridden_tags_found: Vec<String>,
        /// Version of lintian.
        pub lintian_version: String,
        /// The distribution that it checked for, e.g. `debian:unstable`.
        pub distribution: String,
    }
}

/// The severities of lintian's tags that are counted.
const SEVERITIES: [&str; 7] = [
    "error",
    "warning",
    "info",
    "pedantic",
    "experimental",
    "overridden",
    "classification",
];

/// A number for each severity: names and numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SeverityCounts(pub Dictionary<i64>);

impl FieldType for SeverityCounts {
    fn read(value: &Value, report: &mut Report) -> Option<Self> {
        let mark = report.mark();
        let counts = Dictionary::read(value, report);
        for key in value.as_object().into_iter().flat_map(Map::keys) {
            if SEVERITIES.contains(&key.as_str()) {
                continue;
            }
            report.enter("__key__");
            let choices = SEVERITIES.join(", ");
            report.refuse("type_error.enum", format!("not a severity: use {choices}"));
            report.leave();
        }
        counts.map(Self).filter(|_| report.mark() == mark)
    }

    fn to_json(&self) -> Value {
        self.0.to_json()
    }

    fn schema(definitions: &mut Definitions) -> Value {
        let mut schema = Dictionary::<i64>::schema(definitions);
        schema["propertyNames"] = json!({"enum": SEVERITIES});
        schema
    }
}

choices! {
    /// How a test went.
    pub enum AutopkgtestStatus {
        /// It passed.
        Pass = "PASS",
        /// It failed.
        Fail = "FAIL",
        /// It failed, but may do so.
        Flaky = "FLAKY",
        /// It did not run.
        Skip = "SKIP",
    }
}

model! {
    /// The result of one test.
    pub struct AutopkgtestResult {
        /// How it went.
        pub status: AutopkgtestStatus,
        /// More about it.
        pub details: Option<String> = None,
    }
}

model! {
    /// The source package that was tested.
    pub struct AutopkgtestSource {
        /// Its name.
        pub name: String,
        /// Its version.
        pub version: String,
        /// Where it came from.
        pub url: Url,
    }
}

model! {
    /// The results of autopkgtest.
    pub struct Autopkgtest {
        /// The results, by the names of the tests.
        pub results: Dictionary<AutopkgtestResult>,
        /// The command that ran.
        pub cmdline: String,
        /// What was tested.
        pub source_package: AutopkgtestSource,
        /// The architecture on which it was tested.
        pub architecture: String,
        /// The distribution, e.g. `debian:trixie`.
        pub distribution: String,
    }
}
