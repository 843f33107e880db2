//! The attacks.

use super::Prepared;
use task_sdk::bindings::debusine::task::files::Directory;
use task_sdk::bindings::debusine::task::host_facts::{command_available, environment_variable};
use task_sdk::bindings::debusine::task::journal::{Level, say};
use task_sdk::bindings::debusine::task::logs;
use task_sdk::bindings::exports::debusine::task::execution::Workspace;
use task_sdk::bindings::exports::debusine::task::scheduling::Workers;

/// More than one call may pass to the host.
const TOO_LONG: usize = 24 << 20;

/// What to do in this export, if anything.
fn order(export: &str) -> Option<String> {
    let order = environment_variable("DEB_BUILD_OPTIONS")?;
    let (place, act) = order.split_once(':')?;
    (place == export || place == "every").then(|| act.to_owned())
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

/// Every name must be refused: one that is not ends the guest with its name.
fn paths(workspace: Option<&Workspace>) {
    let Some(workspace) = workspace else { return };
    let long = "x".repeat(4096);
    let names = [
        "..",
        "../..",
        "../x",
        "a/../../x",
        "/etc/passwd",
        "/",
        "",
        "a\0b",
        "link/passwd",
        "./../../etc/passwd",
        long.as_str(),
    ];
    for name in names {
        let directory = &workspace.execute;
        let reached = directory.open(name).is_ok()
            || directory.create(name, 0o644).is_ok()
            || directory.create_directory(name).is_ok()
            || directory.open_directory(name).is_ok()
            || directory.rename("inside", name).is_ok()
            || directory.copy(directory, "inside", name).is_ok()
            || directory.remove(name).is_ok();
        if reached {
            say(Level::Error, &format!("escaped through {name:?}"));
            std::process::abort();
        }
    }
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
