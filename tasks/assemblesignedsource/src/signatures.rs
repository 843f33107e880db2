//! The signatures: which there are, for which files, and where they go.

use std::collections::BTreeMap;
use task_sdk::artifacts::{SigningOutput, SigningPurpose};
use task_sdk::code_signing::Manifest;
use task_sdk::prelude::*;

/// The directory, among the inputs, with a directory for each artifact with signatures.
pub const DIRECTORY: &str = "signed-artifacts";

/// What there is of signatures.
#[derive(Default)]
pub struct Signatures {
    /// Where a signature lies, by what it is for and the name of the file.
    files: BTreeMap<(&'static str, String), Signature>,
    /// The packages from which the signed files are, according to the last artifact with signatures (earlier ones are forgotten,
    /// as the reference does); none before there was one.
    pub built_using: Option<Vec<i64>>,
}

/// A file among the inputs.
struct Signature {
    /// The directory of its artifact.
    directory: String,
    /// Its path in there.
    path: String,
}

impl Signatures {
    /// Fetches an artifact with signatures. False: it is none, and the log says so.
    pub fn fetch(&mut self, id: i64, download: &Directory) -> Result<bool> {
        let directory = format!("{DIRECTORY}/{id}");
        if download.stat(&directory)?.is_some() {
            let words = format!("signed: artifact {id} is there twice; name it once");
            return Err(Failure::new("file-exists", words));
        }
        let artifact = Artifact::fetch(id, &download.create_directory(&directory)?)?;
        if !artifact.is_accepted("signed", &[Category::SigningOutput])? {
            return Ok(false);
        }
        let output = parse(&artifact)?;
        for result in output.results {
            if let Some(path) = result.output_file {
                let key = (output.purpose.as_str(), result.file);
                let directory = directory.clone();
                self.files.insert(key, Signature { directory, path });
            }
        }
        self.built_using = Some(packages_behind(id)?);
        Ok(true)
    }

    /// Puts the signature of each file of the manifest into the source package.
    pub fn add(&self, signed: &Manifest, download: &Directory, source: &Directory) -> Result<()> {
        for package in signed.packages() {
            let (name, to_sign) = package?;
            for file in &to_sign.files {
                let path = file.path()?;
                let purpose = purpose(file.sig_type.as_deref())?;
                let listed = file.listed_name(&name);
                let signature = self.files.get(&(purpose.as_str(), listed.clone()));
                let what = format!("{} signature of {listed}", purpose.as_str());
                let signature = required(signature, &what)?;
                let target = format!("debian/signatures/{name}/{path}.sig");
                create_parents(source, &target)?;
                let directory = download.open_directory(&signature.directory)?;
                source.copy(&directory, &signature.path, &target)?;
            }
        }
        Ok(())
    }
}

fn parse(artifact: &Artifact) -> Result<SigningOutput> {
    SigningOutput::parse(&artifact.data).map_err(|violations| {
        let words: Vec<String> = violations.iter().map(ToString::to_string).collect();
        let words = format!("signed: artifact {}: {}", artifact.id, words.join("; "));
        Failure::new("invalid-data", words)
    })
}

/// The packages from which the files were taken that an artifact has the signatures of.
fn packages_behind(signing_output: i64) -> Result<Vec<i64>> {
    let mut packages = Vec::new();
    for input in related_of_category(signing_output, Category::SigningInput)? {
        packages.extend(related_of_category(input, Category::BinaryPackage)?);
    }
    Ok(packages)
}

/// The artifacts of a category to which an artifact relates.
fn related_of_category(id: i64, category: Category) -> Result<Vec<i64>> {
    let mut found = Vec::new();
    for target in related(id, RelationType::RelatesTo)? {
        if Artifact::get(target)?.category == category.as_str() {
            found.push(target);
        }
    }
    Ok(found)
}

/// What a kind of signature is for.
fn purpose(sig_type: Option<&str>) -> Result<SigningPurpose> {
    match sig_type {
        Some("efi") => Ok(SigningPurpose::Uefi),
        other => {
            let words = format!("files.json: sig_type {other:?}: only efi can be handled");
            Err(Failure::new("invalid-data", words))
        }
    }
}

/// Makes the directories that lead to a file.
fn create_parents(directory: &Directory, path: &str) -> Result<()> {
    for (end, _) in path.match_indices('/') {
        directory.create_directory(&path[..end])?;
    }
    Ok(())
}
