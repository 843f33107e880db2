use super::*;
use crate::prelude::*;

fn repository(changes: Value) -> Result<ExtraRepository, Vec<String>> {
    let mut value =
        json!({"url": "http://e.org/d", "suite": "trixie", "components": ["main", "contrib"]});
    for (key, change) in changes.as_object().unwrap() {
        value[key] = change.clone();
    }
    let place = |violation: Violation| format!("{} {}", violation.location[0], violation.kind);
    ExtraRepository::parse(&value).map_err(|violations| violations.into_iter().map(place).collect())
}

#[test]
fn components_fit_the_suite() {
    let flat = repository(json!({"suite": "flat/", "components": []})).unwrap();
    assert_eq!(flat.components, None);
    for changes in [json!({"suite": "flat/"}), json!({"components": []})] {
        assert_eq!(repository(changes).unwrap_err(), ["__root__ value_error"]);
    }
    assert_eq!(
        repository(json!({"components": ["main;rm"]})).unwrap_err(),
        ["components value_error", "__root__ value_error"]
    );
}

#[test]
fn a_key_is_named_or_written_inline() {
    let signed = repository(json!({"signing_key": "a\n\nb\n"})).unwrap();
    assert_eq!(signed.to_oneline(None), Err(KeyWithoutFile));
    assert_eq!(
        signed.to_oneline(Some("/k.asc")).unwrap(),
        "deb [signed-by=/k.asc] http://e.org/d trixie main contrib"
    );
    assert_eq!(
        signed.to_deb822(None).unwrap(),
        "Types: deb\nURIs: http://e.org/d\nSuites: trixie\nComponents: main contrib\nSigned-By:\n a\n .\n b\n"
    );
    let named = signed.to_deb822(Some("/k.asc")).unwrap();
    assert!(named.ends_with("\nSigned-By: /k.asc\n"));
}

#[test]
fn a_line_break_has_no_deb822_form() {
    let broken = repository(json!({"suite": "x\n"})).unwrap();
    assert_eq!(broken.to_deb822(None), Err(UnwritableField("Suites")));
    assert_eq!(
        broken.to_oneline(None).unwrap(),
        "deb http://e.org/d x\n main contrib"
    );
}

#[test]
fn old_releases_lack_newer_source_formats() {
    assert!(!supports_deb822_sources("jessie") && supports_deb822_sources("stretch"));
    assert!(!supports_inline_signed_by("focal") && supports_inline_signed_by("bookworm"));
    assert!(supports_deb822_sources("Jessie") && supports_inline_signed_by(""));
}

fn extra_sources(codename: &str) -> ExtraSources {
    let plain = repository(json!({})).unwrap();
    let signed = repository(json!({"signing_key": "k"})).unwrap();
    ExtraSources::for_release(codename, &[plain, signed]).unwrap()
}

#[test]
fn each_release_gets_the_newest_form_that_it_reads() {
    let names =
        |files: &[AptFile]| -> Vec<String> { files.iter().map(|file| file.name.clone()).collect() };
    let sources = ["extra_repository_0.sources", "extra_repository_1.sources"];

    let trixie = extra_sources("trixie");
    assert_eq!(names(&trixie.sources), sources);
    assert!(trixie.sources[1].content.ends_with("Signed-By:\n k\n"));
    assert!(trixie.keys.is_empty() && trixie.lines.is_empty());

    let bullseye = extra_sources("bullseye");
    assert_eq!(names(&bullseye.sources), sources);
    let named = "Signed-By: /etc/apt/keyrings/extra_apt_key_1.asc\n";
    assert!(bullseye.sources[1].content.ends_with(named));
    assert_eq!(names(&bullseye.keys), ["extra_apt_key_1.asc"]);
    assert_eq!(bullseye.keys[0].content, "k\n");

    let jessie = extra_sources("jessie");
    assert!(jessie.sources.is_empty());
    assert_eq!(
        jessie.lines,
        [
            "deb http://e.org/d trixie main contrib",
            "deb [signed-by=/etc/apt/keyrings/extra_apt_key_1.asc] http://e.org/d trixie main contrib",
        ]
    );
    assert_eq!(jessie.keys, bullseye.keys);
}
