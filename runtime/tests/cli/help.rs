//! Help, completion, wrong arguments.

use crate::machine::Machine;

/// What the help of a command or group lists under `Commands:`, `help` aside. This is clap's own list: a new subcommand is in it.
fn subcommands(help: &str) -> Vec<&str> {
    let lines = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let names = lines
        .take_while(|line| !line.is_empty())
        // Deeper lines go on with the words about the one before.
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next());
    names.filter(|name| *name != "help").collect()
}

#[test]
fn every_command_and_every_group_has_an_example() {
    let machine = Machine::new();
    let mut seen = 0;
    let mut open = vec![Vec::<String>::new()];
    while let Some(command) = open.pop() {
        let words: Vec<&str> = command.iter().map(String::as_str).collect();
        let answer = machine.ask(&[&words[..], &["--help"]].concat());
        assert_eq!(answer.status, Some(0), "{command:?}");
        let examples = answer.stdout.split("Example").nth(1);
        let example = format!("task-runtime {}", words.join(" "));
        assert!(
            examples.is_some_and(|text| text.contains(example.trim_end())),
            "{command:?} has no example of itself"
        );
        for name in subcommands(&answer.stdout) {
            open.push([&command[..], &[name.to_owned()]].concat());
        }
        seen += 1;
    }
    assert!(seen > 30, "only {seen} commands were found");
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
        let document = machine.json(&["completion", shell]);
        assert_eq!(document["shell"], shell);
        assert_eq!(document["script"], script);
    }
}

#[test]
fn no_line_of_help_is_wider_than_a_page() {
    let machine = Machine::new();
    for arguments in [
        &["--help"][..],
        &["worker", "--help"],
        &["artifact", "import", "--help"],
    ] {
        let help = machine.ask(arguments).stdout;
        assert!(
            help.lines().all(|line| line.chars().count() <= 100),
            "{help}"
        );
        // Options are where they belong.
        let output = help.split("\nOutput:\n").nth(1).unwrap();
        assert!(output.trim_start().starts_with("--json"), "{help}");
    }
}
