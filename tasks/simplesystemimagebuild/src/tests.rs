//! What becomes of a system, from its repositories to the image.

use super::*;
use task_sdk::testing::{Ended, Report, World, configured};

fn data(disk_image: Value) -> Value {
    let mut image = json!({
        "format": "qcow2", "filename": "disk", "partitions": [{"size": 10, "filesystem": "ext4"}],
    });
    for (key, value) in disk_image.as_object().unwrap() {
        image[key] = value.clone();
    }
    json!({
        "bootstrap_options": {
            "architecture": "amd64", "variant": "minbase", "extra_packages": ["vim", "apt"],
        },
        "bootstrap_repositories": [{
            "mirror": "https://e.org/debian", "suite": "unstable", "components": ["main"],
        }],
        "disk_image": image,
    })
}

fn ended(status: i32, files: &[(&str, &str)]) -> Ended {
    let files = files
        .iter()
        .map(|(name, text)| ((*name).to_owned(), (*text).into()));
    Ended {
        status,
        files: files.collect(),
        ..Ended::default()
    }
}

/// A run in a world where the tool leaves these files, and each command ends with its status: the tool, qemu-img, tar.
fn run_with(data: Value, left: &[(&str, &str)], status: [i32; 3]) -> Report {
    let packages = Ended {
        stdout: "bash\t5.2\n".to_owned(),
        ..Ended::default()
    };
    World::new()
        .command("debefivm-create", ended(status[0], left))
        .command("qemu-img", ended(status[1], &[("disk.qcow2", "image")]))
        .command(
            "--auto-compress",
            ended(status[2], &[("disk.tar.xz", "image")]),
        )
        .command("dpkg-query", packages)
        .run::<SimpleSystemImageBuild>(data, json!({}))
}

const LEFT: [(&str, &str); 3] = [
    ("system.img", "disk"),
    ("os-release", "ID=debian\nVERSION_CODENAME=trixie\n"),
    ("var_lib_dpkg.tar", "tar"),
];

fn programs(report: &Report) -> Vec<&str> {
    let commands = report.commands.iter();
    commands
        .map(|command| paths::file_name(&command.arguments[0]))
        .collect()
}

#[test]
fn the_image_is_described_by_what_is_in_it() {
    let report = run_with(data(json!({})), &LEFT, [0; 3]);
    assert_eq!(report.result, Ok(true));
    let expected = ["debefivm-create", "qemu-img", "tar", "dpkg-query"];
    assert_eq!(programs(&report), expected);
    let [image] = report.uploads.as_slice() else {
        panic!("one artifact expected: {:?}", report.uploads);
    };
    assert_eq!(image.category, "debian:system-image");
    assert_eq!(
        image.data,
        json!({
            "filename": "disk.qcow2", "vendor": "debian", "codename": "sid",
            "mirror": "https://e.org/debian", "variant": "minbase", "pkglist": {"bash": "5.2"},
            "architecture": "amd64", "with_dev": true, "with_init": true,
            "image_format": "qcow2", "filesystem": "ext4", "size": 10_000_000_000_u64,
            "boot_mechanism": "efi",
        })
    );
    assert_eq!(image.files, [("disk.qcow2".to_owned(), b"image".to_vec())]);
}

#[test]
fn a_raw_image_is_a_compressed_tar_file() {
    let report = run_with(data(json!({"format": "raw"})), &LEFT, [0; 3]);
    assert_eq!(report.result, Ok(true));
    assert_eq!(programs(&report)[1], "tar");
    let [image] = report.uploads.as_slice() else {
        panic!("one artifact expected: {:?}", report.uploads);
    };
    assert_eq!(image.data["filename"], "disk.tar.xz");
    assert_eq!(image.data["image_format"], "raw");
}

#[test]
fn an_image_outside_the_working_directory_is_refused_before_anything_runs() {
    for filename in [
        "../disk",
        "/etc/cron.d/disk",
        "a/b",
        "a\nb",
        "a\0b",
        &"x".repeat(5000),
    ] {
        let report = run_with(data(json!({"filename": filename})), &LEFT, [0; 3]);
        let failure = report.result.unwrap_err();
        assert!(
            failure.message.starts_with("disk_image.filename: "),
            "{failure:?}"
        );
        assert!(report.commands.is_empty() && report.logs.is_empty());
    }
}

#[test]
fn what_failed_or_was_not_described_is_not_uploaded() {
    let report = run_with(data(json!({})), &LEFT, [25, 0, 0]);
    assert_eq!(report.result, Ok(false));
    assert_eq!(programs(&report), ["debefivm-create"]);
    assert!(report.uploads.is_empty());

    for (format, left, status) in [
        ("qcow2", &LEFT[..], [0, 1, 0]),
        ("raw", &LEFT, [0, 0, 2]),
        ("raw", &LEFT[..1], [0; 3]),
        ("raw", &[("os-release", "ID=debian\n")], [0; 3]),
        ("raw", &[("os-release", "VERSION_CODENAME=x\n")], [0; 3]),
    ] {
        let report = run_with(data(json!({"format": format})), left, status);
        assert!(report.result.is_err(), "{format} {left:?} {status:?}");
        assert!(report.uploads.is_empty());
    }
}

#[test]
fn a_scheduler_learns_what_kind_of_system_it_is() {
    let computed = World::new()
        .compute_dynamic_data::<SimpleSystemImageBuild>(data(json!({})))
        .unwrap();
    assert_eq!(computed["subject"], "unstable");
    assert_eq!(computed["runtime_context"], "amd64:minbase:apt,vim");
    assert_eq!(computed["configuration_context"], "amd64");

    let task: SimpleSystemImageBuild = configured(&data(json!({})), Some(&computed)).unwrap();
    assert_eq!(task.label(), "bootstrap a system image");
    assert_eq!(task.host_architecture(), Some("amd64"));
    let metadata = |value: bool| {
        let key = "simplesystemimagebuild:available".to_owned();
        Map::from_iter([(key, value.into())])
    };
    assert!(task.can_run_on(WorkerMetadata(&metadata(true))));
    assert!(!task.can_run_on(WorkerMetadata(&metadata(false))));
}
