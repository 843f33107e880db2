//! extractforsigning and assemblesignedsource: files for somebody to sign, and a source package of the signatures.

use super::farm::{Farm, Run, architecture, checkout, list, skip, succeeded};
use super::materials::{environment, system};
use serde_json::{Value, json};
use std::fs;
use std::process::Command;

/// The package whose files are signed. Beside it is its template, named after the processor.
const TO_BE_SIGNED: &str = "fwupd-unsigned";

/// Whether packages for this processor are signed in Debian at all; if not the reason is said.
fn are_signed_here() -> bool {
    let architecture = architecture();
    let signed = ["amd64", "arm64"].contains(&architecture.as_str());
    if !signed {
        skip(&format!(
            "Debian signs no firmware tools for {architecture}"
        ));
    }
    signed
}

/// A binary package of the mirror; gives the number of its artifact.
fn binary(farm: &Farm, package: &str) -> i64 {
    let imported = farm.once(&format!("binary-{package}"), |farm| {
        let directory = farm.scratch();
        let mut download = Command::new(checkout(".ci/debian-binary"));
        let said = succeeded(download.arg(package).arg(directory.path()))?;
        Ok(farm.import(&[said.trim()]).into())
    });
    imported.as_i64().expect("a number")
}

fn template(farm: &Farm) -> i64 {
    binary(farm, &format!("fwupd-{}-signed-template", architecture()))
}

/// The files that are to be signed; gives the run that found them.
fn extracted(farm: &Farm) -> Run<'_> {
    let told = farm.once("to-be-signed", |farm| {
        let data = json!({
            "environment": environment(&system(farm)),
            "input": {
                "template_artifact": template(farm),
                "binary_artifacts": [binary(farm, TO_BE_SIGNED)],
            },
        });
        Ok(farm.run("extractforsigning", &data).ended("success")?.told)
    });
    farm.earlier_run(told)
}

/// The path of the one file that is to be signed, as the artifact has it.
fn path_of(to_be_signed: &Value) -> &str {
    let files = list(&to_be_signed["files"]);
    assert_eq!(files.len(), 1, "{files:?}");
    files[0]["path"].as_str().expect("a path")
}

#[test]
fn what_a_template_names_is_taken_out_of_its_package() {
    let Some(farm) = Farm::with(&["extractforsigning"], &[]) else {
        return;
    };
    if !are_signed_here() {
        return;
    }
    let run = extracted(&farm);
    assert_eq!(run.categories(), ["debusine:signing-input"]);
    let input = run.artifact("debusine:signing-input");
    assert_eq!(input["data"]["binary_package_name"], TO_BE_SIGNED);
    let path = path_of(&input);
    assert!(path.starts_with("fwupd-unsigned/usr/libexec/"), "{path}");
    let content = farm.file(&input, path);
    assert!(content.starts_with(b"MZ"), "a program for UEFI");
    let inputs = [template(&farm), binary(&farm, TO_BE_SIGNED)];
    let expected = inputs.map(|input| ("relates-to".to_owned(), input));
    assert_eq!(farm.relations(&input), expected);
}

#[test]
fn signatures_become_a_source_package_and_an_upload() {
    let tasks = ["extractforsigning", "assemblesignedsource"];
    let Some(farm) = Farm::with(&tasks, &[]) else {
        return;
    };
    if !are_signed_here() {
        return;
    }
    let input = extracted(&farm).artifact("debusine:signing-input");
    let directory = farm.scratch();
    let signature = directory.path().join("one.sig");
    fs::write(&signature, "signed, in a manner of speaking").expect("a signature");
    let data = json!({
        "purpose": "uefi",
        "fingerprint": "0123456789abcdef",
        "binary_package_name": TO_BE_SIGNED,
        "results": [{"file": path_of(&input), "output_file": "one.sig"}],
    });
    let output = farm.import(&[
        "--category",
        "debusine:signing-output",
        "--data",
        &data.to_string(),
        &signature.to_string_lossy(),
    ]);

    let data = json!({
        "environment": environment(&system(&farm)),
        "template": template(&farm),
        "signed": [output],
    });
    let run = farm.run("assemblesignedsource", &data).succeeded();
    assert_eq!(run.categories(), ["debian:source-package", "debian:upload"]);
    let source = run.artifact("debian:source-package");
    let name = format!("fwupd-{}-signed", architecture());
    assert_eq!(source["data"]["name"], name);
    let into = directory.path().join("source");
    let path = into.to_string_lossy();
    farm.ask(&["artifact", "export", &source["id"].to_string(), &path]);
    let files = list(&source["files"]).iter();
    let mut paths = files.filter_map(|file| file["path"].as_str());
    let tarball = paths
        .find(|path| path.ends_with(".tar.xz"))
        .expect("a tarball");
    let mut tar = Command::new("tar");
    let listed = succeeded(tar.args(["--list", "--file"]).arg(into.join(tarball)));
    let signature = format!("/debian/signatures/{}.sig\n", path_of(&input));
    assert!(
        listed
            .as_ref()
            .is_ok_and(|listed| listed.contains(&signature)),
        "{listed:?}"
    );
}
