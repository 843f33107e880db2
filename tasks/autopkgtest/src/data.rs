//! Task data of autopkgtest.

use task_sdk::prelude::*;

choices! {
    /// What to do about tests that need the internet.
    pub enum NeedsInternet {
        /// Run them.
        Run = "run",
        /// Run them, but do not mind if they fail.
        Try = "try",
        /// Leave them out.
        Skip = "skip",
    }
}

model! {
    /// What to test.
    pub struct AutopkgtestInput {
        /// The source package whose tests to run.
        pub source_artifact: SingleLookup,
        /// The binary packages to test.
        pub binary_artifacts: MultipleLookup,
        /// Binary packages that the tests may need.
        pub context_artifacts: MultipleLookup = MultipleLookup::default(),
    }
}

model! {
    /// Which results make the task fail.
    pub struct FailOn {
        /// A failed test.
        pub failed_test: bool = true,
        /// A failed test that is marked flaky.
        pub flaky_test: bool = false,
        /// A test left out.
        pub skipped_test: bool = false,
    }
}

model! {
    /// How long the parts of a test run may take, in seconds.
    pub struct Timeout {
        /// Everything.
        pub overall as "global": Option<i64> where [at_least(0)] = None,
        /// A factor for the other times.
        pub factor: Option<i64> where [at_least(0)] = None,
        /// Short commands.
        pub short: Option<i64> where [at_least(0)] = None,
        /// Installing packages.
        pub install: Option<i64> where [at_least(0)] = None,
        /// One test.
        pub test: Option<i64> where [at_least(0)] = None,
        /// Copying files.
        pub copy: Option<i64> where [at_least(0)] = None,
    }
}

model! {
    /// Run the tests that a source package declares.
    pub struct AutopkgtestData {
        pub task: ..TaskFields,
        pub repositories: ..RepositoryFields,
        pub executor: ..ExecutorFields,
        /// What to test.
        pub input: AutopkgtestInput,
        /// The architecture to test on.
        pub host_architecture: String,
        /// Run these tests only.
        pub include_tests: Vec<String> = Vec::new(),
        /// Leave these tests out.
        pub exclude_tests: Vec<String> = Vec::new(),
        /// How much to print, 0 to 3.
        pub debug_level: i64 where [at_least(0), at_most(3)] = 0,
        /// Take packages from the release of the environment first.
        pub use_packages_from_base_repository: bool = false,
        /// Environment variables for the tests.
        pub extra_environment: Dictionary<String> = Dictionary::default(),
        /// What to do about tests that need the internet.
        pub needs_internet: NeedsInternet = NeedsInternet::Run,
        /// Which results make the task fail.
        pub fail_on: FailOn = FailOn {
            failed_test: true,
            flaky_test: false,
            skipped_test: false,
        },
        /// How long the parts may take.
        pub timeout: Option<Timeout> = None,
    }
}

model! {
    /// What the scheduler finds out.
    pub struct AutopkgtestDynamicData {
        pub common: ..DynamicFields,
        /// The system image.
        pub environment_id: i64,
        /// The source package.
        pub input_source_artifact_id: i64,
        /// The binary packages to test.
        pub input_binary_artifacts_ids: Vec<i64>,
        /// Binary packages that the tests may need.
        pub input_context_artifacts_ids: Vec<i64> = Vec::new(),
    }
}
