//! Task data of mmdebstrap.

use task_sdk::prelude::*;
use task_sdk::repositories::bootstrap::BootstrapRepository;

choices! {
    /// Which packages to install, as mmdebstrap(1) names the sets.
    pub enum Variant {
        /// Essential, apt and build-essential.
        Buildd = "buildd",
        /// Essential and apt.
        Minbase = "minbase",
        /// Priority important and above.
        Dash = "-",
        /// Essential and apt, as few as possible.
        Apt = "apt",
        /// Only what is asked for.
        Custom = "custom",
        /// Priority important and above, as debootstrap does.
        Debootstrap = "debootstrap",
        /// Essential.
        Essential = "essential",
        /// Unpacked, not installed.
        Extract = "extract",
        /// Priority important and above.
        Important = "important",
        /// Priority required.
        Required = "required",
        /// Priority standard and above.
        Standard = "standard",
    }
}

model! {
    /// What the system is like.
    pub struct BootstrapOptions {
        /// Its architecture.
        pub architecture: String,
        /// Which packages to install.
        pub variant: Option<Variant> = None,
        /// More packages to install.
        pub extra_packages: Vec<String> = Vec::new(),
        /// Name the keyring of each repository in its source.
        pub use_signed_by: bool = true,
    }
}

model! {
    /// Make a system tarball from package repositories.
    pub struct MmDebstrapData {
        pub task: ..TaskFields,
        /// What the system is like.
        pub bootstrap_options: BootstrapOptions,
        /// Where its packages come from.
        pub bootstrap_repositories: Vec<BootstrapRepository> where [min_items(1)],
        /// A script to run in the system at the end.
        pub customization_script: Option<String> = None,
    }
}

/// What the scheduler finds out: nothing of its own.
pub type MmDebstrapDynamicData = DynamicFields;
