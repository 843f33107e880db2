//! Bad input: one clear error each, exit status 2, the store as it was, nothing left behind.

use crate::machine::{Answer, Machine};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

/// The preamble of a component; sections may follow. An import or export of an empty instance is a handful of bytes.
const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

#[test]
fn an_unknown_task_suggests_the_nearest() {
    let Some(machine) = Machine::with_task("noop") else {
        return;
    };
    machine.refuses(
        &["run", "nop"],
        "unknown-task",
        &["\"nop\"", "did you mean \"noop\"?"],
    );
    machine.refuses(
        &["schema", "frobnicate"],
        "unknown-task",
        &["`task-runtime list`"],
    );
    machine.refuses(
        &["describe", "noop", "--tasks", "nowhere"],
        "unknown-task",
        &["make tasks", "nowhere"],
    );
}

#[test]
fn malformed_documents_are_told_with_line_and_column() {
    let Some(machine) = Machine::with_task("noop") else {
        return;
    };
    machine.write("bad.json", "{\n  \"result\": trux\n}");
    machine.refuses(
        &["run", "noop", "-d", "bad.json"],
        "document",
        &["bad.json: line 2, column "],
    );
    machine.write("bad.yaml", "result: true\n  other: [1\n");
    machine.refuses(
        &["run", "noop", "-d", "bad.yaml"],
        "document",
        &["bad.yaml: line 2, column "],
    );
    machine.refuses(
        &["run", "noop", "-d", "{\"a\""],
        "document",
        &["line 1, column 4"],
    );
    machine.refuses(
        &["run", "noop", "-d", "missing.json"],
        "file",
        &["missing.json"],
    );
    machine.refuses(
        &["can-run-on", "noop", "-w", "bad.yaml"],
        "document",
        &["bad.yaml"],
    );
    machine.write("list.json", "[1]");
    machine.refuses(
        &["can-run-on", "noop", "-w", "list.json"],
        "document",
        &["list.json[0]", "object"],
    );
}

#[test]
fn a_document_without_end_is_not_read_until_memory_is_full() {
    let Some(machine) = Machine::with_task("noop") else {
        return;
    };
    let words: &[&str] = &["/dev/zero: longer than 16 MiB"];
    machine.refuses(&["run", "noop", "-d", "/dev/zero"], "document", words);
    let worker = ["can-run-on", "noop", "-w", "/dev/zero"];
    machine.refuses(&worker, "document", words);
    let mut command = machine.command(&["run", "noop", "-d", "-", "--json"]);
    command.stdin(fs::File::open("/dev/zero").unwrap());
    let answer = Answer::of(command);
    assert_eq!(answer.status, Some(2), "{answer:?}");
    assert!(
        answer.stderr.contains("standard input: longer than 16 MiB"),
        "{answer:?}"
    );
}

/// Data of mmdebstrap, for which nothing has to be looked up. Nobody listens at the mirror.
const BOOTSTRAP: &str = r#"{"bootstrap_options": {"architecture": "amd64", "variant": "essential"}, "bootstrap_repositories": [{"mirror": "http://127.0.0.1:9/debian", "suite": "trixie", "components": ["main"]}]}"#;

/// Runs the program within another, e.g. `setpriv … task-runtime run …`.
fn within(machine: &Machine, outer: &[&str], arguments: &[&str]) -> Answer {
    let inner = machine.command(arguments);
    let mut command = Command::new(outer[0]);
    command
        .args(&outer[1..])
        .arg(inner.get_program())
        .args(inner.get_args())
        .current_dir(machine.path(""));
    for (name, value) in inner.get_envs() {
        command.env(name, value.unwrap_or_default());
    }
    Answer::of(command)
}

/// One clear error that is no failure of the task; nothing was recorded, nothing is left.
fn told_before_it_ran(machine: &Machine, answer: &Answer, words: &[&str]) {
    assert_eq!(answer.status, Some(2), "{answer:?}");
    assert_eq!(answer.stdout, "", "{answer:?}");
    let told: serde_json::Value = serde_json::from_str(answer.stderr.trim_end()).unwrap();
    assert_eq!(told["error"]["kind"], "unsupported", "{told}");
    let message = told["error"]["message"].as_str().unwrap();
    for word in words {
        assert!(message.contains(word), "{word:?} is not in {message}");
    }
    assert_eq!(
        machine.json(&["work-request", "list"]),
        serde_json::json!([]),
        "something was recorded"
    );
    assert_eq!(machine.left(), Vec::<String>::new());
}

/// Lets everybody use a machine; none, and a word about it, where that cannot be.
fn open_to_all(machine: &Machine) -> Option<String> {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("skipped: only root can become a user without subordinate ids");
        return None;
    }
    let all = fs::Permissions::from_mode(0o777);
    fs::set_permissions(machine.path(""), all.clone()).unwrap();
    fs::set_permissions(machine.path("runs"), all).unwrap();
    // The target directory may be closed to others.
    let program = machine.path("task-runtime");
    fs::copy(env!("CARGO_BIN_EXE_task-runtime"), &program).unwrap();
    Some(program.display().to_string())
}

#[test]
fn a_user_without_subordinate_ids_is_told_before_anything_runs() {
    let Some(machine) = Machine::with_task("mmdebstrap") else {
        return;
    };
    let Some(program) = open_to_all(&machine) else {
        return;
    };
    // Nobody has this number, neither a user nor a range.
    const NOBODY: &str = "54321";
    let listed = |path: &str| {
        fs::read_to_string(path)
            .unwrap_or_default()
            .contains(NOBODY)
    };
    assert!(!listed("/etc/subuid") && !listed("/etc/passwd"));
    let tasks = machine.path("tasks");
    fs::create_dir(&tasks).unwrap();
    let built = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../tasks/target/wasm32-unknown-unknown/release/mmdebstrap.wasm");
    fs::copy(built, tasks.join("mmdebstrap.wasm")).unwrap();
    let directory = machine.path("").display().to_string();
    let mut command = Command::new("setpriv");
    command
        .args([
            "--reuid",
            NOBODY,
            "--regid",
            NOBODY,
            "--clear-groups",
            &program,
        ])
        .args(["run", "mmdebstrap", "--json", "-d", BOOTSTRAP])
        .current_dir(machine.path(""))
        .env("TASK_RUNTIME_TASKS", tasks)
        .env("TASK_RUNTIME_STORE", machine.path("store"))
        .env("TASK_RUNTIME_CACHE", machine.path("cache"))
        .env("TMPDIR", machine.path("runs"))
        .env("HOME", directory);
    let answer = Answer::of(command);
    let words = [
        "task mmdebstrap",
        "no subordinate ids",
        "/etc/subuid",
        "uid 54321",
        "add",
    ];
    told_before_it_ran(&machine, &answer, &words);
}

#[test]
fn a_kernel_without_user_namespaces_is_told_before_anything_runs() {
    let Some(machine) = Machine::with_task("mmdebstrap") else {
        return;
    };
    // A user namespace whose own limit is none.
    let none = "echo 0 > /proc/sys/user/max_user_namespaces && \"$@\"";
    let outer = [
        "unshare",
        "--user",
        "--map-root-user",
        "sh",
        "-c",
        none,
        "sh",
    ];
    let tried = Command::new(outer[0])
        .args(&outer[1..])
        .arg("true")
        .output();
    if !tried.is_ok_and(|tried| tried.status.success()) {
        eprintln!("skipped: no user namespace can be made without the power to make more");
        return;
    }
    let listed = fs::read_to_string("/etc/subuid").unwrap_or_default();
    if !listed.contains("root:") {
        eprintln!("skipped: root has no subordinate ids here, which is told first");
        return;
    }
    let run = ["run", "mmdebstrap", "--json", "-d", BOOTSTRAP];
    let answer = within(&machine, &outer, &run);
    let words = [
        "task mmdebstrap",
        "user namespace",
        "max_user_namespaces",
        "raise",
    ];
    told_before_it_ran(&machine, &answer, &words);
}

#[test]
fn a_mirror_that_cannot_be_reached_is_named_beside_the_log() {
    let Some(machine) = Machine::with_task("mmdebstrap") else {
        return;
    };
    let run = ["run", "mmdebstrap", "-d", BOOTSTRAP];
    let answer = machine.ask(&[&run[..], &["--json"]].concat());
    if answer.status == Some(2) && answer.stderr.contains("user namespace") {
        eprintln!("skipped: {}", answer.stderr.trim_end());
        return;
    }
    if !Path::new("/usr/bin/mmdebstrap").exists() {
        eprintln!("skipped: mmdebstrap is not installed");
        return;
    }
    assert_eq!(answer.status, Some(1), "{answer:?}");
    let document = answer.json();
    let cause = document["cause"].as_str().unwrap_or_default();
    let mirror = "the mirror http://127.0.0.1:9/debian cannot be reached: ";
    assert!(cause.starts_with(mirror), "{document}");
    assert!(
        cause.ends_with("; check its address and the network"),
        "{document}"
    );
    assert!(document["log"]["end"].is_string(), "{document}");
    let told = machine.ask(&run);
    assert_eq!(told.status, Some(1), "{told:?}");
    assert_eq!(told.stdout.matches(mirror).count(), 1, "{told:?}");
    assert!(told.stderr.contains("The end of "), "{told:?}");
    assert_eq!(machine.left(), Vec::<String>::new());
}

#[test]
fn every_broken_rule_of_task_data_is_told() {
    let Some(machine) = Machine::with_task("noop") else {
        return;
    };
    let error = machine.error(&["run", "noop", "-d", r#"{"result": "x", "more": 1}"#]);
    assert_eq!(error["kind"], "task-data");
    let violations = error["violations"].as_array().unwrap();
    let locations: Vec<_> = violations
        .iter()
        .map(|it| it["location"].as_str().unwrap())
        .collect();
    assert_eq!(locations, ["result", "more"]);
    assert!(
        violations
            .iter()
            .all(|it| it["type"].is_string() && it["message"].is_string())
    );
    let told = machine.ask(&["run", "noop", "-d", r#"{"result": "x", "more": 1}"#]);
    assert!(told.stderr.contains("\n  more: "), "{told:?}");
    assert!(!machine.path("store").exists(), "nothing was recorded");
    machine.refuses(&["run", "noop", "-d", "list.yaml"], "file", &[]);
    machine.write("null.yaml", "");
    assert_eq!(
        machine.error(&["configure", "noop", "-d", "null.yaml"])["kind"],
        "task-data"
    );
    let dynamic = ["run", "noop", "--dynamic-data", r#"{"more": 1}"#];
    assert_eq!(machine.error(&dynamic)["kind"], "dynamic-data");
}

#[test]
fn look_ups_that_lead_nowhere_are_told_before_anything_runs() {
    let Some(machine) = Machine::with_task("sbuild") else {
        return;
    };
    let file = machine.write("x", "x");
    let file = file.to_str().unwrap();
    machine.json(&[
        "artifact",
        "import",
        "--category",
        "debusine:test",
        file,
        "--name",
        "test",
    ]);
    let dsc = machine.write("mini_1.dsc", "Source: mini\nVersion: 1\n");
    let mini = r#"{"name": "mini", "version": "1", "type": "dpkg", "dsc_fields": {}}"#;
    machine.json(&[
        "artifact",
        "import",
        "--category",
        "debian:source-package",
        "--data",
        mini,
        dsc.to_str().unwrap(),
        "--name",
        "mini",
    ]);
    let tarball = r#"{"vendor": "debian", "codename": "sid", "mirror": "https://deb.example.org/debian", "pkglist": {}, "architecture": "amd64", "with_dev": true, "with_init": false}"#;
    let system = machine.path("system.tar.xz");
    fs::write(&system, small_tarball()).unwrap();
    let import = [
        "artifact",
        "import",
        system.to_str().unwrap(),
        "--category",
        "debian:system-tarball",
    ];
    machine.json(&[&import[..], &["--data", tarball]].concat());
    let data = |source: &str, environment: &str| {
        format!(
            r#"{{"input": {{"source_artifact": {source}}}, "environment": "{environment}", "host_architecture": "amd64"}}"#
        )
    };
    let sid = "debian/match:codename=sid";
    let refuses = |data: String, kind: &str, words: &[&str]| {
        machine.refuses(&["run", "sbuild", "-d", &data], kind, words);
        machine.refuses(&["dynamic-data", "sbuild", "-d", &data], kind, words);
    };
    refuses(
        data("99", sid),
        "lookup",
        &["artifact 99", "none with that id"],
    );
    refuses(
        data("\"hello\"", sid),
        "lookup",
        &["hello", "no artifact has that name"],
    );
    refuses(
        data("\"mini\"", "debian/match:codename=potato"),
        "lookup",
        &["codename=potato", "no environment matches"],
    );
    refuses(data("\"test\"", sid), "unsuitable", &["debusine:test"]);
}

#[test]
fn damaged_files_are_not_imported() {
    let machine = Machine::new();
    let data = r#"{"vendor": "debian", "codename": "sid", "mirror": "https://deb.example.org/debian", "pkglist": {}, "architecture": "amd64", "with_dev": true, "with_init": false}"#;
    let whole = small_tarball();
    let refuses = |name: &str, content: &[u8], kind: &str, words: &[&str]| {
        machine.write(name, content);
        let import = [
            "artifact",
            "import",
            name,
            "--category",
            "debian:system-tarball",
            "--data",
            data,
        ];
        machine.refuses(&import, kind, words);
    };
    refuses(
        "cut.tar.xz",
        &whole[..whole.len() - 20],
        "damaged",
        &["cut.tar.xz: damaged tarball"],
    );
    refuses(
        "none.tar.xz",
        b"no tarball",
        "damaged",
        &["none.tar.xz: damaged tarball"],
    );
    refuses("system.tar.gz", &whole, "artifact", &["*.tar.xz"]);
    machine.write("cut.deb", "!<arch>\n");
    machine.refuses(
        &["artifact", "import", "cut.deb"],
        "artifact",
        &["cut.deb", "not a Debian binary package"],
    );
    machine.write("not.dsc", "Hello: world\n");
    machine.refuses(
        &["artifact", "import", "not.dsc"],
        "artifact",
        &["not a .dsc file"],
    );
    machine.refuses(&["artifact", "import", "gone.deb"], "file", &["gone.deb"]);
    machine.refuses(
        &["artifact", "import", "runs", "--category", "debusine:test"],
        "file",
        &["not a regular file"],
    );
    machine.refuses(
        &["artifact", "import", "cut.deb", "--category", "debian:tree"],
        "artifact",
        &["unknown artifact category"],
    );
    machine.refuses(&["artifact", "import", "x.txt"], "usage", &["--category"]);
    let incomplete = [
        "artifact",
        "import",
        "cut.tar.xz",
        "--category",
        "debian:system-tarball",
    ];
    let error = machine.error(&incomplete);
    assert_eq!(error["kind"], "artifact-data");
    assert!(error["violations"].as_array().unwrap().len() > 5, "{error}");
    assert!(!machine.path("store").exists(), "nothing was stored");
}

#[test]
fn what_is_no_usable_component_is_told_why() {
    let machine = Machine::new();
    let put = |name: &str, sections: &[&[u8]]| {
        machine.write(&format!("more/{name}.wasm"), sections.concat());
    };
    put("text", &[b"no component at all"]);
    put("module", &[b"\0asm\x01\0\0\0"]);
    put("empty", &[COMPONENT]);
    let environment = b"\x00\x1awasi:cli/environment@0.2.0\x05\x00";
    put(
        "curious",
        &[
            COMPONENT,
            b"\x07\x03\x01\x42\x00",
            b"\x0a\x1f\x01",
            environment,
        ],
    );
    let scheduling = b"\x00\x1edebusine:task/scheduling@0.2.0\x05\x00\x00";
    put(
        "newer",
        &[
            COMPONENT,
            b"\x05\x03\x01\x01\x00",
            b"\x0b\x24\x01",
            scheduling,
        ],
    );
    let refuses = |task: &str, words: &[&str]| {
        machine.refuses(&["run", task, "--tasks", "more"], "component", words);
        machine.refuses(&["describe", task, "--tasks", "more"], "component", &[]);
    };
    refuses("text", &["text.wasm", "not a usable WebAssembly component"]);
    refuses("module", &["module.wasm"]);
    refuses("empty", &["does not export debusine:task/scheduling@0.1.0"]);
    refuses(
        "curious",
        &["wasi:cli/environment@0.2.0", "nothing from WASI"],
    );
    refuses("newer", &["0.2.0", "0.1.0"]);
    machine.refuses(&["inspect", "more/text.wasm"], "component", &["text.wasm"]);
    let seen = machine.ask(&["inspect", "more/curious.wasm", "--json"]);
    assert_eq!(seen.status, Some(1), "{seen:?}");
    assert_eq!(seen.json()["objections"].as_array().unwrap().len(), 2);
}

#[test]
fn a_store_of_a_newer_program_is_left_alone() {
    let machine = Machine::new();
    let file = machine.write("x", "x");
    machine.json(&[
        "artifact",
        "import",
        "--category",
        "debusine:test",
        file.to_str().unwrap(),
    ]);
    let database = rusqlite::Connection::open(machine.path("store/store.sqlite3")).unwrap();
    database.pragma_update(None, "user_version", 99).unwrap();
    drop(database);
    for arguments in [
        &["artifact", "list"][..],
        &["artifact", "import", "--category", "debusine:test", "x"],
    ] {
        let error = machine.error(arguments);
        assert_eq!(error["kind"], "store");
        assert!(
            error["message"].as_str().unwrap().contains("newer program"),
            "{error}"
        );
    }
}

#[test]
fn a_directory_that_is_no_store_is_left_alone() {
    let machine = Machine::new();
    machine.write("store/letter.txt", "dear");
    let error = machine.error(&[
        "artifact",
        "import",
        "--category",
        "debusine:test",
        "store/letter.txt",
    ]);
    assert_eq!(error["kind"], "invalid");
    assert_eq!(fs::read_dir(machine.path("store")).unwrap().count(), 1);
    assert_eq!(
        machine.error(&["artifact", "show", "1"])["kind"],
        "not-found"
    );
}

#[test]
fn answers_that_cannot_be_written_are_an_error_unless_nobody_reads_on() {
    let Some(machine) = Machine::with_task("noop") else {
        return;
    };
    let full = fs::File::create("/dev/full").unwrap();
    let mut command = machine.command(&["schema", "noop"]);
    let status = command
        .stdout(full)
        .stderr(std::process::Stdio::null())
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(2));
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let status = machine
        .command(&["schema", "noop"])
        .stdout(writer)
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(0));
}

/// A tarball with one file, as xz makes it.
fn small_tarball() -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(5);
    archive
        .append_data(&mut header, "etc/hostname", &b"hello"[..])
        .unwrap();
    let tarball = archive.into_inner().unwrap();
    let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 1);
    std::io::Write::write_all(&mut encoder, &tarball).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn a_value_that_is_none_is_told_in_words() {
    let machine = Machine::new();
    for (arguments, words) in [
        (
            &["image", "prune", "--keep", "few"][..],
            "write it in digits",
        ),
        (&["worker", "--metrics-port", "70000"], "write it in digits"),
        (&["run", "noop", "--grace", "-1"], "seconds from 0 to 86400"),
        (&["run", "noop", "--cpu-limit", "-1"], "at least 0.01"),
        (&["run", "noop", "--process-limit", "0"], "at least 1"),
        (&["run", "noop", "--guest-memory", "5"], "write e.g. 64MiB"),
    ] {
        let error = machine.error(arguments);
        assert_eq!(error["kind"], "usage", "{error}");
        let message = error["message"].as_str().unwrap();
        assert!(message.contains(words), "{message}");
    }
}

#[test]
fn a_list_of_nothing_says_where_there_is_nothing() {
    let machine = Machine::new();
    let cache = machine.path("cache").display().to_string();
    let store = machine.path("store").display().to_string();
    for (group, place) in [
        ("artifact", &store),
        ("environment", &store),
        ("work-request", &store),
        ("image", &cache),
    ] {
        let answer = machine.ask(&["--cache", &cache, group, "list"]);
        assert_eq!((answer.status, answer.stdout.as_str()), (Some(0), ""));
        assert!(answer.stderr.contains(place.as_str()), "{answer:?}");
        // Machines have their answer.
        let answer = machine.ask(&["--cache", &cache, group, "list", "--json"]);
        assert_eq!(
            (answer.stdout.as_str(), answer.stderr.as_str()),
            ("[]\n", "")
        );
    }
}

#[test]
fn a_file_that_is_no_webassembly_is_told_in_a_line() {
    let machine = Machine::new();
    let file = machine.write("a.wasm", "{}");
    machine.refuses(
        &["inspect", file.to_str().unwrap()],
        "component",
        &["does not begin as WebAssembly does"],
    );
}
