//! The README's example of a task is one that compiles.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const TARGET: &str = "wasm32-unknown-unknown";

#[test]
fn the_task_in_the_readme_compiles_with_a_copy_of_noops_cargo_toml() {
    if !target_is_there() {
        eprintln!("skipped: the target {TARGET} is not installed; tasks/set-up-target does it");
        return;
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let root = root.canonicalize().unwrap();
    let read = |name: &str| fs::read_to_string(root.join(name)).unwrap();
    let readme = read("README.md");
    let example = code_block(&readme, "//! wordcount:").expect("the README shows wordcount");

    // A workspace like that of the tasks, always in the same place: the second time only the example is checked.
    let workspace = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("readme");
    let crate_directory = workspace.join("wordcount");
    fs::create_dir_all(crate_directory.join("src")).unwrap();
    let sdk = format!("\"{}\"", root.join("task-sdk").display());
    let manifest = read("tasks/Cargo.toml").replace("\"../task-sdk\"", &sdk);
    assert!(manifest.contains(&sdk), "tasks/Cargo.toml names task-sdk");
    let noop = read("tasks/noop/Cargo.toml").replace("\"noop\"", "\"wordcount\"");
    fs::write(workspace.join("Cargo.toml"), manifest).unwrap();
    fs::write(workspace.join("Cargo.lock"), read("tasks/Cargo.lock")).unwrap();
    fs::write(crate_directory.join("Cargo.toml"), noop).unwrap();
    fs::write(crate_directory.join("src/lib.rs"), example).unwrap();

    let checked = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()))
        .args(["check", "--quiet", "--offline", "--target", TARGET])
        .arg("--target-dir")
        .arg(workspace.join("target"))
        .current_dir(&workspace)
        .output()
        .unwrap();
    let words = String::from_utf8_lossy(&checked.stderr);
    assert!(checked.status.success(), "the README's task:\n{words}");
    assert!(!words.contains("warning"), "the README's task:\n{words}");
}

/// The code block that begins with these words.
fn code_block<'a>(text: &'a str, beginning: &str) -> Option<&'a str> {
    let blocks = text.split("```rust\n").skip(1);
    let mut codes = blocks.filter_map(|block| block.split("\n```").next());
    codes.find(|code| code.starts_with(beginning))
}

fn target_is_there() -> bool {
    let asked = Command::new("rustc")
        .args(["--print", "target-libdir", "--target", TARGET])
        .output();
    let Ok(asked) = asked else {
        return false;
    };
    let directory = String::from_utf8_lossy(&asked.stdout).trim().to_owned();
    let files = fs::read_dir(directory).into_iter().flatten().flatten();
    files
        .map(|file| file.file_name().to_string_lossy().into_owned())
        .any(|name| name.starts_with("libcore-"))
}
