//! Task data of blhc.

use task_sdk::prelude::*;

choices! {
    /// An option of blhc(1).
    pub enum ExtraFlag {
        /// Check everything.
        All = "--all",
        /// Ask for immediate binding.
        BindNow = "--bindnow",
        /// Print tags as a build daemon wants them.
        Buildd = "--buildd",
        /// Print in colour.
        Color = "--color",
        /// Apply the rules of Debian.
        Debian = "--debian",
        /// Print line numbers.
        LineNumbers = "--line-numbers",
        /// Ask for position-independent executables.
        Pie = "--pie",
    }
}

model! {
    /// What to check.
    pub struct BlhcInput {
        /// The build log.
        pub artifact: SingleLookup,
    }
}

model! {
    /// Check a build log for missing hardening flags.
    pub struct BlhcData {
        pub task: ..TaskFields,
        pub executor: ..OptionalExecutorFields,
        /// What to check.
        pub input: BlhcInput,
        /// Options for blhc.
        pub extra_flags: Vec<ExtraFlag> = Vec::new(),
    }
}

model! {
    /// What the scheduler finds out.
    pub struct BlhcDynamicData {
        pub common: ..DynamicFields,
        /// The system image.
        pub environment_id: Option<i64> = None,
        /// The build log.
        pub input_artifact_id: i64,
    }
}
