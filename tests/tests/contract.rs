//! The contract in wit/ is valid, and says of each item what it means.

use anyhow::Result;
use std::path::Path;
use wit_parser::{Docs, InterfaceId, Resolve, TypeDefKind, WorldItem};

fn contract() -> Result<Resolve> {
    let mut resolve = Resolve::default();
    resolve.push_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../wit"))?;
    Ok(resolve)
}

#[test]
fn the_contract_has_a_world_to_run_in_and_one_to_schedule_in() -> Result<()> {
    let resolve = contract()?;
    let imports = |name: &str| -> Vec<String> {
        let (_, world) = resolve
            .worlds
            .iter()
            .find(|(_, world)| world.name == name)
            .unwrap_or_else(|| panic!("no world {name}"));
        let keys = world.imports.iter();
        let interfaces = keys.filter(|(_, item)| matches!(item, WorldItem::Interface { .. }));
        interfaces
            .map(|(key, _)| resolve.name_world_key(key))
            .collect()
    };
    let scheduling = imports("scheduling-only");
    for power in [
        "commands",
        "files",
        "executor",
        "artifacts",
        "http",
        "clock",
        "logs",
    ] {
        let name = format!("debusine:task/{power}@0.1.0");
        assert!(!scheduling.contains(&name), "scheduling has {name}");
        assert!(
            imports("worker-task").contains(&name),
            "running lacks {name}"
        );
    }
    Ok(())
}

#[test]
fn every_item_of_the_contract_is_documented() -> Result<()> {
    let resolve = contract()?;
    let mut silent = Vec::new();
    for (id, interface) in resolve.interfaces.iter() {
        let name = interface.name.clone().unwrap_or_default();
        note(&mut silent, &name, &interface.docs);
        for (function, item) in &interface.functions {
            // Constructors and the drop of a resource are documented with it.
            if !function.starts_with("[constructor]") {
                note(&mut silent, &format!("{name}.{function}"), &item.docs);
            }
        }
        note_types(&resolve, id, &name, &mut silent);
    }
    for (_, world) in resolve.worlds.iter() {
        note(&mut silent, &world.name, &world.docs);
    }
    assert!(silent.is_empty(), "without a word: {silent:#?}");
    Ok(())
}

fn note_types(resolve: &Resolve, interface: InterfaceId, name: &str, silent: &mut Vec<String>) {
    for (type_name, id) in &resolve.interfaces[interface].types {
        let definition = &resolve.types[*id];
        let path = format!("{name}.{type_name}");
        match &definition.kind {
            // Taken over from another interface, with its documentation.
            TypeDefKind::Type(wit_parser::Type::Id(_)) => continue,
            TypeDefKind::Record(record) => {
                for field in &record.fields {
                    note(silent, &format!("{path}.{}", field.name), &field.docs);
                }
            }
            TypeDefKind::Variant(variant) => {
                for case in &variant.cases {
                    note(silent, &format!("{path}.{}", case.name), &case.docs);
                }
            }
            _ => {}
        }
        note(silent, &path, &definition.docs);
    }
}

fn note(silent: &mut Vec<String>, path: &str, docs: &Docs) {
    if docs
        .contents
        .as_deref()
        .is_none_or(|words| words.trim().is_empty())
    {
        silent.push(path.to_owned());
    }
}

/// The lines of a WIT file that are no comments.
fn code(path: &Path) -> Result<Vec<String>> {
    let text = std::fs::read_to_string(path)?;
    let lines = text.lines().map(str::trim);
    let code = lines.filter(|line| !line.is_empty() && !line.starts_with("//"));
    Ok(code.map(str::to_owned).collect())
}

#[test]
fn what_was_released_is_still_there() -> Result<()> {
    let wit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../wit");
    for version in std::fs::read_dir(wit.join("released"))? {
        for released in std::fs::read_dir(version?.path())? {
            let released = released?.path();
            let now = wit.join(released.file_name().unwrap_or_default());
            // Within 0.x there are only additions: what was released is there, in its order.
            let mut now = code(&now)?.into_iter();
            for line in code(&released)? {
                assert!(
                    now.any(|it| it == line),
                    "{}: {line:?} is gone or moved; released versions stay as they are",
                    released.display()
                );
            }
        }
    }
    Ok(())
}
