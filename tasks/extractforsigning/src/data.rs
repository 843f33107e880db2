//! Task data of extractforsigning.

use task_sdk::prelude::*;

model! {
    /// What to sign.
    pub struct ExtractForSigningInput {
        /// The package that says which files need a signature.
        pub template_artifact: SingleLookup,
        /// The packages with these files, or uploads of such packages.
        pub binary_artifacts: MultipleLookup,
    }
}

model! {
    /// Extract the files of packages that need a signature.
    pub struct ExtractForSigningData {
        pub task: ..TaskFields,
        pub executor: ..FixedExecutorFields,
        /// What to sign.
        pub input: ExtractForSigningInput,
    }
}

model! {
    /// What the scheduler finds out.
    pub struct ExtractForSigningDynamicData {
        pub common: ..DynamicFields,
        /// The system image.
        pub environment_id: i64,
        /// The package that says which files need a signature.
        pub input_template_artifact_id: i64,
        /// The packages with these files.
        pub input_binary_artifacts_ids: Vec<i64>,
    }
}
