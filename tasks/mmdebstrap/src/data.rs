//! Task data of mmdebstrap.

use task_sdk::bootstrap::{BootstrapFields, SystemOptions};
use task_sdk::prelude::*;

choices! {
    /// Which packages to install, as mmdebstrap(1) names the sets.
    pub enum Variant {
        /// As minbase, and build-essential.
        Buildd = "buildd",
        /// As required.
        Minbase = "minbase",
        /// As important.
        Dash = "-",
        /// Essential ones and apt.
        Apt = "apt",
        /// Only what is asked for.
        Custom = "custom",
        /// As important.
        Debootstrap = "debootstrap",
        /// Essential ones.
        Essential = "essential",
        /// What is asked for, unpacked but not installed.
        Extract = "extract",
        /// As required, and those of priority important.
        Important = "important",
        /// Essential ones, and those of priority required.
        Required = "required",
        /// As important, and those of priority standard.
        Standard = "standard",
    }
}

model! {
    /// What the system is like.
    pub struct BootstrapOptions {
        pub system: ..SystemOptions,
        /// Which packages to install; mmdebstrap's own choice if not given.
        pub variant: Option<Variant> = None,
    }
}

model! {
    /// Make a system tarball from package repositories.
    pub struct MmDebstrapData {
        pub task: ..TaskFields,
        /// What the system is like.
        pub bootstrap_options: BootstrapOptions,
        pub bootstrap: ..BootstrapFields,
    }
}

/// What the scheduler finds out: nothing of its own.
pub type MmDebstrapDynamicData = DynamicFields;
