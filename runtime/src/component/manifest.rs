//! What a component says of itself and of its needs, read from its bytes: nothing is compiled or run.
//!
//! The manifest is text, one `Field: value` on each line, in a custom section of the component; task-sdk puts it there. Components of other
//! toolchains may have it in a file beside them, `NAME.manifest` for `NAME.wasm`. Two files cannot be replaced at once: a manifest that
//! names its component (`SHA256: …`) is of no other one.

use super::cache::CacheError;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;
use wasmparser::{Parser, Payload};

/// Name of the custom section.
const SECTION: &str = "debusine:task";

/// The most bytes of a manifest that are read.
const LONGEST: usize = 64 << 10;

/// What a component says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Manifest {
    /// Name of its task.
    pub task: Option<String>,
    /// What the task does, in one line.
    pub summary: Option<String>,
    /// The SDK that it was built with, e.g. `task-sdk 0.1.0`.
    pub sdk: Option<String>,
    /// What it needs; none if it does not say, and so asks for all that it imports.
    pub needs: Option<Needs>,
}

/// What a task needs of its worker's power.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Needs {
    /// Programs that it starts on the host.
    pub commands: Vec<String>,
    /// Whether it starts environments, and programs in them.
    pub environments: bool,
    /// Whether these reach the host's network; manifests that do not say so are of a time when all of them did.
    pub network: bool,
    /// Whether it fetches URLs.
    pub http: bool,
    /// Categories of artifacts that it uploads.
    pub uploads: Vec<String>,
}

/// The text of a component's own manifest, as its custom section has it; none if it has no such section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OwnText(Option<String>);

impl OwnText {
    /// Reads it from the bytes of a component. What is no WebAssembly is an error.
    pub(super) fn of(bytes: &[u8]) -> Result<Self, String> {
        Ok(Self(section(bytes)?.map(str::to_owned)))
    }

    /// As words that can be kept, and read again.
    pub(super) fn words(&self) -> String {
        match &self.0 {
            Some(text) => format!("its own manifest\n{text}"),
            None => "no manifest of its own\n".to_owned(),
        }
    }

    /// Reads such words; none if they are others.
    pub(super) fn from_words(words: &str) -> Option<Self> {
        match words.split_once('\n')? {
            ("its own manifest", text) => Some(Self(Some(text.to_owned()))),
            ("no manifest of its own", "") => Some(Self(None)),
            _ => None,
        }
    }

    /// Whether the component has one.
    pub(super) fn is_there(&self) -> bool {
        self.0.is_some()
    }
}

impl Manifest {
    /// The manifest of the component in a file: its own, else that beside it, else an empty one.
    pub fn of(path: &Path) -> Result<Self, CacheError> {
        let bytes = std::fs::read(path).map_err(|error| CacheError::Read {
            path: path.to_owned(),
            error,
        })?;
        Self::of_bytes(path, &bytes)
    }

    /// The same for the bytes that were read from that file.
    pub(super) fn of_bytes(path: &Path, bytes: &[u8]) -> Result<Self, CacheError> {
        let own = OwnText::of(bytes).map_err(|reason| invalid(path, reason))?;
        let digest = || hex::encode(Sha256::digest(bytes));
        Self::resolve(path, &own, digest)
    }

    /// The component's own manifest, else that beside its file. `digest`: SHA-256 of the component, in hexadecimal digits.
    pub(super) fn resolve(
        path: &Path,
        own: &OwnText,
        digest: impl FnOnce() -> String,
    ) -> Result<Self, CacheError> {
        if let Some(text) = &own.0 {
            return Self::parse(text).map_err(|reason| invalid(path, reason));
        }
        let beside = path.with_extension("manifest");
        let failed = |error| CacheError::Read {
            path: beside.clone(),
            error,
        };
        let text = match File::open(&beside) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Self::default()),
            opened => text_of(opened.map_err(failed)?).map_err(failed)?,
        };
        let unusable = |reason| CacheError::Manifest {
            path: beside.clone(),
            reason,
        };
        let manifest = Self::parse(&text).map_err(unusable)?;
        let Some(named) = field(&text, "SHA256") else {
            return Ok(manifest);
        };
        match named.eq_ignore_ascii_case(&digest()) {
            true => Ok(manifest),
            false => Err(unusable(format!(
                "SHA256: it is the manifest of another component than {}",
                path.display()
            ))),
        }
    }

    fn parse(text: &str) -> Result<Self, String> {
        let mut manifest = Self::default();
        let mut network = None;
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            let (field, value) = line
                .split_once(':')
                .ok_or_else(|| format!("manifest: {line:?}: no field; write `Field: value`"))?;
            let value = value.trim();
            match field {
                "Task" => manifest.task = Some(value.to_owned()),
                "Summary" => manifest.summary = Some(value.to_owned()),
                "SDK" => manifest.sdk = Some(value.to_owned()),
                "Commands" => manifest.needs().commands = words(value),
                "Environments" => manifest.needs().environments = truth(field, value)?,
                "Network" => network = Some(truth(field, value)?),
                "HTTP" => manifest.needs().http = truth(field, value)?,
                "Uploads" => manifest.needs().uploads = words(value),
                // Later versions may know more fields; what they ask for is not granted here.
                _ => {}
            }
        }
        if let Some(needs) = &mut manifest.needs {
            needs.network = network.unwrap_or(needs.environments);
        }
        Ok(manifest)
    }

    fn needs(&mut self) -> &mut Needs {
        self.needs.get_or_insert_default()
    }
}

fn invalid(path: &Path, reason: String) -> CacheError {
    CacheError::Invalid {
        path: path.to_owned(),
        reason,
    }
}

/// The value of a field in a manifest's text.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let mut fields = text.lines().filter_map(|line| line.split_once(':'));
    let (_, value) = fields.find(|(field, _)| *field == name)?;
    Some(value.trim())
}

/// The text of a manifest in a file of its own.
fn text_of(file: File) -> std::io::Result<String> {
    let mut text = String::new();
    file.take(LONGEST as u64 + 1).read_to_string(&mut text)?;
    match text.len() > LONGEST {
        true => Err(ErrorKind::FileTooLarge.into()),
        false => Ok(text),
    }
}

fn words(value: &str) -> Vec<String> {
    value.split_whitespace().map(str::to_owned).collect()
}

fn truth(field: &str, value: &str) -> Result<bool, String> {
    match value {
        "yes" => Ok(true),
        "no" => Ok(false),
        _ => Err(format!("manifest: {field}: {value:?}; write yes or no")),
    }
}

/// The custom section, wherever in the component it is. What is no WebAssembly is an error.
fn section(bytes: &[u8]) -> Result<Option<&str>, String> {
    for payload in Parser::new(0).parse_all(bytes) {
        if let Payload::CustomSection(section) = payload.map_err(|error| error.to_string())?
            && section.name() == SECTION
        {
            if section.data().len() > LONGEST {
                return Err(format!("manifest: longer than {LONGEST} bytes"));
            }
            let text = std::str::from_utf8(section.data());
            return text.map(Some).map_err(|_| "manifest: not UTF-8".to_owned());
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_without_needs_asks_for_what_is_imported() {
        let manifest = Manifest::parse("Task: a\nSDK: x 1\n").unwrap();
        assert_eq!(manifest.needs, None);
        assert_eq!(manifest.task.as_deref(), Some("a"));
        let manifest = Manifest::parse("Uploads:\n\nFuture: 1\n").unwrap();
        assert_eq!(manifest.needs, Some(Needs::default()));
        let network = |text| Manifest::parse(text).unwrap().needs.unwrap().network;
        assert!(network("Environments: yes\n"), "an older SDK's");
        assert!(!network("Network: no\nEnvironments: yes\n"));
        assert!(network("Environments: yes\nNetwork: yes\n"));
    }

    #[test]
    fn what_is_kept_of_a_manifest_is_what_was_read() {
        for text in [None, Some(""), Some("Task: a\nHTTP: no\n")] {
            let own = OwnText(text.map(str::to_owned));
            assert_eq!(OwnText::from_words(&own.words()), Some(own));
        }
        for other in [
            "",
            "\n",
            "its own manifest",
            "no manifest of its own\nHTTP: no",
        ] {
            assert_eq!(OwnText::from_words(other), None, "{other:?}");
        }
    }

    #[test]
    fn a_manifest_that_names_another_component_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.wasm");
        let bytes = b"\0asm\x0d\0\x01\0";
        let beside = |text: &str| {
            std::fs::write(directory.path().join("a.manifest"), text).unwrap();
            Manifest::of_bytes(&path, bytes).map_err(|error| error.to_string())
        };
        let digest = hex::encode(Sha256::digest(bytes));
        let manifest = beside(&format!("HTTP: yes\nSHA256: {digest}\n")).unwrap();
        assert!(manifest.needs.unwrap().http);
        let words = beside(&format!("SHA256: {}\n", "0".repeat(64))).unwrap_err();
        assert!(
            words.contains("a.manifest") && words.contains("of another component"),
            "{words}"
        );
    }

    #[test]
    fn a_malformed_manifest_is_told_apart_from_none() {
        assert!(Manifest::parse("no field").is_err());
        assert!(
            Manifest::parse("HTTP: perhaps")
                .unwrap_err()
                .contains("yes or no")
        );
        assert!(section(b"no component").is_err());
        assert_eq!(section(b"\0asm\x0d\0\x01\0"), Ok(None));
    }
}
