//! `match`, and what the operator's policy grants.

use crate::machine::{Answer, Machine};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;
use std::time::Duration;

const WORKERS: &str = r#"{"name": "one", "metadata": {"system:worker_type": "external", "noop:version": 1}}

{"system:worker_type": "external", "noop:version": 2}
{"name": "three", "metadata": {"noop:version": 1, "system:worker_type": "external"}}
"#;

fn lines(answer: &Answer) -> Vec<Value> {
    let lines = answer.stdout.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn every_task_has_a_line_with_its_workers() {
    let Some(machine) = Machine::with_task("noop") else {
        return;
    };
    machine.write("workers.jsonl", WORKERS);
    let tasks = "{\"task\": \"noop\"}\n{\"id\": \"b\", \"task\": \"NOOP\", \"data\": {\"result\": \"no\"}}\n";
    machine.write("tasks.jsonl", tasks);
    let files = [
        "match",
        "--tasks",
        "tasks.jsonl",
        "--workers",
        "workers.jsonl",
    ];
    let answer = machine.ask(&files);
    assert_eq!(answer.status, Some(0), "{answer:?}");
    let expected = [
        json!({"task": 1, "workers": ["one", "three"]}),
        json!({"task": "b", "workers": ["one", "three"]}),
    ];
    assert_eq!(lines(&answer), expected);
    let streamed = [
        "match",
        "--tasks",
        "-",
        "--workers",
        "workers.jsonl",
        "--jobs",
        "1",
    ];
    assert_eq!(lines(&machine.ask_with_input(&streamed, tasks)), expected);
}

/// Whoever feeds it a queue has each answer before the next task.
#[test]
fn answers_come_while_tasks_are_still_being_written() {
    let Some(machine) = Machine::with_task("noop") else {
        return;
    };
    machine.write("workers.jsonl", WORKERS);
    let mut command = machine.command(&["match", "--tasks", "-", "--workers", "workers.jsonl"]);
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    let (sender, answers) = std::sync::mpsc::channel();
    let output = BufReader::new(child.stdout.take().unwrap());
    let reading = std::thread::spawn(move || {
        for line in output.lines() {
            sender.send(line.unwrap()).unwrap();
        }
    });
    let mut input = child.stdin.take().unwrap();
    for id in 1..=3 {
        writeln!(input, "{{\"id\": {id}, \"task\": \"noop\"}}").unwrap();
        let answer = answers.recv_timeout(Duration::from_secs(60)).unwrap();
        let answer: Value = serde_json::from_str(&answer).unwrap();
        assert_eq!(answer, json!({"task": id, "workers": ["one", "three"]}));
    }
    drop(input);
    assert!(child.wait().unwrap().success());
    reading.join().unwrap();
}

#[test]
fn a_task_without_an_answer_does_not_hide_the_others() {
    let Some(machine) = Machine::with_task("noop") else {
        return;
    };
    machine.write("workers.jsonl", WORKERS);
    let tasks = "{\"task\": \"nobody\"}\n{\"task\": \"noop\", \"data\": {\"result\": []}}\n{\"task\": \"noop\"}\n";
    machine.write("tasks.jsonl", tasks);
    let answer = machine.ask(&[
        "match",
        "--tasks",
        "tasks.jsonl",
        "--workers",
        "workers.jsonl",
    ]);
    assert_eq!(answer.status, Some(1), "{answer:?}");
    let kinds: Vec<Value> = lines(&answer)
        .iter()
        .map(|it| it["error"]["kind"].clone())
        .collect();
    assert_eq!(
        kinds,
        [json!("unknown-task"), json!("task-data"), json!(null)]
    );
}

#[test]
fn a_malformed_line_is_named() {
    let machine = Machine::new();
    machine.write("workers.jsonl", "{}\n[1]\n");
    machine.write("tasks.jsonl", "");
    let files = [
        "match",
        "--tasks",
        "tasks.jsonl",
        "--workers",
        "workers.jsonl",
    ];
    machine.refuses(&files, "document", &["workers.jsonl: line 2"]);
}

#[test]
fn what_the_policy_denies_is_not_lent() {
    let Some(machine) = Machine::with_task("scripted") else {
        return;
    };
    let policy = machine.write("policy", "allow * *\ndeny scripted command sh\n");
    let data = r#"{"run": "command", "command": ["sh", "-c", "echo reached"]}"#;
    let run = |arguments: &[&str]| {
        let mut command = machine.command(arguments);
        command.env("TASK_RUNTIME_POLICY", &policy);
        Answer::of(command)
    };
    let denied = run(&["run", "scripted", "--data", data]);
    assert_eq!(denied.status, Some(1), "{denied:?}");
    assert!(
        denied.stderr.contains("`allow scripted command sh`"),
        "{denied:?}"
    );
    assert!(!denied.stderr.contains("reached\n"), "{denied:?}");
    let noop = run(&["run", "noop"]);
    assert_eq!(noop.status, Some(0), "it needs nothing: {noop:?}");

    machine.write("policy", "deny scripted command\nallow * *\nforbid");
    let broken = run(&["run", "noop", "--json"]);
    assert_eq!(broken.status, Some(2), "{broken:?}");
    assert!(broken.stderr.contains("line 3"), "{broken:?}");
}

#[test]
fn inspect_tells_which_line_decides() {
    let Some(machine) = Machine::with_task("sbuild") else {
        return;
    };
    let policy = machine.write("policy", "allow * *\ndeny sbuild environment\n");
    let path = machine.json(&["describe", "sbuild"])["path"]
        .as_str()
        .unwrap()
        .to_owned();
    let mut command = machine.command(&["inspect", &path, "--json"]);
    command.env("TASK_RUNTIME_POLICY", &policy);
    let inspected = Answer::of(command).json();
    let uses = inspected["capabilities"].as_array().unwrap();
    let find = |capability: &str| {
        uses.iter()
            .find(|it| it["capability"] == capability)
            .unwrap()
    };
    assert_eq!(find("command")["granted"], true);
    assert_eq!(find("environment")["granted"], false);
    let decided = find("environment")["decided_by"].as_str().unwrap();
    assert!(
        decided.contains("policy:2: deny sbuild environment"),
        "{decided}"
    );
    assert_eq!(inspected["manifest"]["task"], "sbuild");
}
