//! `run`: from data to a result in the store, and how it ends when somebody does not want to wait.

use crate::machine::{Answer, Machine, script};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;
use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

/// How long a run may take to begin or to end.
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn a_task_runs_from_its_data_to_its_result() {
    let Some(machine) = Machine::with_task("noop") else {
        return;
    };
    let run = machine.json(&["run", "noop", "--workspace", "System"]);
    assert_eq!(
        (&run["verdict"], &run["work_request"]),
        (&json!("success"), &json!(1))
    );
    assert_eq!(
        run["artifacts"][0]["category"],
        "debusine:work-request-debug-logs"
    );
    let recorded = machine.json(&["work-request", "show", "1"]);
    assert_eq!(
        (&recorded["status"], &recorded["result"]),
        (&json!("completed"), &json!("success"))
    );
    assert_eq!(recorded["dynamic_task_data"]["subject"], json!(null));
    assert_eq!(recorded["output_data"]["runtime_statistics"]["duration"], 0);
    assert_eq!(recorded["artifacts"], json!([1]));
    let listed = machine.json(&["artifact", "list", "--work-request", "1"]);
    assert_eq!(listed[0]["workspace"], "System");
    assert_eq!(machine.left(), Vec::<String>::new());
}

#[test]
fn a_failure_shows_the_log_that_tells_why() {
    let Some(machine) = Machine::with_task("scripted") else {
        return;
    };
    let data =
        r#"{"run": "command", "command": ["sh", "-c", "echo words of the command; exit 3"]}"#;
    let run = machine.ask(&["run", "scripted", "--data", data]);
    assert_eq!(run.status, Some(1), "{run:?}");
    assert!(
        run.stdout
            .starts_with("failure: scripted, work request 1, "),
        "{run:?}"
    );
    assert!(run.stderr.contains("words of the command"), "{run:?}");
    assert!(
        run.stderr.contains("task-runtime artifact export 1 "),
        "{run:?}"
    );
    let failed = machine.ask(&[
        "run",
        "scripted",
        "--data",
        r#"{"prepare": "panic"}"#,
        "--json",
    ]);
    assert_eq!(failed.status, Some(1));
    let failed = failed.json();
    assert_eq!(failed["verdict"], "failure");
    assert_eq!(failed["stopped"]["stage"], "prepare-to-run");
    assert_eq!(failed["log"]["file"], "execution.log");
    assert!(
        failed["log"]["end"]
            .as_str()
            .unwrap()
            .contains("Exception type: trap")
    );
    assert_eq!(
        machine.json(&["work-request", "show", "2"])["result"],
        "failure"
    );
}

#[test]
fn output_and_stages_are_shown_when_asked_for_and_only_then() {
    let Some(machine) = Machine::with_task("scripted") else {
        return;
    };
    let data = r#"{"run": "command", "command": ["echo", "words of the command"]}"#;
    let quiet = machine.ask(&["run", "scripted", "--data", data]);
    assert_eq!((quiet.status, quiet.stderr.as_str()), (Some(0), ""));
    let loud = machine.ask(&["run", "scripted", "--data", data, "--json", "-v"]);
    assert_eq!(loud.json()["verdict"], "success");
    assert!(loud.stderr.contains("\nwords of the command\n"), "{loud:?}");
    assert!(loud.stderr.contains("s] Uploading artifacts\n"), "{loud:?}");
}

#[test]
fn an_interrupted_run_is_aborted_and_leaves_nothing() {
    let Some(machine) = Machine::with_task("scripted") else {
        return;
    };
    let run = Begun::new(&machine, "echo > begun; exec sleep 600");
    run.signal(Signal::SIGINT);
    let answer = run.end();
    assert_eq!(answer.status, Some(3), "{answer:?}");
    assert!(answer.stdout.starts_with("aborted: scripted"), "{answer:?}");
    assert!(answer.stderr.contains("SIGINT"), "{answer:?}");
    assert_eq!(
        machine.json(&["work-request", "show", "1"])["status"],
        "aborted"
    );
    assert_eq!(machine.left(), Vec::<String>::new());
}

#[test]
fn a_second_signal_does_not_wait_for_a_stubborn_command() {
    let Some(machine) = Machine::with_task("scripted") else {
        return;
    };
    let stubborn = "trap '' TERM; echo $$ > begun; while :; do sleep 0.05; done";
    let run = Begun::with(&machine, stubborn, &["--grace", "600"]);
    let stubborn = std::fs::read_to_string(machine.path("begun")).unwrap();
    run.signal(Signal::SIGTERM);
    std::thread::sleep(Duration::from_millis(200));
    run.signal(Signal::SIGTERM);
    // Within less than the grace.
    let answer = run.end();
    assert_eq!(answer.status, Some(3), "{answer:?}");
    assert_eq!(machine.left(), Vec::<String>::new());
    let process = format!("/proc/{}", stubborn.trim());
    let is_gone = || !Path::new(&process).exists();
    assert!(wait_for(is_gone), "{process} is still there");
}

#[test]
fn a_run_that_cannot_begin_is_an_error_and_is_recorded_as_one() {
    let Some(machine) = Machine::with_task("noop") else {
        return;
    };
    let mut command = machine.command(&["run", "noop", "--json"]);
    command.env("TMPDIR", machine.path("missing"));
    let answer = Answer::of(command);
    assert_eq!(answer.status, Some(2), "{answer:?}");
    assert!(
        answer
            .stderr
            .contains("cannot make the directories of the run"),
        "{answer:?}"
    );
    let recorded = machine.json(&["work-request", "show", "1"]);
    assert_eq!(recorded["result"], "error");
    assert_eq!(
        recorded["output_data"]["errors"][0]["code"],
        "execute-failed"
    );
}

#[test]
fn commands_get_the_limits_of_the_options_or_of_the_environment() {
    let Some(machine) = Machine::with_task("scripted") else {
        return;
    };
    let data = r#"{"run": "command", "command": ["perl", "-e", "$x = 'x' x 300_000_000"]}"#;
    let run = ["run", "scripted", "--data", data];
    let free = machine.ask(&run);
    assert_eq!(free.status, Some(0), "{free:?}");
    let limited = machine.ask(&[&run[..], &["--memory-limit", "64MiB"]].concat());
    assert_eq!(limited.status, Some(1), "{limited:?}");
    let mut command = machine.command(&run);
    command.env("TASK_RUNTIME_MEMORY_LIMIT", "64MiB");
    let limited = command.output().unwrap();
    assert_eq!(limited.status.code(), Some(1), "{limited:?}");
    for wrong in [
        ["--memory-limit", "much"],
        ["--grace", "soon"],
        ["--process-limit", "0"],
        ["--cpu-limit", "0"],
        ["--scratch-memory", "7"],
    ] {
        for command in ["run", "worker"] {
            let rest: &[&str] = if command == "run" { &["scripted"] } else { &[] };
            let error = machine.error(&[&[command], rest, &wrong[..]].concat());
            assert_eq!(error["kind"], "usage", "{wrong:?}");
        }
    }
}

#[test]
fn a_variable_that_is_empty_sets_nothing() {
    let Some(machine) = Machine::with_task("scripted") else {
        return;
    };
    let data = r#"{"run": "command", "command": ["true"]}"#;
    let mut command = machine.command(&["run", "scripted", "--data", data]);
    for name in [
        "GRACE",
        "MEMORY_LIMIT",
        "PROCESS_LIMIT",
        "CPU_LIMIT",
        "SCRATCH_MEMORY",
        "GUEST_MEMORY",
        "GUEST_STACK",
        "GUEST_TABLE_ELEMENTS",
        "GUEST_HANDLES",
        "GUEST_OUTPUT",
        "GUEST_CPU",
        "GUEST_WALL",
        "LOG_SIZE",
    ] {
        command.env(format!("TASK_RUNTIME_{name}"), "");
    }
    let ran = Answer::of(command);
    assert_eq!(ran.status, Some(0), "{ran:?}");
    let mistaken = machine.ask(&["run", "scripted", "--data", data, "--memory-limit", ""]);
    assert_eq!(mistaken.status, Some(2), "an empty option is a mistake");
}

#[test]
fn a_grace_of_nothing_asks_no_command_to_end() {
    let Some(machine) = Machine::with_task("scripted") else {
        return;
    };
    let text = "trap 'echo asked > asked; exit' TERM; echo > begun; sleep 600 & wait";
    let run = Begun::with(&machine, text, &["--grace", "0"]);
    run.signal(Signal::SIGTERM);
    let answer = run.end();
    assert_eq!(answer.status, Some(3), "{answer:?}");
    assert!(!machine.path("asked").exists());
    let run = Begun::new(&machine, text);
    run.signal(Signal::SIGTERM);
    let answer = run.end();
    assert_eq!(answer.status, Some(3), "{answer:?}");
    assert!(machine.path("asked").exists());
}

#[test]
fn a_store_may_be_made_where_a_worker_has_its_results() {
    let Some(machine) = Machine::with_task("noop") else {
        return;
    };
    // Who only looks makes nothing.
    machine.ask(&["worker", "--check", "--configuration", "nowhere"]);
    assert!(!machine.path("store").exists());
    // In the store's directory they wait for the server, unless the worker is told otherwise.
    std::fs::create_dir_all(machine.path("store/worker")).unwrap();
    let ran = machine.ask(&["run", "noop"]);
    assert_eq!(ran.status, Some(0), "{ran:?}");
}

/// A run whose command has begun.
struct Begun {
    child: Child,
}

impl Begun {
    /// Runs a shell script, which says that it has begun by making the file `begun` in the machine's directory.
    fn new(machine: &Machine, text: &str) -> Self {
        Self::with(machine, text, &[])
    }

    /// The same with further options.
    fn with(machine: &Machine, text: &str, options: &[&str]) -> Self {
        let directory = machine.directory.path().display();
        let text = format!("#!/bin/sh\ncd {directory}\n{text}\n");
        let path = script(machine, "script", &text);
        let data = json!({"run": "command", "command": [path]}).to_string();
        let begun = machine.path("begun");
        let _ = std::fs::remove_file(&begun);
        let run = ["run", "scripted", "--data", &data];
        let child = machine
            .command(&[&run[..], options].concat())
            .spawn()
            .unwrap();
        let has_begun = || std::fs::read_to_string(&begun).is_ok_and(|text| text.ends_with('\n'));
        assert!(wait_for(has_begun), "the command did not begin");
        Self { child }
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id() as i32), signal).unwrap();
    }

    fn end(mut self) -> Answer {
        let has_ended = || self.child.try_wait().unwrap().is_some();
        assert!(wait_for(has_ended), "the run did not end");
        self.child.wait_with_output().unwrap().into()
    }
}

fn wait_for(mut condition: impl FnMut() -> bool) -> bool {
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        if condition() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    false
}
