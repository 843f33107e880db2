//! Fields of a control file: in the order of the file, found by their names without regard to case.

use std::collections::BTreeMap;

/// Fields in order. A name keeps the spelling with which it first came; looking it up ignores case (Debian policy, 5.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldMap<V> {
    fields: Vec<(String, V)>,
    places: BTreeMap<String, usize>,
}

impl<V> Default for FieldMap<V> {
    fn default() -> Self {
        Self {
            fields: Vec::new(),
            places: BTreeMap::new(),
        }
    }
}

impl<V> FieldMap<V> {
    /// The value of a field.
    pub fn get(&self, name: &str) -> Option<&V> {
        self.places
            .get(&name.to_ascii_lowercase())
            .map(|&place| &self.fields[place].1)
    }

    /// The value of a field, to be changed.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut V> {
        self.places
            .get(&name.to_ascii_lowercase())
            .map(|&place| &mut self.fields[place].1)
    }

    /// Sets a field: a known one keeps its place and its spelling, a new one goes to the end.
    pub fn set(&mut self, name: &str, value: V) {
        if let Some(known) = self.get_mut(name) {
            *known = value;
            return;
        }
        self.places
            .insert(name.to_ascii_lowercase(), self.fields.len());
        self.fields.push((name.to_owned(), value));
    }

    /// Moves a field right before another one. Does nothing and says false when either is missing or both are the same.
    pub fn move_before(&mut self, name: &str, reference: &str) -> bool {
        let place = |name: &str| self.places.get(&name.to_ascii_lowercase()).copied();
        let (Some(from), Some(to)) = (place(name), place(reference)) else {
            return false;
        };
        if from == to {
            return false;
        }
        let field = self.fields.remove(from);
        self.fields
            .insert(if from < to { to - 1 } else { to }, field);
        for (place, (name, _)) in self.fields.iter().enumerate() {
            self.places.insert(name.to_ascii_lowercase(), place);
        }
        true
    }

    /// Names and values in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &V)> {
        self.fields
            .iter()
            .map(|(name, value)| (name.as_str(), value))
    }

    /// Is there no field?
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }
}

impl<V> IntoIterator for FieldMap<V> {
    type Item = (String, V);
    type IntoIter = std::vec::IntoIter<(String, V)>;

    fn into_iter(self) -> Self::IntoIter {
        self.fields.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_set_again_keeps_place_and_spelling() {
        let mut map = FieldMap::default();
        map.set("Foo", 1);
        map.set("Bar", 2);
        map.set("fOO", 3);
        assert_eq!(map.iter().collect::<Vec<_>>(), [("Foo", &3), ("Bar", &2)]);
    }

    #[test]
    fn moving_a_field_leaves_the_others_in_order() {
        let mut map = FieldMap::default();
        for name in ["a", "b", "c", "d"] {
            map.set(name, ());
        }
        assert!(map.move_before("D", "b"));
        assert!(map.move_before("a", "c"));
        let names: Vec<&str> = map.iter().map(|(name, ())| name).collect();
        assert_eq!(names, ["d", "b", "a", "c"]);
        assert!(map.get("a").is_some());
        assert!(!map.move_before("a", "missing"));
    }
}
