//! Promises about commands on the host that multiply as fast as they are killed. Each flood is bounded in number, and ends itself after two minutes.

use super::*;

/// How long a flood goes on by itself: as if it were not ended at all.
const UNENDED: Duration = Duration::from_secs(120);

/// Runs a flood without a cgroup until it is told to end, and looks whether the host is usable afterwards.
async fn end(mut flood: Command, mark: &str) {
    let host = HostCommands::new().cgroups(false).grace(Duration::ZERO);
    let memory = Memory::default();
    flood.stdout = Some(memory.sink());
    let abort = Abort::new();
    let start = Instant::now();
    let ended = async {
        while memory.bytes().is_empty() && start.elapsed() < UNENDED / 2 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
        abort.cancel();
        Instant::now()
    };
    let (exit, told) = tokio::join!(host.run(flood, &abort), ended);
    eprintln!("the flood was dead {:?} after the abort", told.elapsed());
    assert_eq!(exit.unwrap(), Exit::Aborted, "{}", memory.text());
    // Killed one by one, the second flood goes on to its own end.
    assert!(start.elapsed() < UNENDED / 2, "it all but ended by itself");
    assert_eq!(processes_with(mark), 0);
    assert_eq!(output_of(&host, shell("echo usable")).await.1, "usable\n");
}

#[tokio::test]
async fn a_flood_that_flees_its_killers_is_ended_without_a_cgroup() {
    let mark = format!("7{}.21", std::process::id());
    // Each process has one child and ends: forty at a time, none of them old, each in a session of its own.
    let flee = r#"use POSIX (); $| = 1; $SIG{TERM} = "IGNORE"; print "ready\n"; my $end = time + 120;
        for (1 .. 40) { next if fork; while (time < $end) { POSIX::setsid(); exit if fork } exit }
        sleep 1 while time < $end"#;
    end(command(["perl", "-e", flee, "--", &mark]), &mark).await;
}

#[tokio::test]
async fn a_flood_that_fills_every_gap_is_ended_without_a_cgroup() {
    let mark = format!("7{}.22", std::process::id());
    // Doubles until its user may have no more processes, and at once again when there is room.
    let double = r#"use POSIX (); $| = 1; $SIG{TERM} = "IGNORE"; print "ready\n"; my $end = time + 120;
        while (time < $end) { my $child = fork; POSIX::setsid() if defined $child && !$child }"#;
    let mut words: Vec<String> = Vec::new();
    if nix::unistd::geteuid().is_root() {
        // Root's processes are not counted: those of a user whom nobody else uses are.
        let user = (4_100_000 + std::process::id() % 65_536).to_string();
        words.extend(
            [
                "setpriv",
                "--reuid",
                &user,
                "--regid",
                &user,
                "--clear-groups",
            ]
            .map(str::to_owned),
        );
    }
    let most = own_threads() + 300;
    words.extend(["prlimit".to_owned(), format!("--nproc={most}")]);
    words.extend(["perl", "-e", double, "--", &mark].map(str::to_owned));
    end(command(words), &mark).await;
}

/// Processes and threads that this user has, root excepted.
fn own_threads() -> usize {
    let me = nix::unistd::geteuid();
    if me.is_root() {
        return 0;
    }
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let own = processes.filter(|entry| {
        use std::os::unix::fs::MetadataExt;
        entry
            .metadata()
            .is_ok_and(|found| found.uid() == me.as_raw())
    });
    own.filter_map(|entry| std::fs::read_dir(entry.path().join("task")).ok())
        .map(Iterator::count)
        .sum()
}
