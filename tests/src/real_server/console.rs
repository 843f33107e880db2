//! Python with the server's models: for what an administrator does, and for what the server's interface would refuse.

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// One process that runs program after program.
pub(super) struct Console {
    process: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Told {
    Answer(Value),
    Failed(String),
}

impl Console {
    /// Starts it. The first program waits until it is ready.
    pub(super) fn start(script: &str) -> Result<Self> {
        let mut process = Command::new(script)
            .arg("console")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let input = process.stdin.take();
        let output = BufReader::new(process.stdout.take().context("a pipe")?);
        Ok(Self {
            process,
            input,
            output,
        })
    }

    /// Runs a program; what it left in `answer`.
    pub(super) fn run(&mut self, program: &str) -> Result<Value> {
        let input = self.input.as_mut().context("a pipe")?;
        writeln!(input, "{}", Value::from(program))?;
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        match serde_json::from_str(&line).with_context(|| format!("the console says {line:?}"))? {
            Told::Answer(answer) => Ok(answer),
            Told::Failed(trace) => bail!("{program}: {trace}"),
        }
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        // It ends when its input does.
        drop(self.input.take());
        let _ = self.process.wait();
    }
}
