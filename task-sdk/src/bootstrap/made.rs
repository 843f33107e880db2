//! What the files that a new system left in the working directory say about it.

use super::data::BootstrapRepository;
use crate::command::{Command, Output};
use crate::debian::os_release::{self, OsReleaseError};
use crate::failure::{Failure, Result};
use crate::files::Directory;
use crate::model::{Dictionary, Url};

/// The copy of the system's `/etc/os-release`.
pub const OS_RELEASE: &str = "os-release";

/// The copy of the system's `/var/lib`, as far as it is dpkg's.
pub const VAR_LIB_DPKG: &str = "var_lib_dpkg";

/// The longest os-release(5) file that is read, in bytes.
const LONGEST_OS_RELEASE: u64 = 1 << 20;

/// The longest list of packages that is read, in bytes: some hundred thousand packages.
const LONGEST_PACKAGE_LIST: u32 = 8 << 20;

/// Which distribution and release a system is, in its own words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The distribution, e.g. `debian`.
    pub vendor: String,
    /// The release, e.g. `trixie`; some releases do not say.
    pub codename: Result<String, OsReleaseError>,
}

impl Identity {
    /// Reads the copy of the system's os-release.
    pub fn read(execute: &Directory) -> Result<Self> {
        let text = execute.read_text(OS_RELEASE, LONGEST_OS_RELEASE)?;
        Ok(Self::parse(&text)?)
    }

    pub(super) fn parse(text: &str) -> Result<Self, OsReleaseError> {
        Ok(Self {
            vendor: os_release::value(text, "ID")?,
            codename: os_release::value(text, "VERSION_CODENAME"),
        })
    }
}

/// The release that a system is, where its own word may be that of the release to come.
pub fn codename(repository: &BootstrapRepository, own: String) -> String {
    match repository.suite.as_str() {
        "unstable" | "sid" => "sid".to_owned(),
        _ => own,
    }
}

/// The repository's mirror, as artifacts name it.
pub fn mirror(repository: &BootstrapRepository) -> Result<Url> {
    Url::parse(&repository.mirror).map_err(|refusal| {
        let words = format!("mirror {:?}: {}", repository.mirror, refusal.message);
        Failure::new("invalid-data", words)
    })
}

/// The packages of the system and their versions, as dpkg knows them.
pub fn packages(execute: &Directory) -> Result<Dictionary<String>> {
    let database = execute.path(&[VAR_LIB_DPKG, "/dpkg"].concat());
    let admindir = ["--admindir=", &database].concat();
    let list = Command::new(["dpkg-query", &admindir, "--show"])
        .output(Output::Return(LONGEST_PACKAGE_LIST))
        .run_on_host(execute)?;
    if !list.succeeded() {
        let words = format!(
            "dpkg-query of {database}: {:?}; check the system's dpkg",
            list.exit
        );
        return Err(Failure::new("command-failed", words));
    }
    if list.output.len() >= LONGEST_PACKAGE_LIST as usize {
        let words =
            format!("dpkg-query of {database}: no more than {LONGEST_PACKAGE_LIST} bytes are read");
        return Err(Failure::new("too-large", words));
    }
    Ok(parse_packages(&String::from_utf8(list.output)?)?)
}

/// A line of dpkg-query(1) that is not a package, a tabulator and a version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("dpkg-query wrote {0:?}, which is not a package and its version; check the system's dpkg")]
pub struct NotAPackage(pub String);

pub(super) fn parse_packages(list: &str) -> Result<Dictionary<String>, NotAPackage> {
    let entry = |line: &str| match line.split_once('\t') {
        Some((package, version)) if !version.contains('\t') => {
            Ok((package.to_owned(), version.to_owned()))
        }
        _ => Err(NotAPackage(line.to_owned())),
    };
    list.lines()
        .map(entry)
        .collect::<Result<_, _>>()
        .map(Dictionary)
}
