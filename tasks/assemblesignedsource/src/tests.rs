//! What becomes of a template and signatures, and of those that cannot be trusted.

use super::*;
use std::io::Read;
use task_sdk::testing::{Ended, Report, World, configured};

const ENVIRONMENT: &str = "debian/match:codename=trixie";
const BINARY_PACKAGE: &str = Category::BinaryPackage.as_str();
const SIGNING_INPUT: &str = Category::SigningInput.as_str();
const SIGNING_OUTPUT: &str = Category::SigningOutput.as_str();
const CHANGELOG: &str = "hello-signed (1:1.0~1) sid trixie; urgency=low\n\n  * Signed.\n";

fn data() -> Value {
    json!({"template": 5, "signed": [6], "environment": ENVIRONMENT})
}

fn dynamic_data(signed: &[i64]) -> Value {
    json!({"environment_id": 42, "template_id": 5, "signed_ids": signed})
}

/// The signature of one file.
fn signing_output(file: &str, output_file: &str) -> Value {
    let result = json!({"file": file, "output_file": output_file});
    json!({"purpose": "uefi", "fingerprint": "ab", "results": [result]})
}

/// A world with a template, the signature of a file of `hello` (6), and where that is from.
fn world() -> World {
    let package = |name: &str| json!({"deb_fields": {"Package": name}});
    let output = signing_output("hello/a.efi", "hello/a.efi.sig");
    let relates = RelationType::RelatesTo;
    World::new()
        .artifact(5, BINARY_PACKAGE, package("tpl"), &[("t.deb", b"")])
        .artifact(6, SIGNING_OUTPUT, output, &[("hello/a.efi.sig", b"SIG")])
        .artifact(42, "debian:system-tarball", json!({}), &[])
        .artifact(60, SIGNING_INPUT, json!({}), &[])
        .artifact(61, BINARY_PACKAGE, package("hello"), &[])
        .artifact(62, "debian:source-package", json!({}), &[])
        .relation(6, 60, relates)
        .relation(6, 62, relates)
        .relation(60, 61, relates)
        .relation(60, 62, relates)
        .relation(60, 5, RelationType::Extends)
}

/// The files of a template, by their paths in its directory.
struct Template {
    files: Vec<(String, String)>,
    links: Vec<(String, String)>,
}

impl Template {
    fn new() -> Self {
        let manifest =
            r#"{"packages": {"hello": {"files": [{"file": "a.efi", "sig_type": "efi"}]}}}"#;
        let mut template = Self {
            files: Vec::new(),
            links: Vec::new(),
        };
        for (name, content) in [
            ("files.json", manifest),
            ("source-template/debian/source/format", "3.0 (native)\n"),
            ("source-template/debian/changelog", CHANGELOG),
            ("source-template/debian/control", ""),
            ("source-template/debian/copyright", ""),
            ("source-template/debian/rules", ""),
        ] {
            template = template.file(name, content);
        }
        template
    }

    fn file(self, name: &str, content: &str) -> Self {
        let mut template = self.without(name);
        template.files.push((name.to_owned(), content.to_owned()));
        template
    }

    fn manifest(self, content: Value) -> Self {
        self.file("files.json", &content.to_string())
    }

    fn without(mut self, name: &str) -> Self {
        self.files.retain(|(known, _)| known != name);
        self
    }

    fn link(self, name: &str, target: &str) -> Self {
        let mut template = self.without(name);
        template.links.push((name.to_owned(), target.to_owned()));
        template
    }

    /// As it comes out of the instance.
    fn archive(&self) -> Vec<u8> {
        let mut archive = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        let path = |name: &str| format!("template/usr/share/code-signing/tpl/{name}");
        for (name, content) in &self.files {
            header.set_size(content.len() as u64);
            let content = content.as_bytes();
            archive
                .append_data(&mut header, path(name), content)
                .unwrap();
        }
        header.set_size(0);
        header.set_entry_type(tar::EntryType::Symlink);
        for (name, target) in &self.links {
            archive
                .append_link(&mut header, path(name), target)
                .unwrap();
        }
        archive.into_inner().unwrap()
    }
}

/// A `.changes` and a `.dsc` file that list `file`.
fn listing(file: &str) -> (String, String) {
    let dsc = format!(
        "Format: 3.0 (native)\nSource: hello-signed\nVersion: 1:1.0~1\nFiles:\n 0 1 {file}\n"
    );
    let changes = format!(
        "Source: hello-signed\nArchitecture: source\nVersion: 1:1.0~1\n\
         Checksums-Sha256:\n 0 1 hello-signed_1.0~1.dsc\n 0 1 {file}\n\
         Files:\n 0 1 misc optional hello-signed_1.0~1.dsc\n 0 1 misc optional {file}\n"
    );
    (changes, dsc)
}

/// A world with a template, whose source package consists of `file` once it is built.
fn with(world: World, template: &Template, file: &str) -> World {
    let (changes, dsc) = listing(file);
    let leaves = |files: &[(&str, &[u8])]| Ended {
        files: files
            .iter()
            .map(|(name, content)| ((*name).to_owned(), content.to_vec()))
            .collect(),
        ..Ended::default()
    };
    let built = [
        ("hello-signed_1:1.0~1_source.changes", changes.as_bytes()),
        ("hello-signed_1.0~1.dsc", dsc.as_bytes()),
    ];
    world.command("dpkg-genchanges", leaves(&built)).command(
        "template.tar template",
        leaves(&[("template.tar", &template.archive())]),
    )
}

/// What the task makes of a template; the source package consists of what was put into the instance.
fn assemble(world: World, template: &Template, signed: &[i64]) -> Report {
    with(world, template, "source.tar").run::<AssembleSignedSource>(data(), dynamic_data(signed))
}

/// The content of a file in the source package that was uploaded.
fn content(report: &Report, name: &str) -> Option<String> {
    let files = report.uploads.first()?.files.iter();
    let (_, packed) = files.into_iter().find(|(name, _)| name == "source.tar")?;
    let mut archive = tar::Archive::new(packed.as_slice());
    let mut entries = archive.entries().unwrap().map(Result::unwrap);
    let mut entry = entries.find(|entry| entry.path().unwrap().to_str() == Some(name))?;
    let mut text = String::new();
    entry.read_to_string(&mut text).unwrap();
    Some(text)
}

#[test]
fn signatures_end_up_in_a_source_package_and_its_upload() {
    let report = assemble(world(), &Template::new(), &[6]);
    assert_eq!(report.result, Ok(true));
    let signature = content(&report, "debian/signatures/hello/a.efi.sig");
    assert_eq!(signature.as_deref(), Some("SIG"));
    assert_eq!(
        content(&report, "debian/changelog").as_deref(),
        Some(CHANGELOG)
    );

    let categories: Vec<&str> = report
        .uploads
        .iter()
        .map(|upload| &*upload.category)
        .collect();
    assert_eq!(categories, ["debian:source-package", "debian:upload"]);
    let data = &report.uploads[0].data;
    assert_eq!(
        (&data["name"], &data["version"]),
        (&json!("hello-signed"), &json!("1:1.0~1"))
    );
    use RelationType::{BuiltUsing, Extends};
    assert_eq!(
        report.relations,
        [(1001, 61, BuiltUsing), (1002, 1001, Extends)]
    );

    let commands = report.commands.iter();
    let as_root: Vec<String> = commands
        .filter(|command| command.as_root)
        .map(|command| command.arguments.join(" "))
        .collect();
    assert_eq!(
        as_root,
        ["apt-get update", "apt-get --yes install dpkg-dev"]
    );
    let last = report.commands.last().unwrap().arguments.join(" ");
    assert!(last.contains("-DDistribution=sid -UCloses '-O"), "{last}");
    assert!(
        last.ends_with("/hello-signed_1:1.0~1_source.changes'"),
        "{last}"
    );
}

#[test]
fn only_the_packages_behind_the_last_signatures_are_told() {
    let other = signing_output("x/y", "x/y.sig");
    let world = world().artifact(7, SIGNING_OUTPUT, other, &[("x/y.sig", b"")]);
    let report = assemble(world, &Template::new(), &[6, 7]);
    assert_eq!(report.result, Ok(true));
    assert_eq!(report.relations, [(1002, 1001, RelationType::Extends)]);
}

#[test]
fn a_template_that_dpkg_source_would_not_take_as_it_is_is_refused() {
    let file = |name: &str| format!("source-template/debian/{name}");
    let mut templates = vec![
        Template::new().file(&file("source/options"), ""),
        Template::new().file(&file("source/local-options"), ""),
        Template::new().link(&file("source/options"), "/nowhere"),
    ];
    for name in [
        "source/format",
        "changelog",
        "control",
        "copyright",
        "rules",
    ] {
        templates.push(Template::new().without(&file(name)));
        templates.push(Template::new().link(&file(name), "/etc/passwd"));
    }
    for format in [
        "3.0 (quilt)\n",
        "3.0 (native) \n",
        "",
        "3.0 (native)\nx",
        "\n3.0 (native)",
    ] {
        templates.push(Template::new().file(&file("source/format"), format));
    }
    for template in &templates {
        let report = assemble(world(), template, &[6]);
        assert!(
            report.result.is_err(),
            "{:?} {:?}",
            template.files,
            template.links
        );
        assert!(report.uploads.is_empty());
    }
    let without_newline = Template::new().file(&file("source/format"), "3.0 (native)");
    assert_eq!(assemble(world(), &without_newline, &[6]).result, Ok(true));
}

#[test]
fn a_template_whose_source_lies_elsewhere_is_refused() {
    for target in ["/etc", "..", "elsewhere"] {
        let mut template = Template::new().link("source-template", target);
        template
            .files
            .retain(|(name, _)| !name.starts_with("source-template"));
        let report = assemble(world(), &template, &[6]);
        assert!(report.result.is_err(), "{target}");
    }
}

#[test]
fn each_file_of_the_manifest_needs_a_signature_of_its_kind() {
    for file in [
        json!({"file": "b.efi", "sig_type": "efi"}),
        json!({"file": "a.efi", "sig_type": "linux-module"}),
        json!({"file": "a.efi"}),
        json!({"file": "/a.efi", "sig_type": "efi"}),
        json!({"file": "../hello/a.efi", "sig_type": "efi"}),
        json!({"file": "a.efi\n", "sig_type": "efi"}),
        json!({"file": "a.efi\0", "sig_type": "efi"}),
    ] {
        let template = Template::new().manifest(json!({"packages": {"hello": {"files": [file]}}}));
        let report = assemble(world(), &template, &[6]);
        assert!(report.result.is_err(), "{file}");
        assert!(report.uploads.is_empty());
    }
    for name in ["other", "../hello", "Hello"] {
        let file = json!({"file": "a.efi", "sig_type": "efi"});
        let template = Template::new().manifest(json!({"packages": {name: {"files": [file]}}}));
        assert!(assemble(world(), &template, &[6]).result.is_err(), "{name}");
    }
}

#[test]
fn a_signature_for_another_purpose_does_not_count() {
    let mut output = signing_output("hello/a.efi", "hello/a.efi.sig");
    output["purpose"] = "openpgp".into();
    let world = world().artifact(6, SIGNING_OUTPUT, output, &[("hello/a.efi.sig", b"")]);
    assert!(assemble(world, &Template::new(), &[6]).result.is_err());
}

#[test]
fn a_signature_is_a_file_of_its_artifact() {
    for path in ["../../template-artifact/t.deb", "/etc/passwd", "none"] {
        let output = signing_output("hello/a.efi", path);
        let world = world().artifact(6, SIGNING_OUTPUT, output, &[]);
        let report = assemble(world, &Template::new(), &[6]);
        assert!(report.result.is_err(), "{path}");
        assert!(report.uploads.is_empty());
    }
}

#[test]
fn files_that_are_built_lie_in_the_working_directory() {
    for name in ["../../etc/passwd", "/etc/passwd", "..", "missing.tar.xz"] {
        let world = with(world(), &Template::new(), name);
        let report = world.run::<AssembleSignedSource>(data(), dynamic_data(&[6]));
        assert!(report.result.is_err(), "{name}");
        assert!(report.uploads.is_empty());
    }
}

#[test]
fn no_word_of_a_changelog_becomes_a_command() {
    for heading in [
        "hello (1.0) $(reboot); urgency=low\n",
        "hello (1.0/../..) sid; urgency=low\n",
        "../hello (1.0) sid; urgency=low\n",
    ] {
        let template = Template::new().file("source-template/debian/changelog", heading);
        let report = assemble(world(), &template, &[6]);
        assert!(report.result.is_err(), "{heading}");
        let line = report.commands.last().unwrap().arguments.join(" ");
        assert!(line.ends_with("dpkg-source -b ."), "{line}");
    }
}

#[test]
fn without_signatures_there_is_nothing_to_upload() {
    let template = Template::new().manifest(json!({"packages": {}}));
    let report = assemble(world(), &template, &[]);
    assert!(report.result.is_err() && report.uploads.is_empty());
}

#[test]
fn signatures_are_fetched_once() {
    let report = assemble(world(), &Template::new(), &[6, 6]);
    assert_eq!(report.result.unwrap_err().kind, "file-exists");
    assert!(report.commands.is_empty());
}

#[test]
fn a_failed_command_ends_the_run() {
    for name in [
        "dpkg-deb",
        "tar -C",
        "dpkg-source",
        "dpkg-genchanges",
        "apt-get",
    ] {
        let fails = Ended {
            status: 2,
            ..Ended::default()
        };
        let report = assemble(world().command(name, fails), &Template::new(), &[6]);
        assert_eq!(report.result.unwrap_err().kind, "command-failed", "{name}");
    }
}

#[test]
fn inputs_of_another_kind_end_the_task_with_a_word_in_the_log() {
    let one: &[(&str, &[u8])] = &[("a.deb", b"")];
    let two: &[(&str, &[u8])] = &[("a.deb", b""), ("b.deb", b"")];
    for world in [
        world().artifact(5, "debian:upload", json!({}), one),
        world().artifact(5, BINARY_PACKAGE, json!({}), two),
        world().artifact(5, BINARY_PACKAGE, json!({}), &[("a.udeb", b"")]),
        world().artifact(6, SIGNING_INPUT, json!({}), &[]),
    ] {
        let report = world.run::<AssembleSignedSource>(data(), dynamic_data(&[6]));
        assert_eq!(report.result, Ok(false));
        assert_eq!(report.logs["fetch_input.log"].lines().count(), 1);
        assert!(report.commands.is_empty());
    }
    let bogus = world().artifact(6, SIGNING_OUTPUT, json!({"purpose": "bogus"}), &[]);
    assert!(assemble(bogus, &Template::new(), &[6]).result.is_err());
}

#[test]
fn a_scheduler_learns_what_is_assembled() {
    let environment = format!("{ENVIRONMENT}:format=tarball:backend=unshare");
    let world = world()
        .lookup(json!([6]), &[6])
        .lookup(json!(environment), &[42]);
    let computed = world
        .compute_dynamic_data::<AssembleSignedSource>(data())
        .unwrap();
    assert_eq!(computed["subject"], "tpl");
    assert_eq!(computed["signed_ids"], json!([6]));
    let task: AssembleSignedSource = configured(&data(), Some(&computed)).unwrap();
    assert_eq!(task.label(), "assemble signed source");
    assert_eq!(task.source_artifacts_ids(), None);
}
