//! YAML as plain data: every scalar is text, and of a key that is given twice the last value counts.

use saphyr_parser::{Event, Parser, ScanError};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// How deep lists and mappings may lie within each other.
const DEEPEST: usize = 64;
/// How many values a document may have once its aliases are replaced: a few lines can name billions.
const MOST_VALUES: usize = 1 << 20;

/// Why a text is no document of YAML.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum YamlError {
    /// It breaks the grammar.
    #[error("not YAML: {0}; look at that line")]
    Syntax(String),
    /// A character that YAML does not allow.
    #[error("character {0:?}, which YAML does not allow")]
    Unprintable(char),
    /// A key is a list or a mapping.
    #[error("YAML: a key is no text; give keys as plain words")]
    Key,
    /// There is more than one document.
    #[error("YAML: more than one document; keep only one")]
    Documents,
    /// It is too deep or too large.
    #[error(
        "YAML: deeper than {DEEPEST} levels or more than {MOST_VALUES} values; make it smaller"
    )]
    TooLarge,
}

impl From<ScanError> for YamlError {
    fn from(error: ScanError) -> Self {
        Self::Syntax(error.to_string())
    }
}

/// Reads one document; an empty text is null.
pub fn parse(text: &str) -> Result<Value, YamlError> {
    if let Some(found) = text.chars().find(|&one| !is_printable(one)) {
        return Err(YamlError::Unprintable(found));
    }
    // YAML 1.1, which the reference reads, has three more ends of lines than the parser, which reads 1.2.
    let text = text.replace(['\u{85}', '\u{2028}', '\u{2029}'], "\n");
    let mut builder = Builder::default();
    for event in Parser::new_from_str(&text) {
        builder.take(event?.0)?;
    }
    Ok(builder.root.unwrap_or(Value::Null))
}

/// What may stand in a YAML text (YAML 1.1, 5.1).
fn is_printable(one: char) -> bool {
    matches!(one, '\t' | '\n' | '\r' | ' '..='~' | '\u{85}' | '\u{a0}'..='\u{fffd}' | '\u{10000}'..)
}

/// A list or mapping that is not complete yet, and the number of its anchor (0: none).
enum Open {
    List(usize, Vec<Value>),
    Mapping(usize, Map<String, Value>, Option<String>),
}

#[derive(Default)]
struct Builder {
    open: Vec<Open>,
    anchors: BTreeMap<usize, Value>,
    values: usize,
    root: Option<Value>,
}

impl Builder {
    fn take(&mut self, event: Event<'_>) -> Result<(), YamlError> {
        match event {
            Event::Scalar(text, _, anchor, _) => {
                self.count(1)?;
                self.place(anchor, Value::String(text.into_owned()))
            }
            Event::Alias(anchor) => {
                // An alias within what it names has no end; the reference knows none in this data either.
                let value = self.anchors.get(&anchor).ok_or(YamlError::TooLarge)?;
                let value = value.clone();
                self.admit(&value)?;
                self.place(0, value)
            }
            Event::SequenceStart(anchor, _) => self.open(Open::List(anchor, Vec::new())),
            Event::MappingStart(anchor, _) => self.open(Open::Mapping(anchor, Map::new(), None)),
            Event::SequenceEnd | Event::MappingEnd => match self.open.pop() {
                Some(Open::List(anchor, list)) => self.place(anchor, Value::Array(list)),
                Some(Open::Mapping(anchor, map, _)) => self.place(anchor, Value::Object(map)),
                None => Ok(()),
            },
            Event::DocumentStart(_) if self.root.is_some() => Err(YamlError::Documents),
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd => Ok(()),
        }
    }

    fn count(&mut self, values: usize) -> Result<(), YamlError> {
        self.values += values;
        if self.values > MOST_VALUES {
            return Err(YamlError::TooLarge);
        }
        Ok(())
    }

    /// Counts a value that is about to be copied to where the document is now.
    fn admit(&mut self, value: &Value) -> Result<(), YamlError> {
        let (size, depth) = measure(value);
        if self.open.len() + depth > DEEPEST {
            return Err(YamlError::TooLarge);
        }
        self.count(size)
    }

    fn open(&mut self, open: Open) -> Result<(), YamlError> {
        self.count(1)?;
        if self.open.len() == DEEPEST {
            return Err(YamlError::TooLarge);
        }
        self.open.push(open);
        Ok(())
    }

    /// Puts a complete value where it belongs.
    fn place(&mut self, anchor: usize, value: Value) -> Result<(), YamlError> {
        if anchor != 0 {
            self.admit(&value)?;
            self.anchors.insert(anchor, value.clone());
        }
        match self.open.last_mut() {
            None => self.root = Some(value),
            Some(Open::List(_, list)) => list.push(value),
            Some(Open::Mapping(_, map, key)) => match (key.take(), value) {
                (Some(key), value) => {
                    map.insert(key, value);
                }
                (None, Value::String(text)) => *key = Some(text),
                (None, _) => return Err(YamlError::Key),
            },
        }
        Ok(())
    }
}

/// How many values there are in a value, itself included, and how many levels of lists and mappings.
fn measure(value: &Value) -> (usize, usize) {
    let within = |values: &mut dyn Iterator<Item = &Value>| {
        values.map(measure).fold((1, 1), |(size, depth), inner| {
            (size + inner.0, depth.max(inner.1 + 1))
        })
    };
    match value {
        Value::Array(items) => within(&mut items.iter()),
        Value::Object(map) => within(&mut map.values()),
        _ => (1, 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn scalars_are_text_and_the_last_of_two_equal_keys_counts() {
        let text = "a: 1\nb:\n -\n  c: true\n  d: --x:y (>= 2)\n  e:\na: ~\n";
        assert_eq!(
            parse(text).unwrap(),
            json!({"a": "~", "b": [{"c": "true", "d": "--x:y (>= 2)", "e": ""}]})
        );
        assert_eq!(parse("").unwrap(), Value::Null);
        assert_eq!(parse("word\n").unwrap(), json!("word"));
    }

    #[test]
    fn lines_end_where_version_1_1_ends_them() {
        assert_eq!(
            parse("a: 1\u{2028}b: 2\u{85}c: 3\u{2029}").unwrap(),
            json!({"a": "1", "b": "2", "c": "3"})
        );
        assert!(parse("a: 1\nwo\u{2028}rd: 2\n").is_err());
    }

    #[test]
    fn what_is_no_yaml_is_an_error() {
        for text in [
            "a: b: c\n",
            "a: [1\n",
            "a: *nowhere\n",
            "a: 'x\n",
            "\tb: 1\na",
        ] {
            assert!(matches!(parse(text), Err(YamlError::Syntax(_))), "{text}");
        }
        assert_eq!(parse("? [a]\n: b\n"), Err(YamlError::Key));
        assert_eq!(parse("--- a\n--- b\n"), Err(YamlError::Documents));
    }

    #[test]
    fn aliases_that_multiply_are_refused() {
        let mut text = String::from("a0: &a0 [x, x]\n");
        for level in 1..40 {
            text += &format!("a{level}: &a{level} [*a{0}, *a{0}]\n", level - 1);
        }
        assert_eq!(parse(&text), Err(YamlError::TooLarge));
        let (open, close) = ("[".repeat(40), "]".repeat(40));
        let deep = format!("a: &a {open}{close}\nb: {open}*a{close}\n");
        assert_eq!(parse(&deep), Err(YamlError::TooLarge));
        assert_eq!(parse(&"[".repeat(100)), Err(YamlError::TooLarge));
        assert_eq!(parse("a: &x [*x]\n"), Err(YamlError::TooLarge));
        assert_eq!(
            parse("a: &x y\nb: *x\n").unwrap(),
            json!({"a": "y", "b": "y"})
        );
    }
}
