//! Task data of makesourcepackageupload.

use task_sdk::prelude::*;

model! {
    /// What to upload.
    pub struct MakeSourcePackageUploadInput {
        /// The source package.
        pub source_artifact: SingleLookup,
    }
}

model! {
    /// Prepare the upload of a source package.
    pub struct MakeSourcePackageUploadData {
        pub task: ..TaskFields,
        pub executor: ..ExecutorFields,
        /// What to upload.
        pub input: MakeSourcePackageUploadInput,
        /// Include the changelog entries after this version.
        pub since_version: Option<String> = None,
        /// The distribution to upload to; that of the changelog if not given.
        pub target_distribution: Option<String> = None,
    }
}

model! {
    /// What the scheduler finds out.
    pub struct MakeSourcePackageUploadDynamicData {
        pub common: ..DynamicFields,
        /// The system image.
        pub environment_id: i64,
        /// The source package.
        pub input_source_artifact_id: i64,
    }
}
