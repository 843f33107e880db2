//! What is taken out of packages, and what never is.

use super::*;
use task_sdk::testing::{Ended, Report, World, configured};

const ENVIRONMENT: &str = "debian/match:codename=trixie";

fn data() -> Value {
    json!({
        "input": {"template_artifact": 5, "binary_artifacts": [6, 7]},
        "environment": ENVIRONMENT,
    })
}

fn dynamic_data() -> Value {
    json!({
        "environment_id": 42,
        "input_template_artifact_id": 5,
        "input_binary_artifacts_ids": [6, 7],
    })
}

fn package(name: &str) -> Value {
    json!({"deb_fields": {"Package": name}})
}

fn world() -> World {
    World::new()
        .artifact(
            5,
            BINARY_PACKAGE,
            package("hello-template"),
            &[("t.deb", b"")],
        )
        .artifact(6, BINARY_PACKAGE, package("hello"), &[("h.deb", b"")])
        .artifact(7, BINARY_PACKAGE, package("grub2"), &[("g.deb", b"")])
        .artifact(42, "debian:system-tarball", json!({}), &[])
}

/// A tar file of a directory with files, and with links to targets.
fn archive(directory: &str, files: &[(&str, &str)], links: &[(&str, &str)]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o644);
    for (name, content) in files {
        header.set_size(content.len() as u64);
        let path = format!("{directory}/{name}");
        archive
            .append_data(&mut header, path, content.as_bytes())
            .unwrap();
    }
    header.set_size(0);
    header.set_entry_type(tar::EntryType::Symlink);
    for (name, target) in links {
        archive
            .append_link(&mut header, format!("{directory}/{name}"), target)
            .unwrap();
    }
    archive.into_inner().unwrap()
}

/// A world in which the template says this, and unpacked packages have these files.
fn with_manifest(manifest: &[u8]) -> World {
    let leaves = |name: &str, content: Vec<u8>| Ended {
        files: vec![(name.to_owned(), content)],
        ..Ended::default()
    };
    let files = "hello-template/usr/share/code-signing/hello-template/files.json";
    let links = [
        ("usr/inside", "lib/a.efi"),
        ("usr/passwd", "/etc/passwd"),
        ("usr/etc", "/etc"),
        ("usr/up", "../../../.."),
        ("usr/nowhere", "nowhere"),
    ];
    let hello = archive(
        "hello",
        &[("usr/lib/a.efi", "A"), ("usr/lib/b.efi", "B")],
        &links,
    );
    let grub = archive("grub2", &[("boot/grub.efi", "G")], &[]);
    world()
        .command("dpkg-deb -x", leaves(files, manifest.to_vec()))
        .command("hello.tar hello", leaves("hello.tar", hello))
        .command("grub2.tar grub2", leaves("grub2.tar", grub))
}

fn run(packages: Value) -> Report {
    let manifest = json!({"packages": packages}).to_string();
    with_manifest(manifest.as_bytes()).run::<ExtractForSigning>(data(), dynamic_data())
}

fn file(name: &str) -> Value {
    json!({"file": name, "sig_type": "efi"})
}

#[test]
fn each_package_becomes_an_artifact_of_its_files() {
    let report = run(json!({
        "hello": {"files": [file("usr/lib/b.efi"), file("./usr//lib/a.efi"), file("usr/inside")]},
        "grub2": {"files": [file("boot/grub.efi")], "trusted_certs": ["ab"]},
    }));
    assert_eq!(report.result, Ok(true));
    let [hello, grub] = report.uploads.as_slice() else {
        panic!("two artifacts expected: {:?}", report.uploads);
    };
    let content = |path: &str, content: &[u8]| (path.to_owned(), content.to_vec());
    assert_eq!(hello.category, "debusine:signing-input");
    assert_eq!(
        hello.data,
        json!({"trusted_certs": null, "binary_package_name": "hello"})
    );
    assert_eq!(
        hello.files,
        [
            content("hello/usr/lib/b.efi", b"B"),
            content("hello/usr/lib/a.efi", b"A"),
            content("hello/usr/inside", b"A"),
        ]
    );
    assert_eq!(grub.data["trusted_certs"], json!(["ab"]));
    assert_eq!(grub.files, [content("grub2/boot/grub.efi", b"G")]);
    let to = RelationType::RelatesTo;
    let expected = [(1001, 5, to), (1001, 6, to), (1002, 5, to), (1002, 7, to)];
    assert_eq!(report.relations, expected);
    assert!(
        report
            .commands
            .iter()
            .all(|command| command.in_instance && !command.as_root)
    );
}

#[test]
fn nothing_but_files_of_the_package_is_taken() {
    for name in [
        "/etc/passwd",
        "../grub2/boot/grub.efi",
        "usr/../usr/lib/a.efi",
        "usr/passwd",
        "usr/etc/passwd",
        "usr/up/etc/passwd",
        "usr/nowhere",
        "usr/lib",
        "usr/lib/none",
        "usr/lib/a.efi\n",
        "usr/lib/a.efi\0",
        "",
    ] {
        let report = run(json!({"hello": {"files": [file("usr/lib/a.efi"), file(name)]}}));
        assert!(report.result.is_err(), "{name:?}");
        assert!(report.uploads.is_empty(), "{name:?}");
    }
}

#[test]
fn a_file_that_is_named_twice_is_refused() {
    let report = run(json!({"hello": {"files": [file("usr/inside"), file("usr//inside")]}}));
    assert!(report.result.unwrap_err().message.contains("twice"));
}

#[test]
fn no_package_is_unpacked_whose_name_is_none_or_that_is_no_input() {
    for name in ["../hello", "-x", "Hello", "h", "hello\n", "other"] {
        let report = run(json!({name: {"files": []}}));
        assert!(report.result.is_err(), "{name:?}");
        assert_eq!(report.commands.len(), 1, "{name:?}: {:?}", report.commands);
    }
}

#[test]
fn a_manifest_that_is_none_ends_the_run() {
    let endless = vec![b' '; 5 << 20];
    for manifest in [&b"{"[..], b"[]", b"{}", b"\xff", &endless] {
        let report = with_manifest(manifest).run::<ExtractForSigning>(data(), dynamic_data());
        assert!(report.result.is_err());
    }
}

#[test]
fn a_template_without_packages_gives_nothing_to_sign() {
    let report = run(json!({}));
    assert_eq!((report.result, report.uploads.len()), (Ok(true), 0));
    // A package without files cannot be signed: that is the server's rule for such artifacts.
    let report = run(json!({"hello": {"files": []}}));
    assert!(report.result.is_err() && report.uploads.is_empty());
}

#[test]
fn a_package_that_cannot_be_unpacked_ends_the_run() {
    let fails = Ended {
        status: 2,
        ..Ended::default()
    };
    let world = world().command("dpkg-deb", fails);
    let failure = world
        .run::<ExtractForSigning>(data(), dynamic_data())
        .result;
    assert_eq!(failure.unwrap_err().kind, "command-failed");
}

#[test]
fn a_template_that_is_none_ends_the_task_with_a_word_in_the_log() {
    for (category, name) in [("debian:upload", "t.deb"), (BINARY_PACKAGE, "t.udeb")] {
        let world = world().artifact(5, category, package("t"), &[(name, b"")]);
        let report = world.run::<ExtractForSigning>(data(), dynamic_data());
        assert_eq!(report.result, Ok(false));
        assert_eq!(report.logs["fetch_input.log"].lines().count(), 1);
        assert!(report.commands.is_empty());
    }
}

#[test]
fn inputs_that_no_server_would_choose_are_failures() {
    let two: &[(&str, &[u8])] = &[("a.deb", b""), ("b.deb", b"")];
    let one: &[(&str, &[u8])] = &[("a.deb", b"")];
    for world in [
        world().artifact(5, BINARY_PACKAGE, package("t"), two),
        world().artifact(5, BINARY_PACKAGE, package("../t"), one),
        world().artifact(5, BINARY_PACKAGE, json!({}), one),
        world().artifact(6, BINARY_PACKAGE, package("hello"), &[]),
        world().artifact(6, BINARY_PACKAGE, json!({}), one),
        world().artifact(6, "debian:upload", package("hello"), one),
    ] {
        let report = world.run::<ExtractForSigning>(data(), dynamic_data());
        assert!(report.result.is_err());
        assert!(report.commands.is_empty());
    }
}

#[test]
fn packages_of_uploads_come_after_those_that_are_named() {
    let environment = format!("{ENVIRONMENT}:format=tarball:backend=unshare");
    let world = world()
        .artifact(8, UPLOAD, json!({}), &[])
        .relation(7, 8, RelationType::Extends)
        .relation(42, 8, RelationType::Extends)
        .lookup(json!([6, 7]), &[8, 6])
        .lookup(json!(environment), &[42]);
    let computed = world
        .compute_dynamic_data::<ExtractForSigning>(data())
        .unwrap();
    assert_eq!(computed["subject"], "hello-template");
    assert_eq!(computed["input_binary_artifacts_ids"], json!([6, 7]));
    let task: ExtractForSigning = configured(&data(), Some(&computed)).unwrap();
    assert_eq!(task.label(), "extract signing input");
    assert_eq!(task.source_artifacts_ids(), None);
}

#[test]
fn a_template_that_is_called_by_no_text_fails_the_task() {
    let odd = json!({"deb_fields": {"Package": {"name": "hello-template"}}});
    let environment = format!("{ENVIRONMENT}:format=tarball:backend=unshare");
    let error = world()
        .artifact(5, BINARY_PACKAGE, odd, &[])
        .lookup(json!([6, 7]), &[6])
        .lookup(json!(environment), &[42])
        .compute_dynamic_data::<ExtractForSigning>(data())
        .unwrap_err();
    assert!(matches!(error, DynamicDataError::Internal(_)), "{error:?}");
}
