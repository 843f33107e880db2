//! What tests work on: systems, source packages, builds. Each is made by the first test that needs it.

use super::farm::{Farm, Run, architecture, checkout, mirror, succeeded};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A small package with a part for every processor and a part for all, with tests of its own.
pub const PACKAGE: &str = "mustang";

/// A package that is hardly more than one file of C.
pub const TINY_PACKAGE: &str = "hostname";

/// The field of the tiny package that names what its build needs.
pub const BUILD_DEPENDENCIES: &str = "Build-Depends: debhelper-compat (= 12)\n";

/// Tools that some tasks install in their instances. Having them there spares those tests minutes.
const TOOLS: [&str; 4] = ["devscripts", "diffstat", "lintian", "wdiff"];

/// The bookworm system that packages are built in; gives its run.
pub fn system(farm: &Farm) -> Run<'_> {
    let told = farm.once("system", |farm| {
        let data = json!({
            "bootstrap_options": {"architecture": architecture(), "variant": "buildd"},
            "bootstrap_repositories": [
                {"mirror": mirror()?, "suite": "bookworm", "components": ["main"]},
            ],
        });
        Ok(farm.run("mmdebstrap", &data).ended("success")?.told)
    });
    farm.earlier_run(told)
}

/// A small bookworm system with the tools that look at packages, made with every option there is; gives its run.
pub fn workbench(farm: &Farm) -> Run<'_> {
    let told = farm.once("workbench", |farm| {
        let data = json!({
            "bootstrap_options": {
                "architecture": architecture(), "variant": "minbase", "extra_packages": TOOLS,
            },
            "bootstrap_repositories": [{
                "mirror": mirror()?,
                "suite": "bookworm",
                "types": ["deb", "deb-src"],
                "check_signature_with": "external",
                "keyring": {
                    "url": "file:///usr/share/keyrings/debian-archive-keyring.gpg",
                    "install": true,
                },
            }],
            "customization_script": "#!/bin/sh\nset -e\necho 'made by a test' >/etc/workbench\n",
        });
        Ok(farm.run("mmdebstrap", &data).ended("success")?.told)
    });
    farm.earlier_run(told)
}

/// The number of the environment that a bootstrap made.
pub fn environment(bootstrap: &Run<'_>) -> i64 {
    let tarball = bootstrap.artifact("debian:system-tarball");
    tarball["id"].as_i64().expect("a number")
}

/// A source package of the mirror; gives the number of its artifact.
pub fn source(farm: &Farm, package: &str, suite: &str) -> i64 {
    let imported = farm.once(&format!("source-{package}-{suite}"), |farm| {
        let directory = farm.scratch();
        let dsc = download_source(package, suite, directory.path())?;
        Ok(farm.import(&[&dsc.to_string_lossy()]).into())
    });
    imported.as_i64().expect("a number")
}

/// Downloads a source package; gives the path of its `.dsc` file.
pub fn download_source(package: &str, suite: &str, into: &Path) -> Result<PathBuf, String> {
    let mut download = Command::new(checkout(".ci/debian-source"));
    let said = succeeded(download.arg(package).arg(into).arg(suite))?;
    Ok(PathBuf::from(said.trim()))
}

/// The package, built for this machine's processor; gives the run.
pub fn build_for_this_machine(farm: &Farm) -> Run<'_> {
    build(farm, "any", json!({"build_components": ["any"]}))
}

/// The package's part that is the same on all processors; gives the run.
pub fn build_for_all(farm: &Farm) -> Run<'_> {
    build(farm, "all", json!({"build_components": ["all"]}))
}

/// The package built once more without a change of its source; gives the run.
pub fn rebuild(farm: &Farm) -> Run<'_> {
    let binnmu = json!({
        "changelog": "Rebuild, to see what differs.",
        "suffix": "+b1",
        "maintainer": "Test Person <test@example.org>",
        "timestamp": "2024-05-01T12:00:00Z",
    });
    build(farm, "binnmu", json!({"binnmu": binnmu}))
}

fn build<'a>(farm: &'a Farm, kind: &str, options: Value) -> Run<'a> {
    let told = farm.once(&format!("build-{kind}"), |farm| {
        let source = source(farm, PACKAGE, "bookworm");
        let data = build_data(farm, source, options);
        Ok(farm.run("sbuild", &data).ended("success")?.told)
    });
    farm.earlier_run(told)
}

/// Task data of a build of a source package, with more or other keys.
pub fn build_data(farm: &Farm, source: i64, options: Value) -> Value {
    let mut data = json!({
        "input": {"source_artifact": source},
        "environment": environment(&system(farm)),
        "host_architecture": architecture(),
    });
    for (key, value) in options.as_object().expect("an object") {
        data[key] = value.clone();
    }
    data
}

/// The tiny package with a build that compiles one file, hardened, and then fails; gives the run.
pub fn failed_build(farm: &Farm) -> Run<'_> {
    let told = farm.once("build-failed", |farm| {
        let rules = "#!/usr/bin/make -f\n\
            include /usr/share/dpkg/buildflags.mk\n\
            clean:\n\
            build build-arch build-indep:\n\
            \tgcc $(CPPFLAGS) $(CFLAGS) -c -o hostname.o hostname.c\n\
            \tfalse\n\
            binary binary-arch binary-indep: build\n";
        let source = changed_package(farm, |source| {
            replace(&source.join("debian/control"), BUILD_DEPENDENCIES, "")?;
            fs::write(source.join("debian/rules"), rules).map_err(|why| why.to_string())
        })?;
        let data = build_data(farm, source, json!({}));
        Ok(farm.run("sbuild", &data).ended("failure")?.told)
    });
    farm.earlier_run(told)
}

/// The tiny package, changed; gives the number of its artifact.
pub fn changed_package(
    farm: &Farm,
    change: impl FnOnce(&Path) -> Result<(), String>,
) -> Result<i64, String> {
    let directory = farm.scratch();
    let dsc = download_source(TINY_PACKAGE, "bookworm", directory.path())?;
    let unpacked = directory.path().join("source");
    let mut dpkg_source = Command::new("dpkg-source");
    dpkg_source.args(["--no-check", "--extract"]);
    succeeded(dpkg_source.args([&dsc, &unpacked]))?;
    change(&unpacked)?;
    fs::remove_file(&dsc).map_err(|why| why.to_string())?;
    let mut dpkg_source = Command::new("dpkg-source");
    succeeded(
        dpkg_source
            .args(["--build", "source"])
            .current_dir(directory.path()),
    )?;
    Ok(farm.import(&[&dsc.to_string_lossy()]))
}

/// Replaces a text that is in a file.
pub fn replace(file: &Path, text: &str, by: &str) -> Result<(), String> {
    let content = fs::read_to_string(file).map_err(|why| why.to_string())?;
    if !content.contains(text) {
        return Err(format!("{}: no {text:?} in it: {content}", file.display()));
    }
    fs::write(file, content.replace(text, by)).map_err(|why| why.to_string())
}
