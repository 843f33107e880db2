//! Task data of simplesystemimagebuild.

use task_sdk::prelude::*;
use task_sdk::repositories::bootstrap::BootstrapRepository;

choices! {
    /// Which packages to install, as mmdebstrap(1) names the sets.
    pub enum Variant {
        /// Essential, apt and build-essential.
        Buildd = "buildd",
        /// Essential and apt.
        Minbase = "minbase",
    }
}

choices! {
    /// The format of a disk image.
    pub enum DiskFormat {
        /// As on the disk.
        Raw = "raw",
        /// QEMU's copy-on-write format.
        Qcow2 = "qcow2",
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
    /// A partition of the disk.
    pub struct Partition {
        /// Its size in gigabytes.
        pub size: i64,
        /// Its file system, e.g. `ext4`.
        pub filesystem: String,
        /// Where it is mounted.
        pub mountpoint: String = "none".into(),
    }
}

model! {
    /// What the disk is like.
    pub struct DiskImage {
        /// Its format.
        pub format: DiskFormat,
        /// The name of its file, without an ending.
        pub filename: String = "image".into(),
        /// The package of its kernel.
        pub kernel_package: Option<String> = None,
        /// Its boot loader.
        pub bootloader: Option<String> = None,
        /// Its partitions; the first holds the system.
        pub partitions: Vec<Partition> where [min_items(1)],
    }
}

model! {
    /// Make a bootable system image from package repositories.
    pub struct SimpleSystemImageBuildData {
        pub task: ..TaskFields,
        /// What the system is like.
        pub bootstrap_options: BootstrapOptions,
        /// Where its packages come from.
        pub bootstrap_repositories: Vec<BootstrapRepository> where [min_items(1)],
        /// A script to run in the system at the end.
        pub customization_script: Option<String> = None,
        /// What the disk is like.
        pub disk_image: DiskImage,
    }
}

/// What the scheduler finds out: nothing of its own.
pub type SimpleSystemImageBuildDynamicData = DynamicFields;
