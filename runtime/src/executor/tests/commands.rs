//! Promises about commands on the host.

use super::*;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;

fn host() -> HostCommands {
    HostCommands::new()
}

async fn run(command: Command) -> Result<Exit, ExecutorError> {
    host().run(command, &Abort::new()).await
}

/// A number of seconds to sleep that no other process uses: to find the sleepers again.
fn marker(test: u32) -> String {
    format!("7{}.{test}", std::process::id())
}

#[tokio::test]
async fn exit_signal_timeout_and_abort_are_told_apart() {
    assert_eq!(run(shell("exit 7")).await.unwrap(), Exit::Exited(7));
    assert_eq!(run(shell("kill -9 $$")).await.unwrap(), Exit::Signalled(9));
    assert_eq!(
        run(shell("kill -40 $$")).await.unwrap(),
        Exit::Signalled(40)
    );
    let mut slow = shell("sleep 60");
    slow.timeout = Some(Duration::from_millis(50));
    assert_eq!(run(slow).await.unwrap(), Exit::TimedOut);
    let abort = abort_after(Duration::from_millis(50));
    assert_eq!(
        host().run(shell("sleep 60"), &abort).await.unwrap(),
        Exit::Aborted
    );
    assert_eq!(
        host().run(shell("exit 7"), &abort).await.unwrap(),
        Exit::Aborted
    );
}

#[tokio::test]
async fn a_command_that_ignores_the_polite_signal_is_killed_after_the_grace_period() {
    let grace = Duration::from_millis(300);
    let host = host().grace(grace);
    let memory = Memory::default();
    let mut stubborn = shell("trap '' TERM; echo ready; while :; do sleep 1; done");
    stubborn.stdout = Some(memory.sink());
    let abort = Abort::new();
    let later = async {
        until(|| !memory.bytes().is_empty()).await;
        abort.cancel();
        Instant::now()
    };
    let (exit, told) = tokio::join!(host.run(stubborn, &abort), later);
    assert_eq!(exit.unwrap(), Exit::Aborted);
    let taken = told.elapsed();
    assert!(taken >= grace, "{taken:?}");
    assert!(taken < PATIENCE, "{taken:?}");
}

#[tokio::test]
async fn a_polite_command_may_finish_its_last_words() {
    let memory = Memory::default();
    let mut polite =
        shell("trap 'echo bye; exit 3' TERM; echo ready; while :; do sleep 0.01; done");
    polite.stdout = Some(memory.sink());
    polite.stderr = Stderr::Discard;
    let abort = Abort::new();
    let later = async {
        until(|| !memory.bytes().is_empty()).await;
        abort.cancel();
    };
    let host = host();
    let (exit, ()) = tokio::join!(host.run(polite, &abort), later);
    assert_eq!(exit.unwrap(), Exit::Aborted);
    assert_eq!(memory.text(), "ready\nbye\n");
}

#[tokio::test]
async fn a_stopped_command_is_aborted_like_any_other() {
    let start = Instant::now();
    let abort = abort_after(Duration::from_millis(100));
    let exit = host().run(shell("kill -STOP $$; sleep 600"), &abort).await;
    assert_eq!(exit.unwrap(), Exit::Aborted);
    assert!(start.elapsed() < PATIENCE);
}

#[tokio::test]
async fn survivors_with_a_session_of_their_own_are_killed() {
    for cgroups in [true, false] {
        let sleep = marker(1);
        let line = format!(
            "setsid sleep {sleep} & (setsid sh -c 'sleep {sleep} & sleep {sleep}' &) ; sleep 0.05"
        );
        let exit = host()
            .cgroups(cgroups)
            .run(shell(line), &Abort::new())
            .await;
        assert_eq!(exit.unwrap(), Exit::Exited(0));
        assert_eq!(processes_with(&sleep), 0);
    }
}

#[tokio::test]
async fn a_daemon_that_keeps_the_output_open_holds_nobody_up() {
    for cgroups in [true, false] {
        let start = Instant::now();
        let (exit, text) = output_of(
            &host().cgroups(cgroups),
            shell("setsid sleep 600 & echo done"),
        )
        .await;
        assert_eq!(exit.unwrap(), Exit::Exited(0));
        assert_eq!(text, "done\n");
        assert!(start.elapsed() < PATIENCE);
    }
}

#[tokio::test]
async fn a_hundred_and_fifty_stubborn_descendants_are_gone_at_once() {
    let sleep = marker(2);
    // In sessions of their own, children of the dead, stopped ones, and one in the other.
    let line = format!(
        "trap '' TERM; i=0; while [ $i -lt 50 ]; do setsid sleep {sleep} & (sleep {sleep} &); \
         (setsid sh -c 'kill -STOP $$; :' {sleep} &); i=$((i+1)); done; echo ready; wait"
    );
    for cgroups in [true, false] {
        let host = host().cgroups(cgroups).grace(Duration::ZERO);
        let memory = Memory::default();
        let mut stubborn = shell(line.clone());
        stubborn.stdout = Some(memory.sink());
        let abort = Abort::new();
        let later = async {
            until(|| !memory.bytes().is_empty() && processes_with(&sleep) >= 150).await;
            abort.cancel();
            Instant::now()
        };
        let (exit, told) = tokio::join!(host.run(stubborn, &abort), later);
        eprintln!("gone after {:?}", told.elapsed());
        assert_eq!(exit.unwrap(), Exit::Aborted);
        assert_eq!(processes_with(&sleep), 0);
    }
}

#[tokio::test]
async fn a_bounded_fork_bomb_dies_with_its_command() {
    let sleep = marker(3);
    // Doubles seven times: 128 sleepers in as many sessions.
    let line = format!(
        "bomb() {{ if [ $1 -eq 0 ]; then exec setsid sleep {sleep}; fi; bomb $(($1-1)) & bomb $(($1-1)) & }}; bomb 7; sleep 0.5"
    );
    assert_eq!(run(shell(line)).await.unwrap(), Exit::Exited(0));
    assert_eq!(processes_with(&sleep), 0);
}

#[tokio::test]
async fn a_command_given_up_half_way_is_killed() {
    let sleep = marker(4);
    let line = format!("setsid sleep {sleep} & sleep {sleep}");
    let given_up = tokio::time::timeout(Duration::from_millis(200), run(shell(line))).await;
    assert!(given_up.is_err());
    assert!(eventually(|| processes_with(&sleep) == 0));
}

#[tokio::test]
async fn a_flood_of_output_is_passed_on_whole_in_bounded_memory() {
    let before = peak_memory();
    let meter = Meter::default();
    let mut flood = shell("head -c 1073741824 /dev/zero");
    flood.stdout = Some(Box::new(meter.clone()));
    assert_eq!(run(flood).await.unwrap(), Exit::Exited(0));
    assert_eq!(*meter.bytes.lock().unwrap(), 1 << 30);
    let grown = peak_memory() - before;
    assert!(grown < 8 << 10, "{grown} KiB");
}

/// The most memory this process ever had, in KiB.
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM:"))
        .unwrap();
    line.split_ascii_whitespace()
        .nth(1)
        .unwrap()
        .parse()
        .unwrap()
}

#[tokio::test]
async fn a_sink_that_stalls_stops_the_command_and_does_not_stop_the_abort() {
    let mut flood = shell("yes");
    flood.stdout = Some(Box::new(Meter {
        stalled: true,
        ..Meter::default()
    }));
    let start = Instant::now();
    let exit = host()
        .run(flood, &abort_after(Duration::from_millis(200)))
        .await;
    assert_eq!(exit.unwrap(), Exit::Aborted);
    assert!(start.elapsed() < PATIENCE);
}

#[tokio::test]
async fn output_passes_byte_for_byte() {
    let memory = Memory::default();
    let mut binary = shell(r"printf '\377\000\200x\r\nno newline'");
    binary.stdout = Some(memory.sink());
    run(binary).await.unwrap();
    assert_eq!(memory.bytes(), b"\xff\0\x80x\r\nno newline");
}

#[tokio::test]
async fn standard_error_goes_where_it_was_sent() {
    let line = "echo one; echo two >&2; echo three";
    let (_, together) = output_of(&host(), shell(line)).await;
    assert_eq!(together, "one\ntwo\nthree\n");

    let (apart, errors) = (Memory::default(), Memory::default());
    let mut separate = shell(line);
    separate.stdout = Some(apart.sink());
    separate.stderr = Stderr::To(errors.sink());
    run(separate).await.unwrap();
    assert_eq!(
        (apart.text(), errors.text()),
        ("one\nthree\n".into(), "two\n".into())
    );

    let mut discarded = shell(line);
    discarded.stderr = Stderr::Discard;
    assert_eq!(output_of(&host(), discarded).await.1, "one\nthree\n");
}

#[tokio::test]
async fn a_command_reads_what_it_is_given_and_else_nothing() {
    assert_eq!(output_of(&host(), shell("cat; echo end")).await.1, "end\n");
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&[b'x'; 200_000]).unwrap();
    std::io::Seek::rewind(&mut file).unwrap();
    let mut reader = shell("wc -c");
    reader.stdin = Some(file);
    assert_eq!(output_of(&host(), reader).await.1.trim(), "200000");
    let mut uninterested = shell("exit 0");
    uninterested.stdin = Some(File::open("/dev/zero").unwrap());
    assert_eq!(run(uninterested).await.unwrap(), Exit::Exited(0));
}

#[tokio::test]
async fn a_command_has_the_three_streams_and_no_other_descriptor() {
    let (_, open) = output_of(&host(), shell("ls /proc/self/fd | tr '\\n' ' '")).await;
    // The fourth is the directory that ls reads.
    assert_eq!(open, "0 1 2 3 ");
}

#[tokio::test]
async fn a_command_runs_where_and_with_what_it_was_told() {
    let directory = tempfile::tempdir().unwrap();
    let mut told = shell("pwd; echo $ONE; env | wc -l");
    told.directory = Some(directory.path().canonicalize().unwrap());
    told.environment = Some([("ONE".into(), "1".into())].into());
    let (_, text) = output_of(&host(), told).await;
    let mut lines = text.lines();
    assert_eq!(
        lines.next().map(std::path::Path::new),
        Some(&*directory.path().canonicalize().unwrap())
    );
    assert_eq!(lines.next(), Some("1"));
    let (_, own) = output_of(&host(), shell("pwd")).await;
    assert_eq!(
        own.trim(),
        std::env::current_dir().unwrap().to_str().unwrap()
    );
}

#[tokio::test]
async fn what_cannot_be_started_is_said_in_words() {
    let directory = tempfile::tempdir().unwrap();
    let plain = directory.path().join("plain");
    std::fs::write(&plain, "no program").unwrap();
    let noise = directory.path().join("noise");
    std::fs::write(&noise, "\x01\x02").unwrap();
    std::fs::set_permissions(&noise, PermissionsExt::from_mode(0o755)).unwrap();
    let mut lost = shell("true");
    lost.directory = Some("/no/such/place".into());
    let many = (0..100_000).map(|number| format!("{number:0>40}"));
    let mut as_root = shell("true");
    as_root.as_root = true;
    let cases = [
        (command(["no-such-program-here"]), "no such program"),
        (command(["/no/such/program"]), "no such program"),
        (command([&plain]), "not executable"),
        (command([&noise]), "neither a program"),
        (command(["echo", "a\0b"]), "argument 1 contains a NUL"),
        (command::<String>([]), "is empty"),
        (command([""]), "no such program"),
        (lost, "/no/such/place does not exist"),
        (
            command(["/bin/true".to_owned()].into_iter().chain(many)),
            "longer than the system allows",
        ),
        (as_root, "as root on the host"),
    ];
    for (command, words) in cases {
        match run(command).await {
            Err(ExecutorError::Command(text)) => assert!(text.contains(words), "{text}"),
            other => panic!("{words}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn many_arguments_arrive() {
    let many = (0..50_000).map(|number| number.to_string());
    let line = ["sh", "-c", "echo $#", "sh"].map(str::to_owned);
    let (_, count) = output_of(&host(), command(line.into_iter().chain(many))).await;
    assert_eq!(count, "50000\n");
}

#[tokio::test]
async fn many_commands_run_at_once() {
    let runs: Vec<_> = (0..20)
        .map(|number| {
            tokio::spawn(async move {
                output_of(&host(), shell(format!("echo {number}; exit {number}"))).await
            })
        })
        .collect();
    for (number, run) in runs.into_iter().enumerate() {
        let (exit, text) = run.await.unwrap();
        assert_eq!(exit.unwrap(), Exit::Exited(number as i32));
        assert_eq!(text, format!("{number}\n"));
    }
}

#[tokio::test]
async fn a_helper_that_was_killed_is_replaced() {
    assert_eq!(run(shell("exit 1")).await.unwrap(), Exit::Exited(1));
    // The watcher is the command's parent, the helper the watcher's.
    let (_, helper) = output_of(&host(), shell("cut -d' ' -f4 /proc/$PPID/stat")).await;
    let helper = nix::unistd::Pid::from_raw(helper.trim().parse().unwrap());
    nix::sys::signal::kill(helper, nix::sys::signal::Signal::SIGKILL).unwrap();
    // Its socket is closed once it is a zombie, and not before: what is sent to one that is just dying is lost, and reported.
    let is_dead = || match std::fs::read_to_string(format!("/proc/{helper}/stat")) {
        Ok(stat) => stat.contains(") Z "),
        Err(_) => true,
    };
    assert!(eventually(is_dead));
    assert_eq!(run(shell("exit 2")).await.unwrap(), Exit::Exited(2));
}

#[tokio::test]
async fn a_killed_watcher_takes_its_command_along_and_is_reported() {
    for cgroups in [true, false] {
        let sleep = marker(5);
        let line =
            format!("setsid sleep {sleep} & (sleep {sleep} &); kill -9 $PPID; sleep {sleep}");
        let exit = host()
            .cgroups(cgroups)
            .run(shell(line), &Abort::new())
            .await;
        assert!(matches!(exit, Err(ExecutorError::System(_))), "{exit:?}");
        // None may come up late either.
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert!(eventually(|| processes_with(&sleep) == 0));
    }
}

/// Not a promise: what the next test kills.
#[tokio::test]
#[ignore = "runs until it is killed"]
async fn victim() {
    let sleep = std::env::var("VICTIM_SLEEP").unwrap();
    let _ = run(shell(format!(
        "setsid sleep {sleep} & (sleep {sleep} &) ; sleep {sleep}"
    )))
    .await;
}

#[test]
fn nothing_survives_a_runtime_that_was_killed() {
    let sleep = marker(6);
    let mut victim = std::process::Command::new("/proc/self/exe")
        .args(["--exact", "executor::tests::commands::victim", "--ignored"])
        .env("VICTIM_SLEEP", &sleep)
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    assert!(eventually(|| processes_with(&sleep) == 3));
    victim.kill().unwrap();
    victim.wait().unwrap();
    assert!(eventually(|| processes_with(&sleep) == 0));
}

#[tokio::test]
async fn a_log_cannot_be_truncated_by_whom_it_is_about() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cmd.log");
    std::fs::write(&path, "before\n").unwrap();
    // 0666 and by its descriptor: as it was lost once.
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o666)).unwrap();
    let log = File::options().append(true).open(&path).unwrap();
    let mut vandal = shell(VANDAL);
    vandal.stdout = Some(Box::new(tokio::fs::File::from_std(log)));
    assert_eq!(run(vandal).await.unwrap(), Exit::Exited(0));
    assert_eq!(
        std::fs::read_to_string(&path).unwrap(),
        "before\nfirst\nlast\nfifo\n"
    );
    let Some(world) = super::world::World::new().await else {
        return;
    };
    assert_eq!(world.root(VANDAL).await, "first\nlast\nfifo");
    assert_eq!(world.user(VANDAL).await, "first\nlast\nfifo");
    world.end().await;
}

/// Tries to take back what it has written, in every way that there is.
const VANDAL: &str = r#"echo first; : > /proc/self/fd/1; : > /dev/stdout; truncate -s 0 /proc/self/fd/1 2>/dev/null
    LC_ALL=C perl -e 'truncate STDOUT, 0; truncate "/proc/self/fd/1", 0; seek STDOUT, 0, 0; print "last\n"'; stat -L -c %F /proc/self/fd/1"#;

#[tokio::test]
async fn input_is_a_pipe_too() {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(b"the host's").unwrap();
    std::io::Seek::rewind(&mut file).unwrap();
    let mut vandal = shell("stat -L -c %F /proc/self/fd/0; cat; : > /proc/self/fd/0");
    vandal.stdin = Some(file.try_clone().unwrap());
    assert_eq!(output_of(&host(), vandal).await.1, "fifo\nthe host's");
    assert_eq!(file.metadata().unwrap().len(), 10);
}
