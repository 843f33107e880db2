//! Compiling in a process of its own: a process that waits for most of its life never holds a compiler, nor the memory that one needs.
//!
//! That process is this program once more. It leaves the code in the cache and ends: with status 0; with 1 and, on standard error, what is wrong
//! with the component; or with 2 and why it could not do its work.

use super::cache::{CacheError, ComponentCache};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use nix::unistd::getppid;
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::process::{PidfdFlags, pidfd_open};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// The first argument of a compiler; its parent, the component and the cache follow.
const COMPILER: &str = "--task-runtime-compiler";

/// How long one component may take. The largest one takes seconds.
const LONGEST: Duration = Duration::from_secs(600);

/// How much of its words is read, in bytes.
const LONGEST_WORDS: u64 = 16 << 10;

/// Nothing else is wrong than the component.
const INVALID: i32 = 1;

/// The component may be good.
const FAILED: i32 = 2;

/// Whether this program's `main` lets itself be used as a compiler.
static ENTRY_IS_THERE: AtomicBool = AtomicBool::new(false);

/// Does a compiler's work and exits, if this process was started as one; otherwise returns at once.
///
/// `main` calls it at its start in every program that compiles with a [`CompilerProcess`].
pub fn compiler_main_if_called() {
    ENTRY_IS_THERE.store(true, Ordering::Relaxed);
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let [called, parent, component, cache] = arguments.as_slice() else {
        return;
    };
    if called != OsStr::new(COMPILER) {
        return;
    }
    let (status, words) = match compile(parent, Path::new(component), Path::new(cache)) {
        Ok(()) => (0, String::new()),
        Err(CacheError::Invalid { reason, .. }) => (INVALID, reason),
        Err(error) => (FAILED, error.to_string()),
    };
    eprint!("{words}");
    std::process::exit(status);
}

fn compile(parent: &OsStr, component: &Path, cache: &Path) -> Result<(), CacheError> {
    // Who is not waited for any more compiles for nobody.
    let bound = nix::sys::prctl::set_pdeathsig(Signal::SIGKILL);
    let is_orphan = parent.to_str().and_then(|it| it.parse().ok()) != Some(getppid().as_raw());
    if bound.is_err() || is_orphan {
        std::process::exit(FAILED);
    }
    ComponentCache::new(cache).compile_and_keep(component)
}

/// A compiler that is started for each component, and ends with it or with its parent.
#[derive(Debug, Clone)]
pub struct CompilerProcess {
    program: PathBuf,
    longest: Duration,
}

/// Why there is no code.
#[derive(Debug)]
pub(super) enum Failure {
    /// The component is none.
    Invalid(String),
    /// The compiler did not survive it.
    Ended(String),
    /// There was no compiler, or it could not do its work.
    Unavailable(String),
}

impl CompilerProcess {
    /// This program, whose `main` calls [`compiler_main_if_called`].
    pub fn of_this_program() -> Self {
        Self {
            program: "/proc/self/exe".into(),
            longest: LONGEST,
        }
    }

    /// Another program, and how long it may take.
    #[cfg(test)]
    pub(super) fn of(program: &Path, longest: Duration) -> Self {
        ENTRY_IS_THERE.store(true, Ordering::Relaxed);
        Self {
            program: program.to_owned(),
            longest,
        }
    }

    /// Has a component compiled into a cache; the number of the process that did it. The calling thread waits.
    pub(super) fn compile(&self, component: &Path, cache: &Path) -> Result<u32, Failure> {
        if !ENTRY_IS_THERE.load(Ordering::Relaxed) {
            return Err(Failure::Unavailable(
                "this program's main does not call component::compiler_main_if_called()".to_owned(),
            ));
        }
        let failed = |error: io::Error| {
            Failure::Unavailable(format!(
                "no process for that: {error}; is /proc mounted, and are processes or memory exhausted?"
            ))
        };
        let (mut child, mut words) = self.start(component, cache).map_err(failed)?;
        let number = child.id();
        let begun = Instant::now();
        let status = match end_of(&mut child, self.longest) {
            Ok(Some(status)) => status,
            ended => {
                // Nobody else waits for it, so that its number is still its own.
                let _ = child.kill().and_then(|()| child.wait());
                ended.map_err(failed)?;
                let took = begun.elapsed();
                return Err(Failure::Ended(format!(
                    "was killed, for it had not ended after {took:?}"
                )));
            }
        };
        let words = said(&mut words);
        match status.code() {
            Some(0) => Ok(number),
            Some(INVALID) => Err(Failure::Invalid(words)),
            Some(FAILED) => Err(Failure::Unavailable(words)),
            _ => Err(Failure::Ended(format!("ended with {status} {words}"))),
        }
    }

    fn start(&self, component: &Path, cache: &Path) -> io::Result<(Child, File)> {
        // A file, and no pipe: a pipe would have to be read meanwhile.
        let words = File::from(memfd_create("words", MemfdFlags::CLOEXEC)?);
        let child = Command::new(&self.program)
            .arg0("task-runtime-compiler")
            .arg(COMPILER)
            .arg(std::process::id().to_string())
            .args([component, cache])
            .env_clear()
            .envs(std::env::var_os("LD_LIBRARY_PATH").map(|path| ("LD_LIBRARY_PATH", path)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(words.try_clone()?)
            // Signals of the terminal are its parent's business.
            .process_group(0)
            .spawn()?;
        Ok((child, words))
    }
}

/// Waits for the end of a process; none if it does not come in time.
fn end_of(child: &mut Child, longest: Duration) -> io::Result<Option<ExitStatus>> {
    let number = rustix::process::Pid::from_child(child);
    let held = pidfd_open(number, PidfdFlags::empty())?;
    let begun = Instant::now();
    while let Some(left) = longest.checked_sub(begun.elapsed()) {
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(held.as_fd(), PollFlags::POLLIN)], timeout) {
            Ok(0) | Err(Errno::EINTR) => {}
            Ok(_) => return child.wait().map(Some),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(None)
}

fn said(words: &mut File) -> String {
    let mut bytes = Vec::new();
    let read = words
        .rewind()
        .and_then(|()| words.take(LONGEST_WORDS).read_to_end(&mut bytes));
    match read {
        Ok(_) => String::from_utf8_lossy(&bytes).trim().to_owned(),
        Err(error) => format!("its words cannot be read: {error}"),
    }
}

#[cfg(all(test, feature = "compiler"))]
mod tests {
    use super::super::Engine;
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use tempfile::TempDir;

    /// A component, a cache, and something in the place of a compiler.
    struct Place(TempDir);

    impl Place {
        fn new() -> Self {
            let place = Self(tempfile::tempdir().expect("a directory"));
            let bytes = wat::parse_str("(component)").expect("a component");
            std::fs::write(place.component(), bytes).expect("written");
            place
        }

        fn component(&self) -> PathBuf {
            self.0.path().join("a.wasm")
        }

        /// Loads the component with a compiler that does this.
        fn load(&self, script: &str) -> Result<(), CacheError> {
            let program = self.0.path().join("compiler");
            std::fs::write(&program, format!("#!/bin/sh\n{script}\n")).expect("written");
            let executable = PermissionsExt::from_mode(0o755);
            std::fs::set_permissions(&program, executable).expect("a mode");
            self.load_with(&program)
        }

        fn load_with(&self, program: &Path) -> Result<(), CacheError> {
            let process = CompilerProcess::of(program, Duration::from_millis(500));
            let cache = self.0.path().join("cache");
            let cache = ComponentCache::new(&cache).compiling_in(process);
            let engine = Engine::new().expect("an engine");
            cache.load(&engine, &self.component()).map(drop)
        }
    }

    #[test]
    fn what_the_compiler_says_of_a_component_is_passed_on() {
        let place = Place::new();
        let error = place.load("echo it is no good >&2; exit 1").err();
        let Some(CacheError::Invalid { path, reason }) = error else {
            panic!("not invalid, but {error:?}");
        };
        assert_eq!((path, &*reason), (place.component(), "it is no good"));
    }

    #[test]
    fn a_compiler_that_does_not_survive_is_told_and_not_replaced() {
        let place = Place::new();
        for (script, words) in [
            ("kill -9 $$", "signal: 9"),
            ("echo panicked >&2; exit 101", "101 panicked"),
            ("exec sleep 1000", "it had not ended after"),
        ] {
            let error = place.load(script).expect_err(script).to_string();
            assert!(error.contains(words), "{error}");
            assert!(error.contains("a.wasm"), "{error}");
        }
        let kept = std::fs::read_dir(place.0.path().join("cache")).expect("it is there");
        assert!(kept.flatten().all(|it| !is_code(&it.path())));
    }

    #[test]
    fn without_a_compiler_of_its_own_a_process_compiles_itself() {
        for script in ["exit 0", "echo the disk is full >&2; exit 2"] {
            Place::new().load(script).expect(script);
        }
        let place = Place::new();
        let absent = Path::new("/nonexistent/compiler");
        place.load_with(absent).expect("compiled here");
        // From now on there is code.
        place.load("exit 1").expect("nothing is compiled");
    }

    fn is_code(path: &Path) -> bool {
        path.extension().is_some_and(|it| it == "cwasm")
    }
}
