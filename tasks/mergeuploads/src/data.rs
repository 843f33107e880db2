//! Task data of mergeuploads.

use task_sdk::prelude::*;

model! {
    /// What to merge.
    pub struct MergeUploadsInput {
        /// The uploads.
        pub uploads: MultipleLookup,
    }
}

model! {
    /// Merge several uploads of one source package into one.
    pub struct MergeUploadsData {
        pub task: ..TaskFields,
        pub executor: ..OptionalExecutorFields,
        /// What to merge.
        pub input: MergeUploadsInput,
    }
}

model! {
    /// What the scheduler finds out.
    pub struct MergeUploadsDynamicData {
        pub common: ..DynamicFields,
        /// A system image; there is no use for it.
        pub environment_id: Option<i64> = None,
        /// The uploads.
        pub input_uploads_ids: Vec<i64>,
    }
}
