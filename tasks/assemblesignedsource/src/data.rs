//! Task data of assemblesignedsource.

use task_sdk::prelude::*;

model! {
    /// Make a source package from a template and signatures.
    pub struct AssembleSignedSourceData {
        pub task: ..TaskFields,
        /// Where to run commands: the default of the task.
        pub backend: Backend where [is_auto] = Backend::Auto,
        /// The system image to run them in.
        pub environment: SingleLookup,
        /// The package that holds the template of the source package.
        pub template: SingleLookup,
        /// The signatures.
        pub signed: MultipleLookup,
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
    pub struct AssembleSignedSourceDynamicData {
        pub common: ..DynamicFields,
        /// The system image.
        pub environment_id: i64,
        /// The package that holds the template of the source package.
        pub template_id: i64,
        /// The signatures.
        pub signed_ids: Vec<i64>,
    }
}
