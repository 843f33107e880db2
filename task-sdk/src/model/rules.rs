//! The constraints that a field can carry in its `where [...]`.

use super::coercion;
use super::field::FieldRule;
use super::violation::Refusal;
use serde_json::{Map, Value};
use std::ops::RangeInclusive;

/// A value that may be an integer.
pub trait MaybeInteger {
    /// The integer, if there is one.
    fn integer(&self) -> Option<i64>;
}

impl MaybeInteger for i64 {
    fn integer(&self) -> Option<i64> {
        Some(*self)
    }
}

impl MaybeInteger for Option<i64> {
    fn integer(&self) -> Option<i64> {
        *self
    }
}

/// See [`at_least`].
#[derive(Debug, Clone, Copy)]
pub struct AtLeast(i64);

/// The integer is this or more, if it is given.
pub const fn at_least(least: i64) -> AtLeast {
    AtLeast(least)
}

impl<T: MaybeInteger> FieldRule<T> for AtLeast {
    fn after(&self, value: &T) -> Result<(), Refusal> {
        match value.integer() {
            Some(number) if number < self.0 => Err(Refusal::new(
                "value_error.number.not_ge",
                format!("{number} is too small: give {} or more", self.0),
            )),
            _ => Ok(()),
        }
    }

    fn describe(&self, schema: &mut Map<String, Value>) {
        schema.insert("minimum".into(), self.0.into());
    }
}

/// See [`at_most`].
#[derive(Debug, Clone, Copy)]
pub struct AtMost(i64);

/// The integer is this or less, if it is given.
pub const fn at_most(most: i64) -> AtMost {
    AtMost(most)
}

impl<T: MaybeInteger> FieldRule<T> for AtMost {
    fn after(&self, value: &T) -> Result<(), Refusal> {
        match value.integer() {
            Some(number) if number > self.0 => Err(Refusal::new(
                "value_error.number.not_le",
                format!("{number} is too large: give {} or less", self.0),
            )),
            _ => Ok(()),
        }
    }

    fn describe(&self, schema: &mut Map<String, Value>) {
        schema.insert("maximum".into(), self.0.into());
    }
}

/// See [`items`] and [`min_items`].
#[derive(Debug, Clone, Copy)]
pub struct Items {
    least: usize,
    most: usize,
}

/// The list has so many items, counted before they are read.
pub const fn items(range: RangeInclusive<usize>) -> Items {
    Items {
        least: *range.start(),
        most: *range.end(),
    }
}

/// The list has so many items or more, counted before they are read.
pub const fn min_items(least: usize) -> Items {
    items(least..=usize::MAX)
}

impl<T> FieldRule<T> for Items {
    fn before(&self, value: &Value) -> Result<(), Refusal> {
        let Value::Array(items) = value else {
            return Ok(());
        };
        let (count, least, most) = (items.len(), self.least, self.most);
        if count < least {
            return Err(Refusal::new(
                "value_error.list.min_items",
                format!("{count} items are too few: give {least} or more"),
            ));
        }
        if count > most {
            return Err(Refusal::new(
                "value_error.list.max_items",
                format!("{count} items are too many: give {most} or fewer"),
            ));
        }
        Ok(())
    }

    fn describe(&self, schema: &mut Map<String, Value>) {
        schema.insert("minItems".into(), self.least.into());
        if self.most < usize::MAX {
            schema.insert("maxItems".into(), self.most.into());
        }
    }
}

/// See [`distinct`].
#[derive(Debug, Clone, Copy)]
pub struct Distinct;

/// No item of the list is there twice, compared before they are read.
pub const fn distinct() -> Distinct {
    Distinct
}

impl<T> FieldRule<T> for Distinct {
    fn before(&self, value: &Value) -> Result<(), Refusal> {
        let Value::Array(items) = value else {
            return Ok(());
        };
        let repeats = |(index, item)| {
            items[..index]
                .iter()
                .any(|earlier| coercion::equal(earlier, item))
        };
        if items.iter().enumerate().any(repeats) {
            return Err(Refusal::new(
                "value_error.list.unique_items",
                "an item is there twice: give each once",
            ));
        }
        Ok(())
    }

    fn describe(&self, schema: &mut Map<String, Value>) {
        schema.insert("uniqueItems".into(), true.into());
    }
}

/// See [`empty_is_null`].
#[derive(Debug, Clone, Copy)]
pub struct EmptyIsNull;

/// An empty list is the same as none.
pub const fn empty_is_null() -> EmptyIsNull {
    EmptyIsNull
}

impl<T> FieldRule<Option<Vec<T>>> for EmptyIsNull {
    fn normalise(&self, list: Option<Vec<T>>) -> Option<Vec<T>> {
        list.filter(|items| !items.is_empty())
    }
}
