//! The command: debefivm-create, which leaves a disk and what describes its system in the working directory.

use crate::data::SimpleSystemImageBuildData;
use crate::image;
use task_sdk::bootstrap::{MAYBE_JESSIE_OR_OLDER, Preparation, customize, made, upload};

/// The tool. It partitions a disk, and has mmdebstrap(1) make the system on it.
const TOOL: &str = "/usr/share/debusine-worker/debefivm-create";

/// Where the machine has files for the system, beneath the name of their set.
const OVERLAYS: &str = "/usr/lib/python3/dist-packages/debusine/tasks/data/overlays";

/// Files for the system: set, path in the system, mode. They let Incus control it, and update its boot loader.
const OVERLAY_FILES: [(&str, &str, &str); 5] = [
    (
        "incus-agent",
        "lib/systemd/system/incus-agent.service",
        "644",
    ),
    ("incus-agent", "lib/systemd/incus-agent-setup", "755"),
    (
        "incus-agent",
        "lib/udev/rules.d/99-incus-agent.rules",
        "644",
    ),
    (
        "systemd-boot",
        "etc/kernel/postinst.d/zz-update-systemd-boot",
        "755",
    ),
    (
        "systemd-boot",
        "etc/kernel/postrm.d/zz-update-systemd-boot",
        "755",
    ),
];

/// Program and arguments. What comes after `--` is for mmdebstrap; hooks run in the order of the arguments.
pub fn compose(data: &SimpleSystemImageBuildData, preparation: &Preparation) -> Vec<String> {
    let repository = data.bootstrap.main_repository();
    let options = &data.bootstrap_options;
    let mut line = vec![
        TOOL.to_owned(),
        format!("--architecture={}", options.system.architecture),
        format!("--mirror={}", repository.mirror),
        format!("--release={}", repository.suite),
        format!("--rootsize={}G", data.disk_image.root().size),
        image::DISK.to_owned(),
        "--".to_owned(),
        "--verbose".to_owned(),
        MAYBE_JESSIE_OR_OLDER.to_owned(),
    ];
    line.extend(preparation.source_arguments());
    line.extend(preparation.customization_arguments());
    line.extend(description_arguments());
    line.extend(overlay_arguments());
    line.extend(
        options
            .variant
            .map(|variant| format!("--variant={variant}")),
    );
    line.push(packages_argument(data));
    line.push(preparation.host_sources.clone());
    line
}

/// Copies out what describes the system.
fn description_arguments() -> [String; 2] {
    [
        customize(&["download /etc/os-release ", made::OS_RELEASE].concat()),
        customize(&["tar-out /var/lib/dpkg ", image::DPKG_ARCHIVE].concat()),
    ]
}

fn overlay_arguments() -> impl Iterator<Item = String> {
    OVERLAY_FILES.into_iter().flat_map(|(set, path, mode)| {
        [
            upload(&format!("{OVERLAYS}/{set}/{path}"), &format!("/{path}")),
            customize(&format!("chmod {mode} \"$1/{path}\"")),
        ]
    })
}

/// Installs the extra packages, and a kernel in any case.
fn packages_argument(data: &SimpleSystemImageBuildData) -> String {
    let extra = &data.bootstrap_options.system.extra_packages;
    let kernel = data.disk_image.kernel();
    let packages: Vec<&str> = extra.iter().map(String::as_str).chain([kernel]).collect();
    format!("--include={}", packages.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;
    use task_sdk::prelude::*;

    fn composed(options: Value, kernel: Value) -> Vec<String> {
        let preparation = Preparation {
            host_sources: "/d/host.sources".into(),
            chroot_sources: "/d/chroot.sources".into(),
            keyrings: Vec::new(),
            keyring_packages: vec!["keys".into()],
            customization_script: Some("/d/customization_script".into()),
        };
        let data = json!({
            "bootstrap_options": options,
            "bootstrap_repositories": [{"mirror": "https://e.org/debian", "suite": "trixie"}],
            "disk_image": {
                "format": "raw",
                "kernel_package": kernel,
                "partitions": [{"size": 10, "filesystem": "ext4"}, {"size": 1, "filesystem": "swap"}],
            },
        });
        let data = SimpleSystemImageBuildData::parse(&data).unwrap();
        let line = compose(&data, &preparation);
        assert_eq!(line, compose(&data, &preparation));
        line
    }

    fn place(line: &[String], part: &str) -> usize {
        line.iter()
            .position(|argument| argument.contains(part))
            .unwrap()
    }

    #[test]
    fn the_disk_is_for_the_first_partition_and_the_first_repository() {
        let line = composed(json!({"architecture": "arm64"}), json!(null));
        let expected = [
            "/usr/share/debusine-worker/debefivm-create",
            "--architecture=arm64",
            "--mirror=https://e.org/debian",
            "--release=trixie",
            "--rootsize=10G",
            "system.img",
            "--",
        ];
        assert_eq!(line[..7], expected);
        assert_eq!(line.last().unwrap(), "/d/host.sources");
    }

    #[test]
    fn a_kernel_is_installed_once_however_often_the_command_is_composed() {
        for (kernel, expected) in [
            (json!(null), "--include=vim,linux-image-generic"),
            (json!("linux-image-rt"), "--include=vim,linux-image-rt"),
            (json!(""), "--include=vim,"),
        ] {
            let line = composed(
                json!({"architecture": "amd64", "variant": "minbase", "extra_packages": ["vim"]}),
                kernel,
            );
            let end = ["--variant=minbase", expected, "/d/host.sources"];
            assert!(line.ends_with(&end.map(str::to_owned)), "{line:?}");
        }
    }

    #[test]
    fn the_system_is_described_after_it_was_customized() {
        let line = composed(json!({"architecture": "amd64"}), json!(null));
        let script = place(&line, "chroot \"$1\"");
        assert!(script < place(&line, "download /etc/os-release os-release"));
        assert!(script < place(&line, "tar-out /var/lib/dpkg var_lib_dpkg.tar"));
    }

    #[test]
    fn every_overlay_file_gets_its_mode() {
        let line = composed(json!({"architecture": "amd64"}), json!(null));
        let uploaded = place(&line, "upload /usr/lib/python3/dist-packages");
        for (at, (_, path, mode)) in OVERLAY_FILES.into_iter().enumerate() {
            assert!(line[uploaded + 2 * at].ends_with(&format!("/{path} /{path}")));
            let chmod = format!("--customize-hook=chmod {mode} \"$1/{path}\"");
            assert_eq!(line[uploaded + 2 * at + 1], chmod);
        }
    }
}
