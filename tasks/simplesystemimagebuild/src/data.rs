//! Task data of simplesystemimagebuild.

use task_sdk::bootstrap::{BootstrapFields, SystemOptions};
use task_sdk::prelude::*;

choices! {
    /// Which packages to install, as mmdebstrap(1) names the sets.
    pub enum Variant {
        /// As minbase, and build-essential.
        Buildd = "buildd",
        /// As required.
        Minbase = "minbase",
    }
}

choices! {
    /// The format of a disk image.
    pub enum DiskFormat {
        /// The bytes of the disk, in a compressed tar file.
        Raw = "raw",
        /// QEMU's copy-on-write format.
        Qcow2 = "qcow2",
    }
}

model! {
    /// What the system is like.
    pub struct BootstrapOptions {
        pub system: ..SystemOptions,
        /// Which packages to install; the tool's own choice if not given.
        pub variant: Option<Variant> = None,
    }
}

model! {
    /// A partition of the disk.
    pub struct Partition {
        /// Its size in units of 10⁹ bytes.
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
        /// The package of its kernel; `linux-image-generic` if not given.
        pub kernel_package: Option<String> = None,
        /// Its boot loader. The tool takes no such option: it has no effect.
        pub bootloader: Option<String> = None,
        /// Its partitions; the first holds the system, others have no effect.
        pub partitions: Vec<Partition> where [min_items(1)],
    }
}

model! {
    /// Make a bootable system image from package repositories.
    pub struct SimpleSystemImageBuildData {
        pub task: ..TaskFields,
        /// What the system is like.
        pub bootstrap_options: BootstrapOptions,
        pub bootstrap: ..BootstrapFields,
        /// What the disk is like.
        pub disk_image: DiskImage,
    }
}

impl DiskImage {
    /// The partition that holds the system.
    pub fn root(&self) -> &Partition {
        // The model refuses an empty list.
        &self.partitions[0]
    }

    /// The package of the kernel. Empty text is a package as well, though none that can be installed.
    pub fn kernel(&self) -> &str {
        self.kernel_package
            .as_deref()
            .unwrap_or("linux-image-generic")
    }

    /// The name of the image's file.
    pub fn file(&self) -> String {
        let ending = match self.format {
            DiskFormat::Raw => ".tar.xz",
            DiskFormat::Qcow2 => ".qcow2",
        };
        [&self.filename, ending].concat()
    }
}

/// What the scheduler finds out: nothing of its own.
pub type SimpleSystemImageBuildDynamicData = DynamicFields;
