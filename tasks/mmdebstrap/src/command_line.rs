//! The command: mmdebstrap(1), which leaves the tarball and what describes it in the working directory.

use crate::data::BootstrapOptions;
use crate::tarball;
use task_sdk::bootstrap::{MAYBE_JESSIE_OR_OLDER, Preparation, customize, made};

/// Program and arguments. Hooks run in the order of the arguments.
pub fn compose(options: &BootstrapOptions, preparation: &Preparation) -> Vec<String> {
    let system = &options.system;
    let mut line = vec![
        "mmdebstrap".to_owned(),
        "--mode=unshare".to_owned(),
        "--format=tar".to_owned(),
        format!("--architectures={}", system.architecture),
        "--verbose".to_owned(),
        MAYBE_JESSIE_OR_OLDER.to_owned(),
    ];
    line.extend(preparation.source_arguments());
    line.extend(description_arguments());
    line.extend(preparation.customization_arguments());
    line.extend(init_arguments());
    line.extend(
        options
            .variant
            .map(|variant| format!("--variant={variant}")),
    );
    if !system.extra_packages.is_empty() {
        line.push(format!("--include={}", system.extra_packages.join(",")));
    }
    // No suite and no mirror: the sources file names them.
    let positional = ["", tarball::FILE, "", &preparation.host_sources];
    line.extend(positional.map(str::to_owned));
    line
}

/// Copies out what describes the system, and removes what is the builder's: its host name and its name servers.
fn description_arguments() -> [String; 4] {
    [
        customize(&["download /etc/os-release ", made::OS_RELEASE].concat()),
        customize(&["copy-out /var/lib/dpkg ", made::VAR_LIB_DPKG].concat()),
        customize(r#"rm -f "$1/etc/hostname""#),
        customize(r#"test -h "$1/etc/resolv.conf" || rm -f "$1/etc/resolv.conf""#),
    ]
}

/// Finds out whether the system has an init, after the customization script may have installed one.
fn init_arguments() -> [String; 3] {
    [
        customize(
            r#"(test -x "$1/sbin/init" || test -h "$1/sbin/init") ; echo $? > "$1/test_sbin_init""#,
        ),
        customize(&["download test_sbin_init ", tarball::INIT_TEST].concat()),
        customize(r#"rm "$1/test_sbin_init""#),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use task_sdk::prelude::*;

    fn composed(options: Value) -> Vec<String> {
        let preparation = Preparation {
            host_sources: "/d/host.sources".into(),
            chroot_sources: "/d/chroot.sources".into(),
            keyrings: Vec::new(),
            keyring_packages: vec!["keys".into()],
            customization_script: Some("/d/customization_script".into()),
        };
        compose(&BootstrapOptions::parse(&options).unwrap(), &preparation)
    }

    fn place(line: &[String], part: &str) -> usize {
        line.iter()
            .position(|argument| argument.contains(part))
            .unwrap()
    }

    #[test]
    fn the_tarball_is_made_from_the_prepared_sources_only() {
        let line = composed(json!({"architecture": "arm64"}));
        assert_eq!(line[..2], ["mmdebstrap", "--mode=unshare"]);
        assert!(line.contains(&"--architectures=arm64".to_owned()));
        let positional = ["", "system.tar.xz", "", "/d/host.sources"];
        assert!(line.ends_with(&positional.map(str::to_owned)));
        assert!(
            !line
                .iter()
                .any(|argument| argument.starts_with("--variant"))
        );
        assert_eq!(
            line.iter()
                .filter(|argument| argument.starts_with("--include"))
                .count(),
            1
        );
    }

    #[test]
    fn extra_packages_and_variant_are_asked_for() {
        let line = composed(
            json!({"architecture": "amd64", "variant": "-", "extra_packages": ["vim", "apt"]}),
        );
        assert_eq!(
            line[line.len() - 6..line.len() - 4],
            ["--variant=-", "--include=vim,apt"]
        );
    }

    #[test]
    fn what_the_customization_script_installs_counts_as_init() {
        let line = composed(json!({"architecture": "amd64"}));
        assert!(place(&line, "chroot \"$1\"") < place(&line, "sbin/init"));
        assert!(
            place(&line, "download /etc/os-release os-release") < place(&line, "chroot \"$1\"")
        );
    }
}
