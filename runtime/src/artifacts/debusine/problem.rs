//! What the server says when it refuses: `application/problem+json`, RFC 7807 with Debusine's `validation_errors`.

use serde_json::{Map, Value};
use std::fmt;

/// The server's words, as an object with `title`, often `detail` or `validation_errors`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem(Map<String, Value>);

/// The media type of a problem.
pub(super) const MEDIA_TYPE: &str = "application/problem+json";

impl Problem {
    /// A problem in the body of an answer; none if it is no object.
    pub fn parse(body: &[u8]) -> Option<Self> {
        serde_json::from_slice(body).ok().map(Self)
    }

    /// The object as Python prints a dictionary. Readers of a work request's errors know this form: the reference puts it there.
    pub fn as_python(&self) -> String {
        python(&Value::Object(self.0.clone()))
    }
}

/// For people: title, detail, and the fields that did not fit.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let title = self.0.get("title").and_then(Value::as_str);
        f.write_str(title.unwrap_or("no title"))?;
        for key in ["detail", "validation_errors"] {
            match self.0.get(key) {
                Some(Value::String(words)) => write!(f, ": {words}")?,
                Some(other) => write!(f, ": {other}")?,
                None => {}
            }
        }
        Ok(())
    }
}

/// A value as `repr()` prints it.
fn python(value: &Value) -> String {
    let join = |items: Vec<String>| items.join(", ");
    match value {
        Value::Null => "None".to_owned(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => python_text(text),
        Value::Array(items) => format!("[{}]", join(items.iter().map(python).collect())),
        Value::Object(members) => {
            let member = |(key, value): (&String, &Value)| {
                format!("{}: {}", python_text(key), python(value))
            };
            format!("{{{}}}", join(members.iter().map(member).collect()))
        }
    }
}

/// Single quotes, unless the text has one and no double quote.
fn python_text(text: &str) -> String {
    let quote = match text.contains('\'') && !text.contains('"') {
        true => '"',
        false => '\'',
    };
    let mut printed = String::from(quote);
    for character in text.chars() {
        match character {
            '\n' => printed.push_str("\\n"),
            '\r' => printed.push_str("\\r"),
            '\t' => printed.push_str("\\t"),
            '\\' => printed.push_str("\\\\"),
            it if it == quote => printed.extend(['\\', it]),
            it => printed.push(it),
        }
    }
    printed.push(quote);
    printed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_reads_as_the_reference_reports_it() {
        let body = br#"{"title": "Workspace not found", "detail": "Workspace Ws not found in scope debusine"}"#;
        let problem = Problem::parse(body).expect("an object");
        assert_eq!(
            problem.as_python(),
            "{'title': 'Workspace not found', 'detail': 'Workspace Ws not found in scope debusine'}"
        );
        assert_eq!(
            problem.to_string(),
            "Workspace not found: Workspace Ws not found in scope debusine"
        );
    }

    #[test]
    fn quotes_are_chosen_as_python_does() {
        let problem = |text: &str| {
            let body = serde_json::json!({"title": text, "more": [null, true, 3]}).to_string();
            Problem::parse(body.as_bytes()).map(|problem| problem.as_python())
        };
        let printed = problem("it's").expect("an object");
        assert_eq!(printed, "{'title': \"it's\", 'more': [None, True, 3]}");
        let printed = problem("it's \"so\"\n").expect("an object");
        assert_eq!(
            printed,
            "{'title': 'it\\'s \"so\"\\n', 'more': [None, True, 3]}"
        );
    }

    #[test]
    fn what_is_no_object_is_no_problem() {
        assert_eq!(Problem::parse(b"[1]"), None);
        assert_eq!(Problem::parse(b"<html>"), None);
    }
}
