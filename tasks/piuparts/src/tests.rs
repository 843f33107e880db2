use super::*;
use task_sdk::testing::{Ended, Report, World};

fn data(changes: Value) -> Value {
    let mut data = json!({
        "input": {"binary_artifacts": [6]},
        "host_architecture": "amd64",
        "environment": "debian/match:codename=trixie",
        "base_tgz": "debian/match:codename=sid",
    });
    for (key, change) in changes.as_object().unwrap() {
        data[key] = change.clone();
    }
    data
}

fn dynamic_data() -> Value {
    json!({"environment_id": 42, "input_binary_artifacts_ids": [6], "base_tgz_id": 43})
}

/// A tar archive with a directory, and a link in place of resolv.conf if it is to have one.
fn system(has_link: bool) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Directory);
    header.set_size(0);
    header.set_mode(0o755);
    builder
        .append_data(&mut header, "etc", std::io::empty())
        .unwrap();
    if has_link {
        header.set_entry_type(tar::EntryType::Symlink);
        builder
            .append_link(&mut header, "etc/resolv.conf", "../run/resolv.conf")
            .unwrap();
    }
    builder.into_inner().unwrap()
}

/// A world with a base tarball of this name and content, in which filters filter nothing out.
fn world(filename: &str, with_dev: bool, content: &[u8]) -> World {
    let filter = Ended {
        passes_input: true,
        ..Ended::default()
    };
    let base = json!({"filename": filename, "codename": "sid", "with_dev": with_dev});
    World::new()
        .environment("PATH", "/usr/bin:/bin")
        .artifact(
            42,
            "debian:system-tarball",
            json!({"codename": "trixie"}),
            &[],
        )
        .artifact(43, "debian:system-tarball", base, &[(filename, content)])
        .artifact(
            6,
            "debian:binary-packages",
            json!({"srcpkg_name": "hello"}),
            &[("b.deb", b"x"), ("a.deb", b"x"), ("u.udeb", b"x")],
        )
        .command("mmtarfilter", filter)
}

/// The programs that were run, all in the instance, and whether as root.
fn programs(report: &Report) -> Vec<(&str, bool)> {
    let commands = report.commands.iter();
    commands
        .inspect(|command| assert!(command.in_instance))
        .map(|command| (command.arguments[0].as_str(), command.as_root))
        .collect()
}

/// The files in the directory of the base tarball.
fn base_files(report: &Report) -> Vec<&str> {
    let paths = report.inputs.keys();
    paths
        .filter_map(|path| path.strip_prefix("base_tar/"))
        .collect()
}

/// Names of the members of a tar.gz.
fn members(packed: &[u8]) -> Vec<String> {
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(packed));
    let name = |entry: std::io::Result<tar::Entry<'_, _>>| {
        String::from_utf8(entry.unwrap().path_bytes().into_owned()).unwrap()
    };
    archive.entries().unwrap().map(name).collect()
}

#[test]
fn packages_are_tested_in_the_instance_as_root() {
    let report = world("system.tar.xz", false, &system(false))
        .run::<Piuparts>(data(json!({})), dynamic_data());
    assert_eq!(report.result, Ok(true));
    assert_eq!(
        programs(&report),
        [("apt-get", true), ("apt-get", true), ("env", true)]
    );
    let line = &report.commands[2].arguments;
    assert_eq!(line[1..3], ["PATH=/usr/sbin:/usr/bin:/bin", "piuparts"]);
    assert!(line[6].starts_with("--basetgz=") && line[6].ends_with("/base_tar/system.tar.xz"));
    assert!(line[7].starts_with("--scriptsdir=") && line[7].ends_with("/scripts"));
    assert!(line[8].ends_with("/a.deb") && line[9].ends_with("/b.deb") && line.len() == 10);
    assert!(report.uploads.is_empty());
}

#[test]
fn a_link_in_place_of_resolv_conf_makes_way_for_an_empty_file() {
    let report = world("system.tar.xz", false, &system(true))
        .run::<Piuparts>(data(json!({})), dynamic_data());
    assert_eq!(report.result, Ok(true));
    let filter = &report.commands[2];
    let expected = ["mmtarfilter", "--path-exclude=/etc/resolv.conf"];
    assert_eq!(filter.arguments, expected);
    assert!(!filter.as_root);
    assert_eq!(base_files(&report), ["system.tar.gz"]);
    // The filter of this world has let the link through.
    assert_eq!(
        members(&report.inputs["base_tar/system.tar.gz"]),
        ["etc", "etc/resolv.conf", "./etc/resolv.conf"]
    );
}

#[test]
fn devices_are_filtered_out_and_nothing_is_added() {
    let report = world("system.tar.xz", true, &system(false))
        .run::<Piuparts>(data(json!({})), dynamic_data());
    let expected = ["mmtarfilter", "--path-exclude=/dev/*"];
    assert_eq!(report.commands[2].arguments, expected);
    assert_eq!(members(&report.inputs["base_tar/system.tar.gz"]), ["etc"]);
}

/// The reference deletes it: the new file has the name of the old one.
#[test]
fn a_base_tarball_named_tar_gz_is_still_there_once_it_is_filtered() {
    let report = world("system.tar.gz", true, &system(false))
        .run::<Piuparts>(data(json!({})), dynamic_data());
    assert_eq!(report.result, Ok(true));
    assert_eq!(base_files(&report), ["system.tar.gz"]);
    assert_eq!(members(&report.inputs["base_tar/system.tar.gz"]), ["etc"]);
    assert!(report.commands[3].arguments[6].ends_with("/base_tar/system.tar.gz"));
}

/// A test with a base tarball that has devices, and perhaps a link, and a filter that ends so.
fn filtered(has_link: bool, filter: Ended) -> Report {
    let base = json!({"filename": "s.tar.xz", "codename": "sid", "with_dev": true});
    World::new()
        .artifact(42, "debian:system-tarball", json!({}), &[])
        .artifact(
            43,
            "debian:system-tarball",
            base,
            &[("s.tar.xz", &system(has_link))],
        )
        .artifact(6, "debian:upload", json!({}), &[("a.deb", b"x")])
        .command("mmtarfilter", filter)
        .run::<Piuparts>(data(json!({})), dynamic_data())
}

#[test]
fn a_filter_that_fails_ends_the_task_before_the_test() {
    let failed = Ended {
        status: 1,
        ..Ended::default()
    };
    let report = filtered(false, failed);
    assert_eq!(report.result.unwrap_err().kind, "command-failed");
    assert_eq!(report.commands.len(), 3);
}

#[test]
fn nothing_is_added_to_a_base_tarball_of_which_nothing_is_left() {
    let failure = filtered(true, Ended::default()).result.unwrap_err();
    assert_eq!(failure.kind, "invalid-data");
    assert!(failure.message.contains("nothing through"), "{failure:?}");
}

#[test]
fn a_base_tarball_that_is_cut_short_is_not_used() {
    for cut in [
        &system(true)[..700],
        b"\xfd7zXZ\0\0\x04\xe6\xd6",
        b"\x1f\x8b\x08",
    ] {
        let report =
            world("system.tar.xz", false, cut).run::<Piuparts>(data(json!({})), dynamic_data());
        assert_eq!(report.result.unwrap_err().kind, "invalid-data");
    }
}

#[test]
fn a_package_cannot_bring_the_scripts_or_the_base_tarball() {
    for path in ["scripts/post_purge_evil", "base_tar/system.tar.xz"] {
        let report = world("system.tar.xz", false, &system(false))
            .artifact(
                6,
                "debian:upload",
                json!({}),
                &[("a.deb", b"x"), (path, b"x")],
            )
            .run::<Piuparts>(data(json!({})), dynamic_data());
        assert_eq!(report.result.unwrap_err().kind, "file-exists");
    }
}

#[test]
fn without_packages_there_is_nothing_to_test() {
    let report = world("system.tar.xz", false, &system(false))
        .artifact(
            6,
            "debian:upload",
            json!({}),
            &[("a.udeb", b"x"), ("sub/b.deb", b"x")],
        )
        .run::<Piuparts>(data(json!({})), dynamic_data());
    assert_eq!(report.result, Ok(false));
    assert!(report.commands.is_empty());
}

/// The look-ups of the usual data.
fn resolvable() -> World {
    world("system.tar.xz", false, b"")
        .artifact(
            7,
            "debian:upload",
            json!({"changes_fields": {"Source": "alpha"}}),
            &[],
        )
        .lookup(json!([6]), &[6, 7])
        .lookup(
            json!("debian/match:codename=sid:architecture=amd64:format=tarball"),
            &[43],
        )
        .lookup(
            json!("debian/match:codename=trixie:architecture=amd64:format=tarball:backend=unshare"),
            &[42],
        )
}

/// The reference accepts their category, and fails when it looks for the name of their source.
#[test]
fn binary_packages_are_tested_as_uploads_are() {
    let computed = resolvable()
        .compute_dynamic_data::<Piuparts>(data(json!({})))
        .unwrap();
    assert_eq!(computed["subject"], "alpha hello");
    assert_eq!(computed["runtime_context"], "sid:amd64");
    assert_eq!(computed["configuration_context"], "sid");
    assert_eq!(computed["input_binary_artifacts_ids"], json!([6, 7]));
    assert_eq!(
        (&computed["base_tgz_id"], &computed["environment_id"]),
        (&json!(43), &json!(42))
    );
}

#[test]
fn other_packages_and_other_systems_are_refused() {
    for (id, category) in [(6, "debian:binary-package"), (43, "debian:system-image")] {
        let refused = resolvable()
            .artifact(id, category, json!({"codename": "sid"}), &[])
            .compute_dynamic_data::<Piuparts>(data(json!({})));
        assert!(
            matches!(refused, Err(DynamicDataError::Config(_))),
            "{category}"
        );
    }
}
