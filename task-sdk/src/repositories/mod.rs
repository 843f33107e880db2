//! Package repositories that a task adds to its environment, and what apt of each release can read.

mod extra;
mod sources;

pub use extra::{ExtraRepository, KeyWithoutFile, UnwritableField};
pub use sources::{AptFile, ExtraSources, KEYRINGS_DIRECTORY, SOURCES_DIRECTORY};

/// Whether apt of a release reads deb822 `.sources` files; an unknown codename is a new one.
pub fn supports_deb822_sources(codename: &str) -> bool {
    !["jessie", "trusty"].contains(&codename)
}

/// Whether apt of a release takes a key inline in `Signed-By`; an unknown codename is a new one.
pub fn supports_inline_signed_by(codename: &str) -> bool {
    const DEBIAN: [&str; 4] = ["jessie", "stretch", "buster", "bullseye"];
    const UBUNTU: [&str; 4] = ["trusty", "xenial", "bionic", "focal"];
    !DEBIAN.contains(&codename) && !UBUNTU.contains(&codename)
}

#[cfg(test)]
mod tests;
