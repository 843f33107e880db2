//! The artifact: the image in its format, and what its data say.

use crate::data::{DiskFormat, DiskImage, SimpleSystemImageBuildData, Variant};
use task_sdk::artifacts::{BootMechanism, ImageFormat, SystemImage, SystemTarball};
use task_sdk::bootstrap::made;
use task_sdk::prelude::*;

/// The disk in the working directory.
pub const DISK: &str = "system.img";

/// The tar file there with the system's `/var/lib/dpkg`.
pub const DPKG_ARCHIVE: &str = "var_lib_dpkg.tar";

/// In bytes.
const UNIT_OF_SIZES: i64 = 1_000_000_000;

/// Turns the disk into the image's file.
pub fn convert(image: &DiskImage, execute: &Directory) -> Result<()> {
    let disk = execute.path(DISK);
    let file = execute.path(&image.file());
    match image.format {
        DiskFormat::Raw => run(
            &["tar", "--create", "--auto-compress", "--file", &file, &disk],
            execute,
        ),
        DiskFormat::Qcow2 => run(
            &["qemu-img", "convert", "-O", "qcow2", &disk, &file],
            execute,
        ),
    }
}

/// Reads off the files in the working directory what the system is.
pub fn describe(data: &SimpleSystemImageBuildData, execute: &Directory) -> Result<SystemImage> {
    let image = &data.disk_image;
    let options = &data.bootstrap_options;
    let repository = data.bootstrap.main_repository();
    let identity = made::Identity::read(execute)?;
    let codename = made::codename(repository, identity.codename?);
    unpack_dpkg_database(execute)?;
    let pkglist = made::packages(execute)?;
    Ok(SystemImage {
        system: SystemTarball {
            filename: image.file(),
            vendor: identity.vendor,
            codename,
            mirror: made::mirror(repository)?,
            variant: options.variant.map(Variant::as_str).map(str::to_owned),
            pkglist,
            architecture: options.system.architecture.clone(),
            with_dev: true,
            with_init: true,
        },
        image_format: match image.format {
            DiskFormat::Raw => ImageFormat::Raw,
            DiskFormat::Qcow2 => ImageFormat::Qcow2,
        },
        filesystem: image.root().filesystem.clone(),
        size: size_in_bytes(image)?,
        boot_mechanism: BootMechanism::Efi,
    })
}

fn unpack_dpkg_database(execute: &Directory) -> Result<()> {
    execute.create_directory(made::VAR_LIB_DPKG)?;
    let target = execute.path(made::VAR_LIB_DPKG);
    let archive = execute.path(DPKG_ARCHIVE);
    run(&["tar", "-C", &target, "-xf", &archive], execute)
}

/// Size of the partition that holds the system, in bytes.
fn size_in_bytes(image: &DiskImage) -> Result<i64> {
    let size = image.root().size;
    size.checked_mul(UNIT_OF_SIZES).ok_or_else(|| {
        let words = format!("disk_image.partitions[0].size {size}: too large; give it in GB");
        Failure::new("invalid-data", words)
    })
}

/// Runs a command on the host that must succeed.
fn run(arguments: &[&str], execute: &Directory) -> Result<()> {
    let outcome = Command::new(arguments.iter().copied()).run_on_host(execute)?;
    if outcome.succeeded() {
        return Ok(());
    }
    let words = format!(
        "{}: ended with {:?}; check that the disk has room for the image",
        arguments.join(" "),
        outcome.exit
    );
    Err(Failure::new("command-failed", words))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(size: i64) -> DiskImage {
        let partition = json!({"size": size, "filesystem": "ext4"});
        DiskImage::parse(&json!({"format": "raw", "partitions": [partition]})).unwrap()
    }

    #[test]
    fn sizes_are_counted_in_bytes_as_long_as_they_can_be() {
        assert_eq!(size_in_bytes(&image(10)), Ok(10_000_000_000));
        assert!(size_in_bytes(&image(i64::MAX)).is_err());
    }
}
