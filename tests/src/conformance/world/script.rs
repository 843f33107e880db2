//! Commands that do what the script of the vector says, on the host or in an instance.

use super::{World, tree};
use async_trait::async_trait;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use task_runtime::executor::{Abort, Command, Commands, ExecutorError, Exit, Sink, Stderr};
use task_runtime::host::Facts;
use tokio::io::AsyncWriteExt;

/// Where a command runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// On the host.
    Host,
    /// In an instance.
    Instance,
}

/// What a command said and how it ended.
#[derive(Default)]
struct Performance {
    status: i32,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

#[async_trait]
impl Commands for World {
    async fn run(&self, command: Command, _abort: &Abort) -> Result<Exit, ExecutorError> {
        self.perform(Place::Host, command).await
    }
}

impl World {
    /// Runs a command as the first rule says whose text is in its arguments; without one it succeeds silently.
    pub(super) async fn perform(
        &self,
        place: Place,
        command: Command,
    ) -> Result<Exit, ExecutorError> {
        self.look_for_keyrings();
        let arguments: Vec<String> = command
            .arguments
            .iter()
            .map(|argument| argument.to_string_lossy().into_owned())
            .collect();
        self.happened(self.event(place, &command, &arguments));
        let line = arguments.join(" ");
        let mut rules = self.input["script"].as_array().into_iter().flatten();
        let is_meant = |rule: &&Value| {
            rule["match"]
                .as_str()
                .is_some_and(|text| line.contains(text))
        };
        let rule = rules.find(is_meant).cloned();
        let Command {
            directory,
            stdin,
            stdout,
            stderr,
            ..
        } = command;
        let performance = match rule {
            Some(rule) if rule["exec"] == true => execute(&arguments, directory, stdin),
            Some(rule) if rule["passthrough"] == true => pass_through(stdin),
            Some(rule) => self.follow(&rule, directory.as_deref()),
            None => Ok(Performance::default()),
        };
        let performance = performance.map_err(|error| ExecutorError::Command(error.to_string()))?;
        say(&performance, stdout, stderr)
            .await
            .map_err(|error| ExecutorError::System(error.to_string()))?;
        Ok(match performance.status {
            signal if signal < 0 => Exit::Signalled(-signal),
            status => Exit::Exited(status),
        })
    }

    fn event(&self, place: Place, command: &Command, arguments: &[String]) -> Value {
        let mut event = json!({"ev": "run", "argv": arguments, "root": command.as_root});
        match place {
            Place::Instance => event["where"] = json!("instance"),
            Place::Host => {
                event["where"] = json!("host");
                event["cwd"] = json!(command.directory);
                if let Some(environment) = &command.environment {
                    event["env_set"] = self.own_variables(environment);
                }
            }
        }
        event
    }

    /// The variables of an environment that differ from the worker's.
    fn own_variables(&self, environment: &BTreeMap<OsString, OsString>) -> Value {
        let worker = self.environment();
        let is_own = |(name, value): &(&OsString, &OsString)| worker.get(*name) != Some(*value);
        let text = |text: &OsString| text.to_string_lossy().into_owned();
        let own = environment.iter().filter(is_own);
        let own: Map<String, Value> = own
            .map(|(name, value)| (text(name), json!(text(value))))
            .collect();
        Value::Object(own)
    }

    /// Writes the files of a rule, as a command in this directory would, and says what it says.
    fn follow(&self, rule: &Value, directory: Option<&Path>) -> io::Result<Performance> {
        for (path, content) in rule["files"].as_object().into_iter().flatten() {
            let path = directory.unwrap_or(Path::new("")).join(self.expanded(path));
            if !path.is_absolute() {
                return Err(io::Error::other(format!(
                    "a rule for a command without a directory writes {path:?}; begin that with the name of one, as ${{execute}}"
                )));
            }
            tree::write_entry(&path, content, &self.files)?;
        }
        let text = |name: &str| rule[name].as_str().unwrap_or_default().as_bytes().to_vec();
        let stdout = match rule.get("stdout_b64") {
            Some(encoded) => tree::bytes(&json!({"b64": encoded}), &self.files)?,
            None => text("stdout"),
        };
        Ok(Performance {
            status: rule["returncode"].as_i64().unwrap_or(0) as i32,
            stdout,
            stderr: text("stderr"),
        })
    }
}

/// Really runs a command, with standard output and standard error in one.
fn execute(
    arguments: &[String],
    directory: Option<PathBuf>,
    stdin: Option<std::fs::File>,
) -> io::Result<Performance> {
    let (mut reader, writer) = io::pipe()?;
    let mut command = std::process::Command::new(&arguments[0]);
    command
        .args(&arguments[1..])
        .current_dir(directory.as_deref().unwrap_or(Path::new("/")))
        .stdin(stdin.map_or_else(Stdio::null, Stdio::from))
        .stdout(writer.try_clone()?)
        .stderr(writer);
    let mut child = command.spawn()?;
    // The command holds the ends of the pipe to write to; the output ends when it has dropped them.
    drop(command);
    let mut stdout = Vec::new();
    reader.read_to_end(&mut stdout)?;
    Ok(Performance {
        status: child.wait()?.code().unwrap_or(-1),
        stdout,
        stderr: Vec::new(),
    })
}

/// Standard input becomes standard output, uncompressed.
fn pass_through(stdin: Option<std::fs::File>) -> io::Result<Performance> {
    let mut input = Vec::new();
    if let Some(mut stdin) = stdin {
        stdin.read_to_end(&mut input)?;
    }
    let mut stdout = Vec::new();
    if input.starts_with(b"\x1f\x8b") {
        flate2::read::MultiGzDecoder::new(&*input).read_to_end(&mut stdout)?;
    } else if input.starts_with(b"\xfd7zXZ\0") {
        liblzma::read::XzDecoder::new_multi_decoder(&*input).read_to_end(&mut stdout)?;
    } else {
        stdout = input;
    }
    Ok(Performance {
        stdout,
        ..Performance::default()
    })
}

async fn say(performance: &Performance, stdout: Option<Sink>, stderr: Stderr) -> io::Result<()> {
    let mut stdout = stdout;
    if let Some(sink) = &mut stdout {
        sink.write_all(&performance.stdout).await?;
        sink.flush().await?;
    }
    let sink = match stderr {
        Stderr::WithStdout => stdout,
        Stderr::To(sink) => Some(sink),
        Stderr::Discard => None,
    };
    if let Some(mut sink) = sink {
        sink.write_all(&performance.stderr).await?;
        sink.flush().await?;
    }
    Ok(())
}
