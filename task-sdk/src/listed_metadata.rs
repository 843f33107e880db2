//! The metadata of one worker as a list: for a handful of questions that takes half the time of a map, with its hashes and copied names.

use crate::worker_metadata::Metadata;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use std::fmt;
use std::ops::Range;

/// The members of a JSON object, in their order.
#[derive(Debug, Default)]
pub(crate) struct ListedMetadata {
    text: String,
    members: Vec<(Name, Value)>,
}

/// A member's name.
#[derive(Debug)]
enum Name {
    /// As it stands in the text.
    InText(Range<usize>),
    /// One with escapes.
    Unescaped(String),
}

impl ListedMetadata {
    /// The members of a JSON object; anything else says nothing about a worker.
    pub fn parse(text: String) -> Self {
        let mut deserializer = serde_json::Deserializer::from_str(&text);
        let members = Members(&text).deserialize(&mut deserializer);
        let members = members.and_then(|members| deserializer.end().map(|()| members));
        Self {
            members: members.unwrap_or_default(),
            text,
        }
    }

    fn name<'a>(&'a self, name: &'a Name) -> &'a str {
        match name {
            Name::InText(range) => &self.text[range.clone()],
            Name::Unescaped(name) => name,
        }
    }
}

impl Metadata for ListedMetadata {
    fn get(&self, key: &str) -> Option<&Value> {
        // The last one of the same name counts, as in a map.
        let mut members = self.members.iter().rev();
        let found = members.find(|(name, _)| self.name(name) == key);
        found.map(|(_, value)| value)
    }
}

/// Reads the members of this text.
struct Members<'a>(&'a str);

impl<'a> DeserializeSeed<'a> for Members<'a> {
    type Value = Vec<(Name, Value)>;

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'a> Visitor<'a> for Members<'a> {
    type Value = Vec<(Name, Value)>;

    fn expecting(&self, words: &mut fmt::Formatter<'_>) -> fmt::Result {
        words.write_str("an object")
    }

    fn visit_map<M: MapAccess<'a>>(self, mut map: M) -> Result<Self::Value, M::Error> {
        // A worker says some forty things of itself.
        let mut members = Vec::with_capacity(40);
        while let Some(name) = map.next_key_seed(NameIn(self.0))? {
            members.push((name, map.next_value()?));
        }
        Ok(members)
    }
}

/// Reads a name of this text.
struct NameIn<'a>(&'a str);

impl<'a> DeserializeSeed<'a> for NameIn<'a> {
    type Value = Name;

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<Name, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'a> Visitor<'a> for NameIn<'a> {
    type Value = Name;

    fn expecting(&self, words: &mut fmt::Formatter<'_>) -> fmt::Result {
        words.write_str("a name")
    }

    fn visit_borrowed_str<E>(self, name: &'a str) -> Result<Name, E> {
        // It is a part of the text: where it begins tells which.
        let start = name.as_ptr().addr() - self.0.as_ptr().addr();
        Ok(Name::InText(start..start + name.len()))
    }

    fn visit_str<E>(self, name: &str) -> Result<Name, E> {
        Ok(Name::Unescaped(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_list_of_members_answers_as_a_map_does() {
        let text = r#"{"a": 1, "b\u0021": [true], "a": {"c": null}, "d": "e"}"#;
        let listed = ListedMetadata::parse(text.to_owned());
        assert_eq!(listed.get("a"), Some(&json!({"c": null})), "the last one");
        assert_eq!(listed.get("b!"), Some(&json!([true])));
        assert_eq!(listed.get("d"), Some(&json!("e")));
        assert_eq!(listed.get("f"), None);
    }

    #[test]
    fn what_is_no_object_says_nothing() {
        for text in ["", "[]", "7", r#"{"a": 1"#, r#"{"a": 1} 2"#] {
            assert!(
                ListedMetadata::parse(text.to_owned()).get("a").is_none(),
                "{text}"
            );
        }
    }
}
