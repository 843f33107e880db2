//! What a person sees of a run: its stages with the time they take, and the output of commands as it comes.

use super::output::Output;
use std::io::{self, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use task_runtime::lifecycle::{Observer, Stage};

/// How often the line of the running stage is drawn anew.
pub const TICK: Duration = Duration::from_millis(100);

/// Wheels of the running stage.
const WHEEL: [char; 10] = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];

/// Draws on standard error: on a terminal, or line by line where more words were asked for; else nothing.
pub struct Progress {
    output: Output,
    since: Instant,
    running: Mutex<Option<Running>>,
}

/// The stage that is under way.
struct Running {
    stage: Stage,
    since: Instant,
    turn: usize,
    /// Whether its line is on the screen and has to be cleared before anything else is written.
    drawn: bool,
}

impl Progress {
    /// Progress for this kind of output.
    pub fn new(output: &Output) -> Self {
        Self {
            output: *output,
            since: Instant::now(),
            running: Mutex::new(None),
        }
    }

    /// Whether the line of the running stage moves.
    pub fn is_alive(&self) -> bool {
        self.output.terminal() && !self.output.verbose()
    }

    /// Draws the line of the running stage anew.
    pub fn tick(&self) {
        if !self.is_alive() {
            return;
        }
        if let Some(running) = &mut *self.running() {
            running.turn += 1;
            running.drawn = true;
            let wheel = WHEEL[running.turn % WHEEL.len()];
            let seconds = running.since.elapsed().as_secs();
            write(format!("\r\x1b[K{wheel} {} ({seconds} s)", running.stage).as_bytes());
        }
    }

    /// The last stage has ended.
    pub fn finish(&self) {
        self.end_stage(self.running().take());
    }

    /// Says something in between, whatever is on the screen.
    pub fn say(&self, words: &str) {
        if let Some(running) = &mut *self.running()
            && std::mem::take(&mut running.drawn)
        {
            write(b"\r\x1b[K");
        }
        self.output.say(words);
    }

    fn end_stage(&self, ended: Option<Running>) {
        let Some(ended) = ended.filter(|_| self.is_alive()) else {
            return;
        };
        let clear = if ended.drawn { "\r\x1b[K" } else { "" };
        let seconds = ended.since.elapsed().as_secs_f64();
        write(format!("{clear}  {} ({seconds:.1} s)\n", ended.stage).as_bytes());
    }

    fn running(&self) -> MutexGuard<'_, Option<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observer for Progress {
    fn stage(&self, stage: Stage) {
        let begun = Running {
            stage,
            since: Instant::now(),
            turn: 0,
            drawn: false,
        };
        let ended = self.running().replace(begun);
        self.end_stage(ended);
        if self.output.verbose() {
            let seconds = self.since.elapsed().as_secs_f64();
            write(format!("[{seconds:.1} s] {stage}\n").as_bytes());
        }
        self.tick();
    }

    fn output(&self, bytes: &[u8]) {
        if self.output.verbose() {
            write(bytes);
        }
    }
}

/// Progress that cannot be written is not worth an error.
fn write(bytes: &[u8]) {
    let mut stderr = io::stderr().lock();
    let _ = stderr.write_all(bytes).and_then(|()| stderr.flush());
}
