//! Debian's files: artifacts that their files alone describe, verified against the checksums that they list.

use super::super::error::CliError;
use super::content::FilesOf;
use super::import::{Parts, open};
use liblzma::read::XzDecoder;
use md5::Md5;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use task_runtime::artifacts::NewFile;
use task_sdk::artifacts::{ArtifactError, Draft, build};
use task_sdk::debian::changes::Changes;
use task_sdk::debian::deb822::StanzaError;
use task_sdk::debian::dsc::Dsc;
use task_sdk::debian::uploads::UploadFields;

/// An artifact whose category the name of its file tells.
pub fn recognised(paths: &[PathBuf]) -> Result<Parts, CliError> {
    let [path] = paths else {
        let words = "several files without a category: give the .dsc or .changes file alone, or name the category with --category";
        return Err(CliError::new("usage", words));
    };
    let extension = path
        .extension()
        .and_then(|it| it.to_str())
        .unwrap_or_default();
    match extension {
        "dsc" => source_package(path),
        "changes" => upload(path),
        "deb" | "udeb" => binary_package(path),
        "build" => build_log(path),
        _ => Err(CliError::new(
            "usage",
            format!(
                "{}: its name tells no category; name one with --category, and its data with --data",
                path.display()
            ),
        )),
    }
}

fn source_package(path: &Path) -> Result<Parts, CliError> {
    let listing = open(path)?;
    let name = listing.path.clone();
    let dsc = Dsc::parse(&content(&listing)?).map_err(|error| stanza(&name, error))?;
    let Some(dsc) = dsc else {
        let words = format!("{name}: not a .dsc file: no Source or no Version; fetch it again");
        return Err(CliError::new("artifact", words));
    };
    let files = with_listed(path, listing, dsc.fields())?;
    let names: Vec<&str> = files.iter().map(|file| file.path.as_str()).collect();
    let draft = build::source_package(&FilesOf(&files), dsc.source(), dsc.version(), &names)?;
    Ok(parts(draft, files))
}

fn upload(path: &Path) -> Result<Parts, CliError> {
    let listing = open(path)?;
    let name = listing.path.clone();
    let changes = Changes::parse(&content(&listing)?).map_err(|error| stanza(&name, error))?;
    let files = with_listed(path, listing, changes.fields())?;
    let draft = build::upload(&FilesOf(&files), &name)?;
    Ok(parts(draft, files))
}

fn binary_package(path: &Path) -> Result<Parts, CliError> {
    let files = vec![open(path)?];
    let draft = build::binary_package(&FilesOf(&files), &files[0].path)?;
    Ok(parts(draft, files))
}

/// Source and version are in the name that sbuild gives: `SOURCE_VERSION_ARCHITECTURE.build`.
fn build_log(path: &Path) -> Result<Parts, CliError> {
    let files = vec![open(path)?];
    let name = &files[0].path;
    let mut words = name.trim_end_matches(".build").split('_');
    let (Some(source), Some(version)) = (words.next(), words.next()) else {
        let words = format!(
            "{name}: not called SOURCE_VERSION_ARCHITECTURE.build; rename it, or give --category debian:package-build-log with --data"
        );
        return Err(CliError::new("artifact", words));
    };
    let draft = build::package_build_log(&FilesOf(&files), source, version, name, None)?;
    Ok(parts(draft, files))
}

fn parts(draft: Draft, files: Vec<NewFile>) -> Parts {
    Parts {
        category: draft.category,
        data: draft.data,
        files,
    }
}

fn stanza(file: &str, source: StanzaError) -> CliError {
    let file = file.to_owned();
    ArtifactError::Stanza { file, source }.into()
}

/// What a listing file says, as long as a listing can be.
fn content(file: &NewFile) -> Result<Vec<u8>, CliError> {
    let longest = task_sdk::debian::deb822::LONGEST_STANZA as u64;
    let mut content = Vec::new();
    let read = (&file.content).take(longest + 1).read_to_end(&mut content);
    read.map_err(|error| unreadable(&file.path, &error))?;
    Ok(content)
}

/// The listing file and the files beside it that it lists, verified.
fn with_listed(
    path: &Path,
    listing: NewFile,
    fields: &UploadFields,
) -> Result<Vec<NewFile>, CliError> {
    let checksums = match fields.files("Checksums-Sha256") {
        [] => fields.files("Files"),
        checksums => checksums,
    };
    let mut files = vec![listing];
    for entry in checksums {
        let name = entry.name().unwrap_or_default();
        task_sdk::paths::check_name(name).map_err(ArtifactError::from)?;
        let file = open(&path.with_file_name(name))?;
        let found = match (entry.get("sha256"), entry.get("md5sum")) {
            (Some(wanted), _) => (wanted, checksum::<Sha256>(&file)?),
            (None, wanted) => (wanted.unwrap_or_default(), checksum::<Md5>(&file)?),
        };
        if found.0 != found.1 {
            let listed_in = &files[0].path;
            let words = format!(
                "{name}: its checksum is not the one in {listed_in}: it is damaged or of another version; fetch it again"
            );
            return Err(CliError::new("damaged", words));
        }
        files.push(file);
    }
    Ok(files)
}

fn checksum<D: Digest>(file: &NewFile) -> Result<String, CliError> {
    let mut digest = D::new();
    let mut reader = BufReader::with_capacity(128 << 10, &file.content);
    loop {
        let read = reader
            .fill_buf()
            .map_err(|error| unreadable(&file.path, &error))?;
        if read.is_empty() {
            return Ok(hex::encode(digest.finalize()));
        }
        digest.update(read);
        let length = read.len();
        reader.consume(length);
    }
}

/// Reads a tarball to its end: damage is told now, and not by the first task that needs it. Images of other formats are left alone.
pub fn check_tarball(file: &NewFile) -> Result<(), CliError> {
    if !file.path.ends_with(".tar.xz") {
        return Ok(());
    }
    read_tarball(&file.content).map_err(|error| {
        let words = format!(
            "{}: damaged tarball: {error}; build or fetch it again",
            file.path
        );
        CliError::new("damaged", words)
    })
}

fn read_tarball(mut file: &File) -> io::Result<()> {
    file.seek(SeekFrom::Start(0))?;
    let mut decoder = XzDecoder::new_multi_decoder(BufReader::new(file));
    let mut archive = tar::Archive::new(&mut decoder);
    let mut entries = 0;
    for entry in archive.entries()? {
        entry?;
        entries += 1;
    }
    if entries == 0 {
        return Err(io::Error::other("nothing is in it"));
    }
    io::copy(&mut decoder, &mut io::sink())?;
    Ok(())
}

fn unreadable(name: &str, error: &io::Error) -> CliError {
    let words = format!("{name}: cannot be read: {error}; check the file and its disk");
    CliError::new("file", words)
}
