//! The unprivileged user of an instance: found, or made with the instance's own tools. And short answers of commands.

use super::orders::Credentials;
use super::{Abort, Command, Commands, ExecutorError, Exit, Stderr};
use std::ffi::OsString;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use tokio::io::AsyncWrite;

/// Its name, the reference's.
pub(super) const USER: &str = "_debusine";

/// Bytes of an answer that are kept.
const LONGEST_ANSWER: usize = 1 << 16;

/// Makes sure that the user exists.
pub(super) async fn ensure(
    place: &dyn Commands,
    abort: &Abort,
) -> Result<Credentials, ExecutorError> {
    if let Some(user) = find(place, abort).await? {
        return Ok(user);
    }
    let home = format!("/home/{USER}");
    let add = ["useradd", "--home-dir", &home, "--create-home", USER];
    answer_of(place, &add, abort).await?;
    find(place, abort).await?.ok_or_else(|| {
        ExecutorError::Image(format!(
            "the user {USER} cannot be created in the instance; its image needs getent and useradd (packages libc-bin and passwd)"
        ))
    })
}

/// Number and groups of the user, if there is one.
async fn find(place: &dyn Commands, abort: &Abort) -> Result<Option<Credentials>, ExecutorError> {
    let Some(entry) = answer_of(place, &["getent", "passwd", USER], abort).await? else {
        return Ok(None);
    };
    let mut numbers = entry.trim_end().split(':').skip(2).map(str::parse);
    let (Some(Ok(uid)), Some(Ok(gid))) = (numbers.next(), numbers.next()) else {
        return Err(ExecutorError::Image(format!(
            "the image's getent answers {entry:?} for the user {USER}; check its /etc/passwd"
        )));
    };
    let groups = answer_of(place, &["id", "-G", USER], abort).await?;
    let groups = groups
        .unwrap_or_default()
        .split_ascii_whitespace()
        .filter_map(|group| group.parse().ok())
        .collect();
    Ok(Some(Credentials { uid, gid, groups }))
}

/// Runs a command as root and returns what it printed, if it succeeded.
pub(super) async fn answer_of(
    place: &dyn Commands,
    arguments: &[&str],
    abort: &Abort,
) -> Result<Option<String>, ExecutorError> {
    let answer = Collected::default();
    let command = Command {
        arguments: arguments.iter().map(OsString::from).collect(),
        directory: None,
        environment: None,
        as_root: true,
        stdin: None,
        stdout: Some(Box::new(answer.clone())),
        stderr: Stderr::Discard,
        timeout: None,
    };
    match place.run(command, abort).await? {
        Exit::Exited(0) => Ok(Some(answer.text())),
        Exit::Aborted => Err(ExecutorError::Aborted),
        _ => Ok(None),
    }
}

/// A sink for short answers.
#[derive(Debug, Clone, Default)]
pub(super) struct Collected(Arc<Mutex<Vec<u8>>>);

impl Collected {
    pub(super) fn text(&self) -> String {
        let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl AsyncWrite for Collected {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let room = LONGEST_ANSWER - kept.len();
        kept.extend_from_slice(&bytes[..bytes.len().min(room)]);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
