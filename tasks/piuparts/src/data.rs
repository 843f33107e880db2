//! Task data of piuparts.

use task_sdk::prelude::*;

model! {
    /// What to test.
    pub struct PiupartsInput {
        /// The binary packages to install, upgrade and remove.
        pub binary_artifacts: MultipleLookup,
    }
}

model! {
    /// Test that packages install, upgrade and go away without a trace.
    pub struct PiupartsData {
        pub task: ..TaskFields,
        pub repositories: ..RepositoryFields,
        pub executor: ..ExecutorFields,
        /// What to test.
        pub input: PiupartsInput,
        /// The architecture to test on.
        pub host_architecture: String,
        /// The system tarball in which the packages are installed.
        pub base_tgz: SingleLookup,
    }
}

model! {
    /// What the scheduler finds out.
    pub struct PiupartsDynamicData {
        pub common: ..DynamicFields,
        /// The system image.
        pub environment_id: i64,
        /// The binary packages.
        pub input_binary_artifacts_ids: Vec<i64>,
        /// The system tarball in which the packages are installed.
        pub base_tgz_id: i64,
    }
}
