//! The attacks.

use super::Prepared;
use task_sdk::bindings::debusine::task::artifacts::{self, NewArtifact, NewFile};
use task_sdk::bindings::debusine::task::commands::{self, Command, Output};
use task_sdk::bindings::debusine::task::files::{DigestAlgorithm, Directory};
use task_sdk::bindings::debusine::task::host_facts::{command_available, environment_variable};
use task_sdk::bindings::debusine::task::http;
use task_sdk::bindings::debusine::task::journal::{Level, say};
use task_sdk::bindings::debusine::task::logs;
use task_sdk::bindings::debusine::task::types::Failure;
use task_sdk::bindings::exports::debusine::task::execution::Workspace;
use task_sdk::bindings::exports::debusine::task::scheduling::Workers;

/// More than one call may pass to the host.
const TOO_LONG: usize = 24 << 20;

/// What to do in this export, if anything. There may be orders for several.
fn order(export: &str) -> Option<String> {
    let orders = environment_variable("DEB_BUILD_OPTIONS")?;
    let mut orders = orders.split(',').filter_map(|order| order.split_once(':'));
    let (_, act) = orders.find(|(place, _)| *place == export || *place == "every")?;
    Some(act.to_owned())
}

/// Attacks in this export, if that is the order. Some attacks end with a panic that says what the host let through.
pub fn attack(export: &str, workspace: Option<&Workspace>) {
    let Some(act) = order(export) else { return };
    match act.as_str() {
        "loop" => loop {
            std::hint::black_box(0);
        },
        "trap" => std::process::abort(),
        "panic" => {
            say(Level::Error, "told to panic");
            std::process::abort();
        }
        "memory" => {
            let mut hoard = Vec::new();
            loop {
                hoard.push(std::hint::black_box(vec![1_u8; 1 << 20]));
            }
        }
        "recursion" => {
            std::hint::black_box(deeper(1));
        }
        "dive" => {
            std::hint::black_box(dive(1));
        }
        "own-handles" => loop {
            std::mem::forget(Workers::new(Prepared));
        },
        "host-handles" => host_handles(workspace),
        // An error that is none: it goes on.
        "mutter" => say(Level::Error, "I mutter"),
        "mutter-and-trap-elsewhere" => {
            say(Level::Error, "I mutter");
            outside_of_memory();
        }
        "slow-calls" => {
            for _ in 0..60 {
                command_available("slow");
            }
        }
        "busy-calls" => loop {
            std::hint::black_box((0..100_000_u32).fold(0, u32::wrapping_add));
            command_available("no-such-program");
        },
        "not-granted" => not_granted(workspace),
        "calls" => {
            for _ in 0..1_000_000 {
                command_available("no-such-program");
            }
        }
        "journal" => {
            let line = "x".repeat(1 << 20);
            for _ in 0..1_000 {
                say(Level::Debug, &line);
            }
        }
        "logs" => {
            let text = "x".repeat(1 << 20);
            if let Err(failure) = flood(|| logs::append("flood.log", &text)) {
                end(&format!("{}: {}", failure.kind, failure.message));
            }
        }
        "many-logs" => {
            let mut number = 0;
            let failure = flood(|| {
                number += 1;
                logs::append(&format!("{number}.log"), "")
            });
            if let Err(failure) = failure {
                end(&format!("{}: {}", failure.kind, failure.message));
            }
        }
        "deep-tree" => deep_tree(workspace),
        "moved-directory" => moved_directory(workspace),
        "variables" => variables(workspace),
        "argument" => say(Level::Debug, &"x".repeat(TOO_LONG)),
        "paths" => paths(workspace),
        "dropped-handle" => dropped_handle(workspace),
        // The rest is in what is answered.
        _ => {}
    }
}

/// What to answer: the honest text, or one that is none.
pub fn answer(export: &str, honest: &str) -> String {
    match order(export).as_deref() {
        Some("long") => "x".repeat(TOO_LONG),
        Some("not-utf8") => not_utf8(),
        Some("gigabyte") => gigabyte(),
        Some("true-gigabyte") => "\0".repeat(1 << 30),
        Some("foreign") => r#"{"hostile:version": 1, "sbuild:available": true, "system:cpu_count": 99, "hostile": 2, "": 3}"#.to_owned(),
        Some("not-json") => "{".to_owned(),
        Some("deep") => ["[".repeat(10_000), "]".repeat(10_000)].concat(),
        Some("lie") => "noop".to_owned(),
        _ => honest.to_owned(),
    }
}

fn not_utf8() -> String {
    // SAFETY: none; the host must refuse it. Nothing in this guest looks at it again.
    unsafe { String::from_utf8_unchecked(vec![b'a', 0xff, 0xfe]) }
}

/// A text that claims to be a gigabyte long, which this memory is not.
fn gigabyte() -> String {
    let text = std::mem::ManuallyDrop::new("x".repeat(16));
    // SAFETY: none; the host must refuse it. Nothing in this guest looks at it again.
    unsafe { String::from_raw_parts(text.as_ptr().cast_mut(), 1 << 30, 1 << 30) }
}

/// A trap that is no panic.
fn outside_of_memory() {
    // SAFETY: none; the machine ends it.
    unsafe { std::ptr::write_volatile(0xffff_fff0 as *mut u32, 1) };
}

/// Uses a power, muttering before that as if it panicked.
fn not_granted(workspace: Option<&Workspace>) {
    say(Level::Error, "I mutter");
    let Some(workspace) = workspace else {
        let _ = logs::append("x.log", "x");
        return;
    };
    let _ = commands::run_on_host(&command(&["true"], None), &workspace.execute);
}

#[allow(unconditional_recursion, reason = "that is what it is for")]
fn deeper(depth: u64) -> u64 {
    std::hint::black_box(deeper(depth + 1)) + depth
}

/// The stack of the engine alone: nothing of it is in this memory.
fn dive(depth: u64) -> u64 {
    static AGAIN: fn(u64) -> u64 = dive;
    // SAFETY: it is a static. The optimiser must not know what is called.
    let again = unsafe { std::ptr::read_volatile(&raw const AGAIN) };
    again(depth + 1) ^ depth
}

/// Does something until it fails; a million times at most.
fn flood(mut act: impl FnMut() -> Result<(), Failure>) -> Result<(), Failure> {
    for _ in 0..1_000_000 {
        act()?;
    }
    Ok(())
}

/// Directories in one another, deeper than any host goes down by calling itself; all of them must go at once.
fn deep_tree(workspace: Option<&Workspace>) {
    let Some(Workspace { execute, .. }) = workspace else {
        return;
    };
    let Ok(mut lowest) = execute.create_directory("deep") else {
        end("no directory can be made");
    };
    for _ in 0..5_000 {
        match lowest.create_directory("d") {
            Ok(lower) => lowest = lower,
            Err(failure) => end(&failure.message),
        }
    }
    drop(lowest);
    if let Err(failure) = execute.remove("deep") {
        end(&failure.message);
    }
    if !matches!(execute.stat("deep"), Ok(None)) {
        end("something of it is left");
    }
}

/// A command whose working directory has made room for a link: somebody has staged `link` to a directory outside.
fn moved_directory(workspace: Option<&Workspace>) {
    let Some(Workspace { execute, .. }) = workspace else {
        return;
    };
    let Ok(directory) = execute.create_directory("d") else {
        end("no directory can be made");
    };
    if execute.rename("d", "moved").is_err() || execute.rename("link", "d").is_err() {
        end("nothing can be moved");
    }
    match commands::run_on_host(&command(&["cat", "secret"], None), &directory) {
        Ok(_) => end("it ran outside"),
        Err(failure) if failure.message.contains("no longer the directory's place") => {}
        Err(failure) => end(&failure.message),
    }
}

/// A program of its own under the name of another, by variables.
fn variables(workspace: Option<&Workspace>) {
    let Some(Workspace { execute, .. }) = workspace else {
        return;
    };
    let own = execute
        .create("true", 0o755)
        .and_then(|file| file.write(b"#!/bin/sh\ntouch ran\n"));
    let place = execute.location();
    let preload = format!("LD_PRELOAD={place}/true");
    for name in ["PATH", "LD_LIBRARY_PATH", "BASH_ENV", preload.as_str(), ""] {
        let variables = vec![(name.to_owned(), place.clone())];
        let ran = commands::run_on_host(&command(&["true"], Some(variables)), execute);
        match ran {
            Err(failure) if failure.kind == "command" && failure.message.contains("variable") => {}
            _ => end(&format!("{name:?} was set")),
        }
    }
    let honest = vec![("DEB_BUILD_OPTIONS".to_owned(), "parallel=1".to_owned())];
    if let Err(failure) = commands::run_on_host(&command(&["true"], Some(honest)), execute) {
        end(&failure.message);
    }
    if own.is_err() || !matches!(execute.stat("ran"), Ok(None)) {
        end("its own program ran");
    }
}

fn command(arguments: &[&str], environment: Option<Vec<(String, String)>>) -> Command {
    Command {
        arguments: arguments.iter().map(|&it| it.to_owned()).collect(),
        environment,
        as_root: false,
        input: None,
        output: Output::Discard,
        timeout_seconds: None,
    }
}

fn host_handles(workspace: Option<&Workspace>) {
    let Some(workspace) = workspace else { return };
    let _ = workspace.execute.create_directory("d");
    loop {
        std::mem::forget(workspace.execute.open_directory("d"));
    }
}

/// No name may lead out of the directory: one that does ends the guest with its name. What is honest must work, or the rest would say
/// nothing. Somebody has staged links: `link` to a directory outside, `secret` to a file in it, `up` to the parent.
fn paths(workspace: Option<&Workspace>) {
    let Some(Workspace { execute, .. }) = workspace else {
        return;
    };
    let made = execute
        .create("inside", 0o644)
        .and_then(|file| file.write(b"inside"));
    let honest = made.is_ok()
        && execute.create_directory("d").is_ok()
        && execute.rename("inside", "d/moved").is_ok()
        && execute.rename("d/moved", "inside").is_ok()
        && execute.copy(execute, "inside", "d/copied").is_ok()
        && execute.open("d/copied").is_ok()
        && execute.open_directory("d").is_ok()
        && execute.remove("d/copied").is_ok()
        && execute.pack("d", "archive.tar").is_ok();
    if !honest {
        end("what is honest does not work");
    }
    // A file, a directory, an archive and a name that is free: each way is open to one of them.
    let open = ["inside", "d", "archive.tar", "free"].map(|name| ways(execute, name, false));
    for place in 0..open[0].len() {
        if !open.iter().any(|ways| ways[place].1) {
            end(&format!(
                "{}: what is honest does not work",
                open[0][place].0
            ));
        }
    }
    let made = execute
        .create("inside", 0o644)
        .and_then(|file| file.write(b"inside"));
    if made.is_err() || execute.pack("d", "archive.tar").is_err() {
        end("what is honest does not work");
    }
    let long = "x".repeat(4096);
    let deep = "d/".repeat(3000);
    let names = [
        "..",
        "../..",
        "../x",
        "d/..",
        "d/../../x",
        "/etc/passwd",
        "/",
        "",
        "a\0b",
        "link/secret",
        "link/x",
        "up/x",
        "up",
        "link",
        "d/../link/secret",
        "./../../etc/passwd",
        long.as_str(),
        deep.as_str(),
    ];
    for name in names {
        let is_link = ["link", "up"].contains(&name);
        let reached = execute.open(name).is_ok()
            || execute.create(name, 0o644).is_ok()
            || execute.create_directory(name).is_ok()
            || execute.open_directory(name).is_ok()
            // A link itself may be replaced or removed; it is not followed.
            || !is_link && execute.rename("inside", name).is_ok()
            || !is_link && execute.rename(name, "taken").is_ok()
            || execute.copy(execute, "inside", name).is_ok()
            || execute.copy(execute, name, "taken").is_ok()
            || !is_link && execute.remove(name).is_ok();
        if reached {
            end(&format!("escaped through {name:?}"));
        }
    }
    for name in names {
        if let Some(how) = crosses(execute, name, ["link", "up"].contains(&name)) {
            end(&format!("{how}: escaped through {name:?}"));
        }
    }
    for name in names {
        // Nobody answers; what it writes or removes is looked for by who has staged the links.
        let _ = http::fetch("http://127.0.0.1:9/", execute, name, 10);
    }
    if let Some(how) = crosses(execute, "secret", true) {
        end(&format!("{how}: followed a link to a file"));
    }
    if !matches!(execute.stat("secret"), Ok(Some(entry)) if entry.target_type.is_none() && entry.size == 0)
    {
        end("told what is behind a link to a file outside");
    }
}

/// By which call that takes a name it leads somewhere, if by any.
fn crosses(execute: &Directory, name: &str, is_link: bool) -> Option<&'static str> {
    let mut ways = ways(execute, name, is_link).into_iter();
    ways.find_map(|(how, leads)| leads.then_some(how))
}

/// Whether a name leads somewhere, by each of the calls that take one. A link itself may be described, not what is behind it.
fn ways(execute: &Directory, name: &str, is_link: bool) -> [(&'static str, bool); 12] {
    let input = Command {
        input: Some(name.to_owned()),
        ..command(&["true"], None)
    };
    let writing = |output| Command {
        output,
        ..command(&["true"], None)
    };
    let runs = |command: Command| commands::run_on_host(&command, execute).is_ok();
    // The former name's.
    let _ = execute.remove("unpacked");
    let upload = NewArtifact {
        category: "debusine:test".to_owned(),
        data: "{}".to_owned(),
        files: vec![NewFile {
            path: "taken".to_owned(),
            source: name.to_owned(),
        }],
    };
    let told = match execute.stat(name) {
        Ok(Some(entry)) => !is_link || entry.target_type.is_some(),
        _ => false,
    };
    [
        ("stat", told),
        (
            "digest",
            execute.digest(name, DigestAlgorithm::Sha256).is_ok(),
        ),
        ("log", logs::copy("copied.log", execute, name).is_ok()),
        ("name of a log", !is_link && logs::append(name, "x").is_ok()),
        ("upload", artifacts::upload(&upload, execute).is_ok()),
        ("input", runs(input)),
        ("pack", execute.pack(name, "packed.tar").is_ok()),
        ("unpack", execute.unpack(name, "unpacked").is_ok()),
        ("unpack into", execute.unpack("archive.tar", name).is_ok()),
        ("pack into", execute.pack("d", name).is_ok()),
        ("capture", runs(writing(Output::Capture(name.to_owned())))),
        ("output", runs(writing(Output::File(name.to_owned())))),
    ]
}

fn end(words: &str) -> ! {
    say(Level::Error, words);
    std::process::abort()
}

fn dropped_handle(workspace: Option<&Workspace>) {
    let Some(workspace) = workspace else { return };
    let _ = workspace.execute.create_directory("d");
    let Ok(directory) = workspace.execute.open_directory("d") else {
        return;
    };
    let handle = directory.handle();
    drop(directory);
    // SAFETY: none; the host must end whoever uses a handle that is not its own.
    let again = unsafe { Directory::from_handle(handle) };
    again.location();
}
