//! `worker`: life with a Debusine server, in the place of `debusine-worker`.

mod check;
mod log;
mod status;

use super::allowance::AllowanceArguments;
use super::error::CliError;
use super::output::Output;
use super::places::Places;
use super::run::PassableEnvironments;
use super::run::Signals;
use super::tasks::Tasks;
use super::{Outcome, Status, number};
use log::LogTarget;
use std::path::PathBuf;
use std::sync::Arc;
use task_runtime::artifacts::debusine::{Patience, Server};
use task_runtime::artifacts::local::SPOOL;
use task_runtime::executor::{Allowance, HostCommands};
use task_runtime::host::WebDownloads;
use task_runtime::lifecycle::RunOptions;
use task_runtime::worker::configuration::{Configuration, LogLevel};
use task_runtime::worker::metadata::WORKER_TYPE;
use task_runtime::worker::registration::{fully_qualified_name, register};
use task_runtime::worker::{
    Description, Dispatch, Metrics, Operator, Owner, Rhythm, Spool, Stop, Worker,
};
use tokio::sync::watch;

/// Arguments of `worker`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The configuration is that of debusine-worker: config.ini, token and activation-token in the first of ~/.config/debusine/worker and
/etc/debusine/worker that exists. A worker without a token registers itself; enable it on the server: debusine-admin manage_worker enable NAME.

Examples:
  task-runtime worker --check
  task-runtime worker --log-level DEBUG
  task-runtime worker --on-terminate drain --metrics-port 9464
  task-runtime worker --memory-limit 16GiB --process-limit 20000 --grace 10
  task-runtime worker status

Signals: SIGTERM and SIGINT end it as --on-terminate says; a second one ends it at once. A result that the server does not have
yet is kept, and delivered after the next start.

Exit status:
  0  it was asked to end, and has
  1  --check has found something wrong; `status` has found no worker
  3  it cannot start: configuration, registration, spool")]
pub struct Arguments {
    /// Directory of the configuration, instead of the usual places
    #[arg(long, value_name = "DIR")]
    configuration: Option<PathBuf>,
    /// Append the log to a file
    #[arg(long, value_name = "FILE")]
    log_file: Option<PathBuf>,
    /// DEBUG, INFO, WARNING, ERROR or CRITICAL
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<LogLevel>,
    /// Type of worker; others than external are not offered here
    #[arg(long, value_name = "TYPE", default_value = WORKER_TYPE)]
    worker_type: String,
    /// Validate configuration, token, server, tasks and spool; explain what is wrong; do not work
    #[arg(long)]
    check: bool,
    /// Where results wait for delivery [default: worker/ in the directory of the artifact store]
    #[arg(long, value_name = "DIR")]
    spool: Option<PathBuf>,
    /// Offer metrics for Prometheus on this port of the loopback interface
    #[arg(long, value_name = "PORT", value_parser = number::<u16>)]
    metrics_port: Option<u16>,
    /// What SIGTERM does to a task that runs
    #[arg(long, value_name = "HOW", default_value = "abort")]
    on_terminate: OnTerminate,
    #[command(flatten)]
    allowance: AllowanceArguments,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Tell what the worker is doing
    #[command(
        after_help = "Example:\n  task-runtime worker status --json\n\nExit status: 1 if there is no worker."
    )]
    Status,
}

/// What becomes of a task when the worker is asked to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum OnTerminate {
    /// It is aborted; its logs are delivered; the server gives it out again
    Abort,
    /// It is finished and delivered first
    Drain,
}

/// Lives as a worker, or tells about one.
pub async fn worker(arguments: Arguments, places: &Places, output: &Output) -> Outcome {
    let spool = match &arguments.spool {
        Some(spool) => spool.clone(),
        None => places.store_path()?.join(SPOOL),
    };
    if matches!(arguments.command, Some(Command::Status)) {
        return status::status(&spool, output);
    }
    let directories = match &arguments.configuration {
        Some(directory) => vec![directory.clone()],
        None => Configuration::directories(&home()),
    };
    if arguments.check {
        return check::check(&directories, &spool, places, output).await;
    }
    match prepare(&arguments, &directories, spool, places).await {
        Ok(worker) => {
            live(worker, arguments.on_terminate).await;
            Ok(Status::Success)
        }
        // The status with which the reference ends, and which service managers know.
        Err(error) => {
            tracing::error!("{}", error.message);
            output.error(&error);
            Ok(Status::Aborted)
        }
    }
}

/// Everything that has to be right before a worker can live.
async fn prepare(
    arguments: &Arguments,
    directories: &[PathBuf],
    spool: PathBuf,
    places: &Places,
) -> Result<Worker, CliError> {
    let fatal =
        |kind: &'static str, error: &dyn std::fmt::Display| CliError::new(kind, error.to_string());
    check_worker_type(&arguments.worker_type)?;
    let configuration = Configuration::read(directories);
    let mut configuration = configuration.map_err(|error| fatal("configuration", &error))?;
    let log_file = arguments
        .log_file
        .clone()
        .or(configuration.log_file.clone());
    let target = LogTarget::open(log_file)?;
    target.start(arguments.log_level.or(configuration.log_level));
    let tasks = Tasks::open_lean(places)?;
    let server = Server::new(&configuration.api_url, Patience::default());
    let server = server.map_err(|error| fatal("configuration", &error))?;
    if configuration.token.is_none() {
        enrol(&server, &mut configuration).await?;
    }
    let token = configuration.token.clone().unwrap_or_default();
    let owner = Owner::new(server.api(), &token);
    let server = server
        .with_token(&token)
        .map_err(|error| fatal("configuration", &error))?;
    let spool = Spool::open(&spool, owner).map_err(|error| fatal("spool", &error))?;
    let metrics = Arc::new(Metrics::new().with_traffic(&server));
    if let Some(port) = arguments.metrics_port {
        let metrics = Arc::clone(&metrics);
        tokio::spawn(async move {
            if let Err(error) = metrics.serve(port).await {
                tracing::error!("no metrics on port {port}: {error}");
            }
        });
    }
    let operator = Arc::new(Operator::new(server.api(), spool.directory(), metrics));
    let allowance = arguments.allowance.allowance();
    assemble(server, spool, operator, tasks, places, allowance)
}

/// Registers this machine, and keeps the token.
async fn enrol(server: &Server, configuration: &mut Configuration) -> Result<(), CliError> {
    let failed = |error: &dyn std::fmt::Display| CliError::new("registration", error.to_string());
    configuration
        .check_writable()
        .map_err(|error| failed(&error))?;
    let name = fully_qualified_name();
    let activation_token = configuration.activation_token.as_deref();
    let token = register(server, activation_token, &name, WORKER_TYPE).await;
    let token = token.map_err(|error| failed(&error))?;
    configuration
        .keep_token(&token)
        .map_err(|error| failed(&error))?;
    tracing::info!(
        "registered as {name}; enable it on the server: debusine-admin manage_worker enable NAME"
    );
    Ok(())
}

fn assemble(
    server: Server,
    spool: Spool,
    operator: Arc<Operator>,
    tasks: Tasks,
    places: &Places,
    allowance: Allowance,
) -> Result<Worker, CliError> {
    let cache = places.cache()?;
    let options = RunOptions {
        policy: Arc::new(places.policy()?),
        ..places.limits().run(tasks.engine().options())
    };
    let registry = Arc::new(tasks.registry);
    let (images, runs) = (cache.clone(), options.directory.clone());
    Ok(Worker {
        description: Description {
            registry: Arc::clone(&registry),
            linkers: Arc::clone(&tasks.linkers),
            facts: Arc::clone(&tasks.facts),
            kept: cache.join("architectures.json"),
        },
        dispatch: Dispatch {
            registry,
            linkers: tasks.linkers,
            facts: tasks.facts,
            commands: Arc::new(HostCommands::new().allowance(&allowance)),
            downloads: Arc::new(WebDownloads::default()),
            environments: Box::new(move |store| {
                Arc::new(PassableEnvironments::new(store, &images, &runs, &allowance))
            }),
            cache,
            options,
        },
        server,
        spool,
        operator,
        rhythm: Rhythm::default(),
    })
}

/// Lives until signals end it.
async fn live(worker: Worker, on_terminate: OnTerminate) {
    let first = match on_terminate {
        OnTerminate::Abort => Stop::Abort,
        OnTerminate::Drain => Stop::Drain,
    };
    let (stop, stopping) = watch::channel(Stop::No);
    let mut signals = Signals::listen();
    let life = worker.run(stopping);
    tokio::pin!(life);
    loop {
        tokio::select! {
            () = &mut life => return,
            signal = signals.next() => {
                tracing::info!("{signal}");
                let next = if *stop.borrow() == Stop::No { first } else { Stop::Now };
                stop.send_replace(next);
            }
        }
    }
}

fn check_worker_type(worker_type: &str) -> Result<(), CliError> {
    if worker_type == WORKER_TYPE {
        return Ok(());
    }
    Err(CliError::new(
        "usage",
        format!(
            "worker type {worker_type:?}: this worker runs {WORKER_TYPE} tasks only; signing needs debusine-signing"
        ),
    ))
}

/// The home directory: of the environment, else of the system's users.
fn home() -> PathBuf {
    let named = std::env::var_os("HOME").filter(|home| !home.is_empty());
    let user = || {
        nix::unistd::User::from_uid(nix::unistd::geteuid())
            .ok()
            .flatten()
    };
    named
        .map(PathBuf::from)
        .or_else(|| Some(user()?.dir))
        .unwrap_or_else(|| "/".into())
}
