//! What a scheduler asks: no store is needed, and none is made.

use crate::machine::{Answer, Machine};
use serde_json::json;

#[test]
fn tasks_are_listed_and_described() {
    let Some(machine) = Machine::with_task("noop") else {
        return;
    };
    let list = machine.json(&["list"]);
    let noop = list
        .as_array()
        .unwrap()
        .iter()
        .find(|task| task["name"] == "noop")
        .unwrap();
    assert!(noop["summary"].as_str().unwrap().starts_with("Do nothing"));
    assert!(noop["path"].as_str().unwrap().ends_with("noop.wasm"));
    let description = machine.json(&["describe", "NOOP"]);
    assert_eq!(
        (&description["name"], &description["version"]),
        (&json!("noop"), &json!(1))
    );
    assert!(machine.ask(&["list"]).stdout.contains("noop  "));
}

#[test]
fn an_unusable_file_does_not_hide_the_other_tasks() {
    let Some(machine) = Machine::with_task("noop") else {
        return;
    };
    machine.write("more/broken.wasm", "no component");
    let tasks = std::env::var_os("TASK_RUNTIME_TASKS").unwrap_or_default();
    let tasks = tasks
        .to_str()
        .unwrap()
        .split(':')
        .next()
        .unwrap()
        .to_owned();
    if tasks.is_empty() {
        return eprintln!("skipped: TASK_RUNTIME_TASKS is not set");
    }
    let list = machine.json(&["list", "--tasks", &tasks, "--tasks", "more"]);
    let find = |name: &str| {
        list.as_array()
            .unwrap()
            .iter()
            .find(|it| it["name"] == name)
            .unwrap()
            .clone()
    };
    assert!(find("noop")["error"].is_null());
    assert_eq!(find("broken")["error"]["kind"], "component");
}

#[test]
fn data_are_normalised_from_json_and_yaml() {
    let Some(machine) = Machine::with_task("noop") else {
        return;
    };
    let expected = json!({"task_configuration": null, "result": false});
    let yaml = machine.write("data.yaml", "# YAML\nresult: no\n");
    let data = machine.json(&["configure", "noop", "--data", "{\"result\": \"off\"}"]);
    assert_eq!(data, expected);
    assert_eq!(
        machine.json(&["configure", "noop", "--data", yaml.to_str().unwrap()]),
        expected
    );
    let answer = machine.ask_with_input(&["configure", "noop", "-d", "-"], "result: 'false'\n");
    assert_eq!(answer.json(), expected);
    assert_eq!(machine.json(&["label", "noop"]), json!({"label": "noop"}));
    let schema = machine.json(&["schema", "noop"]);
    assert_eq!(schema["properties"]["result"]["type"], "boolean");
    assert!(
        !machine.path("store").exists(),
        "nothing of this needs a store"
    );
}

#[test]
fn yes_and_no_are_exit_statuses() {
    let Some(machine) = Machine::with_task("noop") else {
        return;
    };
    let good = machine.write(
        "good.json",
        r#"{"system:worker_type": "external", "noop:version": 1}"#,
    );
    let good = good.to_str().unwrap();
    let yes = machine.ask(&["can-run-on", "noop", "--worker", good]);
    assert_eq!(
        (yes.status, yes.stdout.as_str()),
        (Some(0), "yes\n"),
        "{yes:?}"
    );
    let no = machine.ask(&["can-run-on", "noop", "--worker", "{\"noop:version\": 1}"]);
    assert_eq!((no.status, no.stdout.as_str()), (Some(1), "no\n"), "{no:?}");
    let several = machine.write(
        "several.json",
        r#"[{}, {"system:worker_type": "external", "noop:version": 1}]"#,
    );
    let both = machine.json(&[
        "can-run-on",
        "noop",
        "-w",
        good,
        "-w",
        several.to_str().unwrap(),
    ]);
    assert_eq!(both["can_run"], true);
    let answers: Vec<_> = both["workers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["can_run"].clone())
        .collect();
    assert_eq!(answers, [true, false, true]);
    assert_eq!(
        machine.ask(&["can-run-on", "noop"]).status,
        Some(0),
        "this machine can"
    );
    assert!(
        !machine.path("store").exists(),
        "nothing of this needs a store"
    );
}

#[test]
fn a_worker_tells_its_system_its_executors_and_its_tasks() {
    let Some(machine) = Machine::with_task("noop") else {
        return;
    };
    let metadata = machine.json(&["metadata"]);
    assert_eq!(metadata["system:worker_type"], "external");
    assert!(metadata["system:cpu_count"].as_u64().unwrap() > 0);
    assert!(metadata["executor:unshare:available"].is_boolean());
    assert_eq!(metadata["noop:version"], 1);
}

#[test]
fn a_component_shows_what_it_may_do() {
    let Some(machine) = Machine::with_task("noop") else {
        return;
    };
    let path = machine.json(&["describe", "noop"])["path"]
        .as_str()
        .unwrap()
        .to_owned();
    let interface = machine.json(&["inspect", &path]);
    let exports = interface["exports"].as_array().unwrap();
    assert!(exports.contains(&json!("debusine:task/scheduling@0.1.0")));
    assert_eq!(interface["objections"], json!([]));
    for import in interface["imports"].as_array().unwrap() {
        assert!(
            import["name"]
                .as_str()
                .unwrap()
                .starts_with("debusine:task/"),
            "{import}"
        );
        assert!(import["allows"].is_string(), "{import}");
    }
}

#[test]
fn tasks_are_compiled_once() {
    let Some(machine) = Machine::with_task("noop") else {
        return;
    };
    let cache = machine.path("cache");
    let compile = ["compile", "noop", "--cache", cache.to_str().unwrap()];
    assert_eq!(machine.json(&compile), json!({"compiled": ["noop"]}));
    assert_eq!(machine.json(&compile), json!({"compiled": []}));
}

#[test]
fn listing_and_inspecting_compile_nothing() {
    let Some(machine) = Machine::with_task("noop") else {
        return;
    };
    let described = machine.json(&["describe", "noop"]);
    let noop = std::fs::read(described["path"].as_str().unwrap()).unwrap();
    let path = machine.write("shelf/noop.wasm", noop);
    let (shelf, cache) = (machine.path("shelf"), machine.path("cache"));
    let places = [
        "--tasks",
        shelf.to_str().unwrap(),
        "--cache",
        cache.to_str().unwrap(),
    ];
    let listed = machine.json(&[&["list"], &places[..]].concat());
    assert_eq!(listed[0]["name"], "noop");
    assert_eq!(listed[0]["summary"], described["summary"]);
    machine.json(&[&["inspect", path.to_str().unwrap()], &places[..]].concat());
    let compiled = || {
        let files = std::fs::read_dir(cache.join("components"));
        let files = files.into_iter().flatten().flatten();
        files.filter(|it| it.path().extension().is_some_and(|it| it == "cwasm"))
    };
    assert_eq!(compiled().count(), 0);
    machine.json(&[&["describe", "noop"], &places[..]].concat());
    assert_eq!(compiled().count(), 1, "it looks in the right place");
}

#[test]
fn limits_of_components_are_the_operators() {
    let Some(machine) = Machine::with_task("scripted") else {
        return;
    };
    let hoard = ["label", "scripted", "--data", r#"{"label": "hoard"}"#];
    let small = [&hoard[..], &["--guest-memory", "8MiB"]].concat();
    machine.refuses(
        &small,
        "task",
        &["task scripted: label: limit reached", "8388608 are allowed"],
    );
    let mut looping = machine.command(&[
        "label",
        "scripted",
        "--data",
        r#"{"label": "loop"}"#,
        "--json",
    ]);
    looping.env("TASK_RUNTIME_GUEST_CPU", "150ms");
    let answer = Answer::of(looping);
    assert_eq!(answer.status, Some(2), "{answer:?}");
    assert!(answer.stderr.contains("computed for 150ms"), "{answer:?}");
    let flood = [
        "run",
        "scripted",
        "--data",
        r#"{"run": "command", "command": ["head", "-c", "1000000", "/dev/zero"]}"#,
        "--log-size",
        "64KiB",
        "--verbose",
    ];
    assert_eq!(machine.ask(&flood).status, Some(1), "its log ends early");
    machine.refuses(
        &["label", "scripted", "--guest-memory", "much"],
        "usage",
        &["not a size", "64MiB"],
    );
    machine.refuses(
        &[
            "match",
            "--guest-handles",
            "1",
            "--tasks",
            "x",
            "--workers",
            "y",
        ],
        "usage",
        &["--guest-handles", "not between"],
    );
}

#[test]
fn a_manifest_that_cannot_be_read_is_an_error_in_words() {
    let Some(machine) = Machine::with_task("scripted") else {
        return;
    };
    let described = machine.json(&["describe", "hostile"]);
    let bytes = std::fs::read(described["path"].as_str().unwrap()).unwrap();
    let path = machine.write("shelf/hostile.wasm", bytes);
    let inspect = ["inspect", path.to_str().unwrap()];
    machine.json(&inspect);
    machine.write("shelf/hostile.manifest", "HTTP: perhaps\n");
    machine.refuses(
        &inspect,
        "component",
        &["hostile.manifest", "write yes or no", "remove the file"],
    );
    std::fs::remove_file(machine.path("shelf/hostile.manifest")).unwrap();
    std::fs::create_dir(machine.path("shelf/hostile.manifest")).unwrap();
    machine.refuses(&inspect, "component", &["hostile.manifest"]);
}
