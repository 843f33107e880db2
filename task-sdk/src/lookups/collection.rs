//! Lookups of the items of a collection that match: `{"collection": ..., "name__contains": ...}`.

use super::{MultipleLookup, SingleLookup};
use crate::model::coercion::{equal, pair};
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

/// Moves the keys that people write into `name_matcher`, `data_matchers` and `lookup_filters`, which may be given besides: what people
/// write wins.
fn gather_matchers<'a>(
    keys: &'a Map<String, Value>,
    report: &mut Report,
) -> Option<Cow<'a, Map<String, Value>>> {
    let mut data_matchers = Entries::given(keys.get("data_matchers"), report)?;
    let mut filters = Entries::given(keys.get("lookup_filters"), report)?;
    let mut rest = Map::new();
    let mut written = Vec::new();
    for (key, value) in keys {
        let mut words = key.splitn(3, "__");
        let target = match (words.next(), words.next(), words.next()) {
            (Some("name"), kind, None) => ("name", "", kind),
            (Some("name"), Some(_), Some(_)) => ("name", "", Some("")),
            (Some("data"), Some(name), kind) => ("data", name, kind),
            (Some("lookup"), Some(name), None) => ("lookup", name, None),
            _ => {
                rest.insert(key.clone(), value.clone());
                continue;
            }
        };
        insert_sorted(&mut written, (target, value), |((what, name, _), _)| {
            (*what, *name)
        });
    }
    for (place, ((what, name, kind), value)) in written.iter().enumerate() {
        if let Some(((next_what, next_name, _), _)) = written.get(place + 1)
            && (what, name) == (next_what, next_name)
        {
            report.refuse(
                "value_error",
                "two keys match the same thing: keep one of them",
            );
            return None;
        }
        match *what {
            "name" => {
                rest.insert("name_matcher".into(), matcher(*kind, value, report)?);
            }
            "data" => data_matchers.set(json!(name), matcher(*kind, value, report)?),
            _ => filters.set(json!(name), filter(value, report)?),
        }
    }
    data_matchers.put("data_matchers", &mut rest, report)?;
    filters.put("lookup_filters", &mut rest, report)?;
    Some(Cow::Owned(rest))
}

/// A sort would be 4 KB of code for a handful of keys.
fn insert_sorted<T, K: PartialOrd>(items: &mut Vec<T>, item: T, key: impl Fn(&T) -> K) {
    let place = items.partition_point(|earlier| key(earlier) <= key(&item));
    items.insert(place, item);
}

/// What `data_matchers` or `lookup_filters` hold: values by key, as the reference makes a `dict` of them.
#[derive(Default)]
struct Entries(Vec<(Value, Value)>);

impl Entries {
    /// What a field was given: an object, or a list of pairs, of which the last of each key counts.
    fn given(field: Option<&Value>, report: &mut Report) -> Option<Self> {
        let mut entries = Self::default();
        match field {
            None => {}
            Some(Value::Object(map)) => {
                for (key, value) in map {
                    entries.set(json!(key), value.clone());
                }
            }
            Some(Value::Array(items)) => {
                for item in items {
                    let (key, value) = match pair(item) {
                        Ok(two) => two,
                        Err(kind) => return refuse_pair(kind, report),
                    };
                    entries.set(key, value);
                }
            }
            // Text is a list of letters, none of which is a pair.
            Some(Value::String(text)) if text.is_empty() => {}
            Some(Value::String(_)) => return refuse_pair("value_error", report),
            Some(_) => return refuse_pair("type_error", report),
        }
        Some(entries)
    }

    fn set(&mut self, key: Value, value: Value) {
        match self.0.iter_mut().find(|(earlier, _)| equal(earlier, &key)) {
            Some((_, earlier)) => *earlier = value,
            None => self.0.push((key, value)),
        }
    }

    /// Gives them to a field, sorted by key. Without any, it keeps what it was given.
    fn put(self, field: &str, rest: &mut Map<String, Value>, report: &mut Report) -> Option<()> {
        let mut sorted: Vec<(Value, Value)> = Vec::with_capacity(self.0.len());
        for (key, value) in self.0 {
            if sorted
                .iter()
                .any(|(other, _)| compare(other, &key).is_none())
            {
                report.refuse("type_error", "keys of several types: give text for keys");
                return None;
            }
            let is_earlier = |(other, _): &(Value, Value)| {
                compare(other, &key).is_some_and(std::cmp::Ordering::is_le)
            };
            let place = sorted.partition_point(is_earlier);
            sorted.insert(place, (key, value));
        }
        if !sorted.is_empty() {
            let pairs = sorted.into_iter().map(|(key, value)| json!([key, value]));
            rest.insert(field.to_owned(), pairs.collect());
        }
        Some(())
    }
}

fn refuse_pair<T>(kind: &'static str, report: &mut Report) -> Option<T> {
    report.refuse(kind, "not values by key: give an array of [KEY, VALUE]");
    None
}

/// The order of two keys, if they have one: texts, and numbers (yes and no are such).
fn compare(one: &Value, other: &Value) -> Option<std::cmp::Ordering> {
    let number = |value: &Value| match value {
        Value::Bool(yes) => Some(f64::from(*yes)),
        value => value.as_f64(),
    };
    match (one, other) {
        (Value::String(one), Value::String(other)) => Some(one.cmp(other)),
        _ => number(one)?.partial_cmp(&number(other)?),
    }
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
