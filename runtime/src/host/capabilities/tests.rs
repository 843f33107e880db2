//! What is granted, and why not.

use super::*;
use crate::component::Needs;

fn imports(names: &[&str]) -> Vec<String> {
    let names = names.iter();
    names
        .map(|name| format!("debusine:task/{name}@0.1.0"))
        .collect()
}

fn asking(needs: Needs) -> Manifest {
    Manifest {
        needs: Some(needs),
        ..Manifest::default()
    }
}

fn resolve(manifest: &Manifest, policy: Policy) -> Grants {
    Grants::resolve(
        "a",
        manifest,
        &imports(&["commands", "http"]),
        &Arc::new(policy),
    )
}

#[test]
fn an_import_that_the_manifest_does_not_ask_for_is_not_granted() {
    let needs = Needs {
        commands: vec!["dpkg".to_owned()],
        ..Needs::default()
    };
    let grants = resolve(&asking(needs), Policy::default());
    assert!(grants.has(Capability::Command) && !grants.has(Capability::Http));
    assert_eq!(grants.objection(Capability::Command, "dpkg"), None);
    let words = grants.objection(Capability::Command, "/tmp/dpkg").unwrap();
    assert!(
        words.contains("its manifest does not ask for it"),
        "{words}"
    );
    assert!(
        grants
            .missing("http")
            .unwrap()
            .contains("no capability http")
    );
    assert_eq!(grants.missing("commands"), None);
}

#[test]
fn a_component_without_a_manifest_asks_for_what_it_imports() {
    let grants = resolve(&Manifest::default(), Policy::default());
    assert!(grants.has(Capability::Command) && grants.has(Capability::Http));
    assert!(!grants.has(Capability::Environment));
    assert_eq!(grants.objection(Capability::Command, "anything"), None);
}

#[test]
fn a_refusal_names_task_capability_and_the_line_that_would_grant_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("policy");
    std::fs::write(&path, "allow * *\ndeny a http\ndeny * command rm\n").unwrap();
    let grants = resolve(&Manifest::default(), Policy::read(&path).unwrap());
    let words = grants.missing("http").unwrap();
    assert!(
        words.contains("task a") && words.contains("`allow a http`"),
        "{words}"
    );
    let words = grants.objection(Capability::Command, "rm").unwrap();
    assert!(words.contains("`allow a command rm`"), "{words}");
    let http = grants
        .uses()
        .iter()
        .find(|it| it.capability == Capability::Http)
        .unwrap();
    assert!(
        http.decided_by.contains("policy:2: deny a http"),
        "{}",
        http.decided_by
    );
}
