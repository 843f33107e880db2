use crate::prelude::*;

choices! {
    /// How a thing is.
    pub enum Colour {
        /// Red.
        Red = "red",
        /// Blue.
        Blue = "blue",
    }
}

model! {
    /// Common keys.
    pub struct Common {
        /// Who it is for.
        pub owner: Option<String> = None,
    }
}

model! {
    /// A thing.
    pub struct Thing {
        pub common: ..Common,
        /// What it is called.
        pub name: String,
        /// How often.
        pub count: i64 where [at_least(0), at_most(3)] = 1,
        /// In which colours.
        pub colours as "color": Vec<Colour> where [min_items(1), distinct()] = vec![Colour::Red],
        /// What is in it.
        pub inner: Option<Vec<Thing>> = None,
    }
    rule |partial| match (&partial.name, &partial.count) {
        (Some(name), Some(2)) if name == "two" => Err("two times two is too much".into()),
        _ => Ok(()),
    };
}

fn violations(value: Value) -> Vec<String> {
    let violations = Thing::parse(&value).unwrap_err();
    let place = |violation: &Violation| {
        let location: Vec<_> = violation.location.iter().map(PathPart::to_string).collect();
        format!("{} {}", location.join("."), violation.kind)
    };
    violations.iter().map(place).collect()
}

#[test]
fn defaults_are_filled_in_and_keys_are_those_of_the_wire() {
    let thing = Thing::parse(&json!({"name": 5})).unwrap();
    assert_eq!(
        thing.to_json(),
        json!({"owner": null, "name": "5", "count": 1, "color": ["red"], "inner": null})
    );
}

#[test]
fn every_violation_is_reported_with_its_place() {
    let found = violations(json!({
        "owner": [], "count": "7", "color": ["red", "green", "red"], "colours": 1,
        "inner": [{"name": "a"}, {"color": ["green"]}, 5],
    }));
    assert_eq!(
        found,
        [
            "owner type_error.str",
            "name value_error.missing",
            "count value_error.number.not_le",
            "color value_error.list.unique_items",
            "inner.1.name value_error.missing",
            "inner.1.color.0 type_error.enum",
            "inner.2 type_error.dict",
            "colours value_error.extra",
        ]
    );
}

#[test]
fn a_rule_about_the_whole_runs_although_a_field_is_faulty() {
    let found = violations(json!({"name": "two", "count": 2, "color": []}));
    assert_eq!(
        found,
        ["color value_error.list.min_items", "__root__ value_error"]
    );
}
