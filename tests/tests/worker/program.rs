//! The program: what it says of its configuration and its server, how it starts and does not start, and where its log goes.

use crate::{program_trial, report};
use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::time::Duration;
use task_runtime_tests::fake_server::{FakeServer, TOKEN, Trouble, work_request};
use task_runtime_tests::worker_program::{Process, WorkerProgram};
use tokio::process::Command;

pub fn trials() -> Vec<Trial> {
    vec![
        program_trial("check_finds_a_good_worker_good_and_changes_nothing", good),
        program_trial("check_explains_what_is_wrong_with_the_files", bad_files),
        program_trial(
            "check_tells_whether_the_server_lets_the_worker_work",
            access,
        ),
        program_trial("check_tells_a_server_that_is_none", no_server),
        program_trial("check_waits_a_while_for_a_silent_server", silent_server),
        program_trial("status_tells_what_the_worker_does", status),
        program_trial("what_cannot_start_ends_with_status_3", cannot_start),
        program_trial("a_log_file_gets_the_log", log_file),
        program_trial("the_journal_gets_priorities_and_nobody_else", journal),
        program_trial(
            "a_new_worker_registers_once_and_keeps_its_token",
            registered,
        ),
        program_trial(
            "each_attempt_to_register_has_a_token_of_its_own",
            registered_anew,
        ),
        program_trial(
            "a_worker_of_a_pool_registers_with_its_activation_token",
            activated,
        ),
        program_trial(
            "a_worker_whose_token_was_deleted_on_the_server_waits_and_does_not_register_anew",
            deleted_token,
        ),
        program_trial(
            "what_the_machine_lacks_for_a_task_is_told_to_the_server_as_the_error_it_is",
            unsuitable,
        ),
    ]
}

/// What `--check` says: whether all is good, and the verdict and words on a thing.
struct Checked {
    status: Option<i32>,
    findings: Vec<Value>,
}

impl Checked {
    fn of(&self, what: &str) -> Result<(bool, String)> {
        let found = self.findings.iter().find(|it| it["what"] == what);
        let found = found.with_context(|| format!("nothing on {what}: {:?}", self.findings))?;
        let words = found["words"].as_str().unwrap_or_default().to_owned();
        Ok((found["good"] == true, words))
    }

    fn is_bad(&self, what: &str, words: &str) -> Result<()> {
        let (good, found) = self.of(what)?;
        ensure!(!good && found.contains(words), "{what}: {good}, {found}");
        ensure!(self.status == Some(1), "status {:?}", self.status);
        Ok(())
    }
}

async fn check(worker: &WorkerProgram) -> Result<Checked> {
    let output = worker.run(&["--check", "--json"]).await?;
    let findings = serde_json::from_slice(&output.stdout)
        .with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())?;
    Ok(Checked {
        status: output.status.code(),
        findings,
    })
}

async fn good() -> Result<()> {
    let server = FakeServer::start().await?;
    let worker = WorkerProgram::of(&server)?;
    let checked = check(&worker).await?;
    for what in [
        "configuration",
        "token",
        "server",
        "access",
        "tasks",
        "spool",
    ] {
        let (good, words) = checked.of(what)?;
        ensure!(good, "{what}: {words}");
    }
    ensure!(checked.status == Some(0), "{:?}", checked.status);
    let asked: Vec<_> = server.state().requests.iter().map(|it| it.line()).collect();
    ensure!(asked == ["GET /api/1.0/whoami/"], "{asked:?}");
    ensure!(!worker.place("spool").exists(), "it was only looked at");

    // Without a token there is nobody to be known, and nobody is registered.
    worker.remove_token()?;
    let checked = check(&worker).await?;
    ensure!(checked.status == Some(0), "{:?}", checked.findings);
    ensure!(checked.of("token")?.1.contains("registers itself"));
    ensure!(checked.of("access").is_err());
    ensure!(server.state().registered.is_none());
    Ok(())
}

async fn bad_files() -> Result<()> {
    let server = FakeServer::start().await?;
    let worker = WorkerProgram::of(&server)?;
    worker.set_token(TOKEN, 0o644)?;
    check(&worker).await?.is_bad("configuration", "chmod 600")?;
    worker.set_token(TOKEN, 0o600)?;
    worker.configure("[General]\n")?;
    check(&worker)
        .await?
        .is_bad("configuration", "has no api-url")?;
    for address in ["ftp://localhost/api", "localhost", "http://"] {
        worker.configure(&format!("[General]\napi-url = {address}\n"))?;
        check(&worker).await?.is_bad("server", "api-url")?;
    }
    fs::remove_file(worker.place("configuration/config.ini"))?;
    check(&worker)
        .await?
        .is_bad("configuration", "config.ini: it is not there; make it")?;
    fs::remove_file(worker.place("tasks/noop.wasm"))?;
    fs::remove_file(worker.place("tasks/scripted.wasm"))?;
    check(&worker).await?.is_bad("tasks", "--tasks")
}

async fn access() -> Result<()> {
    let server = FakeServer::start().await?;
    let worker = WorkerProgram::of(&server)?;
    server.enable(false);
    let checked = check(&worker).await?;
    ensure!(checked.of("server")?.0, "{:?}", checked.findings);
    checked.is_bad("access", "manage_worker enable")?;
    server.enable(true);
    worker.set_token("unknown", 0o600)?;
    check(&worker).await?.is_bad("access", "does not know")?;
    // Some servers refuse to answer those whom they do not know.
    let refusal =
        r#"{"title": "Error", "detail": "Authentication credentials were not provided."}"#;
    server.fault("GET", "/whoami/", Trouble::Answer(403, refusal), 1);
    check(&worker).await?.is_bad("access", "does not know")?;
    let user = br#"{"user": "somebody", "auth": true, "worker_token": false}"#;
    server.fault("GET", "/whoami/", Trouble::Body(user), 1);
    check(&worker).await?.is_bad("access", "of a user")
}

async fn no_server() -> Result<()> {
    let mut server = FakeServer::start().await?;
    let worker = WorkerProgram::of(&server)?;
    for (trouble, words) in [
        (
            Trouble::Body(b"<html>Welcome</html>"),
            "that of a Debusine server?",
        ),
        (Trouble::Answer(404, "<html>"), "that of a Debusine server?"),
        (Trouble::Answer(502, "<html>"), "502"),
        (
            Trouble::Answer(301, "https://localhost/api/"),
            "it is at \"https://localhost/api/\"",
        ),
        (Trouble::Cut, "no answer"),
    ] {
        server.fault("GET", "/whoami/", trouble, 1);
        let checked = check(&worker).await?;
        checked.is_bad("server", words)?;
        ensure!(checked.of("access").is_err());
    }
    server.go_down().await;
    check(&worker).await?.is_bad("server", "cannot be reached")
}

async fn silent_server() -> Result<()> {
    let server = FakeServer::start().await?;
    let worker = WorkerProgram::of(&server)?;
    server.fault("GET", "/whoami/", Trouble::Silence, 1);
    check(&worker).await?.is_bad("server", "no answer within")
}

async fn status() -> Result<()> {
    let server = FakeServer::start().await?;
    let worker = WorkerProgram::of(&server)?;
    let asked = async || -> Result<(Option<i32>, String)> {
        let output = worker.run(&["status"]).await?;
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        Ok((output.status.code(), told))
    };
    let (code, told) = asked().await?;
    ensure!(
        code == Some(1) && told.contains("no worker has used"),
        "{told}"
    );

    let data = json!({"run": "command", "command": ["sleep", "1000"]});
    server.hand_out(work_request(7, "scripted", data));
    let mut process = worker.start(&[])?;
    let told = said(asked, "request 7, scripted: Running").await?;
    ensure!(told.contains(", connected"), "{told}");

    process.signal(Signal::SIGTERM)?;
    ensure!(process.wait().await?.success(), "{}", worker.log());
    let (code, told) = asked().await?;
    ensure!(
        code == Some(1) && told.contains("no worker is running"),
        "{told}"
    );
    ensure!(told.contains("request 7, scripted: aborted"), "{told}");

    let aside = worker.place("spool/8.refused");
    fs::create_dir(&aside)?;
    fs::write(aside.join("why"), "because\n")?;
    let (_, told) = asked().await?;
    ensure!(
        told.contains("8.refused") && told.contains("because"),
        "{told}"
    );
    Ok(())
}

/// Asks until the answer is good and says this.
async fn said(ask: impl AsyncFn() -> Result<(Option<i32>, String)>, words: &str) -> Result<String> {
    let mut last = String::new();
    for _ in 0..600 {
        let (code, told) = ask().await?;
        if code == Some(0) && told.contains(words) {
            return Ok(told);
        }
        last = told;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    anyhow::bail!("never {words:?}, but {last}")
}

async fn cannot_start() -> Result<()> {
    let server = FakeServer::start().await?;
    let worker = WorkerProgram::of(&server)?;
    let ends = async |why: &str, arguments: &[&str]| -> Result<()> {
        let output = worker.run(arguments).await?;
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.code() == Some(3), "{why}: {}", output.status);
        ensure!(told.contains(why), "not {why:?}, but {told}");
        Ok(())
    };
    ends(
        "signing needs debusine-signing",
        &["--worker-type", "signing"],
    )
    .await?;
    ends(
        "log file /nonexistent/log",
        &["--log-file", "/nonexistent/log"],
    )
    .await?;
    worker.set_token(TOKEN, 0o640)?;
    ends("chmod 600", &[]).await?;
    worker.remove_token()?;
    server.fault(
        "POST",
        "/register/",
        Trouble::Answer(400, r#"{"title": "Cannot deserialize worker"}"#),
        1,
    );
    ends("Cannot deserialize worker", &[]).await?;
    ensure!(!worker.place("configuration/token").exists());
    worker.set_token(TOKEN, 0o600)?;
    let _first = worker.start(&[])?;
    worker.wait_for("worker started").await?;
    ends("another worker uses it", &[]).await?;
    worker.configure("api-url = x\n")?;
    ends("is in no section", &[]).await
}

async fn log_file() -> Result<()> {
    let server = FakeServer::start().await?;
    let worker = WorkerProgram::of(&server)?;
    for (name, is_configured) in [("argument.log", false), ("configured.log", true)] {
        let file = worker.place(name);
        fs::write(&file, "before\n")?;
        let shown = file.to_str().context("a name")?;
        let api_url = server.api_url();
        let mut process = if is_configured {
            worker.configure(&format!(
                "[General]\napi-url = {api_url}\nlog-file = {shown}\nlog-level = DEBUG\n"
            ))?;
            worker.start(&[])?
        } else {
            worker.start(&["--log-file", shown, "--log-level", "INFO"])?
        };
        let mut log = String::new();
        for _ in 0..3000 {
            log = fs::read_to_string(&file)?;
            if log.contains("metadata accepted") {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        process.signal(Signal::SIGTERM)?;
        ensure!(process.wait().await?.success());
        ensure!(log.starts_with("before\n"), "{log}");
        ensure!(log.contains("metadata accepted"), "{log}");
        ensure!(worker.log().is_empty(), "{}", worker.log());
    }
    Ok(())
}

async fn journal() -> Result<()> {
    let server = FakeServer::start().await?;
    let worker = WorkerProgram::of(&server)?;
    let stderr = worker.log_file()?;
    let metadata = stderr.metadata()?;
    let this = format!("{}:{}", metadata.dev(), metadata.ino());
    let another = format!("{}:{}", metadata.dev(), metadata.ino() + 1);
    for (stream, is_it) in [(&this, true), (&another, false)] {
        stderr.set_len(0)?;
        let mut command = worker.command(&[])?;
        command
            .env("JOURNAL_STREAM", stream)
            .stderr(stderr.try_clone()?);
        let mut process = command.spawn()?;
        let line = worker.wait_for("worker started").await?;
        ensure!(line.starts_with("<6>worker started") == is_it, "{line}");
        // Until it is dead, the spool is its own.
        process.kill().await?;
    }
    Ok(())
}

async fn registered() -> Result<()> {
    let server = FakeServer::start().await?;
    let worker = WorkerProgram::of(&server)?;
    worker.remove_token()?;
    let _process = worker.start(&[])?;
    worker.wait_for("does not let this worker work").await?;
    let path = worker.place("configuration/token");
    let token = fs::read_to_string(&path)?;
    let mode = fs::metadata(&path)?.permissions().mode() & 0o777;
    ensure!(mode == 0o600, "{mode:o}");
    let state = server.state();
    ensure!(state.registered.as_deref() == Some(token.as_str()));
    ensure!(state.count("POST", "/register/") == 1);
    Ok(())
}

async fn registered_anew() -> Result<()> {
    let server = FakeServer::start().await?;
    let worker = WorkerProgram::of(&server)?;
    worker.remove_token()?;
    // The server has the first one, and the worker does not know that.
    server.fault("POST", "/register/", Trouble::Lost, 1);
    server.fault("POST", "/register/", Trouble::Answer(404, "<html>"), 1);
    for words in ["no answer", "that of a Debusine server?"] {
        let output = worker.run(&[]).await?;
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.code() == Some(3), "{}", output.status);
        ensure!(told.contains(words), "{told}");
        ensure!(!worker.place("configuration/token").exists());
    }
    let _process = worker.start(&[])?;
    worker.wait_for("registered as").await?;
    let state = server.state();
    let asked = state.requests.iter().filter(|it| it.method == "POST");
    let mut tokens: Vec<_> = asked.map(|it| it.json()["token"].to_string()).collect();
    ensure!(tokens.len() == 3, "{tokens:?}");
    tokens.sort();
    tokens.dedup();
    ensure!(tokens.len() == 3, "one came twice: {tokens:?}");
    Ok(())
}

async fn activated() -> Result<()> {
    let server = FakeServer::start().await?;
    let worker = WorkerProgram::of(&server)?;
    worker.remove_token()?;
    let path = worker.place("configuration/activation-token");
    fs::write(&path, "activate\n")?;
    fs::set_permissions(&path, PermissionsExt::from_mode(0o600))?;
    let _process = worker.start(&[])?;
    worker.wait_for("registered as").await?;
    let state = server.state();
    let asked = state.requests.iter().find(|it| it.method == "POST");
    let asked = asked.context("a registration")?;
    ensure!(asked.header("token") == Some("activate"));
    let said = asked.json();
    let keys: Vec<_> = said.as_object().context("an object")?.keys().collect();
    ensure!(keys == ["token", "fqdn", "worker_type"], "{said}");
    ensure!(said["worker_type"] == "external", "{said}");
    ensure!(
        said["fqdn"].as_str().is_some_and(|it| !it.is_empty()),
        "{said}"
    );
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let token = said["token"].as_str().unwrap_or_default();
    ensure!(token.len() == 64 && token.bytes().all(is_digit), "{said}");
    Ok(())
}

/// The server knows neither the token nor the worker any more: as the reference's, it goes on asking, for its operator may bring it back.
async fn deleted_token() -> Result<()> {
    let server = FakeServer::start().await?;
    let worker = WorkerProgram::of(&server)?;
    worker.set_token("deleted", 0o600)?;
    let mut process = worker.start(&[])?;
    server
        .wait_until("some attempts", |state| state.count("GET", "/connect/") > 2)
        .await;
    ensure!(server.state().count("POST", "") == 0);
    ensure!(fs::read_to_string(worker.place("configuration/token"))? == "deleted");
    process.signal(Signal::SIGTERM)?;
    ensure!(process.wait().await?.success());
    // With the token that it has on the server, it works again.
    worker.set_token(TOKEN, 0o600)?;
    server.hand_out(work_request(1, "noop", json!({})));
    let _process = worker.start(&[])?;
    ensure!(report(&server, 1).await["result"] == "success");
    Ok(())
}

async fn unsuitable() -> Result<()> {
    let server = FakeServer::start().await?;
    let worker = WorkerProgram::of(&server)?;
    worker.add_task("mmdebstrap")?;
    // A user namespace that can have none within.
    let none = "echo 0 > /proc/sys/user/max_user_namespaces && exec \"$@\"";
    let outer = [
        "unshare",
        "--user",
        "--map-root-user",
        "sh",
        "-c",
        none,
        "sh",
    ];
    let mut tried = Command::new(outer[0]);
    tried.args(&outer[1..]).arg("true");
    if !tried.output().await.is_ok_and(|it| it.status.success()) {
        eprintln!("skipped: no user namespace can be made without the power to make more");
        return Ok(());
    }
    let mut command = worker.command_within(&outer, &[])?;
    let _process = Process(command.stderr(worker.log_file()?).spawn()?);
    let data = json!({
        "bootstrap_options": {"architecture": "amd64", "variant": "essential"},
        "bootstrap_repositories": [{"mirror": "http://127.0.0.1:9/debian", "suite": "bookworm", "components": ["main"]}],
    });
    server.hand_out(work_request(1, "mmdebstrap", data));
    let document = report(&server, 1).await;
    ensure!(document["result"] == "error", "{document}");
    let error = &document["output_data"]["errors"][0];
    let words = error["message"].as_str().unwrap_or_default();
    let told = "Task: mmdebstrap Error setup: mmdebstrap needs a user namespace, which this machine does not give: ";
    ensure!(error["code"] == "setup-failed", "{document}");
    ensure!(words.starts_with(told), "{words}");
    ensure!(server.state().artifacts.is_empty());

    // What needs none is not held up.
    server.hand_out(work_request(2, "noop", json!({})));
    ensure!(report(&server, 2).await["result"] == "success");
    Ok(())
}
