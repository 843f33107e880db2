//! Artifacts in and out of the store.

use crate::machine::Machine;
use serde_json::json;
use sha2::{Digest, Sha256};
use std::fs;

/// A source package of two files.
fn source_package(machine: &Machine) -> String {
    let tarball = b"not unpacked by anybody";
    machine.write("hello_1.0.tar.xz", tarball);
    let sum = hex::encode(Sha256::digest(tarball));
    let size = tarball.len();
    let dsc = format!(
        "Format: 3.0 (native)\nSource: hello\nVersion: 1.0\nArchitecture: any\n\
         Checksums-Sha256:\n {sum} {size} hello_1.0.tar.xz\nFiles:\n 0123 {size} hello_1.0.tar.xz\n"
    );
    machine
        .write("hello_1.0.dsc", dsc)
        .to_str()
        .unwrap()
        .to_owned()
}

#[test]
fn a_source_package_comes_in_and_goes_out_with_all_its_files() {
    let machine = Machine::new();
    let dsc = source_package(&machine);
    let imported = machine.json(&["artifact", "import", &dsc, "--name", "hello"]);
    assert_eq!(
        imported,
        json!({"id": 1, "category": "debian:source-package"})
    );
    let shown = machine.json(&["artifact", "show", "hello"]);
    assert_eq!(
        (&shown["data"]["name"], &shown["data"]["version"]),
        (&json!("hello"), &json!("1.0"))
    );
    assert_eq!(shown["names"], json!(["hello"]));
    assert_eq!(shown["files"][1]["path"], "hello_1.0.tar.xz");
    let out = machine.path("out");
    let exported = machine.json(&["artifact", "export", "hello", out.to_str().unwrap()]);
    assert_eq!(exported["files"].as_array().unwrap().len(), 2);
    assert_eq!(
        fs::read(out.join("hello_1.0.dsc")).unwrap(),
        fs::read(&dsc).unwrap()
    );
    machine.refuses(
        &["artifact", "export", "1", out.to_str().unwrap()],
        "invalid",
        &["there already"],
    );
    machine.json(&["artifact", "export", "1", out.to_str().unwrap(), "--force"]);
    let table = machine.ask(&["artifact", "list"]).stdout;
    assert!(table.starts_with("1  debian:source-package  "), "{table}");
    assert_eq!(
        machine.json(&["artifact", "relations", "1"]),
        json!({"id": 1, "from": [], "to": []})
    );
}

#[test]
fn a_source_package_with_a_changed_file_is_not_imported() {
    let machine = Machine::new();
    let dsc = source_package(&machine);
    machine.write("hello_1.0.tar.xz", "another content");
    machine.refuses(
        &["artifact", "import", &dsc],
        "damaged",
        &["hello_1.0.tar.xz", "checksum"],
    );
    fs::remove_file(machine.path("hello_1.0.tar.xz")).unwrap();
    machine.refuses(&["artifact", "import", &dsc], "file", &["hello_1.0.tar.xz"]);
    assert!(!machine.path("store").exists());
}

#[test]
fn numbers_are_printed_for_scripts() {
    let machine = Machine::new();
    machine.write("hello_1.0_amd64.build", "the log");
    let answer = machine.ask(&["artifact", "import", "hello_1.0_amd64.build"]);
    assert_eq!(
        (answer.status, answer.stdout.as_str()),
        (Some(0), "1\n"),
        "{answer:?}"
    );
    let shown = machine.json(&["artifact", "show", "1"]);
    assert_eq!(shown["category"], "debian:package-build-log");
    assert_eq!(shown["data"]["filename"], "hello_1.0_amd64.build");
}

#[test]
fn lists_of_a_store_that_is_not_there_are_empty() {
    let machine = Machine::new();
    for list in [
        ["artifact", "list"],
        ["environment", "list"],
        ["work-request", "list"],
    ] {
        assert_eq!(machine.json(&list), json!([]));
    }
    assert!(!machine.path("store").exists());
}

#[test]
fn damage_in_the_store_is_found() {
    let machine = Machine::new();
    machine.write("x", "content");
    machine.json(&["artifact", "import", "--category", "debusine:test", "x"]);
    assert_eq!(machine.json(&["artifact", "verify"])["problems"], json!([]));
    let sum = hex::encode(Sha256::digest("content"));
    let stored = machine.path(&format!("store/files/{}/{sum}", &sum[..2]));
    fs::remove_file(&stored).unwrap();
    fs::write(&stored, "CONTENT").unwrap();
    let verified = machine.ask(&["artifact", "verify", "--json"]);
    assert_eq!(verified.status, Some(1), "{verified:?}");
    assert_eq!(verified.json()["problems"][0]["problem"], "damaged-file");
    let out = machine.path("out");
    machine.refuses(
        &["artifact", "export", "1", out.to_str().unwrap()],
        "damaged",
        &["\"x\" of artifact 1"],
    );
    assert!(!out.exists(), "nothing is left of the export");
}
