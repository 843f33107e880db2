//! Full disks: no work whose result could not be kept, no result that is half kept, and no end of the worker.

use crate::{delivered, finished, making, report};
use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use serde_json::json;
use std::fs;
use std::future::Future;
use std::path::Path;
use task_runtime::worker::Stop;
use task_runtime::worker::configuration::Configuration;
use task_runtime_tests::fake_server::{FakeServer, TOKEN, work_request};
use task_runtime_tests::living_worker::{Home, LivingWorker};
use task_runtime_tests::worker_program::WorkerProgram;
use tempfile::TempDir;

pub fn trials() -> Vec<Trial> {
    vec![
        trial("with_a_full_spool_no_work_is_taken", full_spool),
        trial(
            "a_spool_that_fills_up_is_a_failure_that_says_so",
            filling_spool,
        ),
        trial("with_a_full_cache_work_goes_on", full_cache),
        trial(
            "on_a_full_disk_half_a_token_is_never_kept",
            full_configuration,
        ),
    ]
}

/// A disk of some MiB. It is seen by the thread of the test and those that it starts, and ends with them.
struct SmallDisk(TempDir);

impl SmallDisk {
    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // The directory cannot be removed while something is mounted on it.
        let _ = umount2(self.path(), MntFlags::MNT_DETACH);
    }
}

/// A test with a small disk.
fn trial<F: Future<Output = Result<()>>>(
    name: &str,
    test: impl FnOnce(SmallDisk) -> F + Send + 'static,
) -> Trial {
    Trial::test(name, move || {
        let disk = SmallDisk(tempfile::Builder::new().prefix("small-disk-").tempdir()?);
        let mounted = unshare(CloneFlags::CLONE_NEWNS).and_then(|()| {
            let (none, flags) = (None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE);
            mount(none, "/", none, flags, none)?;
            let (kind, options) = (Some("tmpfs"), Some("size=4m"));
            mount(kind, disk.path(), kind, MsFlags::empty(), options)
        });
        if let Err(why) = mounted {
            eprintln!("skipped: cannot mount a small disk: {why}; run as root");
            return Ok(());
        }
        finished(test(disk))
    })
}

/// Takes all that is free.
fn fill(disk: &Path) -> Result<()> {
    let error = fs::write(disk.join("filling"), vec![1; 5 << 20]).err();
    let error = error.context("it is not small")?;
    ensure!(error.kind() == std::io::ErrorKind::StorageFull, "{error}");
    Ok(())
}

fn make_room(disk: &Path) -> Result<()> {
    Ok(fs::remove_file(disk.join("filling"))?)
}

async fn full_spool(disk: SmallDisk) -> Result<()> {
    let server = FakeServer::start().await?;
    let home = Home::with_spool(&disk.path().join("spool"))?;
    let worker = LivingWorker::start(&server, &home)?;
    server
        .wait_until("metadata", |state| state.metadata.is_some())
        .await;
    fill(disk.path())?;
    let connections = server.state().connections;
    server.hand_out(making(1));
    // It asks on a new connection whether there is still work, again and again.
    server
        .wait_until("another look", |state| state.connections > connections + 1)
        .await;
    ensure!(server.state().count("GET", "get-next") == 0);
    make_room(disk.path())?;
    delivered(&server, &home, 1).await?;
    worker.stop(Stop::Abort).await
}

async fn filling_spool(disk: SmallDisk) -> Result<()> {
    let server = FakeServer::start().await?;
    let home = Home::with_spool(&disk.path().join("spool"))?;
    let worker = LivingWorker::start(&server, &home)?;
    let script = "head -c 6000000 /dev/urandom >one";
    let data = json!({"run": "command", "command": ["sh", "-c", script], "results": ["one"]});
    server.hand_out(work_request(1, "scripted", data));
    ensure!(report(&server, 1).await["result"] == "failure");
    {
        let state = server.state();
        let (id, logs) = state.artifacts.first_key_value().context("logs")?;
        ensure!(logs.category == "debusine:work-request-debug-logs");
        let told = state.content(*id, "post_execution.log");
        let told = String::from_utf8_lossy(told.context("a log of that")?).into_owned();
        ensure!(told.contains("free some space"), "{told}");
    }
    server.hand_out(work_request(2, "noop", json!({})));
    ensure!(report(&server, 2).await["result"] == "success");
    worker.stop(Stop::Abort).await
}

async fn full_configuration(disk: SmallDisk) -> Result<()> {
    let place = disk.path().join("configuration");
    fs::create_dir(&place)?;
    fs::write(
        place.join("config.ini"),
        "[General]\napi-url = http://localhost/api\n",
    )?;
    fill(disk.path())?;
    let mut configuration = Configuration::read(std::slice::from_ref(&place))?;
    let words = configuration
        .keep_token(TOKEN)
        .err()
        .context("it is full")?;
    ensure!(words.to_string().contains("No space left"), "{words}");
    ensure!(configuration.token.is_none());
    let left: Vec<_> = fs::read_dir(&place)?.collect::<Result<_, _>>()?;
    ensure!(left.len() == 1, "{left:?}");
    make_room(disk.path())?;
    configuration.keep_token(TOKEN)?;
    let read = Configuration::read(&[place])?;
    ensure!(read.token.as_deref() == Some(TOKEN));
    Ok(())
}

async fn full_cache(disk: SmallDisk) -> Result<()> {
    if !WorkerProgram::is_built() {
        eprintln!("skipped: the program task-runtime is not built");
        return Ok(());
    }
    let server = FakeServer::start().await?;
    fill(disk.path())?;
    let worker = WorkerProgram::of(&server)?.with_cache(&disk.path().join("cache"));
    let _process = worker.start(&[])?;
    server.hand_out(work_request(1, "noop", json!({})));
    ensure!(report(&server, 1).await["result"] == "success");
    Ok(())
}
