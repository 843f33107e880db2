//! What is granted, and why not.

use super::*;
use crate::artifacts::{Artifact, ArtifactId};
use crate::component::Needs;
use crate::executor::{Abort, ExecutorError, Instance};
use crate::host::PreparedImage;
use crate::host::bindings::debusine::task::executor::Backend;

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
fn what_the_manifest_asks_for_and_nobody_imports_is_not_granted() {
    let needs = Needs {
        environments: true,
        http: true,
        uploads: vec!["debian:upload".to_owned()],
        ..Needs::default()
    };
    let grants = resolve(&asking(needs), Policy::default());
    assert!(grants.has(Capability::Http));
    for capability in [Capability::Environment, Capability::Upload] {
        assert!(!grants.has(capability), "{capability:?}");
        let mut uses = grants.uses().iter();
        let used = uses.find(|it| it.capability == capability).unwrap();
        assert!(
            used.decided_by
                .starts_with("it does not import debusine:task/"),
            "{}",
            used.decided_by
        );
    }
}

#[test]
fn one_program_of_a_component_without_a_manifest_can_be_granted() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("policy");
    std::fs::write(&path, "allow a command dpkg\n").unwrap();
    let grants = resolve(&Manifest::default(), Policy::read(&path).unwrap());
    assert!(grants.has(Capability::Command), "it is linked");
    assert_eq!(grants.missing("commands"), None);
    assert_eq!(grants.objection(Capability::Command, "dpkg"), None);
    let words = grants.objection(Capability::Command, "rm").unwrap();
    assert!(words.contains("`allow a command rm`"), "{words}");
    assert!(!grants.has(Capability::Http));
}

#[test]
fn environments_without_network_can_be_granted() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("policy");
    std::fs::write(&path, "allow * *\ndeny a network\n").unwrap();
    let policy = Arc::new(Policy::read(&path).unwrap());
    let needs = Needs {
        environments: true,
        network: true,
        ..Needs::default()
    };
    let imports = imports(&["executor"]);
    for manifest in [asking(needs), Manifest::default()] {
        let grants = Grants::resolve("a", &manifest, &imports, &policy);
        assert!(grants.has(Capability::Environment) && !grants.has(Capability::Network));
        let grants = Grants::resolve("b", &manifest, &imports, &policy);
        assert!(grants.has(Capability::Network));
    }
    let offline = Needs {
        environments: true,
        ..Needs::default()
    };
    let grants = Grants::resolve("b", &asking(offline), &imports, &policy);
    assert!(!grants.has(Capability::Network), "nobody asks for it");
}

/// Environments that only tell what they were asked for.
struct Told;

#[async_trait::async_trait]
impl Executors for Told {
    async fn prepare(
        &self,
        backend: Backend,
        environment: ArtifactId,
        _abort: &Abort,
    ) -> Result<PreparedImage, ExecutorError> {
        Ok(PreparedImage {
            cached: true,
            backend,
            artifact: Artifact {
                id: environment,
                category: String::new(),
                data: serde_json::Value::Null,
                files: Vec::new(),
            },
            name: String::new(),
            virt_server: String::new(),
            virt_server_arguments: Vec::new(),
            network: true,
        })
    }

    async fn start(
        &self,
        image: &PreparedImage,
        _abort: &Abort,
    ) -> Result<Arc<dyn Instance>, ExecutorError> {
        Err(ExecutorError::Command(image.network.to_string()))
    }
}

#[tokio::test]
async fn environments_are_lent_with_the_network_that_is_granted() {
    let imports = imports(&["executor"]);
    for network in [true, false] {
        let needs = Needs {
            environments: true,
            network,
            ..Needs::default()
        };
        let grants = Grants::resolve("a", &asking(needs), &imports, &Arc::default());
        let lent = Arc::new(grants).executors(Arc::new(Told));
        let abort = Abort::new();
        let image = lent.prepare(Backend::Unshare, ArtifactId(1), &abort).await;
        let started = lent.start(&image.unwrap(), &abort).await.err().unwrap();
        assert!(started.to_string().contains(&network.to_string()));
    }
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
