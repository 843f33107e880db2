//! Task data of lintian.

use crate::tag::Severity;
use task_sdk::prelude::*;

choices! {
    /// From which severity on a tag makes the task fail.
    pub enum FailOnSeverity {
        /// Errors.
        Error = "error",
        /// Warnings and worse.
        Warning = "warning",
        /// Remarks and worse.
        Info = "info",
        /// Pedantic tags and worse.
        Pedantic = "pedantic",
        /// Experimental tags and worse.
        Experimental = "experimental",
        /// Overridden tags and worse.
        Overridden = "overridden",
        /// No tag does.
        None = "none",
    }
}

impl FailOnSeverity {
    /// The severity from which on a tag makes the task fail; none if no tag does.
    pub fn threshold(self) -> Option<Severity> {
        match self {
            Self::Error => Some(Severity::Error),
            Self::Warning => Some(Severity::Warning),
            Self::Info => Some(Severity::Info),
            Self::Pedantic => Some(Severity::Pedantic),
            Self::Experimental => Some(Severity::Experimental),
            Self::Overridden => Some(Severity::Overridden),
            Self::None => None,
        }
    }
}

model! {
    /// What to check.
    pub struct LintianInput {
        /// The source package.
        pub source_artifact: Option<SingleLookup> = None,
        /// The binary packages.
        pub binary_artifacts: MultipleLookup = MultipleLookup::default(),
    }
    rule |partial| {
        let has_source = partial.source_artifact.as_ref().is_some_and(Option::is_some);
        let has_binaries = partial.binary_artifacts.as_ref().is_some_and(|binaries| !binaries.is_empty());
        if has_source || has_binaries {
            return Ok(());
        }
        Err("nothing to check: give source_artifact, binary_artifacts, or both".into())
    };
}

model! {
    /// Which analyses to make.
    pub struct LintianOutput {
        /// Of the source package.
        pub source_analysis: bool = true,
        /// Of the binary packages for every architecture.
        pub binary_all_analysis: bool = true,
        /// Of the binary packages for one architecture.
        pub binary_any_analysis: bool = true,
    }
}

model! {
    /// Check packages for violations of policy.
    pub struct LintianData {
        pub task: ..TaskFields,
        pub executor: ..OptionalExecutorFields,
        /// What to check.
        pub input: LintianInput,
        /// Which analyses to make.
        pub output: LintianOutput = LintianOutput {
            source_analysis: true,
            binary_all_analysis: true,
            binary_any_analysis: true,
        },
        /// The distribution that the packages are meant for, `VENDOR:CODENAME`.
        pub target_distribution: String = "debian:unstable".into(),
        /// Check these tags only.
        pub include_tags: Vec<String> = Vec::new(),
        /// Leave these tags out.
        pub exclude_tags: Vec<String> = Vec::new(),
        /// From which severity on a tag makes the task fail.
        pub fail_on_severity: FailOnSeverity = FailOnSeverity::None,
    }
}

model! {
    /// What the scheduler finds out.
    pub struct LintianDynamicData {
        pub common: ..DynamicFields,
        /// The system image.
        pub environment_id: Option<i64> = None,
        /// The source package.
        pub input_source_artifact_id: Option<i64> = None,
        /// The binary packages.
        pub input_binary_artifacts_ids: Vec<i64> = Vec::new(),
    }
}
