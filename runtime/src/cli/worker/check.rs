//! `worker --check`: looks at everything that a worker needs, and says what is wrong with it.

use super::super::output::Output;
use super::super::places::Places;
use super::super::tasks::Tasks;
use super::super::{Outcome, Status};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::time::Duration;
use task_runtime::artifacts::debusine::{Patience, Server, ServerError};
use task_runtime::worker::Spool;
use task_runtime::worker::configuration::Configuration;
use tokio::time::timeout;

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
            let (answers, knows) = server(configuration).await;
            find("server", answers);
            if let Some(knows) = knows {
                find("access", knows);
            }
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

/// What a server says of who asks; servers from 0.11 on do.
#[derive(Debug, Deserialize)]
struct Whoami {
    auth: bool,
    worker_token: bool,
}

/// Whether there is a Debusine server, and if it is known, whether that accepts the token. It is asked a question that changes nothing: who are we?
async fn server(
    configuration: &Configuration,
) -> (Result<String, String>, Option<Result<String, String>>) {
    let shown = &configuration.api_url;
    let answer = match timeout(PATIENCE, ask(configuration)).await {
        Ok(answer) => answer,
        Err(_) => {
            let silence = format!("{shown}: no answer within {PATIENCE:?}; is it up, and reached?");
            return (Err(silence), None);
        }
    };
    let is_debusine = match &answer {
        // A problem is told in Debusine's own way.
        Ok(_) => true,
        Err(error) => error.problem().is_some(),
    };
    if !is_debusine {
        let words = answer.err().map(|error| error.to_string());
        return (Err(format!("{shown}: {}", words.unwrap_or_default())), None);
    }
    let answers = Ok(format!("{shown}: a Debusine server answers"));
    let knows = configuration.token.as_ref().map(|_| access(answer));
    (answers, knows)
}

async fn ask(configuration: &Configuration) -> Result<Whoami, ServerError> {
    let patience = Patience {
        connect: PATIENCE,
        answer: PATIENCE,
        ..Patience::default()
    };
    let mut server = Server::new(&configuration.api_url, patience)?;
    if let Some(token) = &configuration.token {
        server = server.with_token(token)?;
    }
    let answer = server.once(reqwest::Method::GET, "/whoami/", None).await?;
    answer.json()
}

/// Whether the server lets the owner of the token work.
fn access(answer: Result<Whoami, ServerError>) -> Result<String, String> {
    match answer {
        Ok(whoami) if whoami.worker_token => {
            Ok("the server knows the token, and lets this worker work".to_owned())
        }
        Ok(whoami) if whoami.auth => Err(
            "the token is that of a user; remove the file to have the worker register itself"
                .to_owned(),
        ),
        Err(error) if !error.is_forbidden() => Err(format!("the server does not say: {error}")),
        _ => Err(
            "the server does not know the token, or the worker is not enabled: debusine-admin manage_worker enable NAME; if it was deleted there, remove the file token to register anew"
                .to_owned(),
        ),
    }
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

/// Looks without leaving anything: who asks may be another user than the one the worker will be.
fn room(spool: &Path) -> Result<String, String> {
    let shown = spool.display();
    if Spool::is_in_use(spool) {
        return Ok(format!("{shown}: in use by a running worker"));
    }
    match Spool::check_room(spool) {
        Ok(()) => Ok(shown.to_string()),
        Err(error) => Err(error.to_string()),
    }
}
