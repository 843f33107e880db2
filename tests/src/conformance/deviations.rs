//! Where ours departs from the reference on purpose: one entry for each fault that is not copied, with its reason.
//!
//! An entry names vectors, and may describe others of the same kind, so that vectors which nobody has seen yet fall under it too:
//!
//! ```json
//! {
//!   "reason": "The reference does this; here that is done instead.",
//!   "vectors": ["piuparts/cmdline/8ffeab5ea836"],
//!   "like_them": {
//!     "task": "piuparts",
//!     "operations": ["cmdline"],
//!     "artifact": {"named_by": "base_tgz_id", "file_name_ends_in": ".tar.gz"},
//!     "recorded": {"configure_for_execution": true}
//!   },
//!   "differs_in": ["tree.base_tar/"]
//! }
//! ```

use super::vector::Vector;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::path::Path;

/// All faults that are not copied.
#[derive(Debug, Default)]
pub struct Deviations(Vec<Deviation>);

/// One of them.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Deviation {
    /// What the reference does, and what is done here.
    reason: String,
    /// Names of vectors that recorded it.
    vectors: Vec<String>,
    /// What others that recorded it are like.
    like_them: Option<Likeness>,
    /// Where outputs may differ: the beginnings of paths to the members. Without it they may differ anywhere.
    differs_in: Option<Vec<String>>,
}

/// What vectors are like; everything that is given has to fit.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Likeness {
    /// Their task.
    task: String,
    /// Their operation is one of these.
    operations: Vec<String>,
    /// Some artifact of their input, on the server or found by a look-up, is like this.
    artifact: Option<ArtifactLikeness>,
    /// Members of the recorded output.
    #[serde(default)]
    recorded: Map<String, Value>,
}

/// What an artifact is like; everything that is given has to fit.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ArtifactLikeness {
    /// Its category.
    category: Option<String>,
    /// The member of the dynamic data that holds its number.
    named_by: Option<String>,
    /// The end of the file name in its data.
    file_name_ends_in: Option<String>,
}

/// An artifact in the input of a vector.
struct InputArtifact<'a> {
    id: Option<u64>,
    described: &'a Value,
}

impl Deviations {
    /// Reads the list: a JSON array.
    pub fn read(path: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(path);
        let text = text.map_err(|error| format!("{}: {error}", path.display()))?;
        Self::parse(&text).map_err(|error| format!("{}: {error}", path.display()))
    }

    fn parse(text: &str) -> serde_json::Result<Self> {
        serde_json::from_str(text).map(Self)
    }

    /// Why a vector may differ in this way (one line for each difference, each begins with its place); none if it must not.
    pub fn reason(&self, vector: &Vector, differences: &[String]) -> Option<&str> {
        let excuses =
            |deviation: &&Deviation| deviation.is_about(vector) && deviation.allows(differences);
        let excuse = self.0.iter().find(excuses)?;
        Some(&excuse.reason)
    }

    /// Whether a vector is there by its name.
    pub fn names(&self, vector: &Vector) -> bool {
        self.0.iter().any(|deviation| deviation.names(vector))
    }
}

impl Deviation {
    fn names(&self, vector: &Vector) -> bool {
        self.vectors.contains(&vector.id)
    }

    fn is_about(&self, vector: &Vector) -> bool {
        let is_like = |likeness: &Likeness| likeness.fits(vector);
        self.names(vector) || self.like_them.as_ref().is_some_and(is_like)
    }

    fn allows(&self, differences: &[String]) -> bool {
        let Some(places) = &self.differs_in else {
            return true;
        };
        differences.iter().all(|difference| {
            let path = difference.strip_prefix('.').unwrap_or(difference);
            places.iter().any(|place| path.starts_with(place.as_str()))
        })
    }
}

impl Likeness {
    fn fits(&self, vector: &Vector) -> bool {
        let is_there = |wanted: &ArtifactLikeness| {
            let mut artifacts = input_artifacts(&vector.input).into_iter();
            artifacts.any(|artifact| wanted.fits(&artifact, &vector.input))
        };
        let mut recorded = self.recorded.iter();
        self.task == vector.task
            && self.operations.contains(&vector.op)
            && self.artifact.as_ref().is_none_or(is_there)
            && recorded.all(|(member, value)| vector.output[member] == *value)
    }
}

impl ArtifactLikeness {
    fn fits(&self, artifact: &InputArtifact<'_>, input: &Value) -> bool {
        let InputArtifact { id, described } = artifact;
        let has_category = |category: &String| described["category"] == **category;
        let is_named = |by: &String| {
            let named = input["dynamic_task_data"][by].as_u64();
            named.is_some() && named == *id
        };
        let ends_so = |end: &String| {
            let name = described["data"]["filename"].as_str();
            name.is_some_and(|name| name.ends_with(end.as_str()))
        };
        self.category.as_ref().is_none_or(has_category)
            && self.named_by.as_ref().is_none_or(is_named)
            && self.file_name_ends_in.as_ref().is_none_or(ends_so)
    }
}

/// The artifacts of the server, and those that look-ups find.
fn input_artifacts(input: &Value) -> Vec<InputArtifact<'_>> {
    let served = input["server"]["artifacts"].as_object();
    let served = served.into_iter().flatten();
    let served = served.map(|(id, described)| InputArtifact {
        id: id.parse().ok(),
        described,
    });
    // A look-up is an array whose last element is what it finds: an artifact, several, or null.
    let lookups = ["single", "multiple", "related"].map(|kind| input["db"][kind].as_array());
    let lookups = lookups.into_iter().flatten().flatten();
    let answers = lookups.filter_map(|lookup| lookup.as_array()?.last());
    let found = answers.flat_map(|answer| match answer {
        Value::Array(artifacts) => artifacts.as_slice(),
        artifact => std::slice::from_ref(artifact),
    });
    let found = found.map(|described| InputArtifact {
        id: described["id"].as_u64(),
        described,
    });
    served.chain(found).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn vector(id: &str, op: &str, input: Value, output: Value) -> Vector {
        let vector = json!({
            "id": id, "task": "piuparts", "op": op, "level": "core", "in": input, "out": output,
        });
        serde_json::from_value(vector).unwrap()
    }

    fn deviations(list: Value) -> Deviations {
        Deviations::parse(&list.to_string()).unwrap()
    }

    /// Deviations that must not hold the wrong vectors.
    fn about_tarballs() -> Deviations {
        deviations(json!([{
            "reason": "tarballs",
            "vectors": ["known"],
            "like_them": {
                "task": "piuparts",
                "operations": ["cmdline"],
                "artifact": {"named_by": "base_tgz_id", "file_name_ends_in": ".tar.gz"},
                "recorded": {"ok": true},
            },
            "differs_in": ["tree.base_tar/"],
        }]))
    }

    fn with_base(name: &str) -> Value {
        json!({
            "dynamic_task_data": {"base_tgz_id": 43},
            "server": {"artifacts": {
                "42": {"data": {"filename": "environment.tar.gz"}},
                "43": {"data": {"filename": name}},
            }},
        })
    }

    #[test]
    fn a_vector_may_differ_because_it_is_named_or_because_it_is_like_those() {
        let deviations = about_tarballs();
        let reason = |id, op, base, ok| {
            let vector = vector(id, op, with_base(base), json!({"ok": ok}));
            deviations.reason(&vector, &[]).is_some()
        };
        assert!(reason("known", "execute", "base.tar.xz", false));
        assert!(reason("unknown", "cmdline", "base.tar.gz", true));
        assert!(!reason("unknown", "cmdline", "base.tar.xz", true));
        assert!(!reason("unknown", "execute", "base.tar.gz", true));
        assert!(!reason("unknown", "cmdline", "base.tar.gz", false));
    }

    #[test]
    fn a_deviation_excuses_nothing_elsewhere() {
        let deviations = about_tarballs();
        let vector = vector("x", "cmdline", with_base("b.tar.gz"), json!({"ok": true}));
        let expected = ".tree.base_tar/b.tar.gz: not recorded".to_owned();
        let other = ".argv[0]: recorded \"env\"".to_owned();
        let reason = |differences: &[String]| deviations.reason(&vector, differences);
        assert_eq!(reason(std::slice::from_ref(&expected)), Some("tarballs"));
        assert_eq!(reason(&[expected, other]), None);
    }

    #[test]
    fn artifacts_that_look_ups_find_count_as_input() {
        let deviations = deviations(json!([{
            "reason": "packages",
            "vectors": [],
            "like_them": {
                "task": "piuparts",
                "operations": ["dynamic_data"],
                "artifact": {"category": "debian:binary-packages"},
            },
        }]));
        let found = |db: Value| {
            let vector = vector("x", "dynamic_data", json!({"db": db}), json!({}));
            deviations.reason(&vector, &[]).is_some()
        };
        let artifact = |category| json!({"id": 6, "category": category, "data": {}});
        let (right, wrong) = (
            artifact("debian:binary-packages"),
            artifact("debian:upload"),
        );
        assert!(found(json!({"multiple": [[[6], null, [wrong, right]]]})));
        assert!(found(
            json!({"single": [["a", null, null], [6, null, right]]})
        ));
        assert!(found(json!({"related": [[[1], "c", "extends", [right]]]})));
        assert!(!found(
            json!({"multiple": [[[6], null, [wrong]]], "single": [[6, null, null]]})
        ));
    }

    #[test]
    fn a_misspelt_entry_is_refused() {
        let entry = r#"[{"reason": "r", "vectors": [], "like_them": {"tasks": "piuparts"}}]"#;
        assert!(Deviations::parse(entry).is_err());
    }
}
