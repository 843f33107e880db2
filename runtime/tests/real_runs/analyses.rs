//! blhc, debdiff, lintian: what tools say of packages and logs.

use super::farm::{Farm, architecture, list, text, texts};
use super::materials::{
    PACKAGE, TINY_PACKAGE, build_for_all, build_for_this_machine, environment, failed_build,
    rebuild, source, system, workbench,
};
use serde_json::{Value, json};

#[test]
fn blhc_tells_hardened_builds_from_others() {
    let Some(farm) = Farm::with(&["blhc"], &["sbuild"]) else {
        return;
    };
    let environment = environment(&system(&farm));
    for (build, verdict, says) in [
        (failed_build(&farm), "success", ""),
        (build_for_this_machine(&farm), "failure", "CPPFLAGS missing"),
    ] {
        let log = build.artifact("debian:package-build-log");
        let data = json!({"input": {"artifact": log["id"]}, "environment": environment});
        let run = farm.run("blhc", &data).ended(verdict);
        let run = run.unwrap_or_else(|why| panic!("{why}"));
        assert_eq!(run.categories(), ["debian:blhc"]);
        let report = run.artifact("debian:blhc");
        let said = text(&farm.file(&report, "blhc.txt"));
        assert!(said.contains(says), "{said}");
        assert_eq!(said.is_empty(), says.is_empty(), "{said}");
        let to_log = (
            "relates-to".to_owned(),
            log["id"].as_i64().expect("a number"),
        );
        assert_eq!(farm.relations(&report), [to_log]);
    }
}

#[test]
fn debdiff_shows_what_a_new_release_changed() {
    let Some(farm) = Farm::with(&["debdiff"], &[]) else {
        return;
    };
    let sources = ["bookworm", "trixie"].map(|suite| source(&farm, TINY_PACKAGE, suite));
    let data = json!({
        "input": {"source_artifacts": sources},
        "environment": environment(&workbench(&farm)),
        "host_architecture": architecture(),
        "extra_flags": ["--diffstat"],
    });
    let run = farm.run("debdiff", &data).succeeded();
    let report = run.artifact("debian:debdiff");
    for (side, source) in ["original", "new"].into_iter().zip(sources) {
        let source = farm.ask(&["artifact", "show", &source.to_string()]);
        let files = list(&source["files"]).iter();
        let mut paths = files.filter_map(|file| file["path"].as_str());
        assert!(paths.any(|path| report["data"][side] == path), "{report}");
    }
    let said = text(&farm.file(&report, "debdiff.txt"));
    assert!(said.contains("diffstat for hostname"), "{said}");
    assert!(said.contains("/debian/changelog"), "{said}");
    let to_sources = sources.map(|source| ("relates-to".to_owned(), source));
    assert_eq!(farm.relations(&report), to_sources);
}

#[test]
fn debdiff_shows_what_a_rebuild_changed() {
    let Some(farm) = Farm::with(&["debdiff"], &["sbuild"]) else {
        return;
    };
    let uploads = [build_for_this_machine(&farm), rebuild(&farm)]
        .map(|build| build.artifact("debian:upload")["id"].clone());
    let data = json!({
        "input": {"binary_artifacts": [[uploads[0]], [uploads[1]]]},
        "environment": environment(&workbench(&farm)),
        "host_architecture": architecture(),
    });
    let run = farm.run("debdiff", &data).succeeded();
    let report = run.artifact("debian:debdiff");
    let said = text(&farm.file(&report, "debdiff.txt"));
    let change = "Version: [-3.2.4-1-] {+3.2.4-1+b1+}";
    assert!(said.contains(change), "{said}");
}

#[test]
fn lintian_sorts_its_tags_by_package() {
    let Some(farm) = Farm::with(&["lintian"], &["sbuild"]) else {
        return;
    };
    let built = [build_for_this_machine(&farm), build_for_all(&farm)]
        .map(|build| build.artifact("debian:binary-packages")["id"].clone());
    let data = json!({
        "input": {
            "source_artifact": source(&farm, PACKAGE, "bookworm"),
            "binary_artifacts": built,
        },
        "environment": environment(&workbench(&farm)),
    });
    let run = farm.run("lintian", &data).succeeded();
    let analyses = run.artifacts("debian:lintian");
    let [of_source, of_all, of_any] = analyses.as_slice() else {
        panic!("three analyses expected: {analyses:?}");
    };
    let tags: Vec<Vec<Value>> = [of_source, of_all, of_any]
        .map(|analysis| {
            let content = farm.file(analysis, "analysis.json");
            let parsed: Value = serde_json::from_slice(&content).expect("JSON");
            assert_eq!(parsed["summary"], analysis["data"]["summary"]);
            list(&parsed["tags"]).to_vec()
        })
        .into();
    for (tags, package) in tags.iter().zip(["mustang", "mustang-testdata", "mustang"]) {
        assert!(!tags.is_empty(), "{package}");
        for tag in tags {
            let of = tag["package"].as_str().expect("a name");
            assert!(of == package || of == "mustang-dbgsym", "{tag}");
        }
    }
    let summary = &of_source["data"]["summary"];
    assert!(
        texts(&summary["tags_found"]).contains(&"debhelper-compat-level"),
        "{summary}"
    );
    assert_eq!(
        summary["package_filename"]["mustang"],
        "mustang_3.2.4-1.dsc"
    );
    assert_eq!(summary["distribution"], "debian:unstable");
    let said = text(&farm.file(of_source, "lintian.txt"));
    assert!(
        said.lines().any(|line| line.starts_with("I: mustang")),
        "{said}"
    );
}

#[test]
fn a_severity_decides_whether_lintian_fails() {
    let Some(farm) = Farm::with(&["lintian"], &[]) else {
        return;
    };
    let data = json!({
        "input": {"source_artifact": source(&farm, TINY_PACKAGE, "bookworm")},
        "environment": environment(&workbench(&farm)),
        "output": {"binary_all_analysis": false, "binary_any_analysis": false},
        "fail_on_severity": "pedantic",
    });
    let run = farm.run("lintian", &data).failed();
    assert_eq!(run.categories(), ["debian:lintian"]);
}
