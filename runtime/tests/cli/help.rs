//! Help, completion, wrong arguments.

use crate::machine::Machine;

const SUBCOMMANDS: [&str; 27] = [
    "list",
    "describe",
    "schema",
    "configure",
    "label",
    "dynamic-data",
    "can-run-on",
    "match",
    "metadata",
    "run",
    "artifact import",
    "artifact list",
    "artifact show",
    "artifact export",
    "artifact relations",
    "artifact verify",
    "environment list",
    "work-request list",
    "work-request show",
    "image list",
    "image prune",
    "image verify",
    "doctor",
    "inspect",
    "compile",
    "completion",
    "",
];

#[test]
fn every_subcommand_has_an_example() {
    let machine = Machine::new();
    for subcommand in SUBCOMMANDS {
        let words: Vec<&str> = subcommand.split_whitespace().chain(["--help"]).collect();
        let answer = machine.ask(&words);
        assert_eq!(answer.status, Some(0), "{subcommand}");
        assert!(
            answer.stdout.contains("Example"),
            "{subcommand} has no example"
        );
    }
}

#[test]
fn wrong_arguments_are_an_error_in_either_form() {
    let machine = Machine::new();
    let answer = machine.ask(&["lst"]);
    assert_eq!(answer.status, Some(2));
    assert!(answer.stderr.contains("'list'"), "{answer:?}");
    assert_eq!(machine.error(&["run"])["kind"], "usage");
    assert_eq!(
        machine.error(&["artifact", "show", "--frob"])["kind"],
        "usage"
    );
}

#[test]
fn shells_get_scripts_for_completion() {
    let machine = Machine::new();
    for shell in ["bash", "zsh", "fish"] {
        let script = machine.ask(&["completion", shell]).stdout;
        assert!(script.contains("can-run-on"), "{shell}");
    }
}
