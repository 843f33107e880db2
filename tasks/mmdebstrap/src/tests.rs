use super::*;
use task_sdk::testing::{Ended, Report, World};

const KEY_URL: &str = "https://e.org/key";

fn data(sha256sum: &str) -> Value {
    json!({
        "bootstrap_options": {"architecture": "amd64"},
        "bootstrap_repositories": [{
            "mirror": "https://e.org/debian/",
            "suite": "trixie",
            "check_signature_with": "external",
            "keyring": {"url": KEY_URL, "sha256sum": sha256sum, "install": true},
        }],
    })
}

/// A run in a world where mmdebstrap ends with this status.
fn run(data: Value, status: i32) -> Report {
    let files = [
        ("system.tar.xz", "tar"),
        ("os-release", "ID=debian\nVERSION_CODENAME=trixie\n"),
        ("test-sbin-init", "0\n"),
    ];
    let made = Ended {
        status,
        files: files
            .map(|(name, text)| (name.to_owned(), text.into()))
            .to_vec(),
        ..Ended::default()
    };
    let packages = Ended {
        stdout: "bash\t5.2\n".to_owned(),
        ..Ended::default()
    };
    World::new()
        .url(
            "https://e.org/debian/dists/trixie/Release",
            "Components: main\n",
        )
        .url(KEY_URL, "-----BEGIN PGP PUBLIC KEY BLOCK-----\n")
        .command("mmdebstrap --mode", made)
        .command("dpkg-query", packages)
        .run::<MmDebstrap>(data, json!({}))
}

#[test]
fn the_tarball_is_described_by_what_is_in_it() {
    let report = run(data(""), 0);
    assert_eq!(report.result, Ok(true));
    let [tarball] = report.uploads.as_slice() else {
        panic!("one artifact expected: {:?}", report.uploads);
    };
    assert_eq!(tarball.category, "debian:system-tarball");
    assert_eq!(
        tarball.data,
        json!({
            "filename": "system.tar.xz", "vendor": "debian", "codename": "trixie",
            "mirror": "https://e.org/debian/", "variant": null, "pkglist": {"bash": "5.2"},
            "architecture": "amd64", "with_dev": true, "with_init": true,
        })
    );
}

#[test]
fn a_fetched_keyring_is_used_and_installed_under_one_name() {
    let report = run(data(""), 0);
    let line = &report.commands[0].arguments;
    let keyring = line
        .iter()
        .find_map(|argument| argument.strip_prefix("--keyring="))
        .unwrap();
    let (_, name) = keyring.rsplit_once('/').unwrap();
    assert!(
        name.starts_with("keyring-repo-") && name.ends_with(".asc"),
        "{name}"
    );
    let installed = format!("/etc/apt/keyrings-debusine/{name}");
    assert!(line.contains(&format!("--customize-hook=upload {keyring} {installed}")));
    let signed_by =
        |log: &str, path: &str| report.logs[log].ends_with(&format!("Signed-By: {path}\n\n"));
    assert!(signed_by("host.sources", keyring) && signed_by("chroot.sources", &installed));
}

#[test]
fn an_unexpected_keyring_ends_the_task_before_anything_runs() {
    let report = run(data("00"), 0);
    assert_eq!(report.result.unwrap_err().kind, "wrong-checksum");
    assert!(report.commands.is_empty() && report.logs.is_empty());
}

#[test]
fn a_failed_bootstrap_uploads_nothing() {
    let report = run(data(""), 25);
    assert_eq!(report.result, Ok(false));
    assert!(report.uploads.is_empty());
}
