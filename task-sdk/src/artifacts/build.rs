//! How tasks make artifacts of the files that they produced.
//!
//! Each function reads what it has to from files beneath a directory, named by relative paths, and gives a [`Draft`] that has been
//! checked. Nothing is stored here.

use super::data::analyses::{Autopkgtest, Debdiff, Lintian, LintianSummary};
use super::data::logs::PackageBuildLog;
use super::data::no_data::NoData;
use super::data::packages::{BinaryPackage, BinaryPackages, Dpkg, SourcePackage, Upload};
use super::data::signing::SigningInput;
use super::data::systems::{SystemImage, SystemTarball};
use super::{ArtifactError, Category, Directory, Draft, DraftFile, FileOf, FilesError};
use crate::debian::changes::Changes;
use crate::debian::deb::Deb;
use crate::debian::deb822::{LONGEST_STANZA, StanzaError};
use crate::debian::dose3::DoseDistCheck;
use crate::debian::dsc::Dsc;
use crate::debian::read_at::ReadAt;
use crate::paths;

/// An upload: a `.changes` file and the files beside it that its `Checksums-Sha256` lists.
pub fn upload(directory: &dyn Directory, changes: &str) -> Result<Draft, ArtifactError> {
    let content = read_stanza(directory, changes)?;
    let parsed = Changes::parse(&content).map_err(|source| ArtifactError::Stanza {
        file: changes.to_owned(),
        source,
    })?;
    let mut files = vec![DraftFile::by_name(changes)];
    for entry in parsed.fields().files("Checksums-Sha256") {
        let name = entry.name().unwrap_or_default();
        paths::check_name(name)?;
        files.push(DraftFile::by_name(&paths::beside(changes, name)));
    }
    let data = Upload {
        r#type: Dpkg::Dpkg,
        changes_fields: parsed.fields().to_json(),
    };
    Draft::new(directory, Category::Upload, &data, files)
}

/// A source package: a `.dsc` file and the files that belong to it, of any directory. Fields are those of the `.dsc`.
pub fn source_package(
    directory: &dyn Directory,
    name: &str,
    version: &str,
    files: &[&str],
) -> Result<Draft, ArtifactError> {
    let dsc = files.iter().find(|file| file.ends_with(".dsc"));
    let Some(dsc) = dsc else {
        return Err(FilesError::NotOne {
            category: Category::SourcePackage,
            pattern: "*.dsc",
            found: 0,
        }
        .into());
    };
    let content = read_stanza(directory, dsc)?;
    let parsed = Dsc::parse(&content).map_err(|source| ArtifactError::Stanza {
        file: (*dsc).to_owned(),
        source,
    })?;
    let data = SourcePackage {
        name: name.to_owned(),
        version: version.to_owned(),
        r#type: Dpkg::Dpkg,
        dsc_fields: parsed.map(|dsc| dsc.fields().to_json()).unwrap_or_default(),
    };
    let files = by_name(files);
    Draft::new(directory, Category::SourcePackage, &data, files)
}

/// One binary package.
pub fn binary_package(directory: &dyn Directory, path: &str) -> Result<Draft, ArtifactError> {
    let failed = |source| ArtifactError::Deb {
        file: path.to_owned(),
        source,
    };
    let deb = Deb::read(&FileOf { directory, path }).map_err(failed)?;
    let (srcpkg_name, srcpkg_version) = deb.source().map_err(failed)?;
    let data = BinaryPackage {
        srcpkg_name,
        srcpkg_version,
        deb_fields: deb.control().to_json(),
        deb_control_files: deb.control_files().to_vec(),
    };
    let files = by_name(&[path]);
    Draft::new(directory, Category::BinaryPackage, &data, files)
}

/// What binary packages of one build have in common.
#[derive(Debug, Clone, Copy)]
pub struct Build<'a> {
    /// Name of the source package.
    pub source: &'a str,
    /// Version of the source package.
    pub source_version: &'a str,
    /// Version of the packages.
    pub version: &'a str,
    /// Their architecture, or `all`.
    pub architecture: &'a str,
}

/// Binary packages of one build. They are called what their file names begin with, up to the first `_`.
pub fn binary_packages(
    directory: &dyn Directory,
    build: Build<'_>,
    files: &[&str],
) -> Result<Draft, ArtifactError> {
    let package = |file: &&str| {
        let name = paths::file_name(file);
        name.split('_').next().unwrap_or(name).to_owned()
    };
    let data = BinaryPackages {
        srcpkg_name: build.source.to_owned(),
        srcpkg_version: build.source_version.to_owned(),
        version: build.version.to_owned(),
        architecture: build.architecture.to_owned(),
        packages: files.iter().map(package).collect(),
    };
    let files = by_name(files);
    Draft::new(directory, Category::BinaryPackages, &data, files)
}

/// The log of a package build.
pub fn package_build_log(
    directory: &dyn Directory,
    source: &str,
    version: &str,
    file: &str,
    explanation: Option<DoseDistCheck>,
) -> Result<Draft, ArtifactError> {
    let data = PackageBuildLog {
        source: source.to_owned(),
        version: version.to_owned(),
        filename: paths::file_name(file).to_owned(),
        bd_uninstallable: explanation,
    };
    let files = by_name(&[file]);
    Draft::new(directory, Category::PackageBuildLog, &data, files)
}

/// Files to be signed, under their paths beneath `base` (empty: beneath the directory itself).
pub fn signing_input(
    directory: &dyn Directory,
    base: &str,
    data: &SigningInput,
    files: &[&str],
) -> Result<Draft, ArtifactError> {
    let files = beneath(base, files);
    Draft::new(directory, Category::SigningInput, data, files)
}

/// What lintian found: its analysis and its output, whatever they are called where they lie.
pub fn lintian(
    directory: &dyn Directory,
    summary: LintianSummary,
    analysis: &str,
    output: &str,
) -> Result<Draft, ArtifactError> {
    let named = |path: &str, source: &str| DraftFile {
        path: path.to_owned(),
        source: source.to_owned(),
    };
    let files = vec![
        named("analysis.json", analysis),
        named("lintian.txt", output),
    ];
    super::files::check_analysis(directory, analysis)?;
    let data = Lintian { summary };
    Draft::new(directory, Category::Lintian, &data, files)
}

/// The results of autopkgtest, under the files' paths beneath `base`. Built packages (in `binaries/` there) are left out.
pub fn autopkgtest(
    directory: &dyn Directory,
    base: &str,
    data: &Autopkgtest,
    files: &[&str],
) -> Result<Draft, ArtifactError> {
    let mut files = beneath(base, files);
    files.retain(|file| !file.path.starts_with("binaries/"));
    Draft::new(directory, Category::Autopkgtest, data, files)
}

/// A system as a tarball.
pub fn system_tarball(
    directory: &dyn Directory,
    data: &SystemTarball,
    file: &str,
) -> Result<Draft, ArtifactError> {
    let files = by_name(&[file]);
    Draft::new(directory, Category::SystemTarball, data, files)
}

/// A system as the image of a disk.
pub fn system_image(
    directory: &dyn Directory,
    data: &SystemImage,
    file: &str,
) -> Result<Draft, ArtifactError> {
    let files = by_name(&[file]);
    Draft::new(directory, Category::SystemImage, data, files)
}

/// What blhc found.
pub fn blhc(directory: &dyn Directory, file: &str) -> Result<Draft, ArtifactError> {
    let files = by_name(&[file]);
    Draft::new(directory, Category::Blhc, &NoData, files)
}

/// What debdiff found between two files.
pub fn debdiff(
    directory: &dyn Directory,
    original: &str,
    new: &str,
    file: &str,
) -> Result<Draft, ArtifactError> {
    let data = Debdiff {
        original: paths::file_name(original).to_owned(),
        new: paths::file_name(new).to_owned(),
    };
    let files = by_name(&[file]);
    Draft::new(directory, Category::Debdiff, &data, files)
}

/// The logs of a work request; there may be none.
pub fn debug_logs(directory: &dyn Directory, files: &[&str]) -> Result<Draft, ArtifactError> {
    let files = by_name(files);
    Draft::new(directory, Category::DebugLogs, &NoData, files)
}

fn by_name(files: &[&str]) -> Vec<DraftFile> {
    files.iter().map(|file| DraftFile::by_name(file)).collect()
}

fn beneath(base: &str, files: &[&str]) -> Vec<DraftFile> {
    let file = |path: &&str| DraftFile {
        path: (*path).to_owned(),
        source: match base {
            "" => (*path).to_owned(),
            base => format!("{base}/{path}"),
        },
    };
    files.iter().map(file).collect()
}

/// Reads a `.dsc` or `.changes` file whole, unless it is too long to be one.
fn read_stanza(directory: &dyn Directory, path: &str) -> Result<Vec<u8>, ArtifactError> {
    let file = FileOf { directory, path };
    let read_error = |source| ArtifactError::Read {
        file: path.to_owned(),
        source,
    };
    let length = file.size().map_err(read_error)?;
    if length > LONGEST_STANZA as u64 {
        return Err(ArtifactError::Stanza {
            file: path.to_owned(),
            source: StanzaError::TooLong { length },
        });
    }
    file.read(LONGEST_STANZA as u64).map_err(read_error)
}
