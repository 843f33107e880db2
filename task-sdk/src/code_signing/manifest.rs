//! The manifest of a template, `files.json`: `{"packages": {NAME: {"trusted_certs": [TEXT]?, "files": [{"file": PATH, "sig_type": TEXT}]}}}`.

use crate::debian::package_name::{PackageName, PackageNameError};
use crate::failure::Result as StageResult;
use crate::files::Directory;
use crate::paths::{self, PathError};
use serde_json::{Map, Value};

/// The largest manifest that is read, in bytes.
const LARGEST: u64 = 4 << 20;

/// Which files of which packages are to be signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// The packages by the names that the manifest gives them, in its order.
    packages: Vec<(String, PackageToSign)>,
}

/// What is to be signed of one package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackageToSign {
    /// Fingerprints of the certificates that boot chains trust; none if the manifest does not say.
    pub trusted_certs: Option<Vec<String>>,
    /// The files.
    pub files: Vec<FileToSign>,
}

/// A file that is to be signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileToSign {
    /// Its path within its package, as the manifest writes it.
    name: String,
    /// The kind of signature, e.g. `efi`; none if the manifest does not say.
    pub sig_type: Option<String>,
}

/// Why a manifest cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// It is no JSON.
    #[error("files.json: {0}; write it as JSON")]
    Json(String),
    /// A value is missing, or is something else.
    #[error("files.json: {place}: {wanted} expected; correct the template")]
    Shape {
        /// The path to the value.
        place: String,
        /// What it should be.
        wanted: &'static str,
    },
    /// A package has an impossible name.
    #[error("files.json: {0}")]
    Package(#[from] PackageNameError),
    /// A file has a name that could lead out of its package.
    #[error("files.json: {0}")]
    Path(#[from] PathError),
}

impl Manifest {
    /// Reads a manifest. Its shape is checked here, its names where they are used.
    pub fn read(directory: &Directory, name: &str) -> StageResult<Self> {
        Ok(Self::parse(&directory.read(name, LARGEST)?)?)
    }

    /// The same from its content.
    pub fn parse(content: &[u8]) -> Result<Self, ManifestError> {
        let document: Value = serde_json::from_slice(content)
            .map_err(|error| ManifestError::Json(error.to_string()))?;
        let packages = object(&document["packages"], || "packages".to_owned())?;
        let packages = packages.iter().map(|(name, package)| {
            let place = format!("packages.{name:.80}");
            Ok((name.clone(), PackageToSign::parse(package, &place)?))
        });
        Ok(Self {
            packages: packages.collect::<Result<_, ManifestError>>()?,
        })
    }

    /// The packages with their names, in the order of the manifest; an error in the place of one whose name is none.
    pub fn packages(
        &self,
    ) -> impl Iterator<Item = Result<(PackageName, &PackageToSign), ManifestError>> {
        let packages = self.packages.iter();
        packages.map(|(name, package)| Ok((name.parse()?, package)))
    }
}

impl PackageToSign {
    fn parse(package: &Value, place: &str) -> Result<Self, ManifestError> {
        let package = object(package, || place.to_owned())?;
        let trusted_certs = match package.get("trusted_certs") {
            None | Some(Value::Null) => None,
            Some(listed) => Some(fingerprints(listed, place)?),
        };
        let files = package.get("files").and_then(Value::as_array);
        let files = files.ok_or_else(|| ManifestError::Shape {
            place: format!("{place}.files"),
            wanted: "a list",
        })?;
        let file = |(number, file)| FileToSign::parse(file, || format!("{place}.files[{number}]"));
        Ok(Self {
            trusted_certs,
            files: files
                .iter()
                .enumerate()
                .map(file)
                .collect::<Result<_, _>>()?,
        })
    }
}

impl FileToSign {
    fn parse(file: &Value, place: impl Fn() -> String) -> Result<Self, ManifestError> {
        let members = object(file, &place)?;
        let text = |key: &str| match members.get(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(ManifestError::Shape {
                place: format!("{}.{key}", place()),
                wanted: "text",
            }),
        };
        let name = text("file")?.ok_or_else(|| ManifestError::Shape {
            place: format!("{}.file", place()),
            wanted: "the path of a file",
        })?;
        Ok(Self {
            name,
            sig_type: text("sig_type")?,
        })
    }

    /// The name under which its signature is listed: package and path, as the manifest writes them.
    pub fn listed_name(&self, package: &PackageName) -> String {
        format!("{package}/{}", self.name)
    }

    /// Its path within its package, without superfluous parts (`./a//b` is `a/b`). One that could lead elsewhere is an error.
    pub fn path(&self) -> Result<String, PathError> {
        let parts = self.name.split('/');
        let mut path: String = match self.name.starts_with('/') {
            true => "/".to_owned(),
            false => String::new(),
        };
        for part in parts.filter(|part| !matches!(*part, "" | ".")) {
            if !path.is_empty() && !path.ends_with('/') {
                path.push('/');
            }
            path.push_str(part);
        }
        paths::check(&path)?;
        Ok(path)
    }
}

fn fingerprints(listed: &Value, place: &str) -> Result<Vec<String>, ManifestError> {
    let texts = listed.as_array().and_then(|listed| {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        listed.iter().map(text).collect()
    });
    texts.ok_or_else(|| ManifestError::Shape {
        place: format!("{place}.trusted_certs"),
        wanted: "a list of texts",
    })
}

fn object(value: &Value, place: impl Fn() -> String) -> Result<&Map<String, Value>, ManifestError> {
    value.as_object().ok_or_else(|| ManifestError::Shape {
        place: place(),
        wanted: "an object",
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parse(document: Value) -> Result<Manifest, ManifestError> {
        Manifest::parse(document.to_string().as_bytes())
    }

    fn path(name: &str) -> Result<String, PathError> {
        let file = FileToSign {
            name: name.to_owned(),
            sig_type: None,
        };
        file.path()
    }

    #[test]
    fn packages_and_files_keep_their_order() {
        let manifest = parse(json!({"packages": {
            "zz": {"files": [{"file": "b", "sig_type": "efi"}, {"file": "a"}]},
            "aa": {"trusted_certs": ["ab"], "files": [], "more": 1},
        }}))
        .unwrap();
        let packages: Vec<_> = manifest.packages().map(Result::unwrap).collect();
        assert_eq!(packages[0].0.as_str(), "zz");
        assert_eq!(packages[0].1.files[0].sig_type.as_deref(), Some("efi"));
        assert_eq!(packages[0].1.files[1].listed_name(&packages[0].0), "zz/a");
        assert_eq!(packages[1].1.trusted_certs, Some(vec!["ab".to_owned()]));
    }

    #[test]
    fn what_is_no_manifest_is_told_by_its_place() {
        for (document, place) in [
            (json!([]), "packages"),
            (json!({}), "packages"),
            (json!([{}]), "packages"),
            (json!({"packages": []}), "packages"),
            (json!({"packages": {"ab": null}}), "packages.ab"),
            (json!({"packages": {"ab": {}}}), "packages.ab.files"),
            (
                json!({"packages": {"ab": {"files": {}}}}),
                "packages.ab.files",
            ),
            (
                json!({"packages": {"ab": {"files": ["x"]}}}),
                "packages.ab.files[0]",
            ),
            (
                json!({"packages": {"ab": {"files": [{}]}}}),
                "packages.ab.files[0].file",
            ),
            (
                json!({"packages": {"ab": {"files": [{"file": 5}]}}}),
                "packages.ab.files[0].file",
            ),
            (
                json!({"packages": {"ab": {"files": [], "trusted_certs": [5]}}}),
                "packages.ab.trusted_certs",
            ),
        ] {
            match parse(document) {
                Err(ManifestError::Shape { place: told, .. }) => assert_eq!(told, place),
                other => panic!("{place}: {other:?}"),
            }
        }
    }

    #[test]
    fn no_file_lies_outside_of_its_package() {
        for name in [
            "",
            ".",
            "/",
            "/etc/passwd",
            "//etc",
            "..",
            "../a",
            "a/../b",
            "a/..",
            "a\0b",
            "a\nb",
        ] {
            assert!(path(name).is_err(), "{name:?}");
        }
        for name in ["a/b", "./a//b", "a/./b/"] {
            assert_eq!(path(name).unwrap(), "a/b");
        }
        assert_eq!(path("..a/b..").unwrap(), "..a/b..");
    }

    #[test]
    fn a_package_name_that_is_a_path_is_refused() {
        for name in ["..", "a/b", "Hello", "a\n", ""] {
            let manifest = parse(json!({"packages": {name: {"files": []}}})).unwrap();
            assert!(manifest.packages().next().unwrap().is_err(), "{name:?}");
        }
    }

    #[test]
    fn nesting_without_end_is_no_manifest() {
        let deep = "[".repeat(1 << 20);
        assert!(matches!(
            Manifest::parse(deep.as_bytes()),
            Err(ManifestError::Json(_))
        ));
        let text = format!("{{\"packages\": {}", "{\"a\":".repeat(100_000));
        assert!(Manifest::parse(text.as_bytes()).is_err());
        assert!(Manifest::parse(b"\xff").is_err());
    }
}
