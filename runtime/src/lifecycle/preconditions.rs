//! What a machine must offer before a task begins on it: told in one error instead of by the tools, in the middle of a run.

use crate::component::Needs;
use crate::executor::{ExecutorError, NamespaceFor, try_user_namespace};
use serde_json::Value;
use std::path::Path;

/// Programs of the host that make user namespaces themselves, whatever the task data say.
const ALWAYS: [&str; 2] = ["mmdebstrap", "debefivm-create"];

/// Those that do so where the backend is `unshare`.
const WITH_UNSHARE: [&str; 2] = ["sbuild", "autopkgtest"];

/// Tries what the manifest and the data of a task let expect that it needs. Without a manifest nothing is expected: an import is no intention.
pub async fn check_machine(needs: Option<&Needs>, data: &Value) -> Result<(), ExecutorError> {
    let Some(needs) = needs else {
        return Ok(());
    };
    let (user, tried) = if let Some(program) = makes_namespaces(needs, data) {
        (program, try_user_namespace(NamespaceFor::Programs).await)
    } else if needs.environments && with_unshare(data) {
        let tried = try_user_namespace(NamespaceFor::Sandboxes).await;
        ("the environment", tried)
    } else {
        return Ok(());
    };
    tried.map_err(|error| {
        ExecutorError::Unsupported(format!(
            "{user} needs a user namespace, which this machine does not give: {error}"
        ))
    })
}

fn makes_namespaces<'a>(needs: &'a Needs, data: &Value) -> Option<&'a str> {
    let names = needs
        .commands
        .iter()
        .filter_map(|command| Path::new(command).file_name()?.to_str());
    let mut makers = names.filter(|name| {
        ALWAYS.contains(name) || (WITH_UNSHARE.contains(name) && with_unshare(data))
    });
    makers.next()
}

/// `auto` is `unshare` in every task, and so is a backend that is not named.
fn with_unshare(data: &Value) -> bool {
    matches!(data["backend"].as_str(), None | Some("auto" | "unshare"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn who_makes_namespaces_is_told_by_manifest_and_backend() {
        let needs = |command: &str| Needs {
            commands: vec!["dpkg-query".to_owned(), command.to_owned()],
            ..Needs::default()
        };
        let maker = |command, data| makes_namespaces(&needs(command), &data).map(str::to_owned);
        let found = |name: &str| Some(name.to_owned());
        assert_eq!(maker("sbuild", json!({})), found("sbuild"));
        assert_eq!(maker("sbuild", json!({"backend": "auto"})), found("sbuild"));
        assert_eq!(maker("sbuild", json!({"backend": "incus-lxc"})), None);
        assert_eq!(maker("mmdebstrap", json!({})), found("mmdebstrap"));
        assert_eq!(
            maker("/usr/share/debusine-worker/debefivm-create", json!({})),
            found("debefivm-create")
        );
        assert_eq!(maker("qemu-img", json!({})), None);
    }

    #[tokio::test]
    async fn what_needs_no_namespace_is_not_held_up() {
        let none = Needs::default();
        assert!(check_machine(Some(&none), &json!({})).await.is_ok());
        assert!(check_machine(None, &json!({})).await.is_ok());
    }
}
