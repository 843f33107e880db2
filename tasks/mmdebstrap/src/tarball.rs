//! The artifact: the tarball, and what its data say.

use crate::data::{BootstrapOptions, Variant};
use task_sdk::artifacts::SystemTarball;
use task_sdk::bootstrap::{BootstrapFields, BootstrapRepository, made};
use task_sdk::debian::os_release::OsReleaseError;
use task_sdk::prelude::*;

/// The tarball in the working directory.
pub const FILE: &str = "system.tar.xz";

/// The file that says by its `0` that the system has an init.
pub const INIT_TEST: &str = "test-sbin-init";

/// In bytes.
const LONGEST_INIT_TEST: u64 = 1024;

/// Reads off the files in the working directory what the system is.
pub fn describe(
    options: &BootstrapOptions,
    bootstrap: &BootstrapFields,
    execute: &Directory,
) -> Result<SystemTarball> {
    let repository = bootstrap.main_repository();
    let identity = made::Identity::read(execute)?;
    let codename = codename(repository, identity.codename)?;
    let pkglist = made::packages(execute)?;
    let init_test = execute.read_text(INIT_TEST, LONGEST_INIT_TEST)?;
    Ok(SystemTarball {
        filename: FILE.to_owned(),
        vendor: identity.vendor,
        codename,
        mirror: made::mirror(repository)?,
        variant: options.variant.map(Variant::as_str).map(str::to_owned),
        pkglist,
        architecture: options.system.architecture.clone(),
        with_dev: true,
        with_init: has_init(&init_test),
    })
}

/// The suite stands in for a codename that an old system does not know.
fn codename(
    repository: &BootstrapRepository,
    own: Result<String, OsReleaseError>,
) -> Result<String, OsReleaseError> {
    let own = match own {
        Err(OsReleaseError::Missing(_)) => repository.suite.clone(),
        own => own?,
    };
    Ok(made::codename(repository, own))
}

fn has_init(test: &str) -> bool {
    test.trim_end() == "0"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repository(suite: &str) -> BootstrapRepository {
        BootstrapRepository::parse(&json!({"mirror": "https://e.org", "suite": suite})).unwrap()
    }

    #[test]
    fn a_system_without_a_codename_has_that_of_its_suite() {
        let missing = || Err(OsReleaseError::Missing("VERSION_CODENAME".into()));
        assert_eq!(
            codename(&repository("jessie"), missing()).unwrap(),
            "jessie"
        );
        assert_eq!(codename(&repository("unstable"), missing()).unwrap(), "sid");
        let own = Ok("bookworm".to_owned());
        assert_eq!(codename(&repository("stable"), own).unwrap(), "bookworm");
    }

    #[test]
    fn only_a_zero_means_an_init() {
        assert!(has_init("0\n") && has_init("0"));
        assert!(!has_init("1\n") && !has_init("") && !has_init(" 0\n"));
    }
}
