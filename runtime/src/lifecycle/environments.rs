//! Instances of environments on this machine: the artifact's image goes to the cache, and the backend starts it.

use crate::artifacts::{Artifact, ArtifactId, ArtifactStore};
use crate::executor::{
    Abort, ExecutorError, ImageCache, ImageFile, Instance, Recoding, Sandbox, SandboxOptions,
    SandboxScratch, sweep,
};
use crate::host::bindings::debusine::task::executor::Backend;
use crate::host::executor::{check_image, image_file};
use crate::host::{Executors, PreparedImage};
use async_trait::async_trait;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// The environments of a store, cached beneath a directory of this machine.
pub struct LocalEnvironments {
    store: Arc<dyn ArtifactStore>,
    cache: ImageCache,
    scratch: PathBuf,
    /// Images in use: as long as they are held, the cache keeps them.
    images: Mutex<HashMap<ArtifactId, Arc<crate::executor::Image>>>,
}

impl LocalEnvironments {
    /// Environments of `store`; `directory` gets the cached images and what sandboxes change.
    pub fn new(store: Arc<dyn ArtifactStore>, directory: &Path) -> Self {
        Self {
            store,
            cache: ImageCache::new(directory.join("system-images")),
            scratch: directory.join("sandboxes"),
            images: Mutex::default(),
        }
    }

    async fn image(
        &self,
        artifact: &Artifact,
        abort: &Abort,
    ) -> Result<Arc<crate::executor::Image>, ExecutorError> {
        let file = image_file(artifact)?;
        let wanted = ImageFile {
            name: file.path.clone(),
            size: file.size,
            sha256: file.sha256.parse().map_err(|error| {
                ExecutorError::Image(format!("artifact {}: {error}", artifact.id))
            })?,
        };
        let fetch = |target| async {
            self.store
                .fetch_file(artifact.id, &file.path, target)
                .await
                .map_err(|error| ExecutorError::Image(error.to_string()))
        };
        Ok(Arc::new(self.cache.ensure(&wanted, fetch, abort).await?))
    }
}

#[async_trait]
impl Executors for LocalEnvironments {
    async fn prepare(
        &self,
        backend: Backend,
        environment: ArtifactId,
        abort: &Abort,
    ) -> Result<PreparedImage, ExecutorError> {
        let artifact =
            self.store.artifact(environment).await.map_err(|error| {
                ExecutorError::Image(format!("environment {environment}: {error}"))
            })?;
        check_image(backend, &artifact)?;
        if backend != Backend::Unshare {
            return Err(ExecutorError::Unsupported(
                "this worker has no backend but unshare: set `backend` to unshare or auto"
                    .to_owned(),
            ));
        }
        let image = self.image(&artifact, abort).await?;
        // Tools that take a tarball (sbuild, autopkgtest) unpack it each time: a plain one takes them a second instead of fifteen.
        let tarball = self.cache.recode(&image, Recoding::Tar, abort).await?;
        let name = tarball.display().to_string();
        self.images
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(environment, image);
        Ok(PreparedImage {
            backend,
            virt_server: "unshare".to_owned(),
            virt_server_arguments: unshare_arguments(&artifact, &name),
            artifact,
            name,
        })
    }

    async fn start(
        &self,
        image: &PreparedImage,
        abort: &Abort,
    ) -> Result<Arc<dyn Instance>, ExecutorError> {
        let image = self.image(&image.artifact, abort).await?;
        let image = Arc::into_inner(image).ok_or_else(|| {
            ExecutorError::System("the image is in use elsewhere in this run".to_owned())
        })?;
        sweep(&self.scratch).await?;
        let mut options = SandboxOptions::new(SandboxScratch::Disk(self.scratch.clone()));
        options.network = true;
        let sandbox = Sandbox::start(&self.cache, image, options, abort).await?;
        Ok(Arc::new(sandbox))
    }
}

/// Arguments of autopkgtest's unshare server.
fn unshare_arguments(artifact: &Artifact, tarball: &str) -> Vec<String> {
    let text = |key: &str| artifact.data[key].as_str().unwrap_or_default();
    [
        "--arch",
        text("architecture"),
        "--release",
        text("codename"),
        "--tarball",
        tarball,
    ]
    .map(str::to_owned)
    .to_vec()
}
