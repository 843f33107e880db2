//! A cache with one image, for the measurements of sandboxes.

use anyhow::Result;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;
use task_runtime::executor::{Abort, Command, ExecutorError, Image, ImageCache, ImageFile, Stderr};

/// The cache, and where its image comes from.
pub struct Place {
    pub cache: ImageCache,
    wanted: ImageFile,
    image: PathBuf,
}

impl Place {
    /// A cache in this directory, for a tarball with this checksum.
    pub fn new(image: &Path, sha256: &str, directory: &Path) -> Result<Self> {
        let name = image.file_name().unwrap_or_default();
        Ok(Self {
            cache: ImageCache::new(directory.join("images")),
            wanted: ImageFile {
                name: name.to_string_lossy().into_owned(),
                size: image.metadata()?.len(),
                sha256: sha256.parse()?,
            },
            image: image.to_owned(),
        })
    }

    /// The image, fetched the first time.
    pub async fn image(&self) -> Result<Image, ExecutorError> {
        let fetch = async |mut target: File| {
            let copied =
                File::open(&self.image).and_then(|mut file| io::copy(&mut file, &mut target));
            copied.map(drop).map_err(|error| {
                ExecutorError::System(format!("{}: {error}", self.image.display()))
            })
        };
        self.cache.ensure(&self.wanted, fetch, &Abort::new()).await
    }

    /// Removes the image: its files belong to the users of sandboxes, so that only the cache itself can.
    pub async fn clear(&self) -> Result<()> {
        Ok(self.cache.remove(&self.wanted.sha256).await?)
    }
}

/// A command that does nothing.
pub fn true_command() -> Command {
    shell_words(["/bin/true"])
}

/// A command of these words, whose output nobody wants.
pub fn shell_words<const N: usize>(words: [&str; N]) -> Command {
    Command {
        arguments: words.map(Into::into).into(),
        directory: None,
        environment: None,
        as_root: false,
        stdin: None,
        stdout: None,
        stderr: Stderr::Discard,
        timeout: None,
    }
}

/// Since a moment.
pub fn milliseconds_since(begun: Instant) -> f64 {
    begun.elapsed().as_secs_f64() * 1000.0
}
