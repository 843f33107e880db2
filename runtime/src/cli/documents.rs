//! Documents that people give: JSON or YAML, from a file, from standard input, or as the argument itself.

use super::error::CliError;
use serde_json::Value;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

/// Standard input has been read; it comes only once.
static STDIN_READ: AtomicBool = AtomicBool::new(false);

/// The most bytes of a document: task data and worker metadata have thousands, a list of many workers some millions.
const LONGEST: u64 = 16 << 20;

/// Reads a document.
pub fn read(argument: &str) -> Result<Value, CliError> {
    if argument == "-" {
        if STDIN_READ.swap(true, Ordering::Relaxed) {
            let words = "standard input: wanted twice; give one of the documents as a file";
            return Err(CliError::new("usage", words));
        }
        let text = read_to_limit("standard input", std::io::stdin())?;
        return parse("standard input", text, Syntax::Either);
    }
    if argument.trim_start().starts_with('{') {
        return parse("the argument", argument.as_bytes().to_vec(), Syntax::Json);
    }
    let file = File::open(argument).map_err(|error| unreadable(argument, &error))?;
    let text = read_to_limit(argument, file)?;
    parse(argument, text, Syntax::of(argument))
}

/// The same, or an empty object if nothing is given.
pub fn read_or_empty(argument: Option<&str>) -> Result<Value, CliError> {
    argument.map_or_else(|| Ok(Value::Object(serde_json::Map::new())), read)
}

/// Reads all of a file that has an end in sight.
fn read_to_limit(name: &str, from: impl Read) -> Result<Vec<u8>, CliError> {
    let mut text = Vec::new();
    from.take(LONGEST + 1)
        .read_to_end(&mut text)
        .map_err(|error| unreadable(name, &error))?;
    if text.len() as u64 > LONGEST {
        let mebibytes = LONGEST >> 20;
        return Err(CliError::new(
            "document",
            format!("{name}: longer than {mebibytes} MiB; is this the file you mean?"),
        ));
    }
    Ok(text)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Syntax {
    Json,
    Yaml,
    Either,
}

impl Syntax {
    fn of(name: &str) -> Self {
        let extension = Path::new(name).extension().and_then(|it| it.to_str());
        match extension {
            Some("json") => Self::Json,
            Some("yaml" | "yml") => Self::Yaml,
            _ => Self::Either,
        }
    }
}

fn parse(name: &str, text: Vec<u8>, syntax: Syntax) -> Result<Value, CliError> {
    let text = String::from_utf8(text).map_err(|error| {
        let line = 1 + error.as_bytes()[..error.utf8_error().valid_up_to()]
            .iter()
            .filter(|&&byte| byte == b'\n')
            .count();
        CliError::new(
            "document",
            format!("{name}: line {line}: not UTF-8; convert it, e.g. with iconv"),
        )
    })?;
    let json = || serde_json::from_str(&text).map_err(|error| json_error(name, &error));
    let yaml = || serde_norway::from_str(&text).map_err(|error| yaml_error(name, &error));
    match syntax {
        Syntax::Json => json(),
        Syntax::Yaml => yaml(),
        // JSON is nearly YAML, and what looks like JSON is told the faults of JSON.
        Syntax::Either => json().or_else(|refused| {
            let looks_like_json = text.trim_start().starts_with(['{', '[']);
            yaml().map_err(|error| if looks_like_json { refused } else { error })
        }),
    }
}

fn json_error(name: &str, error: &serde_json::Error) -> CliError {
    let place = format!("line {}, column {}", error.line(), error.column());
    malformed(name, "JSON", &place, &error.to_string())
}

fn yaml_error(name: &str, error: &serde_norway::Error) -> CliError {
    let place = match error.location() {
        Some(location) => format!("line {}, column {}", location.line(), location.column()),
        None => "somewhere".to_owned(),
    };
    malformed(name, "YAML", &place, &error.to_string())
}

/// Both libraries put the place behind their words; here it comes first, once.
fn malformed(name: &str, syntax: &str, place: &str, words: &str) -> CliError {
    let why = words.find(" at line ").map_or(words, |end| &words[..end]);
    CliError::new(
        "document",
        format!("{name}: {place}: malformed {syntax}: {why}; correct it there"),
    )
}

fn unreadable(name: &str, error: &std::io::Error) -> CliError {
    CliError::new(
        "file",
        format!("{name}: cannot be read: {error}; check its name and permissions"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parsed(text: &str, syntax: Syntax) -> Result<Value, String> {
        parse("x", text.as_bytes().to_vec(), syntax).map_err(|error| error.message)
    }

    #[test]
    fn json_and_yaml_are_told_apart_by_name_or_by_look() {
        let expected = Ok(json!({"a": [1, "b"]}));
        assert_eq!(parsed("{\"a\": [1, \"b\"]}", Syntax::Either), expected);
        assert_eq!(parsed("a: [1, b]", Syntax::Either), expected);
        assert_eq!(parsed("{a: [1, b]}", Syntax::Either), expected);
        assert!(parsed("a: [1, b]", Syntax::Json).is_err());
        assert!(Syntax::of("x/a.yml") == Syntax::Yaml && Syntax::of("json") == Syntax::Either);
    }

    #[test]
    fn faults_are_told_with_line_and_column() {
        let words = parsed("{\n  \"a\": 1,\n  \"b\" 2\n}", Syntax::Either).unwrap_err();
        assert!(
            words.starts_with("x: line 3, column 7: malformed JSON: "),
            "{words}"
        );
        let words = parsed("a: 1\nb: [1, 2\nc: 3\n", Syntax::Either).unwrap_err();
        assert!(words.starts_with("x: line 3, column "), "{words}");
        assert!(!words.contains("at line"), "{words}");
        let error = parse("x", b"a: 1\nb: \xff\n".to_vec(), Syntax::Either).unwrap_err();
        assert!(
            error.message.starts_with("x: line 2: not UTF-8"),
            "{}",
            error.message
        );
    }
}
