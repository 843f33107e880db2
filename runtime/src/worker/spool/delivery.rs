//! Telling the server: artifact by artifact, relation by relation, and the result last. Each step is written down, so that it is not taken
//! twice.

use super::journal::{Creation, Operation, POST_EXECUTION_LOG, State};
use super::{Entry, SpoolError, store};
use crate::artifacts::debusine::{ArtifactInformation, Patience, Server, ServerError, UploadFile};
use crate::artifacts::{ArtifactId, Relation, Wanted};
use crate::worker::work_request::{ErrorCode, Report};
use reqwest::{Method, StatusCode};
use serde::Deserialize;
use std::fs::File;
use std::io::{self, Seek, Write};
use std::time::Duration;
use tokio::time::sleep;

/// What came of telling the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivered {
    /// The server has everything.
    Completely,
    /// The server has everything but the result: the work request is not ours at the moment.
    Unassigned,
}

/// Why the server was not told.
#[derive(Debug, thiserror::Error)]
pub enum Undelivered {
    /// Whoever answers is no Debusine server, and was not replaced by one in time; or this machine cannot read its own spool. Another day that
    /// may be otherwise.
    #[error("{0}")]
    Postponed(ServerError),
    /// The server will never take the result.
    #[error("{error}")]
    Refused {
        /// In its words.
        error: ServerError,
        /// Whether it took the word that there is a result that it does not take, and counts the work request as an error.
        told: bool,
    },
}

/// The answer about a work request, as far as it matters here.
#[derive(Debug, Deserialize)]
struct Progress {
    #[serde(default)]
    artifacts: Vec<ArtifactId>,
}

impl Entry {
    /// Tells the server everything, and waits as long as that takes: for the network, for the server, for the worker to be enabled.
    pub async fn deliver(&mut self, server: &Server) -> Result<Delivered, Undelivered> {
        let server = server.clone().with_patience(Patience {
            give_up: Duration::MAX / 4,
            for_permission: true,
            ..*server.patience()
        });
        while let Some(operation) = self.journal.operations.get(self.journal.done).cloned() {
            let told = match operation {
                Operation::Create(creation) => self.create(&server, creation).await,
                Operation::Relate(relation) => self.relate(&server, relation).await,
            };
            match told {
                Ok(()) => self.journal.done += 1,
                Err(error) if says_nothing(&error) => return Err(Undelivered::Postponed(error)),
                Err(error) => self.refused(&error),
            }
            server.traffic().advance();
            self.note_progress();
        }
        self.report_to(&server).await
    }

    /// Makes an artifact and sends its files, from wherever an earlier attempt ended.
    async fn create(&mut self, server: &Server, creation: Creation) -> Result<(), ServerError> {
        let information = match creation.created {
            Some(id) => patiently(server, async || server.artifact_information(id).await).await?,
            None => self.ask_for(server, &creation).await?,
        };
        if let Some(Operation::Create(creation)) =
            self.journal.operations.get_mut(self.journal.done)
        {
            creation.created = Some(information.id());
        }
        self.note_progress();
        for path in &information.files_to_upload {
            let Some(file) = creation.files.iter().find(|file| file.path == *path) else {
                return Err(ServerError::Damaged(format!(
                    "artifact {}: the server asks for the file {path:?}, which it does not have",
                    information.id()
                )));
            };
            patiently(server, async || {
                let content = self.open(file)?;
                server.upload_file(information.id(), file, content).await
            })
            .await?;
        }
        Ok(())
    }

    /// Asks the server to make an artifact. If it is unknown whether an earlier question arrived, it is looked for first.
    async fn ask_for(
        &mut self,
        server: &Server,
        creation: &Creation,
    ) -> Result<ArtifactInformation, ServerError> {
        let mut in_doubt = creation.attempted;
        if let Some(Operation::Create(creation)) =
            self.journal.operations.get_mut(self.journal.done)
        {
            creation.attempted = true;
        }
        self.note_progress();
        let workspace = self.journal.workspace.as_deref();
        let id = self.journal.work_request;
        let (category, data, files) = (&creation.category, &creation.data, &creation.files);
        patiently(server, async || {
            if in_doubt && let Some(found) = self.find(server, creation).await? {
                tracing::info!(
                    "work request {id}: artifact {} is there already",
                    found.id()
                );
                return Ok(found);
            }
            let asked = server
                .create_artifact(category, data, files, Some(id), workspace)
                .await;
            // A proxy may have given up on a server that had not.
            let unclear = |error: &ServerError| match error {
                ServerError::Unanswered { .. } => true,
                // Without a status it may be a success that was not told as it should be.
                ServerError::Unexpected { status, .. } => status.is_none() || error.is_temporary(),
                _ => false,
            };
            in_doubt |= asked.as_ref().is_err_and(unclear);
            asked
        })
        .await
    }

    /// An artifact of this work request that is like this one, and is none of those that we know of.
    async fn find(
        &self,
        server: &Server,
        wanted: &Creation,
    ) -> Result<Option<ArtifactInformation>, ServerError> {
        let path = format!("/work-request/{}/", self.journal.work_request);
        let answer = match server.once(Method::GET, &path, None).await {
            Err(error) if error.is_temporary() => return Err(error),
            // Workers may not ask on this server: at worst there will be two of the artifact, which is better than none.
            Err(error) => {
                tracing::warn!("{error}; an artifact may be made twice");
                return Ok(None);
            }
            Ok(answer) => answer.json::<Progress>()?,
        };
        let known: Vec<_> = self
            .journal
            .creations()
            .filter_map(|it| it.created)
            .collect();
        for id in answer.artifacts {
            if known.contains(&id) {
                continue;
            }
            let found = server.artifact_information(id).await?;
            if found.is_like(&wanted.category, &wanted.data, &wanted.files) {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    async fn relate(&self, server: &Server, relation: Relation) -> Result<(), ServerError> {
        let (Some(from), Some(to)) = (
            self.journal.real(relation.from),
            self.journal.real(relation.to),
        ) else {
            tracing::warn!("a relation is left out: one of its artifacts was never made");
            return Ok(());
        };
        let kind = relation.kind;
        patiently(server, async || {
            server.relate(Relation { from, to, kind }).await
        })
        .await
    }

    async fn report_to(&mut self, server: &Server) -> Result<Delivered, Undelivered> {
        let Some(report) = &self.journal.report else {
            return Ok(Delivered::Completely);
        };
        match self.tell(server, report).await {
            Ok(()) => Ok(Delivered::Completely),
            Err(error) if says_nothing(&error) => Err(Undelivered::Postponed(error)),
            Err(error) if error.status() == Some(StatusCode::UNAUTHORIZED) => {
                tracing::info!("{error}; the result is kept for when it is asked for again");
                self.journal.state = State::Unassigned;
                self.note_progress();
                Ok(Delivered::Unassigned)
            }
            Err(error) => {
                let told = self.tell_of_refusal(server, &error).await;
                Err(Undelivered::Refused { error, told })
            }
        }
    }

    async fn tell(&self, server: &Server, report: &Report) -> Result<(), ServerError> {
        let path = format!("/work-request/{}/completed/", self.journal.work_request);
        let document = report.document();
        patiently(server, async || {
            server.repeated(Method::PUT, &path, Some(&document)).await
        })
        .await
        .map(drop)
    }

    /// The server does not take this result, but it may take the word that there is one. Else it would wait for it, and in the end give the work
    /// request to somebody else, whose result it would not take either.
    async fn tell_of_refusal(&self, server: &Server, error: &ServerError) -> bool {
        if error.status() != Some(StatusCode::BAD_REQUEST) {
            return false;
        }
        let (task, words) = (&self.journal.task, in_python(error));
        let message =
            format!("Task: {task} Error execute: the server does not take the result: {words}");
        let report = Report::error(ErrorCode::ExecuteFailed, message);
        match self.tell(server, &report).await {
            Ok(()) => true,
            Err(error) => {
                let id = self.journal.work_request;
                tracing::error!("work request {id}: nor does it take the word of that: {error}");
                false
            }
        }
    }

    /// The server said no for good: what depends on it is left out, and the result tells so.
    fn refused(&mut self, error: &ServerError) {
        tracing::warn!("work request {}: {error}", self.journal.work_request);
        let words = in_python(error);
        if !self.journal.refuse(&words) {
            return;
        }
        let text = format!(
            "Exception type: upload-refused\nMessage: {words}\n\nStage: Uploading artifacts\n{error}\n"
        );
        if let Err(error) = self.add_to_log(&text) {
            tracing::warn!("{POST_EXECUTION_LOG}: {error}");
        }
    }

    fn add_to_log(&mut self, text: &str) -> Result<(), SpoolError> {
        let failed = |error| SpoolError::Disk {
            path: self.directory.clone(),
            doing: "writing a log",
            error,
        };
        let Some(logs) = self.journal.logs_to_come() else {
            return Ok(());
        };
        let place = self.directory.join("files");
        let earlier = logs
            .files
            .iter()
            .position(|it| it.path == POST_EXECUTION_LOG);
        let write = |earlier: Option<&UploadFile>| -> io::Result<UploadFile> {
            let mut whole = tempfile::tempfile_in(&place)?;
            if let Some(earlier) = earlier {
                io::copy(&mut File::open(place.join(&earlier.sha256))?, &mut whole)?;
            }
            whole.write_all(text.as_bytes())?;
            whole.rewind()?;
            let (size, sha256) = store::keep(&place, whole, &Wanted::always())?;
            let path = POST_EXECUTION_LOG.to_owned();
            Ok(UploadFile { path, size, sha256 })
        };
        let file = write(earlier.map(|at| &logs.files[at])).map_err(failed)?;
        match earlier {
            Some(at) => logs.files[at] = file,
            None => logs.files.push(file),
        }
        logs.files.sort_by(|one, other| one.path.cmp(&other.path));
        Ok(())
    }

    fn open(&self, file: &UploadFile) -> Result<File, ServerError> {
        let path = self.content(&file.sha256);
        File::open(&path).map_err(|error| ServerError::File {
            what: format!("{}: {}", path.display(), file.path),
            error,
        })
    }
}

/// The server's own words as the reference shows them, else ours.
fn in_python(error: &ServerError) -> String {
    error
        .problem()
        .map_or_else(|| error.to_string(), |problem| problem.as_python())
}

/// Repeats what fails for now, for as long as it does. Whoever answers instead of a Debusine server is waited out too, as is a disk that does
/// not let itself be read, but not for ever: it may be about this one request, and other results wait behind it.
async fn patiently<T>(
    server: &Server,
    mut attempt: impl AsyncFnMut() -> Result<T, ServerError>,
) -> Result<T, ServerError> {
    let patience = server.patience();
    let (mut pause, mut wasted) = (patience.first_pause, Duration::ZERO);
    loop {
        let error = match attempt().await {
            Err(error) if error.is_temporary() || error.is_forbidden() || says_nothing(&error) => {
                error
            }
            outcome => return outcome,
        };
        if says_nothing(&error) {
            wasted += pause;
            if wasted > patience.nonsense {
                return Err(error);
            }
        }
        tracing::info!("{error}; trying again in {pause:?}");
        sleep(pause).await;
        pause = (pause * 2).min(patience.longest_pause);
    }
}

/// Whether the server has not been asked, or has not answered: it has refused nothing, so that nothing is to be left out.
fn says_nothing(error: &ServerError) -> bool {
    error.is_odd() || matches!(error, ServerError::File { .. })
}
