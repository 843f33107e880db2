//! Data of systems: tarballs and images of disks.

use crate::prelude::*;

model! {
    /// A system as a tarball.
    pub struct SystemTarball {
        /// Name of the file.
        pub filename: String,
        /// The distribution, e.g. `debian`.
        pub vendor: String,
        /// Its release, e.g. `trixie`.
        pub codename: String,
        /// Where its packages came from.
        pub mirror: Url,
        /// Which packages mmdebstrap chose.
        pub variant: Option<String> = None,
        /// Its packages and their versions.
        pub pkglist: Dictionary<String>,
        /// Its architecture.
        pub architecture: String,
        /// Whether it has device nodes in /dev.
        pub with_dev: bool,
        /// Whether it has an init system.
        pub with_init: bool,
    }
}

choices! {
    /// The format of an image.
    pub literal ImageFormat {
        /// The bytes of the disk.
        Raw = "raw",
        /// QEMU's format.
        Qcow2 = "qcow2",
    }
}

choices! {
    /// How an image boots.
    pub literal BootMechanism {
        /// From an EFI system partition.
        Efi = "efi",
        /// From the boot sector.
        Bios = "bios",
    }
}

model! {
    /// A system as the image of a disk.
    pub struct SystemImage {
        /// What it has in common with a tarball.
        pub system: ..SystemTarball,
        /// Its format.
        pub image_format: ImageFormat,
        /// The file system of its root.
        pub filesystem: String,
        /// Its size in bytes.
        pub size: i64,
        /// How it boots.
        pub boot_mechanism: BootMechanism,
    }
}
