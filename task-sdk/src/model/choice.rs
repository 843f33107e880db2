//! Words from a list: what `choices!` and `union!` share.

use super::schema::with;
use super::violation::Report;
use serde_json::Value;

/// The position of a word in the list; only exactly these words are accepted.
///
/// The reference looks a literal up in a set, where a list or an object makes a fault of its own kind.
pub fn read_choice(
    value: &Value,
    words: &[&str],
    is_literal: bool,
    report: &mut Report,
) -> Option<usize> {
    let found = value
        .as_str()
        .and_then(|text| words.iter().position(|word| *word == text));
    if found.is_none() {
        let kind = match value {
            _ if !is_literal => "type_error.enum",
            Value::Array(_) | Value::Object(_) => "type_error",
            _ => "value_error.const",
        };
        report.refuse(
            kind,
            format!("not one of the choices: use {}", words.join(", ")),
        );
    }
    found
}

/// The schema of a list of words.
pub fn choice_schema(words: &[&str]) -> Value {
    let words = words.iter().map(|word| Value::from(*word)).collect();
    with(r#"{"type": "string"}"#, "enum", words)
}
