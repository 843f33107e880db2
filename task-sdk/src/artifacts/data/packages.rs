//! Data of packages and uploads.

use crate::debian::text;
use crate::prelude::*;

choices! {
    /// The format of source packages and uploads.
    pub literal Dpkg {
        /// That of dpkg.
        Dpkg = "dpkg",
    }
}

model! {
    /// A source package.
    pub struct SourcePackage {
        /// Its name.
        pub name: String,
        /// Its version.
        pub version: String,
        /// Its format.
        pub r#type as "type": Dpkg,
        /// The fields of its `.dsc` file.
        pub dsc_fields: Map<String, Value>,
    }
}

model! {
    /// An upload.
    pub struct Upload {
        /// Its format.
        pub r#type as "type": Dpkg,
        /// The fields of its `.changes` file.
        pub changes_fields: Map<String, Value> where [files_fit_architectures],
    }
}

model! {
    /// One binary package.
    pub struct BinaryPackage {
        /// Name of its source package.
        pub srcpkg_name: String,
        /// Version of its source package.
        pub srcpkg_version: String,
        /// The fields of its `control` file.
        pub deb_fields: Map<String, Value>,
        /// The names of the files in its control archive.
        pub deb_control_files: Vec<String>,
    }
}

model! {
    /// Binary packages of one source and one architecture.
    pub struct BinaryPackages {
        /// Name of the source package.
        pub srcpkg_name: String,
        /// Version of the source package.
        pub srcpkg_version: String,
        /// Version of the packages.
        pub version: String,
        /// Architecture of the packages.
        pub architecture: String,
        /// Names of the packages.
        pub packages: Vec<String>,
    }
}

/// An upload has a `.dsc` file if it has sources, and binary packages if it has an architecture (and the reverse).
fn files_fit_architectures(fields: &Map<String, Value>) -> Result<(), Refusal> {
    let Some(Value::String(architectures)) = fields.get("Architecture") else {
        return Err("no field Architecture: give the fields of a .changes file".into());
    };
    let names = file_names(fields)?;
    let count = |suffixes: &[&str]| {
        let matches = |name: &&&str| suffixes.iter().any(|suffix| name.ends_with(suffix));
        names.iter().filter(matches).count()
    };
    let (debs, dscs) = (count(&[".deb", ".udeb"]), count(&[".dsc"]));
    let has_source = text::words(architectures).any(|word| word == "source");
    let has_binaries = text::words(architectures).any(|word| word != "source");
    if has_binaries && debs == 0 {
        return Err("binary architectures without packages: add them to Files".into());
    }
    if has_source && !has_binaries && debs > 0 {
        return Err("packages in an upload of sources only: correct Architecture".into());
    }
    if has_source && dscs != 1 {
        return Err("not exactly one .dsc file in an upload with sources: correct Files".into());
    }
    if !has_source && dscs > 0 {
        return Err("a .dsc file in an upload without sources: correct Architecture".into());
    }
    Ok(())
}

/// The names in `Files`. An empty object is what a field without lines becomes; empty text has no names either.
fn file_names(fields: &Map<String, Value>) -> Result<Vec<&str>, Refusal> {
    let not_a_list = || {
        Refusal::new(
            "type_error",
            "Files is no list of files: give one object each",
        )
    };
    match fields.get("Files") {
        None => Err("no field Files: give the fields of a .changes file".into()),
        Some(Value::Object(empty)) if empty.is_empty() => Ok(Vec::new()),
        Some(Value::String(empty)) if empty.is_empty() => Ok(Vec::new()),
        Some(Value::Array(entries)) => entries
            .iter()
            .map(|entry| entry["name"].as_str().ok_or_else(not_a_list))
            .collect(),
        Some(_) => Err(not_a_list()),
    }
}
