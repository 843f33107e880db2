//! `commands`: running a program on the host, or (for [`executor`](super::executor)) in an instance, with its output where it belongs.

use super::bindings::debusine::task::commands::{self, Command, Exit as WitExit, Outcome, Output};
use super::capabilities::variables;
use super::command_log::{self, CommandLog, Place};
use super::files::DirectoryHandle;
use super::long_work::{self, Wanted};
use super::sinks::{self, Collected};
use super::{Facts, Fault, HostState, Powers, TaskLogs};
use crate::executor::{self, Commands, Exit, Sink, Stderr};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::sync::Arc;
use std::time::Duration;
use wasmtime::component::Resource;

/// The most bytes of output that go back to a component.
const LARGEST_RETURN: u32 = 16 << 20;

/// What a command in an instance finds in its environment besides the component's own variables.
const INSTANCE_ENVIRONMENT: [(&str, &str); 2] = [
    ("LANG", "C.UTF-8"),
    (
        "PATH",
        "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    ),
];

/// Runs a component's command at a place.
pub(super) async fn run(
    place: Place,
    commands: &dyn Commands,
    command: Command,
    files: &DirectoryHandle,
    powers: &Powers,
    facts: &dyn Facts,
) -> Result<Outcome, Fault> {
    let collected = Collected::default();
    let environment = environment(place, command.environment.as_deref(), facts)?;
    let prepared = prepare(place, &command, environment, files, powers, &collected)?;
    let exit = commands.run(prepared, &powers.abort).await?;
    let (output, logs, files) = (command.output, Arc::clone(&powers.logs), files.clone());
    // After an abort as well: readers look for the command's end in its log.
    long_work::to_its_end(move |wanted| finish(place, &output, &files, &logs, exit, wanted))
        .await?;
    Ok(Outcome {
        exit: exit.into(),
        output: collected.take(),
    })
}

fn prepare(
    place: Place,
    command: &Command,
    environment: Option<BTreeMap<OsString, OsString>>,
    files: &DirectoryHandle,
    powers: &Powers,
    collected: &Collected,
) -> Result<executor::Command, Fault> {
    let (stdout, stderr) = outputs(place, command, files, powers, collected)?;
    let input = command.input.as_deref();
    let directory = match place {
        Place::Host => Some(files.reachable_location()?.to_owned()),
        Place::Instance => None,
    };
    Ok(executor::Command {
        arguments: command.arguments.iter().map(OsString::from).collect(),
        directory,
        environment,
        as_root: command.as_root,
        stdin: input.map(|name| files.open_file(name)).transpose()?,
        stdout,
        stderr,
        timeout: command
            .timeout_seconds
            .map(|seconds| Duration::from_secs(seconds.into())),
    })
}

fn outputs(
    place: Place,
    command: &Command,
    files: &DirectoryHandle,
    powers: &Powers,
    collected: &Collected,
) -> Result<(Option<Sink>, Stderr), Fault> {
    let logs = &*powers.logs;
    let command_log = |capture| CommandLog {
        logs,
        capture,
        place,
    };
    Ok(match &command.output {
        Output::CommandLog => {
            let log = command_log(None).begin(&command.arguments)?;
            (Some(log), Stderr::WithStdout)
        }
        Output::Capture(name) => {
            let captured = files.create_file(name, 0o644)?;
            let log = command_log(Some(name)).begin(&command.arguments)?;
            (Some(sinks::sink(captured)), Stderr::To(log))
        }
        Output::Log(name) => {
            let begin = command_log::begin_plain(&command.arguments);
            let log = logs
                .append(name, &begin)
                .and_then(|()| logs.sink(name))
                .map_err(|error| Fault::io(name, &error))?;
            (Some(log), Stderr::WithStdout)
        }
        Output::File(name) => {
            let file = files.create_file(name, 0o644)?;
            (Some(sinks::sink(file)), Stderr::Discard)
        }
        Output::Return(limit) => {
            let limit = (*limit).min(LARGEST_RETURN) as usize;
            (Some(collected.sink(limit)), Stderr::Discard)
        }
        Output::Discard => (None, Stderr::Discard),
    })
}

fn finish(
    place: Place,
    output: &Output,
    files: &DirectoryHandle,
    logs: &TaskLogs,
    exit: Exit,
    wanted: &Wanted,
) -> Result<(), Fault> {
    let command_log = |capture| CommandLog {
        logs,
        capture,
        place,
    };
    match output {
        Output::CommandLog => command_log(None).end(exit, files, wanted),
        Output::Capture(name) => command_log(Some(name)).end(exit, files, wanted),
        Output::Log(name) if exit == Exit::Exited(0) => logs
            .append(name, command_log::END_PLAIN)
            .map_err(|error| Fault::io(name, &error)),
        Output::Log(_) | Output::File(_) | Output::Return(_) | Output::Discard => Ok(()),
    }
}

/// The environment of the place with the component's variables; none if it has none of its own.
fn environment(
    place: Place,
    additions: Option<&[(String, String)]>,
    facts: &dyn Facts,
) -> Result<Option<BTreeMap<OsString, OsString>>, Fault> {
    let Some(additions) = additions else {
        return Ok(None);
    };
    let mut environment: BTreeMap<OsString, OsString> = match place {
        Place::Host => facts.environment(),
        Place::Instance => INSTANCE_ENVIRONMENT
            .iter()
            .map(|(name, value)| (OsString::from(name), OsString::from(value)))
            .collect(),
    };
    for (name, value) in additions {
        let objection = match place {
            Place::Host => variables::objection(name),
            Place::Instance => None,
        };
        if let Some(why) = objection {
            return Err(Fault::new("command", why));
        }
        environment.insert(name.into(), value.into());
    }
    Ok(Some(environment))
}

impl From<Exit> for WitExit {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Exited(status) => Self::Exited(status),
            Exit::Signalled(signal) => Self::Signalled(signal),
            Exit::TimedOut => Self::TimedOut,
            Exit::Aborted => Self::Aborted,
            Exit::OutOfMemory => Self::OutOfMemory,
        }
    }
}

impl commands::Host for HostState {
    async fn run_on_host(
        &mut self,
        command: Command,
        files: Resource<DirectoryHandle>,
    ) -> Result<Outcome, Fault> {
        if command.as_root {
            return Err(Fault::new(
                "command",
                "a command on the host cannot run as root; run it in an instance",
            ));
        }
        let files = self.directory(&files)?;
        let powers = self.powers()?.clone();
        let facts = Arc::clone(&self.facts);
        run(
            Place::Host,
            &*powers.commands,
            command,
            &files,
            &powers,
            &*facts,
        )
        .await
    }
}
