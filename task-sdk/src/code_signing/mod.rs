//! Code signing: a *template* package says which files of which packages are to be signed, and holds the source package that is to carry
//! the signatures. What a template says is as trustworthy as whoever built it: nothing of it is used unchecked.

mod manifest;
mod template;
mod unpacker;

pub use manifest::{FileToSign, Manifest, ManifestError, PackageToSign};
pub use template::{Template, package_name};
pub use unpacker::Unpacker;
