//! `http`: fetching keyrings and Release files by URL, straight into a file.

use super::bindings::debusine::task::http;
use super::files::DirectoryHandle;
use super::{Fault, HostState};
use crate::executor::Abort;
use async_trait::async_trait;
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;
use wasmtime::component::Resource;

/// How long a server may take for a connection, and between two pieces of an answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where `file:` URLs may lead.
const KEYRING_DIRECTORIES: [&str; 2] = ["/usr/share/keyrings", "/usr/local/share/keyrings"];

/// Why a URL could not be fetched.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct FetchError(pub String);

/// Fetches URLs.
#[async_trait]
pub trait Downloads: Send + Sync {
    /// Writes what `url` answers to `target`, at most `at_most` bytes of it: more is an error, as is any status but success.
    async fn fetch(&self, url: &str, target: &mut File, at_most: u64) -> Result<(), FetchError>;
}

/// The web, and this machine's keyring directories.
#[derive(Debug, Default)]
pub struct WebDownloads {
    client: std::sync::OnceLock<reqwest::Client>,
}

impl WebDownloads {
    fn client(&self) -> Result<&reqwest::Client, FetchError> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        // An error means that another part of the process chose a provider already: that one will do.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder()
            .connect_timeout(PATIENCE)
            .read_timeout(PATIENCE)
            .user_agent(concat!("task-runtime/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| FetchError(format!("no HTTP client: {}", chain(&error))))?;
        Ok(self.client.get_or_init(|| client))
    }
}

#[async_trait]
impl Downloads for WebDownloads {
    async fn fetch(&self, url: &str, target: &mut File, at_most: u64) -> Result<(), FetchError> {
        let failed = |why: String| FetchError(format!("{url}: {why}"));
        let parsed = reqwest::Url::parse(url).map_err(|error| failed(error.to_string()))?;
        if parsed.scheme() == "file" {
            let path = parsed
                .to_file_path()
                .map_err(|()| failed("not the path of a file".to_owned()))?;
            return copy_keyring(&path, target, at_most).map_err(failed);
        }
        let mut response = self
            .client()?
            .get(parsed)
            .send()
            .await
            .and_then(reqwest::Response::error_for_status)
            .map_err(|error| failed(chain(&error.without_url())))?;
        let mut received = 0;
        while let Some(bytes) = response
            .chunk()
            .await
            .map_err(|error| failed(chain(&error.without_url())))?
        {
            received += bytes.len() as u64;
            if received > at_most {
                return Err(failed(format!("more than {at_most} bytes")));
            }
            target
                .write_all(&bytes)
                .map_err(|error| failed(error.to_string()))?;
        }
        Ok(())
    }
}

/// An error with its causes, as one sentence.
fn chain(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(deeper) = cause {
        words.push_str(": ");
        words.push_str(&deeper.to_string());
        cause = deeper.source();
    }
    words
}

fn copy_keyring(path: &Path, target: &mut File, at_most: u64) -> Result<(), String> {
    let resolved: PathBuf = path.canonicalize().map_err(|error| error.to_string())?;
    if !KEYRING_DIRECTORIES
        .iter()
        .any(|directory| resolved.starts_with(directory))
    {
        let allowed = KEYRING_DIRECTORIES.join(" or ");
        return Err(format!("not beneath {allowed}"));
    }
    let mut source = File::open(&resolved)
        .map_err(|error| error.to_string())?
        .take(at_most + 1);
    let copied = std::io::copy(&mut source, target).map_err(|error| error.to_string())?;
    if copied > at_most {
        return Err(format!("more than {at_most} bytes"));
    }
    Ok(())
}

/// Fetches all of it or nothing: the component is told of a failure, and half a file must not stay.
async fn fetch_whole(
    downloads: &dyn Downloads,
    url: &str,
    into: &DirectoryHandle,
    target: &str,
    at_most: u64,
    abort: &Abort,
) -> Result<(), Fault> {
    let mut file = into.create_file(target, 0o644)?;
    let fetched = tokio::select! {
        fetched = downloads.fetch(url, &mut file, at_most) => {
            fetched.map_err(|error| Fault::new("download", error.to_string()))
        }
        () = abort.cancelled() => Err(Fault::new("aborted", format!("{url}: aborted"))),
    };
    if fetched.is_err() {
        let _ = into.remove_file(target);
    }
    fetched
}

impl http::Host for HostState {
    async fn fetch(
        &mut self,
        url: String,
        into: Resource<DirectoryHandle>,
        target: String,
        at_most: u64,
    ) -> Result<(), Fault> {
        let into = self.directory(&into)?;
        let powers = self.powers()?;
        fetch_whole(
            &*powers.downloads,
            &url,
            &into,
            &target,
            at_most,
            &powers.abort,
        )
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, TcpListener};

    /// A server for one request, which gets these bytes and then, for `held`, nothing more.
    fn server(answer: &'static [u8], held: Duration) -> String {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let url = format!("http://{}/key", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            let (mut client, _) = listener.accept().unwrap();
            let _ = client.read(&mut [0; 4096]);
            let _ = client.write_all(answer);
            std::thread::sleep(held);
        });
        url
    }

    /// Fetches into a fresh directory, as a component does. The words of a failure, and what is in the directory then.
    async fn fetched(url: &str, at_most: u64, abort: &Abort) -> (Option<String>, Vec<String>) {
        let directory = tempfile::tempdir().unwrap();
        let into = DirectoryHandle::open(directory.path()).unwrap();
        let downloads = WebDownloads::default();
        let fetched = fetch_whole(&downloads, url, &into, "key", at_most, abort).await;
        let entries = std::fs::read_dir(directory.path()).unwrap();
        let left = entries.map(|it| it.unwrap().file_name().to_string_lossy().into_owned());
        let left = left.collect();
        let error = fetched.err().map(|fault| match fault {
            Fault::Failure(failure) => failure.message,
            Fault::Trap(error) => panic!("a download ends no component: {error}"),
        });
        (error, left)
    }

    fn nothing() -> Vec<String> {
        Vec::new()
    }

    #[tokio::test]
    async fn an_answer_within_the_limit_is_kept() {
        let url = server(
            b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody",
            Duration::ZERO,
        );
        let (error, left) = fetched(&url, 4, &Abort::new()).await;
        assert_eq!(error, None);
        assert_eq!(left, ["key"]);
    }

    #[tokio::test]
    async fn a_refused_connection_is_told_with_its_cause() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let url = format!("http://{}/key", listener.local_addr().unwrap());
        drop(listener);
        let (error, left) = fetched(&url, 4, &Abort::new()).await;
        let error = error.unwrap();
        assert!(error.starts_with(&url), "{error}");
        assert!(error.contains("Connection refused"), "{error}");
        assert_eq!(left, nothing());
    }

    #[tokio::test]
    async fn an_answer_beyond_the_limit_is_an_error_and_leaves_nothing() {
        let url = server(b"HTTP/1.1 200 OK\r\n\r\nlong body", Duration::ZERO);
        let (error, left) = fetched(&url, 4, &Abort::new()).await;
        let error = error.unwrap();
        assert!(error.contains("more than 4 bytes"), "{error}");
        assert_eq!(left, nothing());
    }

    #[tokio::test]
    async fn an_answer_that_is_cut_off_or_no_success_leaves_nothing() {
        for answer in [
            &b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"[..],
            b"HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nnone",
        ] {
            let url = server(answer, Duration::ZERO);
            let (error, left) = fetched(&url, 9, &Abort::new()).await;
            assert!(error.unwrap().starts_with(&url));
            assert_eq!(left, nothing());
        }
    }

    #[tokio::test]
    async fn an_abort_ends_a_download_that_stalls_and_leaves_nothing() {
        let half = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf";
        let url = server(half, Duration::from_secs(600));
        let abort = Abort::new();
        let later = abort.clone();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(200)).await;
            later.cancel();
        });
        let begun = std::time::Instant::now();
        let (error, left) = fetched(&url, 9, &abort).await;
        assert!(error.unwrap().ends_with("aborted"));
        assert!(begun.elapsed() < Duration::from_secs(60));
        assert_eq!(left, nothing());
    }
}
