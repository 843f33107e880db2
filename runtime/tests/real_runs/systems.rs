//! mmdebstrap and simplesystemimagebuild: systems from nothing.

use super::farm::{Farm, architecture, mirror, succeeded};
use super::materials::{system, workbench};
use serde_json::{Value, json};
use std::process::Command;

#[test]
fn a_system_to_build_in_becomes_an_environment() {
    let Some(farm) = Farm::with(&[], &[]) else {
        return;
    };
    let run = system(&farm);
    let tarball = run.artifact("debian:system-tarball");
    let data = &tarball["data"];
    let expected = json!({
        "filename": "system.tar.xz",
        "vendor": "debian",
        "codename": "bookworm",
        "mirror": mirror().expect("it was there before"),
        "variant": "buildd",
        "architecture": architecture(),
        "with_dev": true,
        "with_init": false,
    });
    for (key, value) in expected.as_object().expect("an object") {
        assert_eq!(&data[key], value, "{key}");
    }
    let packages = &data["pkglist"];
    for package in ["dpkg-dev", "gcc-12", "libc6:amd64"] {
        let package = package.replace("amd64", &architecture());
        assert!(packages[&package].is_string(), "{package}: {packages}");
    }

    let logs = run.logs();
    assert!(logs["host.sources"].contains("\nSuites: bookworm\nComponents: main\n"));
    assert_eq!(logs["host.sources"], logs["chroot.sources"]);
    assert!(logs["cmd-output.log"].starts_with("cmd: mmdebstrap --mode=unshare "));
    assert!(logs["cmd-output.log"].contains("\naborted: False\nreturncode: 0\n"));

    let environments = farm.ask(&["environment", "list"]);
    let environments = environments.as_array().expect("a list");
    let is_it = |environment: &Value| environment["artifact"] == tarball["id"];
    assert!(environments.iter().any(is_it), "{environments:?}");
}

#[test]
fn a_system_is_made_with_packages_keys_and_a_script_of_ones_own() {
    let Some(farm) = Farm::with(&[], &["tar", "xz"]) else {
        return;
    };
    let run = workbench(&farm);
    let tarball = run.artifact("debian:system-tarball");
    let data = &tarball["data"];
    assert_eq!(data["variant"], "minbase");
    assert!(data["pkglist"]["lintian"].is_string());
    assert!(data["pkglist"]["gcc-12"].is_null());

    let into = farm.scratch();
    let path = into.path().to_string_lossy();
    farm.ask(&["artifact", "export", &tarball["id"].to_string(), &path]);
    let mut tar = Command::new("tar");
    tar.args(["--extract", "--to-stdout", "--file", "system.tar.xz"]);
    tar.args(["./etc/workbench", "./etc/apt/sources.list.d/file.sources"]);
    let content = succeeded(tar.current_dir(into.path())).expect("both files are in the system");
    assert!(content.contains("made by a test\n"), "{content}");
    let chroot_sources = &run.logs()["chroot.sources"];
    assert!(content.contains(chroot_sources.trim()), "{content}");
    assert!(
        chroot_sources.contains("\nSigned-By: /etc/apt/keyrings-debusine/keyring-repo-"),
        "{chroot_sources}"
    );
    assert!(chroot_sources.contains("Types: deb deb-src\n"));
    // The components were not given: they are those of the suite.
    assert!(chroot_sources.contains("\nComponents: main contrib non-free"));
}

#[test]
fn the_smallest_system_holds_what_is_essential() {
    let Some(farm) = Farm::with(&[], &[]) else {
        return;
    };
    let data = json!({
        "bootstrap_options": {"architecture": architecture(), "variant": "essential"},
        "bootstrap_repositories": [
            {"mirror": mirror().expect("it was there before"), "suite": "bookworm", "components": ["main"]},
        ],
    });
    let run = farm.run("mmdebstrap", &data).succeeded();
    let data = &run.artifact("debian:system-tarball")["data"];
    assert_eq!(data["variant"], "essential");
    assert!(data["pkglist"]["dpkg"].is_string());
    assert!(data["pkglist"]["apt"].is_null(), "{}", data["pkglist"]);
}

/// With what an image to boot is made; the first is the reference's own script, of the package debusine-worker.
const IMAGE_TOOLS: [&str; 6] = [
    "/usr/share/debusine-worker/debefivm-create",
    "/usr/share/debvm/customize-kernel.sh",
    "/sbin/mkfs.fat",
    "/sbin/sfdisk",
    "mcopy",
    "qemu-img",
];

#[test]
fn a_system_to_boot_becomes_an_image() {
    let Some(farm) = Farm::with(&["simplesystemimagebuild"], &IMAGE_TOOLS) else {
        return;
    };
    let data = json!({
        "bootstrap_options": {"architecture": architecture(), "extra_packages": ["hello"]},
        "bootstrap_repositories": [
            {"mirror": mirror().expect("it was there before"), "suite": "bookworm", "components": ["main"]},
        ],
        "disk_image": {"format": "qcow2", "filename": "disk", "partitions": [{"size": 3, "filesystem": "ext4"}]},
    });
    let run = farm.run("simplesystemimagebuild", &data).succeeded();
    let image = run.artifact("debian:system-image");
    let data = &image["data"];
    let expected = json!({
        "filename": "disk.qcow2",
        "vendor": "debian",
        "codename": "bookworm",
        "image_format": "qcow2",
        "filesystem": "ext4",
        "size": 3_000_000_000_u64,
        "boot_mechanism": "efi",
        "with_init": true,
    });
    for (key, value) in expected.as_object().expect("an object") {
        assert_eq!(&data[key], value, "{key}");
    }
    for package in ["hello", "systemd-boot", "systemd-sysv"] {
        assert!(data["pkglist"][package].is_string(), "{package}");
    }
    let into = farm.scratch();
    let path = into.path().to_string_lossy();
    farm.ask(&["artifact", "export", &image["id"].to_string(), &path]);
    let mut info = Command::new("qemu-img");
    info.args(["info", "--output=json", "disk.qcow2"]);
    let info = succeeded(info.current_dir(into.path())).expect("it is an image");
    let info: Value = serde_json::from_str(&info).expect("JSON");
    assert_eq!(info["format"], "qcow2");
    assert!(
        info["virtual-size"].as_u64() > Some(3_000_000_000),
        "{info}"
    );
}

#[test]
fn a_suite_that_is_not_there_fails_with_the_words_of_the_tool() {
    let Some(farm) = Farm::with(&[], &[]) else {
        return;
    };
    let data = |components: Value| {
        let mut data = json!({
            "bootstrap_options": {"architecture": architecture(), "variant": "essential"},
            "bootstrap_repositories": [
                {"mirror": mirror().expect("it was there before"), "suite": "nonesuch"},
            ],
        });
        data["bootstrap_repositories"][0]["components"] = components;
        data
    };
    let run = farm.run("mmdebstrap", &data(json!(["main"]))).failed();
    assert!(run.categories().is_empty(), "{:?}", run.told);
    let logs = run.logs();
    assert!(logs["cmd-output.log"].contains("nonesuch"), "{logs:?}");

    let run = farm.run("mmdebstrap", &data(Value::Null)).failed();
    let logs = run.logs();
    assert!(
        logs["configure_for_execution.log"].contains("nonesuch"),
        "{logs:?}"
    );
}
