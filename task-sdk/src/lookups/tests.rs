use super::*;
use crate::model::PathPart;

fn lookup(value: Value) -> MultipleLookup {
    MultipleLookup::read(&value, &mut Report::default()).unwrap()
}

fn kinds(value: Value) -> Vec<String> {
    let mut report = Report::default();
    assert_eq!(MultipleLookup::read(&value, &mut report), None);
    let violations = report.into_violations().into_iter();
    let place = |path: &[PathPart]| {
        path.iter()
            .map(PathPart::to_string)
            .collect::<Vec<_>>()
            .join(".")
    };
    violations
        .map(|v| format!("{} {}", place(&v.location), v.kind))
        .collect()
}

#[test]
fn matchers_are_sorted_and_written_back() {
    let written = json!({
        "collection": "trixie@debian:suite", "child_type": "any", "category": "x", "name__contains": "a",
        "data__b": 1, "data__a__startswith": "q", "lookup__f": {"collection": 2, "lookup__g": [1, "b"]},
    });
    let read = lookup(written.clone());
    let LookupPart::Collection(collection) = &read.0[0] else {
        panic!("a collection");
    };
    assert_eq!(collection.data_matchers.0[0].0, "a");
    let mut exported = read.export();
    let sorted = |value: &mut Value| value.as_object_mut().unwrap().sort_keys();
    let mut expected = written;
    sorted(&mut exported);
    sorted(&mut expected);
    assert_eq!(exported, expected);
    assert_eq!(lookup(read.to_json()), read);
}

#[test]
fn every_alternative_of_a_part_reports_its_violations() {
    assert_eq!(
        kinds(json!([1, [1]])),
        [
            "__root__.1 type_error.integer",
            "__root__.1 type_error.str",
            "__root__.1 type_error.dict",
        ]
    );
    assert_eq!(kinds(json!("a/b")), ["__root__ value_error"]);
}

#[test]
fn keys_that_match_the_same_thing_are_refused() {
    for keys in [
        json!({"name": "a", "name__contains": "b"}),
        json!({"data__x": 1, "data__x__endswith": "b"}),
        json!({"name__exact": "a"}),
        json!({"name__foo": "a"}),
        json!({"name__contains__x": "a"}),
    ] {
        let mut keys = keys;
        keys["collection"] = json!(1);
        let found = kinds(keys);
        assert_eq!(found.last().unwrap(), "__root__.0.__root__ value_error");
    }
}

#[test]
fn a_fault_inside_a_filter_keeps_its_place() {
    let found = kinds(json!({"collection": 1, "lookup__a": null}));
    assert_eq!(
        found.last().unwrap(),
        "__root__.0.__root__.__root__ type_error.none.not_allowed"
    );
}

#[test]
fn absurd_nesting_is_refused() {
    let nested = |levels: usize| {
        (0..levels).fold(
            json!(1),
            |inner, _| json!({"collection": 1, "lookup__a": inner}),
        )
    };
    lookup(nested(10));
    let refusals = kinds(nested(60));
    assert!(refusals.iter().any(|kind| kind.ends_with("value_error")));
}

mod environments {
    use super::super::*;
    use crate::task_data::Backend;

    fn augmented(path: &str) -> Option<String> {
        let filters = EnvironmentFilters {
            architecture: Some("amd64"),
            format: ImageFormat::of(Backend::Auto),
            backend: Some(Backend::Auto),
        };
        let lookup = filters.augment(&SingleLookup::Path(path.into())).ok()?;
        Some(lookup.to_string())
    }

    #[test]
    fn open_filters_of_a_match_are_filled_in() {
        for (path, expected) in [
            (
                "debian/match",
                "debian/match:architecture=amd64:format=tarball:backend=unshare",
            ),
            (
                "debian/match:format=image:codename=a=b",
                "debian/match:format=image:codename=a=b:architecture=amd64:backend=unshare",
            ),
            (
                "d/match:a=1:architecture=x:a=2",
                "d/match:a=2:architecture=x:format=tarball:backend=unshare",
            ),
        ] {
            assert_eq!(augmented(path).as_deref(), Some(expected));
        }
    }

    #[test]
    fn other_lookups_stay_as_they_are() {
        for path in ["a", "a/b", "a/name:x=y", "a/match:x/b", "match:codename=x"] {
            assert_eq!(augmented(path).as_deref(), Some(path));
        }
    }

    #[test]
    fn a_filter_without_value_is_refused_whatever_its_type() {
        assert_eq!(augmented("debian/match:"), None);
        assert_eq!(augmented("some/env:x"), None);
    }
}
