//! Task data of assemblesignedsource.

use task_sdk::prelude::*;

model! {
    /// Make a source package from a template and signatures.
    pub struct AssembleSignedSourceData {
        pub task: ..TaskFields,
        pub executor: ..FixedExecutorFields,
        /// The package that holds the template of the source package.
        pub template: SingleLookup,
        /// The signatures.
        pub signed: MultipleLookup,
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
