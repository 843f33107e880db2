//! Task data of debdiff.

use task_sdk::prelude::*;

choices! {
    /// An option of debdiff(1).
    pub enum ExtraFlag {
        /// Compare directories too.
        Dirs = "--dirs",
        /// Leave the control files out.
        NoControl = "--nocontrol",
        /// Compare the control files of source packages by words.
        WdiffSourceControl = "--wdiff-source-control",
        /// Show files that moved between packages.
        ShowMoved = "--show-moved",
        /// Count changed lines.
        DiffStat = "--diffstat",
        /// Apply the patches before comparing.
        ApplyPatches = "--apply-patches",
        /// Ignore changes of blanks.
        IgnoreSpace = "--ignore-space",
    }
}

model! {
    /// What to compare: two source packages, or two groups of binary packages.
    pub struct DebDiffInput {
        /// The original and the new source package.
        pub source_artifacts: Option<Vec<SingleLookup>> where [items(2..=2)] = None,
        /// The original and the new binary packages.
        pub binary_artifacts: Option<Vec<MultipleLookup>> where [items(2..=2)] = None,
    }
    rule |partial| {
        let has_sources = partial.source_artifacts.as_ref().is_some_and(Option::is_some);
        let has_binaries = partial.binary_artifacts.as_ref().is_some_and(Option::is_some);
        if has_sources == has_binaries {
            return Err("give exactly one of source_artifacts and binary_artifacts".into());
        }
        Ok(())
    };
}

model! {
    /// Compare packages.
    pub struct DebDiffData {
        pub task: ..TaskFields,
        pub executor: ..ExecutorFields,
        /// What to compare.
        pub input: DebDiffInput,
        /// Options for debdiff.
        pub extra_flags: Vec<ExtraFlag> = Vec::new(),
        /// The architecture to run on.
        pub host_architecture: String,
    }
}

model! {
    /// What the scheduler finds out.
    pub struct DebDiffDynamicData {
        pub common: ..DynamicFields,
        /// The system image.
        pub environment_id: i64,
        /// The original and the new source package.
        pub input_source_artifacts_ids: Option<Vec<i64>> where [items(2..=2)] = None,
        /// The original and the new binary packages.
        pub input_binary_artifacts_ids: Option<Vec<Vec<i64>>> = None,
    }
}
