//! Models that tasks share: lookups, repositories, the data of artifacts.

use serde_json::{Value, json};
use task_sdk::artifacts::{self, Category};
use task_sdk::lookups::{MultipleLookup, SingleLookup};
use task_sdk::model::{FieldType, Model, PathPart, Report, Violation, read};
use task_sdk::repositories::{self, ExtraRepository};

/// Where a repository's key is when it is in a file.
const KEY_FILE: &str = "/etc/apt/keyrings/k.asc";

pub fn lookup_single(input: &Value) -> Value {
    match parsed::<Option<SingleLookup>>(&input["lookup"]) {
        Ok(lookup) => json!({"ok": true, "data": lookup.to_json()}),
        Err(violations) => {
            let kinds: Vec<&str> = violations.iter().map(|one| one.kind).collect();
            json!({"ok": false, "errors": kinds})
        }
    }
}

pub fn lookup_multiple(input: &Value) -> Value {
    // Null is refused as any other value that is neither an object nor a list, not as something missing.
    let mut report = Report::default();
    let read = MultipleLookup::read(&input["lookup"], &mut report);
    match read.ok_or_else(|| report.into_violations()) {
        Ok(lookup) => json!({
            "ok": true,
            "data": lookup.to_json(),
            "export": lookup.export(),
            "truthy": !lookup.is_empty(),
        }),
        Err(violations) => refused(&violations),
    }
}

pub fn extra_repository(input: &Value) -> Value {
    match ExtraRepository::parse(&input["repository"]) {
        Ok(repository) => json!({
            "ok": true,
            "data": repository.to_json(),
            "oneline": repository.to_oneline(None).ok(),
            "oneline_signed_by": repository.to_oneline(Some(KEY_FILE)).ok(),
            "deb822": repository.to_deb822(None).ok(),
            "deb822_signed_by": repository.to_deb822(Some(KEY_FILE)).ok(),
        }),
        Err(violations) => refused(&violations),
    }
}

pub fn codename_support(input: &Value) -> Value {
    let codename = input["codename"].as_str().unwrap_or_default();
    json!({
        "deb822_sources": repositories::supports_deb822_sources(codename),
        "inline_signed_by": repositories::supports_inline_signed_by(codename),
    })
}

pub fn artifact_data(input: &Value) -> Value {
    let category = input["category"].as_str().unwrap_or_default();
    let Ok(category) = category.parse::<Category>() else {
        return json!({"ok": false, "errors": "unknown category"});
    };
    match artifacts::normalise(category, &input["data"]) {
        Ok(data) => {
            let label = match artifacts::label(category, &data) {
                Ok(label) => json!(label),
                Err(error) => super::exception(error),
            };
            json!({"ok": true, "data": data, "label": label})
        }
        Err(violations) => refused(&violations),
    }
}

fn parsed<T: FieldType>(value: &Value) -> Result<T, Vec<Violation>> {
    let mut report = Report::default();
    read(value, &mut report).ok_or_else(|| report.into_violations())
}

fn refused(violations: &[Violation]) -> Value {
    let part = |part: &PathPart| match part {
        PathPart::Name(name) => json!(name),
        PathPart::Index(index) => json!(index),
    };
    let error = |violation: &Violation| {
        let location: Vec<Value> = violation.location.iter().map(part).collect();
        json!({"loc": location, "type": violation.kind})
    };
    json!({"ok": false, "errors": violations.iter().map(error).collect::<Vec<_>>()})
}
