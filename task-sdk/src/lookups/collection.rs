//! Lookups of the items of a collection that match: `{"collection": ..., "name__contains": ...}`.

use super::{MultipleLookup, SingleLookup};
use crate::model::{Definitions, FieldType, Report, WHOLE, read};
use crate::{choices, model, union};
use serde_json::{Map, Value, json};
use std::borrow::Cow;

choices! {
    /// What kind of items a lookup finds.
    pub enum ChildType {
        /// Items without an artifact.
        Bare = "bare",
        /// Artifacts.
        Artifact = "artifact",
        /// Artifacts, or promises of them.
        ArtifactOrPromise = "artifact-or-promise",
        /// Collections.
        Collection = "collection",
        /// Anything.
        Any = "any",
    }
}

choices! {
    /// How a matcher compares.
    pub enum MatcherKind {
        /// The same.
        Exact = "exact",
        /// Text that has the value somewhere.
        Contains = "contains",
        /// Text that ends with the value.
        EndsWith = "endswith",
        /// Text that begins with the value.
        StartsWith = "startswith",
    }
}

model! {
    /// A condition on a name or on a value of an item's data.
    pub struct Matcher {
        /// How to compare.
        pub kind: MatcherKind,
        /// With what.
        pub value: Value = Value::Null,
    }
}

union! {
    /// What a collection-specific filter is given.
    pub enum LookupFilter {
        /// One item.
        Single(SingleLookup),
        /// Several items.
        Multiple(MultipleLookup),
    }
}

model! {
    /// Items of a collection. People write matchers as keys: `name`, `data__KEY`, `lookup__KEY`, where `name` and `data__KEY`
    /// can end in `__contains`, `__endswith` or `__startswith`.
    pub struct CollectionLookup {
        /// The collection.
        pub collection: SingleLookup,
        /// What kind of items.
        pub child_type: ChildType = ChildType::Artifact,
        /// Items of this category only.
        pub category: Option<String> = None,
        /// A condition on the item's name.
        pub name_matcher: Option<Matcher> = None,
        /// Conditions on the item's data, by key.
        pub data_matchers: Keyed<Matcher> = Keyed::default(),
        /// Filters that the kind of collection defines, by key.
        pub lookup_filters: Keyed<LookupFilter> = Keyed::default(),
    }
    before gather_matchers;
}

impl CollectionLookup {
    /// The form in which people write it.
    pub fn export(&self) -> Value {
        let mut map = Map::new();
        map.insert("collection".into(), self.collection.to_json());
        if self.child_type != ChildType::Artifact {
            map.insert("child_type".into(), self.child_type.to_json());
        }
        if let Some(category) = &self.category {
            map.insert("category".into(), category.to_json());
        }
        let mut add_matcher = |mut key: String, matcher: &Matcher| {
            if matcher.kind != MatcherKind::Exact {
                key = [&key, "__", matcher.kind.as_str()].concat();
            }
            map.insert(key, matcher.value.clone());
        };
        if let Some(matcher) = &self.name_matcher {
            add_matcher("name".into(), matcher);
        }
        for (key, matcher) in &self.data_matchers.0 {
            add_matcher(["data__", key].concat(), matcher);
        }
        for (key, filter) in &self.lookup_filters.0 {
            let value = match filter {
                LookupFilter::Single(single) => single.to_json(),
                LookupFilter::Multiple(multiple) => multiple.export(),
            };
            map.insert(["lookup__", key].concat(), value);
        }
        Value::Object(map)
    }
}

/// Moves the keys that people write into `name_matcher`, `data_matchers` and `lookup_filters`.
fn gather_matchers<'a>(
    keys: &'a Map<String, Value>,
    report: &mut Report,
) -> Option<Cow<'a, Map<String, Value>>> {
    let is_written_by_people = |key: &String| key == "name" || key.contains("__");
    if !keys.keys().any(is_written_by_people) {
        return Some(Cow::Borrowed(keys));
    }
    let mut rest = Map::new();
    let mut name_matchers = Vec::new();
    let mut data_matchers = Vec::new();
    let mut filters = Vec::new();
    for (key, value) in keys {
        let mut words = key.splitn(3, "__");
        match (words.next(), words.next(), words.next()) {
            (Some("name"), kind, None) => {
                name_matchers.push(("", matcher(kind, value, report)?));
            }
            (Some("data"), Some(name), kind) => {
                insert_sorted(&mut data_matchers, name, matcher(kind, value, report)?);
            }
            (Some("lookup"), Some(name), None) => {
                insert_sorted(&mut filters, name, filter(value, report)?);
            }
            (Some("name"), Some(_), Some(_)) => return refuse_kind(report),
            _ => {
                rest.insert(key.clone(), value.clone());
            }
        }
    }
    if let Some((_, matcher)) = name_matchers.first() {
        refuse_repeats(&name_matchers, rest.contains_key("name_matcher"), report)?;
        rest.insert("name_matcher".into(), matcher.clone());
    }
    put("data_matchers", data_matchers, &mut rest, report)?;
    put("lookup_filters", filters, &mut rest, report)?;
    Some(Cow::Owned(rest))
}

/// A sort would be 4 KB of code for a handful of keys.
fn insert_sorted<'a>(entries: &mut Vec<(&'a str, Value)>, name: &'a str, value: Value) {
    let place = entries.partition_point(|(earlier, _)| *earlier <= name);
    entries.insert(place, (name, value));
}

fn put(
    field: &str,
    entries: Vec<(&str, Value)>,
    rest: &mut Map<String, Value>,
    report: &mut Report,
) -> Option<()> {
    if entries.is_empty() {
        return Some(());
    }
    refuse_repeats(&entries, rest.contains_key(field), report)?;
    let pairs = entries
        .into_iter()
        .map(|(name, value)| json!([name, value]));
    rest.insert(field.to_owned(), pairs.collect());
    Some(())
}

/// Entries must be sorted by name.
fn refuse_repeats(entries: &[(&str, Value)], is_given: bool, report: &mut Report) -> Option<()> {
    if is_given || entries.windows(2).any(|two| two[0].0 == two[1].0) {
        report.refuse(
            "value_error",
            "two keys match the same thing: keep one of them",
        );
        return None;
    }
    Some(())
}

fn refuse_kind<T>(report: &mut Report) -> Option<T> {
    report.refuse(
        "value_error",
        "unknown end of a key: use no end for equality, or __contains, __endswith, __startswith",
    );
    None
}

fn matcher(kind: Option<&str>, value: &Value, report: &mut Report) -> Option<Value> {
    match kind.unwrap_or("exact") {
        "exact" if kind.is_some() => refuse_kind(report),
        kind if MatcherKind::WORDS.contains(&kind) => Some(json!({"kind": kind, "value": value})),
        _ => refuse_kind(report),
    }
}

/// The value of a `lookup__KEY`, in normal form: reading that again costs no second look at what is nested in it.
///
/// A value that is neither a single lookup nor several is refused as both.
fn filter(value: &Value, report: &mut Report) -> Option<Value> {
    report.enter(WHOLE);
    let mark = report.mark();
    let mut found = None;
    if value.is_object() || value.is_array() {
        found = MultipleLookup::read(value, report).map(|multiple| multiple.to_json());
    }
    if found.is_none() {
        let single = read::<SingleLookup>(value, report);
        found = single.map(|single| single.to_json());
    }
    report.leave();
    found.filter(|_| report.mark() == mark)
}

/// Values by key, as an array of `[KEY, VALUE]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Keyed<T>(pub Vec<(String, T)>);

impl<T> Default for Keyed<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: FieldType> FieldType for Keyed<T> {
    fn read(value: &Value, report: &mut Report) -> Option<Self> {
        let Value::Array(items) = value else {
            report.refuse(
                "type_error.tuple",
                "not a list: give an array of [KEY, VALUE]",
            );
            return None;
        };
        let mark = report.mark();
        let mut entries = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            report.enter(index);
            entries.extend(read_entry(item, report));
            report.leave();
        }
        (report.mark() == mark).then_some(Self(entries))
    }

    fn to_json(&self) -> Value {
        let pair = |(key, value): &(String, T)| json!([key, value.to_json()]);
        Value::Array(self.0.iter().map(pair).collect())
    }

    fn schema(definitions: &mut Definitions) -> Value {
        let entry = json!({
            "type": "array",
            "prefixItems": [{"type": "string"}, T::schema(definitions)],
            "minItems": 2,
            "items": false,
        });
        json!({"type": "array", "items": entry})
    }
}

fn read_entry<T: FieldType>(item: &Value, report: &mut Report) -> Option<(String, T)> {
    let (key, value) = match item {
        Value::Array(two) => match two.as_slice() {
            [key, value] => (key, value),
            _ => {
                report.refuse("value_error.tuple.length", "not a pair: give [KEY, VALUE]");
                return None;
            }
        },
        Value::Null => return read::<String>(item, report).zip(None),
        _ => {
            report.refuse("type_error.tuple", "not a pair: give [KEY, VALUE]");
            return None;
        }
    };
    report.enter(0);
    let key = read(key, report);
    report.leave();
    report.enter(1);
    let value = read(value, report);
    report.leave();
    key.zip(value)
}
