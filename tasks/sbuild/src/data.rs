//! Task data of sbuild.

use task_sdk::prelude::*;

choices! {
    /// A kind of packages to build.
    pub enum BuildComponent {
        /// Those of one architecture.
        Any = "any",
        /// Those of every architecture.
        All = "all",
        /// The source package.
        Source = "source",
    }
}

model! {
    /// What to build.
    pub struct SbuildInput {
        /// The source package to build.
        pub source_artifact: SingleLookup,
        /// Binary packages that the build may use besides those of the repositories.
        pub extra_binary_artifacts: MultipleLookup = MultipleLookup::default(),
    }
}

model! {
    /// A rebuild of unchanged source under a new version.
    pub struct BinNmu {
        /// The changelog entry.
        pub changelog: String,
        /// What to append to the version, e.g. `+b1`.
        pub suffix: String,
        /// The date of the changelog entry.
        pub timestamp: Option<Timestamp> = None,
        /// Who makes the rebuild.
        pub maintainer: Option<Maintainer> = None,
    }
}

model! {
    /// Build binary packages from a source package.
    pub struct SbuildData {
        pub task: ..TaskFields,
        pub repositories: ..RepositoryFields,
        pub executor: ..ExecutorFields,
        /// What to build.
        pub input: SbuildInput,
        /// The architecture to build for.
        pub host_architecture: String,
        /// Which packages to build.
        pub build_components: Vec<BuildComponent> = vec![BuildComponent::Any],
        /// Rebuild under a new version.
        pub binnmu: Option<BinNmu> = None,
        /// Build profiles, e.g. `nocheck`.
        pub build_profiles: Option<Vec<String>> = None,
    }
    rule |partial| match (&partial.binnmu, &partial.build_components) {
        (Some(Some(_)), Some(components)) if components.contains(&BuildComponent::All) => {
            Err("a binNMU cannot build packages of architecture all: leave all out of build_components".into())
        }
        _ => Ok(()),
    };
}

model! {
    /// What the scheduler finds out.
    pub struct SbuildDynamicData {
        pub common: ..DynamicFields,
        /// The system image.
        pub environment_id: Option<i64> = None,
        /// The source package.
        pub input_source_artifact_id: i64,
        /// Binary packages that the build may use.
        pub input_extra_binary_artifacts_ids: Vec<i64> = Vec::new(),
        /// Who makes a rebuild if the task data does not say.
        pub binnmu_maintainer: Option<String> = None,
    }
}
