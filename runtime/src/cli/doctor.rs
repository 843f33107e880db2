//! `doctor`: what this machine can do, by trying, and how to get what is missing.

use super::output::Output;
use super::places::{Places, check_passable};
use super::{Outcome, Status, table};
use serde_json::json;
use std::path::Path;
use task_runtime::executor::{Guarantee, probe};
use task_runtime::host::Machine;
use task_runtime::lifecycle::sandbox_scratch;
use task_runtime::worker::metadata::machine_metadata;

/// Tries everything out and prints what holds, what does not and why, which backends and tools are there.
pub async fn doctor(places: &Places, output: &Output) -> Outcome {
    let cache = places.cache()?;
    let mut found = probe(&sandbox_scratch(&cache)).await;
    found.guarantees.push(reachable(&cache));
    let metadata = machine_metadata(&Machine::default())?;
    let backends: Vec<(&str, bool)> = metadata
        .iter()
        .filter_map(|(key, value)| {
            let backend = key.strip_prefix("executor:")?.strip_suffix(":available")?;
            Some((backend, value.as_bool()?))
        })
        .collect();
    let document = json!({
        "guarantees": found.guarantees,
        "backends": backends.iter().copied().collect::<std::collections::BTreeMap<_, _>>(),
        "tools": found.tools,
    });
    output.answer(&document, || {
        let mut text = String::from("Guarantees\n");
        for guarantee in &found.guarantees {
            text.push_str(&line(guarantee, output));
        }
        text.push_str("\nBackends\n");
        let row = |name: &str, there: bool, note: String| {
            vec![format!("  {}", mark(there, output)), name.to_owned(), note]
        };
        let rows: Vec<_> = backends
            .iter()
            .map(|(name, there)| row(name, *there, String::new()))
            .collect();
        text.push_str(&table::table(&rows));
        text.push_str("\nPrograms\n");
        let rows: Vec<_> = found
            .tools
            .iter()
            .map(|tool| match &tool.path {
                Some(path) => row(tool.name, true, path.display().to_string()),
                None => row(tool.name, false, format!("apt install {}", tool.package)),
            })
            .collect();
        text.push_str(&table::table(&rows));
        text
    })?;
    let mut guarantees = found.guarantees.iter();
    let in_order = guarantees.all(|it| it.holds() || it.optional);
    Ok(if in_order {
        Status::Success
    } else {
        Status::Failure
    })
}

fn line(guarantee: &Guarantee, output: &Output) -> String {
    let mark = mark(guarantee.holds(), output);
    match &guarantee.missing {
        None => format!("  {mark}  {}\n", guarantee.promise),
        Some(why) => format!("  {mark}  {}\n       {why}\n", guarantee.promise),
    }
}

fn mark(good: bool, output: &Output) -> String {
    match good {
        true => output.green("yes"),
        false => output.red("no "),
    }
}

/// The users of sandboxes need a way to the images, and to the directories of runs.
fn reachable(cache: &Path) -> Guarantee {
    let directories = [cache.to_owned(), std::env::temp_dir()];
    let closed = directories.iter().find_map(|it| check_passable(it).err());
    Guarantee {
        name: "reachable",
        promise: "the users of sandboxes reach the cache and the directories of runs",
        missing: closed,
        optional: false,
    }
}
