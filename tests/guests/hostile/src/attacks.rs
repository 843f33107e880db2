//! The attacks.

use super::Prepared;
use task_sdk::bindings::debusine::task::commands::{self, Command, Output};
use task_sdk::bindings::debusine::task::files::Directory;
use task_sdk::bindings::debusine::task::host_facts::{command_available, environment_variable};
use task_sdk::bindings::debusine::task::journal::{Level, say};
use task_sdk::bindings::debusine::task::logs;
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
            while logs::append("flood.log", &text).is_ok() {}
        }
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
    let command = Command {
        arguments: vec!["true".to_owned()],
        environment: None,
        as_root: false,
        input: None,
        output: Output::Discard,
        timeout_seconds: None,
    };
    let _ = commands::run_on_host(&command, &workspace.execute);
}

#[allow(unconditional_recursion, reason = "that is what it is for")]
fn deeper(depth: u64) -> u64 {
    std::hint::black_box(deeper(depth + 1)) + depth
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
        && execute.remove("d/copied").is_ok();
    if !honest {
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
    let taken = execute.open("secret").is_ok() || execute.copy(execute, "secret", "taken").is_ok();
    if taken || logs::copy("secret.log", execute, "secret").is_ok() {
        end("followed a link to a file");
    }
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
