//! The categories of artifacts.

use std::fmt;
use std::str::FromStr;

macro_rules! categories {
    ($($(#[doc = $doc:literal])* $name:ident = $word:literal),* $(,)?) => {
        /// A category of artifacts, as tasks of a worker make or take them.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Category {
            $($(#[doc = $doc])* $name,)*
        }

        impl Category {
            /// All categories.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// Its name on the wire, e.g. `debian:source-package`.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $word,)*
                }
            }
        }
    };
}

categories! {
    /// The logs of a work request.
    DebugLogs = "debusine:work-request-debug-logs",
    /// The log of a package build.
    PackageBuildLog = "debian:package-build-log",
    /// An upload: a `.changes` file and the files that it lists.
    Upload = "debian:upload",
    /// A source package: a `.dsc` file and the files that it lists.
    SourcePackage = "debian:source-package",
    /// One binary package.
    BinaryPackage = "debian:binary-package",
    /// Binary packages of one source and one architecture.
    BinaryPackages = "debian:binary-packages",
    /// What lintian found.
    Lintian = "debian:lintian",
    /// The results of autopkgtest.
    Autopkgtest = "debian:autopkgtest",
    /// A system as a tarball.
    SystemTarball = "debian:system-tarball",
    /// A system as the image of a disk.
    SystemImage = "debian:system-image",
    /// What blhc found in a build log.
    Blhc = "debian:blhc",
    /// What debdiff found between packages.
    Debdiff = "debian:debdiff",
    /// Files to be signed.
    SigningInput = "debusine:signing-input",
    /// Files that were signed.
    SigningOutput = "debusine:signing-output",
    /// For tests.
    Test = "debusine:test",
}

impl fmt::Display for Category {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// There is no such category.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown artifact category {0:?}: use one that Debusine knows, e.g. debian:source-package")]
pub struct UnknownCategory(pub String);

impl FromStr for Category {
    type Err = UnknownCategory;

    fn from_str(name: &str) -> Result<Self, UnknownCategory> {
        let mut all = Self::ALL.iter().copied();
        all.find(|category| category.as_str() == name)
            .ok_or_else(|| UnknownCategory(name.to_owned()))
    }
}
