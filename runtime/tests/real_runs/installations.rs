//! autopkgtest and piuparts: packages that are installed, used, and removed.

use super::farm::{Farm, architecture, list, skip};
use super::materials::{
    PACKAGE, build_for_all, build_for_this_machine, environment, source, system,
};
use serde_json::{Value, json};

fn built(farm: &Farm) -> Vec<Value> {
    [build_for_this_machine(farm), build_for_all(farm)]
        .map(|build| build.artifact("debian:upload")["id"].clone())
        .into()
}

#[test]
fn autopkgtest_runs_the_tests_that_a_package_brings() {
    let Some(farm) = Farm::with(&["autopkgtest"], &["autopkgtest", "sbuild"]) else {
        return;
    };
    let data = json!({
        "input": {
            "source_artifact": source(&farm, PACKAGE, "bookworm"),
            "binary_artifacts": built(&farm),
        },
        "environment": environment(&system(&farm)),
        "host_architecture": architecture(),
        "timeout": {"install": 900, "test": 900},
    });
    let run = farm.run("autopkgtest", &data).succeeded();
    let report = run.artifact("debian:autopkgtest");
    let data = &report["data"];
    assert_eq!(
        data["results"],
        json!({"run-unit-test": {"status": "PASS", "details": null}})
    );
    assert_eq!(data["source_package"]["name"], PACKAGE);
    assert_eq!(data["architecture"], architecture());
    assert_eq!(data["distribution"], "debian:bookworm");
    let paths: Vec<&str> = list(&report["files"])
        .iter()
        .filter_map(|file| file["path"].as_str())
        .collect();
    for path in ["log", "summary", "run-unit-test-stdout", "testpkg-version"] {
        assert!(paths.contains(&path), "{path}: {paths:?}");
    }
    assert!(!paths.iter().any(|path| path.starts_with("binaries/")));
}

#[test]
fn piuparts_installs_and_purges_packages() {
    let Some(farm) = Farm::with(&["piuparts"], &["sbuild"]) else {
        return;
    };
    let environment = environment(&system(&farm));
    let data = json!({
        "input": {"binary_artifacts": built(&farm)},
        "environment": environment,
        "base_tgz": environment,
        "host_architecture": architecture(),
    });
    let run = farm.run("piuparts", &data);
    let root = nix::unistd::geteuid().is_root();
    let run = if root { run.succeeded() } else { run.failed() };
    assert!(run.categories().is_empty(), "{:?}", run.told);
    let logs = run.logs();
    let said = &logs["cmd-output.log"];
    let insist = |words: &str| assert!(said.contains(words), "no {words:?}: {said}");
    insist("piuparts --keep-sources-list");
    if !root {
        // Everything that it needs is installed, the chroot is unpacked and mounted, and its first device is refused.
        insist("/proc']\n");
        insist("Command ok: ['mount', '-t', 'devpts'");
        insist("os.mknod(dev_ptmx_rel_path");
        insist("PermissionError: [Errno 1] Operation not permitted");
        // Nothing is left in the way of its removal.
        insist("DEBUG: Removed directory tree at ");
        skip(
            "the rest of piuparts: it makes devices for its chroots, which only root can let a sandbox do",
        );
    }
}
