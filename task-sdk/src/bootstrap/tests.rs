use super::keyrings::KeyringFile;
use super::sources::Source;
use super::*;
use crate::debian::deb822::StanzaError;
use crate::debian::os_release::OsReleaseError;
use crate::prelude::*;

fn repository(changes: Value) -> BootstrapRepository {
    let mut value = json!({"mirror": "https://e.org/debian", "suite": "trixie"});
    for (key, change) in changes.as_object().unwrap() {
        value[key] = change.clone();
    }
    BootstrapRepository::parse(&value).unwrap()
}

fn keyring(installed: bool) -> KeyringFile {
    KeyringFile {
        path: "/d/keyrings/k.asc".into(),
        installed_path: installed.then(|| "/etc/apt/keyrings-debusine/k.asc".into()),
    }
}

fn source(repository: &BootstrapRepository, signed_by: Option<KeyringFile>) -> Source {
    source_with(repository, &["main", "contrib"], signed_by).unwrap()
}

fn source_with(
    repository: &BootstrapRepository,
    components: &[&str],
    signed_by: Option<KeyringFile>,
) -> Result<Source, StanzaError> {
    let mut source = Source::new(repository)?;
    let components: Vec<String> = components.iter().copied().map(str::to_owned).collect();
    source.set_components(&components, repository.check_signature_with)?;
    source.signed_by = signed_by;
    Ok(source)
}

fn preparation() -> Preparation {
    Preparation {
        host_sources: "/d/host.sources".into(),
        chroot_sources: "/d/chroot.sources".into(),
        keyrings: Vec::new(),
        keyring_packages: Vec::new(),
        customization_script: None,
    }
}

#[test]
fn the_release_file_is_where_the_archive_has_it() {
    for (mirror, suite, path) in [
        ("https://e.org/debian", "trixie", "/debian/dists/trixie"),
        ("https://e.org/debian/", "trixie", "/debian/dists/trixie"),
        ("https://e.org", "stable/updates", "/dists/stable/updates"),
        ("https://e.org//debian", "./", "/debian/dists"),
        (
            "https://e.org/x",
            "flat/repository/",
            "/x/dists/flat/repository",
        ),
        ("https://e.org/x", "../y/", "/x/y"),
    ] {
        let repository = repository(json!({"mirror": mirror, "suite": suite}));
        let expected = format!("https://e.org{path}/Release");
        assert_eq!(release::url(&repository), expected);
    }
}

#[test]
fn components_come_from_the_release_file_if_they_are_plain_words() {
    let listed = |text: &str| release::listed(text.as_bytes());
    assert_eq!(
        listed("Suite: x\ncomponents: main updates/main\n  non-free-firmware\nMD5Sum:\n 0 1 x\n"),
        Ok(vec![
            "main".into(),
            "updates/main".into(),
            "non-free-firmware".into()
        ])
    );
    assert_eq!(listed("Components: \n"), Ok(Vec::new()));
    assert_eq!(listed("Origin: x\n"), Err(ReleaseError::NoComponents));
    for word in ["b@d", "5main", "-o", "/main", "ma1n", "é"] {
        assert_eq!(
            listed(&format!("Components: main {word}\n")),
            Err(ReleaseError::Component(word.into()))
        );
    }
}

#[test]
fn the_system_gets_the_same_sources_without_keyrings_it_lacks() {
    let signed = repository(json!({"types": ["deb", "deb-src"]}));
    let unchecked = repository(json!({"check_signature_with": "no-check"}));
    let sources = [
        source(&signed, Some(keyring(false))),
        source(&unchecked, None),
    ];
    let plain = "Types: deb deb-src\nURIs: https://e.org/debian\nSuites: trixie\nComponents: main contrib\n";
    let trusted = "Types: deb\nURIs: https://e.org/debian\nSuites: trixie\nComponents: main contrib\nTrusted: yes\n";
    assert_eq!(
        sources::for_host(&sources).unwrap(),
        format!("{plain}Signed-By: /d/keyrings/k.asc\n\n{trusted}\n")
    );
    assert_eq!(
        sources::for_system(&sources).unwrap(),
        format!("{plain}\n{trusted}\n")
    );
    let installed = [source(&signed, Some(keyring(true)))];
    assert_eq!(
        sources::for_system(&installed).unwrap(),
        format!("{plain}Signed-By: /etc/apt/keyrings-debusine/k.asc\n\n")
    );
}

#[test]
fn a_source_without_components_keeps_the_field() {
    let repository = repository(json!({}));
    let source = source_with(&repository, &[], None).unwrap();
    let text = sources::for_host(&[source]).unwrap();
    assert!(text.ends_with("\nComponents:\n\n"), "{text}");
}

#[test]
fn no_field_can_smuggle_in_another_and_that_is_seen_before_anything_is_fetched() {
    for field in ["suite", "mirror"] {
        let repository = repository(json!({field: "https://trixie\nTrusted: yes"}));
        assert!(Source::new(&repository).is_err(), "{field}");
    }
    let repository = repository(json!({}));
    assert!(source_with(&repository, &["main\nTrusted: yes"], None).is_err());
}

#[test]
fn the_scheme_of_a_mirror_may_be_written_in_any_case() {
    let repository = repository(json!({"mirror": "HTTPS://E.org/Debian"}));
    let url = "https://E.org/Debian/dists/trixie/Release";
    assert_eq!(release::url(&repository), url);
}

#[test]
fn every_keyring_is_used_and_those_to_install_are_copied() {
    let arguments = Preparation {
        keyrings: vec![keyring(true), keyring(false)],
        keyring_packages: vec!["keys".into()],
        ..preparation()
    }
    .source_arguments();
    assert_eq!(
        arguments,
        [
            r#"--customize-hook=cd "$1" && find etc/apt/sources.list.d -type f -delete"#,
            "--customize-hook=upload /d/chroot.sources /etc/apt/sources.list.d/file.sources",
            r#"--customize-hook=mkdir "$1/etc/apt/keyrings-debusine""#,
            "--customize-hook=upload /d/keyrings/k.asc /etc/apt/keyrings-debusine/k.asc",
            "--keyring=/d/keyrings/k.asc",
            "--keyring=/d/keyrings/k.asc",
            "--include=keys",
        ]
    );
}

#[test]
fn the_customization_script_leaves_no_trace() {
    assert!(preparation().customization_arguments().is_empty());
    let arguments = Preparation {
        customization_script: Some("/d/customization_script".into()),
        ..preparation()
    }
    .customization_arguments();
    assert_eq!(
        arguments,
        [
            "--customize-hook=upload /d/customization_script /customization_script",
            r#"--customize-hook=chmod 555 "$1/customization_script""#,
            r#"--customize-hook=chroot "$1" /customization_script"#,
            r#"--customize-hook=rm "$1/customization_script""#,
        ]
    );
}

#[test]
fn packages_are_lines_of_name_and_version() {
    let packages = made::parse_packages("bash\t5.2\nlibc6:amd64\t1:2~3+b1\nremoved\t\n").unwrap();
    assert_eq!(packages.get("libc6:amd64").unwrap(), "1:2~3+b1");
    assert_eq!(packages.get("removed").unwrap(), "");
    assert!(made::parse_packages("").unwrap().0.is_empty());
    for line in ["nover", "", "a\tb\tc"] {
        assert_eq!(
            made::parse_packages(&format!("a\t1\n{line}\n"))
                .unwrap_err()
                .0,
            line
        );
    }
}

#[test]
fn a_system_names_its_distribution_but_perhaps_not_its_release() {
    let old = made::Identity::parse("ID=debian\n").unwrap();
    assert_eq!(old.vendor, "debian");
    assert!(matches!(old.codename, Err(OsReleaseError::Missing(_))));
    assert!(made::Identity::parse("VERSION_CODENAME=trixie\n").is_err());
}

#[test]
fn unstable_is_always_sid() {
    for (suite, codename) in [("unstable", "sid"), ("sid", "sid"), ("stable", "trixie")] {
        let repository = repository(json!({"suite": suite}));
        assert_eq!(made::codename(&repository, "trixie".into()), codename);
    }
}

#[test]
fn like_systems_have_the_same_context() {
    let options = SystemOptions::parse(
        &json!({"architecture": "amd64", "extra_packages": ["vim", "apt", "vim"]}),
    );
    let fields = BootstrapFields {
        bootstrap_repositories: vec![repository(json!({})), repository(json!({"suite": "x"}))],
        customization_script: None,
    };
    let dynamic = dynamic_data(&options.unwrap(), None, &fields);
    assert_eq!(dynamic.subject.as_deref(), Some("trixie"));
    assert_eq!(
        dynamic.runtime_context.as_deref(),
        Some("amd64:None:apt,vim,vim")
    );
    assert_eq!(dynamic.configuration_context.as_deref(), Some("amd64"));
}
