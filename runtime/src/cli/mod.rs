//! The command line: arguments in, printing out. One file for each subcommand.

mod allowance;
mod artifact;
mod can_run_on;
mod compile;
mod completion;
mod configure;
mod describe;
mod doctor;
mod documents;
mod dynamic_data;
mod environment;
mod error;
mod image;
mod inspect;
mod label;
mod limits;
mod list;
mod match_workers;
mod metadata;
mod output;
mod places;
mod progress;
mod run;
mod schema;
mod table;
mod tasks;
mod work_request;
mod worker;

use clap::builder::Resettable;
use clap::error::ErrorKind;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use error::CliError;
use output::Output;
use places::Places;
use std::ffi::OsStr;
use std::process::ExitCode;
use std::str::FromStr;

/// How a command ends; its number is the exit status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It did what it was asked for, or the answer is yes.
    Success = 0,
    /// The task failed, or the answer is no.
    Failure = 1,
    /// It could not be done: arguments, data, components, the store.
    Error = 2,
    /// A signal aborted it; a worker cannot start.
    Aborted = 3,
}

type Outcome = Result<Status, CliError>;

const EXAMPLES: &str = "\
Examples:
  task-runtime list
  task-runtime artifact import hello_2.10-3.dsc --name hello
  task-runtime run sbuild --data build.yaml -v
  task-runtime artifact export 7 out/
  task-runtime can-run-on sbuild --data build.yaml --worker worker.json

Exit status:
  0  success; the answer is yes
  1  the task failed; the answer is no; something is damaged, or missing (`verify`, `doctor`)
  2  error: arguments, data, unknown task, component, store
  3  aborted by a signal; a worker cannot start

With --json the answer is one JSON document on standard output. An error is one JSON object on a
line of standard error:
{\"error\": {\"kind\": …, \"message\": …, \"violations\": […]}}.";

/// Run Debian build and QA tasks that are packaged as WebAssembly components
#[derive(Parser)]
#[command(version, after_help = EXAMPLES, max_term_width = 120)]
struct Arguments {
    #[command(flatten)]
    places: Places,
    /// Print answers, and errors, as JSON
    #[arg(long, global = true, help_heading = "Output")]
    json: bool,
    /// Say more: output of commands as it comes, every stage
    #[arg(short, long, global = true, help_heading = "Output")]
    verbose: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// List the tasks that are there
    #[command(after_help = "Example:\n  task-runtime list --tasks my-tasks/")]
    List,
    /// Tell what a task is
    Describe(describe::Arguments),
    /// Print the JSON Schema of a task's data
    Schema(schema::Arguments),
    /// Check task data, and print them as the task understands them
    Configure(configure::Arguments),
    /// Print what a task is about in a few words
    Label(label::Arguments),
    /// Look up what task data name in the artifact store
    DynamicData(dynamic_data::Arguments),
    /// Tell whether a worker can run a task
    CanRunOn(can_run_on::Arguments),
    /// Tell which workers can run which tasks, for many of both
    Match(match_workers::Arguments),
    /// Print the metadata of this worker
    #[command(after_help = "Example:\n  task-runtime metadata > worker.json")]
    Metadata,
    /// Run a task
    Run(run::Arguments),
    /// Bring artifacts into the store, see them, take them out
    #[command(subcommand, after_help = artifact::EXAMPLES)]
    Artifact(artifact::Command),
    /// See the environments that tasks can run in
    #[command(subcommand, after_help = environment::EXAMPLES)]
    Environment(environment::Command),
    /// See the system images in the cache, check them, remove some
    #[command(subcommand, after_help = image::EXAMPLES)]
    Image(image::Command),
    /// Try out what this machine can do, and tell how to get what is missing
    #[command(
        after_help = "Example:\n  task-runtime doctor\n\nExit status: 1 if a guarantee does not hold here."
    )]
    Doctor,
    /// See the work requests that were run here
    #[command(subcommand, after_help = work_request::EXAMPLES)]
    WorkRequest(work_request::Command),
    /// Work for a Debusine server, in the place of debusine-worker
    Worker(worker::Arguments),
    /// Tell what a component exports and imports, and what it may do
    Inspect(inspect::Arguments),
    /// Compile tasks ahead of their first use
    Compile(compile::Arguments),
    /// Print a completion script for a shell
    Completion(completion::Arguments),
}

impl Arguments {
    fn of_this_process() -> Result<Self, clap::Error> {
        let mut command = without_empty_variables(Self::command());
        let mut matches = command.try_get_matches_from_mut(std::env::args_os())?;
        Self::from_arg_matches_mut(&mut matches).map_err(|error| error.format(&mut command))
    }
}

/// Options whose variable is there and empty are not set, as for the places and as unit files and shells write it.
fn without_empty_variables(command: clap::Command) -> clap::Command {
    let is_empty = |name: &OsStr| std::env::var_os(name).is_some_and(|value| value.is_empty());
    command
        .mut_args(|option| match option.get_env().is_some_and(is_empty) {
            true => option.env(Resettable::Reset),
            false => option,
        })
        .mut_subcommands(without_empty_variables)
}

/// A number as an option has it.
fn number<T: FromStr>(text: &str) -> Result<T, String> {
    text.parse()
        .map_err(|_| "not a number, or out of range; write it in digits".to_owned())
}

/// Does what the arguments of this process say.
pub fn main() -> ExitCode {
    let arguments = match Arguments::of_this_process() {
        Ok(arguments) => arguments,
        Err(error) => return refused(&error),
    };
    let output = Output::new(arguments.json, arguments.verbose);
    match arguments.command {
        // Its log is set up by its configuration.
        Command::Worker(_) => task_runtime::worker::share_heap(),
        _ => output.start_journal(),
    }
    let outcome = runtime().and_then(|runtime| runtime.block_on(dispatch(arguments, &output)));
    let status = outcome.unwrap_or_else(|error| {
        output.error(&error);
        Status::Error
    });
    ExitCode::from(status as u8)
}

/// One thread is enough: what computes has threads of its own, and starting none is what makes short answers quick.
fn runtime() -> Result<tokio::runtime::Runtime, CliError> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| {
            CliError::new(
                "system",
                format!("cannot start: {error}; raise the limit of open files (ulimit -n)"),
            )
        })
}

async fn dispatch(arguments: Arguments, output: &Output) -> Outcome {
    let places = &arguments.places;
    match arguments.command {
        Command::List => list::list(places, output).await,
        Command::Describe(arguments) => describe::describe(arguments, places, output).await,
        Command::Schema(arguments) => schema::schema(arguments, places, output).await,
        Command::Configure(arguments) => configure::configure(arguments, places, output).await,
        Command::Label(arguments) => label::label(arguments, places, output).await,
        Command::DynamicData(arguments) => {
            dynamic_data::dynamic_data(arguments, places, output).await
        }
        Command::CanRunOn(arguments) => can_run_on::can_run_on(arguments, places, output).await,
        Command::Match(arguments) => match_workers::match_workers(&arguments, places, output),
        Command::Metadata => metadata::metadata(places, output).await,
        Command::Run(arguments) => run::run(arguments, places, output).await,
        Command::Artifact(command) => artifact::artifact(command, places, output).await,
        Command::Environment(command) => environment::environment(command, places, output).await,
        Command::Image(command) => image::image(command, places, output).await,
        Command::Doctor => doctor::doctor(places, output).await,
        Command::WorkRequest(command) => work_request::work_request(command, places, output).await,
        Command::Worker(arguments) => worker::worker(arguments, places, output).await,
        Command::Inspect(arguments) => inspect::inspect(&arguments, places, output),
        Command::Compile(arguments) => compile::compile(arguments, places, output),
        Command::Completion(arguments) => {
            completion::completion(&arguments, Arguments::command(), output)
        }
    }
}

/// Arguments that are none, or a question for help.
fn refused(error: &clap::Error) -> ExitCode {
    let is_answer = matches!(
        error.kind(),
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
    );
    let as_json = std::env::args_os().any(|argument| argument == "--json");
    if is_answer || !as_json {
        let _ = error.print();
    } else {
        let message = error.render().to_string();
        let message = message.trim_start_matches("error: ").trim_end().to_owned();
        Output::new(true, false).error(&CliError::new("usage", message));
    }
    let status = if is_answer {
        Status::Success
    } else {
        Status::Error
    };
    ExitCode::from(status as u8)
}
