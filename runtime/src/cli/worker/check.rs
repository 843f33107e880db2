//! `worker --check`: looks at everything that a worker needs, and says what is wrong with it.

use super::super::output::Output;
use super::super::places::Places;
use super::super::tasks::Tasks;
use super::super::{Outcome, Status};
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::time::Duration;
use task_runtime::artifacts::debusine::{Patience, Server, ServerError};
use task_runtime::worker::configuration::Configuration;
use task_runtime::worker::{Owner, Spool, SpoolError};

/// How long the server is waited for.
const PATIENCE: Duration = Duration::from_secs(15);

/// What was looked at.
#[derive(Debug, Serialize)]
struct Finding {
    what: &'static str,
    good: bool,
    words: String,
}

/// Prints a line for each thing.
pub async fn check(
    directories: &[PathBuf],
    spool: &Path,
    places: &Places,
    output: &Output,
) -> Outcome {
    let mut findings = Vec::new();
    let mut find = |what, found: Result<String, String>| {
        let (good, words) = match found {
            Ok(words) => (true, words),
            Err(words) => (false, words),
        };
        findings.push(Finding { what, good, words });
    };
    let configuration = Configuration::read(directories).map_err(|error| error.to_string());
    match &configuration {
        Ok(configuration) => {
            find(
                "configuration",
                Ok(configuration.directory.display().to_string()),
            );
            find("token", token(configuration));
            find("server", server(configuration).await);
        }
        Err(words) => find("configuration", Err(words.clone())),
    }
    find("tasks", tasks(places));
    find("spool", room(spool));
    let good = findings.iter().all(|finding| finding.good);
    output.answer(&findings, || text(&findings, output))?;
    Ok(if good {
        Status::Success
    } else {
        Status::Failure
    })
}

fn text(findings: &[Finding], output: &Output) -> String {
    let line = |finding: &Finding| {
        let verdict = match finding.good {
            true => output.green("good"),
            false => output.red("bad "),
        };
        format!("{verdict}  {:<14}{}\n", finding.what, finding.words)
    };
    findings.iter().map(line).collect()
}

fn token(configuration: &Configuration) -> Result<String, String> {
    if configuration.token.is_some() {
        return Ok("there, and private".to_owned());
    }
    configuration
        .check_writable()
        .map_err(|error| error.to_string())?;
    Ok(match configuration.activation_token {
        Some(_) => "none yet: the worker registers itself with its activation token",
        None => "none yet: the worker registers itself, and is to be enabled on the server then",
    }
    .to_owned())
}

/// Whether there is a Debusine server, and whether it accepts the token.
async fn server(configuration: &Configuration) -> Result<String, String> {
    let patience = Patience {
        connect: PATIENCE,
        answer: PATIENCE,
        ..Patience::default()
    };
    let shown = &configuration.api_url;
    let server = Server::new(shown, patience).map_err(|error| error.to_string())?;
    let told = |error: ServerError| format!("{shown}: {error}");
    let answer = server
        .once(reqwest::Method::GET, "/service-status/", None)
        .await;
    answer
        .and_then(|answer| answer.json::<serde_json::Map<_, _>>())
        .map_err(told)?;
    Ok(format!("{shown}: a Debusine server answers"))
}

fn tasks(places: &Places) -> Result<String, String> {
    let tasks = Tasks::open(places).map_err(|error| error.message)?;
    let names: Vec<String> = tasks.registry.tasks().map(|(name, _)| name).collect();
    if names.is_empty() {
        return Err(
            "none found: there would be no work; name their directory with --tasks".to_owned(),
        );
    }
    Ok(names.join(", "))
}

fn room(spool: &Path) -> Result<String, String> {
    let opened = Spool::open(spool, Owner::new("", ""));
    match opened.and_then(|spool| spool.check()) {
        Ok(()) => Ok(spool.display().to_string()),
        Err(SpoolError::InUse(_)) => Ok(format!("{}: in use by a running worker", spool.display())),
        Err(error) => Err(error.to_string()),
    }
}
