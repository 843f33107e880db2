//! Standard output and standard error: text for people, JSON for machines; colour on terminals only.

use super::error::CliError;
use serde::Serialize;
use serde_json::json;
use std::io::{self, IsTerminal, Write};
use tracing_subscriber::EnvFilter;

/// The variable that asks for the program's own journal, in the syntax of `RUST_LOG`.
const JOURNAL_VARIABLE: &str = "TASK_RUNTIME_LOG";

/// How to print.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    json: bool,
    verbose: bool,
    terminal: bool,
    colours: bool,
}

impl Output {
    /// Prints JSON or text; `verbose` asks for progress even where there is no terminal.
    pub fn new(json: bool, verbose: bool) -> Self {
        Self {
            json,
            verbose,
            terminal: io::stderr().is_terminal(),
            colours: io::stdout().is_terminal()
                && io::stderr().is_terminal()
                && !colours_unwanted(),
        }
    }

    /// Whether somebody asked for more words.
    pub fn verbose(&self) -> bool {
        self.verbose
    }

    /// Whether standard error is a terminal with a person before it, who may see progress while a machine reads standard output.
    pub fn terminal(&self) -> bool {
        self.terminal
    }

    /// Prints an answer: a document for machines, or a text for people.
    pub fn answer(
        &self,
        document: &impl Serialize,
        text: impl FnOnce() -> String,
    ) -> Result<(), CliError> {
        let mut printed = match self.json {
            true => serde_json::to_string(document)
                .map_err(|error| CliError::new("system", format!("answer: {error}")))?,
            false => text(),
        };
        if !printed.is_empty() && !printed.ends_with('\n') {
            printed.push('\n');
        }
        self.print(printed.as_bytes())
    }

    /// Prints a document that is JSON in either case, for people over several lines.
    pub fn document(&self, document: &impl Serialize) -> Result<(), CliError> {
        self.answer(document, || {
            serde_json::to_string_pretty(document).unwrap_or_default()
        })
    }

    /// Writes to standard output. Whoever closed it has read enough.
    pub fn print(&self, bytes: &[u8]) -> Result<(), CliError> {
        let mut stdout = io::stdout().lock();
        match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(CliError::new(
                "output",
                format!("standard output: {error}; send it elsewhere"),
            )),
            _ => Ok(()),
        }
    }

    /// Says something beside the answer, to people.
    pub fn say(&self, words: &str) {
        if !self.json {
            let _ = writeln!(io::stderr(), "{words}");
        }
    }

    /// Prints an error.
    pub fn error(&self, error: &CliError) {
        let text = match self.json {
            true => json!({"error": error}).to_string(),
            false => self.error_text(error),
        };
        let _ = writeln!(io::stderr(), "{text}");
    }

    fn error_text(&self, error: &CliError) -> String {
        let mut text = format!("{} {}", self.red("error:"), error.message);
        for rule in &error.violations {
            let place = match rule.location.as_str() {
                "" => "the document",
                place => place,
            };
            text.push_str(&format!("\n  {place}: {} ({})", rule.message, rule.kind));
        }
        text
    }

    /// Words in red, on a terminal.
    pub fn red(&self, words: &str) -> String {
        self.colour("31", words)
    }

    /// Words in green, on a terminal.
    pub fn green(&self, words: &str) -> String {
        self.colour("32", words)
    }

    fn colour(&self, code: &str, words: &str) -> String {
        match self.colours {
            true => format!("\x1b[1;{code}m{words}\x1b[0m"),
            false => words.to_owned(),
        }
    }

    /// Sends the program's own journal to standard error: what is asked for with `TASK_RUNTIME_LOG`, else warnings for people.
    pub fn start_journal(&self) {
        let asked = std::env::var(JOURNAL_VARIABLE).ok();
        let level = match (&asked, self.json, self.verbose) {
            (Some(_), ..) | (None, true, _) => "off",
            (None, false, false) => "warn",
            (None, false, true) => "info",
        };
        if asked.is_none() && level == "off" {
            return;
        }
        let filter = EnvFilter::new(asked.as_deref().unwrap_or(level));
        tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(io::stderr)
            .with_ansi(self.colours)
            .with_target(false)
            .without_time()
            .init();
    }
}

/// The convention of no-color.org.
fn colours_unwanted() -> bool {
    std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
}
