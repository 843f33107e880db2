//! The contract as this host speaks it, and why a component does not fit it, in words for its author.

use super::wasi;
use crate::component::{Import, Interface};
use semver::Version;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;
use wit_parser::{Resolve, SourceMap};

/// The package whose interfaces this host offers.
pub const PACKAGE: &str = "debusine:task";

/// Its version.
pub const VERSION: &str = "0.1.0";

/// The interfaces of it that can be imported, as they are written.
const OFFERED: [(&str, &str); 13] = [
    ("abort", include_str!("../../../wit/abort.wit")),
    ("artifacts", include_str!("../../../wit/artifacts.wit")),
    ("clock", include_str!("../../../wit/clock.wit")),
    ("commands", include_str!("../../../wit/commands.wit")),
    ("executor", include_str!("../../../wit/executor.wit")),
    ("files", include_str!("../../../wit/files.wit")),
    ("host-facts", include_str!("../../../wit/host-facts.wit")),
    ("http", include_str!("../../../wit/http.wit")),
    ("journal", include_str!("../../../wit/journal.wit")),
    ("logs", include_str!("../../../wit/logs.wit")),
    ("scheduling", include_str!("../../../wit/scheduling.wit")),
    (
        "task-database",
        include_str!("../../../wit/task-database.wit"),
    ),
    ("types", include_str!("../../../wit/types.wit")),
];

/// The name of an interface of the contract, e.g. `files` of `debusine:task/files@0.1.0`; none of another package.
pub fn interface(import: &str) -> Option<&str> {
    let (path, _) = import.split_once('@').unwrap_or((import, ""));
    path.strip_prefix(PACKAGE)?.strip_prefix('/')
}

/// Why this host cannot run a component, in words for its author: imports it does not know, exports that are missing.
/// An empty list means that it can. `wasi`: whether an empty WASI is granted to it.
pub fn objections(interface: &Interface, wasi: bool) -> Vec<String> {
    let mut objections: Vec<String> = interface
        .imports
        .iter()
        .filter_map(|import| objection_to_import(import, wasi))
        .collect();
    objections.extend(objection_to_exports(&interface.exports));
    objections
}

fn objection_to_exports(exports: &[String]) -> Option<String> {
    let mut speaking = exports
        .iter()
        .filter(|name| self::interface(name) == Some("scheduling"));
    let Some(name) = speaking.next() else {
        return Some(format!(
            "it does not export {PACKAGE}/scheduling@{VERSION}, which every task must"
        ));
    };
    match Fit::of(version_of(name)) {
        Fit::Same | Fit::Newer => None,
        Fit::None(words) => Some(format!("it exports {name}, and {words}")),
    }
}

/// Why this host cannot give a component what it imports.
pub fn objection_to_import(import: &Import, wasi_granted: bool) -> Option<String> {
    let name = &import.name;
    if let Some(wanted) = interface(name) {
        return match Fit::of(version_of(name)) {
            Fit::None(words) => Some(format!("it imports {name}, and {words}")),
            _ if !OFFERED.iter().any(|(offered, _)| *offered == wanted) => {
                Some(format!("it imports {name}, which this host does not offer"))
            }
            Fit::Same => None,
            Fit::Newer => objection_to_what_is_newer(import, wanted),
        };
    }
    if name.starts_with("wasi:") {
        if !wasi_granted {
            return Some(format!(
                "it imports {name}: tasks get nothing from WASI; build it for wasm32-unknown-unknown with task-sdk, or let `allow TASK wasi` in the policy give it an empty one"
            ));
        }
        if wasi::is_offered(name) {
            return None;
        }
    }
    Some(format!("it imports {name}, which this host does not offer"))
}

/// A component may be built for a newer version of the contract: versions only add, and it may use nothing of what was added.
fn objection_to_what_is_newer(import: &Import, wanted: &str) -> Option<String> {
    let known = functions().get(wanted);
    let is_new = |function: &&String| known.is_none_or(|known| !known.contains(*function));
    let new = import.functions.iter().find(is_new)?;
    let (name, version) = (&import.name, version_of(&import.name));
    Some(format!(
        "it imports {name} with {new}, which this host of {VERSION} does not have: it wants a host of {version}; update task-runtime, or rebuild the component with the task-sdk of {VERSION}"
    ))
}

/// The functions of each interface that is offered.
fn functions() -> &'static BTreeMap<String, BTreeSet<String>> {
    static FUNCTIONS: OnceLock<BTreeMap<String, BTreeSet<String>>> = OnceLock::new();
    FUNCTIONS.get_or_init(|| {
        let mut sources = SourceMap::default();
        for (name, text) in OFFERED {
            sources.push_str(name, text);
        }
        let mut resolve = Resolve::default();
        let parsed = sources.parse().map_err(|(_, error)| error);
        let package = parsed.expect("a test reads the contract");
        resolve
            .push_group(package)
            .expect("a test reads the contract");
        let interfaces = resolve.interfaces.iter().filter_map(|(_, interface)| {
            let functions = interface.functions.keys().cloned().collect();
            Some((interface.name.clone()?, functions))
        });
        interfaces.collect()
    })
}

fn version_of(name: &str) -> &str {
    name.split_once('@').map_or("", |(_, version)| version)
}

/// How the version of a component's contract fits this host's.
enum Fit {
    /// The same, or one that this host still speaks.
    Same,
    /// One that adds to it.
    Newer,
    /// Another contract; what to do about it.
    None(String),
}

impl Fit {
    /// By the rules of semantic versions: within 0.x, and within x.0.0 later, versions only add.
    fn of(version: &str) -> Self {
        let ours = Version::parse(VERSION).expect("it is one");
        let Ok(theirs) = Version::parse(version) else {
            return Self::None(format!(
                "{version:?} is no version; this host speaks {VERSION}: rebuild the component with the task-sdk of {VERSION}"
            ));
        };
        let series = |version: &Version| match version.major {
            0 => (0, version.minor),
            major => (major, 0),
        };
        if series(&theirs) == series(&ours) && theirs.pre == ours.pre {
            return match theirs > ours {
                true => Self::Newer,
                false => Self::Same,
            };
        }
        Self::None(match theirs > ours {
            true => format!(
                "this host speaks {VERSION}: the component wants a newer one; update task-runtime, or rebuild the component with the task-sdk of {VERSION}"
            ),
            false => format!(
                "this host speaks {VERSION}: the component is older; rebuild it with the task-sdk of {VERSION}"
            ),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn import(name: &str, functions: &[&str]) -> Import {
        Import {
            name: name.to_owned(),
            functions: functions.iter().map(|&it| it.to_owned()).collect(),
        }
    }

    #[test]
    fn the_contract_is_known_by_its_functions() {
        let functions = functions();
        assert_eq!(functions.len(), OFFERED.len());
        assert!(functions["journal"].contains("say"));
        assert!(functions["files"].contains("[method]directory.open"));
        for (_, text) in OFFERED {
            assert!(text.contains(&format!("package {PACKAGE}@{VERSION};")));
        }
    }

    #[test]
    fn a_newer_version_fits_where_nothing_of_it_is_used() {
        let objection =
            |name: &str, functions: &[&str]| objection_to_import(&import(name, functions), false);
        assert_eq!(objection("debusine:task/journal@0.1.7", &["say"]), None);
        let words = objection("debusine:task/journal@0.1.7", &["say", "sing"]).unwrap();
        assert!(
            words.contains("sing") && words.contains("a host of 0.1.7"),
            "{words}"
        );
        for version in ["0.2.0", "1.0.0", "0.1.1-rc.1"] {
            let words = objection(&format!("debusine:task/journal@{version}"), &["say"]).unwrap();
            assert!(words.contains("wants a newer one"), "{words}");
        }
        let words = objection("debusine:task/journal@0.0.9", &["say"]).unwrap();
        assert!(words.contains("is older"), "{words}");
        assert!(objection("debusine:task/journal", &["say"]).is_some());
        assert!(objection("debusine:task/moods@0.1.0", &[]).is_some());
    }
}
