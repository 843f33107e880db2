//! The files to be signed: taken out of their packages, and uploaded as one artifact for each package.

use crate::BinaryPackage;
use std::collections::{BTreeMap, BTreeSet};
use task_sdk::artifacts::{SigningInput, build};
use task_sdk::code_signing::{Manifest, PackageToSign, Template, Unpacker};
use task_sdk::debian::package_name::PackageName;
use task_sdk::prelude::*;

/// What is to be uploaded.
pub struct SigningInputs(Vec<Extracted>);

/// The files of one package.
struct Extracted {
    data: SigningInput,
    /// Where they are: the tree of the package, in a directory of its name.
    directory: Directory,
    /// Their paths there.
    files: Vec<String>,
    /// The artifact that they were taken from.
    package: i64,
}

impl SigningInputs {
    /// Takes out what the template names, package by package.
    pub fn extract(
        unpacker: &Unpacker<'_>,
        template: &Template,
        binaries: &BTreeMap<String, BinaryPackage>,
    ) -> Result<Self> {
        let manifest = read_manifest(unpacker, template)?;
        let mut extracted = Vec::new();
        for package in manifest.packages() {
            let (name, to_sign) = package?;
            let binary = binaries.get(name.as_str());
            let binary = required(binary, &format!("package {name} among binary_artifacts"))?;
            extracted.push(extract(unpacker, &name, to_sign, binary)?);
        }
        Ok(Self(extracted))
    }

    /// Uploads one artifact for each package.
    pub fn upload(self, template: i64) -> Result<()> {
        for extracted in self.0 {
            let files: Vec<&str> = extracted.files.iter().map(String::as_str).collect();
            let directory = &extracted.directory;
            let draft = build::signing_input(directory, "", &extracted.data, &files)?;
            let id = upload(draft, directory)?;
            relate(id, template, RelationType::RelatesTo)?;
            relate(id, extracted.package, RelationType::RelatesTo)?;
        }
        Ok(())
    }
}

/// Reads which files the template wants to be signed.
fn read_manifest(unpacker: &Unpacker<'_>, template: &Template) -> Result<Manifest> {
    const LOCAL: &str = "_files.json";
    unpacker.unpack(&template.deb, &template.name)?;
    let manifest = format!("{}/{}/files.json", template.name, template.directory());
    unpacker.pull(&manifest, LOCAL)?;
    Manifest::read(&unpacker.local, LOCAL)
}

/// Takes the files of one package out of it.
fn extract(
    unpacker: &Unpacker<'_>,
    name: &PackageName,
    to_sign: &PackageToSign,
    binary: &BinaryPackage,
) -> Result<Extracted> {
    unpacker.unpack(&binary.deb, name.as_str())?;
    let directory = unpacker.pull_directory(name.as_str())?;
    let mut files = BTreeSet::new();
    let mut ordered = Vec::new();
    for file in &to_sign.files {
        let path = format!("{name}/{}", file.path()?);
        check(&directory, &path)?;
        if !files.insert(path.clone()) {
            return refused(&path, "the template names it twice");
        }
        ordered.push(path);
    }
    Ok(Extracted {
        data: SigningInput {
            trusted_certs: to_sign.trusted_certs.clone(),
            binary_package_name: Some(name.to_string()),
        },
        directory,
        files: ordered,
        package: binary.id,
    })
}

/// Refuses what is no file of the package. Links within it are fine.
fn check(directory: &Directory, path: &str) -> Result<()> {
    match directory.stat(path)? {
        None => refused(path, "it is not in the package"),
        Some(entry) => match entry.target_type {
            Some(EntryType::Regular) => Ok(()),
            Some(_) => refused(path, "it is no regular file"),
            None => refused(
                path,
                "it is a link that leads nowhere, or out of the package",
            ),
        },
    }
}

fn refused<T>(path: &str, why: &str) -> Result<T> {
    let words = format!("{path}: {why}; correct files.json of the template");
    Err(Failure::new("invalid-data", words))
}
