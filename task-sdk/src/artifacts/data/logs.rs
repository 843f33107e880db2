//! Data of logs.

use crate::debian::dose3::DoseDistCheck;
use crate::prelude::*;

model! {
    /// The log of a package build.
    pub struct PackageBuildLog {
        /// Name of the source package.
        pub source: String,
        /// Its version.
        pub version: String,
        /// Name of the log.
        pub filename: String,
        /// Why the package cannot be built here, if its build dependencies cannot be installed.
        pub bd_uninstallable: Option<DoseDistCheck> = None,
    }
}
