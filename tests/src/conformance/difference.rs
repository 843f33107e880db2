//! Comparing what was recorded with what happened: as unordered objects and ordered arrays, exceptions by their being there.

use serde_json::{Map, Value, json};

/// The events that are compared; others tell how the work was done, not what was done.
const COMPARED_EVENTS: [&str; 5] = [
    "run",
    "instance_start",
    "create_user",
    "download_image",
    "fetch_url",
];

/// Programs that describe or convert results on the host. The reference gives them no working directory, here every command has one.
const HELPERS: [&str; 3] = ["dpkg-query", "qemu-img", "tar"];

/// How much of a value a difference shows, in characters.
const SHOWN: usize = 300;

/// What differs between the recorded and the actual output, a line each; nothing if they agree.
pub fn differences(recorded: &Value, actual: &Value) -> Vec<String> {
    let mut found = Vec::new();
    compare("", &normalised(recorded), &normalised(actual), &mut found);
    found
}

/// A form in which equal behaviour is equal JSON.
fn normalised(value: &Value) -> Value {
    match value {
        Value::Array(values) => Value::Array(values.iter().map(normalised).collect()),
        Value::Object(map) => normalised_object(map),
        scalar => scalar.clone(),
    }
}

fn normalised_object(map: &Map<String, Value>) -> Value {
    // The name of an exception's class is the reference's own affair.
    if map.contains_key("exception") && map.len() == 1 {
        return json!({"exception": true});
    }
    let mut normal = Map::new();
    for (key, value) in map {
        let value = match (key.as_str(), value) {
            ("exception", _) => continue,
            ("cmdline_exception", _) => Value::Bool(true),
            ("exceptions", Value::Array(entries)) => json!(entries.len()),
            ("errors", Value::Array(errors)) => sorted(errors),
            ("files_mentioned", Value::Array(names)) => sorted(names),
            ("calls", Value::Array(calls)) => sorted(&lookups(calls)),
            ("events", Value::Array(events)) => compared_events(events),
            _ => normalised(value),
        };
        normal.insert(key.clone(), value);
    }
    Value::Object(normal)
}

fn sorted(values: &[Value]) -> Value {
    let mut values = values.to_vec();
    values.sort_by_cached_key(Value::to_string);
    values.dedup();
    Value::Array(values)
}

/// Which settings were asked for, and in which order, is no promise.
fn lookups(calls: &[Value]) -> Vec<Value> {
    let is_lookup = |call: &&Value| call[0] != "setting";
    calls.iter().filter(is_lookup).cloned().collect()
}

fn compared_events(events: &[Value]) -> Value {
    let compared = |event: &&Value| {
        COMPARED_EVENTS.iter().any(|kind| event["ev"] == *kind) && !is_local_packing(event)
    };
    let kept = events.iter().filter(compared).map(|event| {
        let mut event = event.clone();
        let is_helper = HELPERS.iter().any(|program| event["argv"][0] == *program);
        if let Some(map) = event.as_object_mut()
            && is_helper
        {
            map.remove("cwd");
        }
        event
    });
    Value::Array(kept.collect())
}

/// The reference runs tar on the host to pack and unpack; here the host does that itself.
fn is_local_packing(event: &Value) -> bool {
    let mentions_local = |argument: &Value| {
        argument
            .as_str()
            .is_some_and(|text| text.contains("${local}"))
    };
    event["where"] == "host"
        && event["argv"][0] == "tar"
        && event["argv"]
            .as_array()
            .is_some_and(|argv| argv.iter().any(mentions_local))
}

fn compare(path: &str, recorded: &Value, actual: &Value, found: &mut Vec<String>) {
    match (recorded, actual) {
        (Value::Object(left), Value::Object(right)) => {
            for (key, value) in left {
                let path = format!("{path}.{key}");
                match right.get(key) {
                    Some(other) => compare(&path, value, other, found),
                    None => found.push(format!("{path}: missing, recorded {}", shown(value))),
                }
            }
            for (key, value) in right.iter().filter(|(key, _)| !left.contains_key(*key)) {
                found.push(format!("{path}.{key}: not recorded, got {}", shown(value)));
            }
        }
        (Value::Array(left), Value::Array(right)) if left.len() == right.len() => {
            for (index, (one, other)) in left.iter().zip(right).enumerate() {
                compare(&format!("{path}[{index}]"), one, other, found);
            }
        }
        (Value::Array(left), Value::Array(right)) => compare_lists(path, left, right, found),
        (Value::String(left), Value::String(right)) if left != right => {
            found.push(format!("{path}: {}", text_difference(left, right)));
        }
        _ if recorded == actual => {}
        _ => found.push(format!(
            "{path}: recorded {}, got {}",
            shown(recorded),
            shown(actual)
        )),
    }
}

/// Lists of different length: what only one of them has.
fn compare_lists(path: &str, left: &[Value], right: &[Value], found: &mut Vec<String>) {
    let (many, few) = (left.len(), right.len());
    found.push(format!("{path}: {many} elements recorded, got {few}"));
    let lacking = |of: &[Value], from: &[Value]| -> Vec<Value> {
        let is_lacking = |value: &&Value| !from.contains(value);
        of.iter().filter(is_lacking).cloned().collect()
    };
    for value in lacking(left, right) {
        found.push(format!("{path}: - {}", shown(&value)));
    }
    for value in lacking(right, left) {
        found.push(format!("{path}: + {}", shown(&value)));
    }
}

/// The first line that differs in two texts.
fn text_difference(left: &str, right: &str) -> String {
    let (mut lines, mut others) = (left.split('\n'), right.split('\n'));
    let mut number = 1;
    loop {
        match (lines.next(), others.next()) {
            (Some(line), Some(other)) if line == other => number += 1,
            (line, other) if left.contains('\n') => {
                let show = |line: Option<&str>| line.map_or("the end".to_owned(), quoted);
                return format!(
                    "line {number}: recorded {}, got {}",
                    show(line),
                    show(other)
                );
            }
            _ => return format!("recorded {}, got {}", quoted(left), quoted(right)),
        }
    }
}

fn quoted(text: &str) -> String {
    shortened(format!("{text:?}"))
}

fn shown(value: &Value) -> String {
    shortened(value.to_string())
}

fn shortened(text: String) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_members_and_the_class_of_an_exception_do_not_count() {
        let recorded = json!({"a": 1, "result": {"exception": "ValueError"}});
        let actual = json!({"result": {"exception": "invalid-data"}, "a": 1});
        assert_eq!(differences(&recorded, &actual), Vec::<String>::new());
    }

    #[test]
    fn each_difference_says_where_it_is() {
        let recorded = json!({"argv": ["a", "b"], "text": "one\ntwo\n"});
        let actual = json!({"argv": ["a", "c"], "text": "one\nthree\n"});
        assert_eq!(
            differences(&recorded, &actual),
            [
                ".argv[1]: recorded \"b\", got \"c\"",
                ".text: line 2: recorded \"two\", got \"three\"",
            ]
        );
    }
}
