//! Making a new system from package repositories: what mmdebstrap and simplesystemimagebuild have in common.
//!
//! [`Preparation::make`] writes what the tools read: sources, keyrings, a script. Its arguments tell the tools about them.
//! [`made`] reads off the finished system what its artifact says about it.

mod arguments;
mod data;
mod keyrings;
pub mod made;
mod preparation;
mod release;
mod sources;

pub use arguments::{MAYBE_JESSIE_OR_OLDER, customize, upload};
pub use data::{
    BootstrapFields, BootstrapRepository, Keyring, KeyringUrl, RepositoryType, SignatureCheck,
    SystemOptions,
};
pub use keyrings::KeyringFile;
pub use preparation::Preparation;
pub use release::ReleaseError;

use crate::task_data::DynamicFields;

/// What the scheduler finds out: `variant` is the word for the packages to install.
pub fn dynamic_data(
    options: &SystemOptions,
    variant: Option<&str>,
    fields: &BootstrapFields,
) -> DynamicFields {
    let mut packages: Vec<&str> = options.extra_packages.iter().map(String::as_str).collect();
    packages.sort_unstable();
    let context = [
        &options.architecture,
        // The reference writes its null so.
        variant.unwrap_or("None"),
        &packages.join(","),
    ];
    DynamicFields {
        subject: Some(fields.main_repository().suite.clone()),
        runtime_context: Some(context.join(":")),
        configuration_context: Some(options.architecture.clone()),
        ..DynamicFields::default()
    }
}

#[cfg(test)]
mod tests;
