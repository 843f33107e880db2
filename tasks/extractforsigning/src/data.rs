//! Task data of extractforsigning.

use task_sdk::prelude::*;

model! {
    /// What to sign.
    pub struct ExtractForSigningInput {
        /// The package that says which files need a signature.
        pub template_artifact: SingleLookup,
        /// The packages with these files.
        pub binary_artifacts: MultipleLookup,
    }
}

model! {
    /// Extract the files of packages that need a signature.
    pub struct ExtractForSigningData {
        pub task: ..TaskFields,
        /// Where to run commands: the default of the task.
        pub backend: Backend where [is_auto] = Backend::Auto,
        /// The system image to run them in.
        pub environment: SingleLookup,
        /// What to sign.
        pub input: ExtractForSigningInput,
    }
}

fn is_auto(backend: &Backend) -> Result<(), Refusal> {
    match backend {
        Backend::Auto => Ok(()),
        _ => Err("this task chooses its backend itself: use auto, or leave the key out".into()),
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
