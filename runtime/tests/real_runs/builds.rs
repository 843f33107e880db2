//! sbuild: packages from source packages, and what is left when there are none.

use super::farm::{Farm, Run, architecture, list};
use super::materials::{
    BUILD_DEPENDENCIES, PACKAGE, TINY_PACKAGE, build_data, build_for_all, build_for_this_machine,
    changed_package, failed_build, rebuild, replace, source,
};
use serde_json::{Value, json};

/// What a successful build uploads, besides a package for each that is built.
const AFTER_THE_PACKAGES: [&str; 3] = [
    "debian:binary-packages",
    "debian:upload",
    "debusine:signing-input",
];

fn farm() -> Option<Farm> {
    Farm::with(&["sbuild"], &["sbuild"])
}

/// The names of the packages that a build uploaded one by one, with their versions.
fn packages(run: &Run<'_>) -> Vec<(String, String)> {
    let field = |package: &Value, field: &str| {
        let value = package["data"]["deb_fields"][field].as_str();
        value.expect("a control field").to_owned()
    };
    let packages = run.artifacts("debian:binary-package");
    packages
        .iter()
        .map(|package| (field(package, "Package"), field(package, "Version")))
        .collect()
}

fn categories(packages: usize) -> Vec<&'static str> {
    let mut categories = vec!["debian:package-build-log"];
    categories.resize(1 + packages, "debian:binary-package");
    categories.extend(AFTER_THE_PACKAGES);
    categories
}

#[test]
fn a_build_for_this_machine_leaves_packages_that_know_their_source() {
    let Some(farm) = farm() else {
        return;
    };
    let run = build_for_this_machine(&farm);
    assert_eq!(run.categories(), categories(2));
    let names: Vec<String> = packages(&run).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["mustang-dbgsym", "mustang"]);
    let together = run.artifact("debian:binary-packages");
    assert_eq!(together["data"]["architecture"], architecture());

    let log = run.artifact("debian:package-build-log");
    assert_eq!(log["data"]["source"], PACKAGE);
    assert_eq!(log["data"]["bd_uninstallable"], Value::Null);
    let input = source(&farm, PACKAGE, "bookworm");
    let of_source = ("built-using".to_owned(), input);
    assert_eq!(farm.relations(&together), [of_source]);
    let of_log = farm.relations(&log);
    assert_eq!(of_log[0], ("relates-to".to_owned(), input));
    assert_eq!(of_log.len(), 4, "{of_log:?}");
}

#[test]
fn a_build_for_all_machines_leaves_only_what_is_the_same_on_all() {
    let Some(farm) = farm() else {
        return;
    };
    let run = build_for_all(&farm);
    assert_eq!(run.categories(), categories(1));
    let names: Vec<String> = packages(&run).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["mustang-testdata"]);
    let upload = run.artifact("debian:upload");
    assert_eq!(upload["data"]["changes_fields"]["Architecture"], "all");
}

#[test]
fn a_rebuild_has_a_version_of_its_own() {
    let Some(farm) = farm() else {
        return;
    };
    let run = rebuild(&farm);
    let upload = run.artifact("debian:upload");
    let fields = &upload["data"]["changes_fields"];
    assert_eq!(fields["Binary-Only"], "yes");
    assert_eq!(fields["Date"], "Wed, 01 May 2024 12:00:00 +0000");
    assert_eq!(fields["Changed-By"], "Test Person <test@example.org>");
    for (name, version) in packages(&run) {
        assert!(version.ends_with("+b1"), "{name}: {version}");
    }
}

#[test]
fn a_build_that_fails_leaves_its_log() {
    let Some(farm) = farm() else {
        return;
    };
    let run = failed_build(&farm);
    assert_eq!(run.categories(), ["debian:package-build-log"]);
    let log = run.artifact("debian:package-build-log");
    assert_eq!(log["data"]["source"], TINY_PACKAGE);
    assert_eq!(log["data"]["bd_uninstallable"], Value::Null);
}

#[test]
fn a_build_dependency_that_cannot_be_installed_is_explained() {
    let Some(farm) = farm() else {
        return;
    };
    let impossible = "Build-Depends: there-is-no-such-package (>= 2)\n";
    let source = changed_package(&farm, |source| {
        replace(
            &source.join("debian/control"),
            BUILD_DEPENDENCIES,
            impossible,
        )
    });
    let source = source.expect("a source package");
    let data = build_data(&farm, source, json!({}));
    let run = farm.run("sbuild", &data).failed();
    assert_eq!(run.categories(), ["debian:package-build-log"]);

    let log = run.artifact("debian:package-build-log");
    let explanation = &log["data"]["bd_uninstallable"];
    let broken = &list(&explanation["report"])[0];
    assert_eq!(broken["status"], "broken", "{explanation}");
    let missing = &broken["reasons"][0]["missing"]["pkg"]["unsat-dependency"];
    assert!(
        missing
            .as_str()
            .is_some_and(|text| text.contains("there-is-no-such-package")),
        "{explanation}"
    );
}
