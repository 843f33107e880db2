//! Instances of environments on this machine: the artifact's image goes to the cache, and the backend starts it.

use crate::artifacts::{Artifact, ArtifactId, ArtifactStore};
use crate::executor::{
    Abort, Allowance, ExecutorError, HostCommands, INCUS_PROFILE, Image, ImageCache, ImageFile,
    Incus, IncusImage, IncusImageKind, IncusInstance, IncusKind, Instance, Recoding, Sandbox,
    SandboxOptions, SandboxScratch, sweep,
};
use crate::host::bindings::debusine::task::executor::Backend;
use crate::host::executor::{check_image, image_file};
use crate::host::{Executors, PreparedImage};
use async_trait::async_trait;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// The environments of a store, cached beneath a directory of this machine.
pub struct LocalEnvironments {
    store: Arc<dyn ArtifactStore>,
    cache: ImageCache,
    scratch: PathBuf,
    incus: Incus,
    allowance: Allowance,
    /// Images in use: as long as they are held, the cache keeps them.
    images: Mutex<HashMap<ArtifactId, Image>>,
}

impl LocalEnvironments {
    /// Environments of `store`; `directory` gets the cached images and what sandboxes change.
    pub fn new(store: Arc<dyn ArtifactStore>, directory: &Path) -> Self {
        Self {
            store,
            cache: image_cache(directory),
            scratch: sandbox_scratch(directory),
            incus: Incus::new(HostCommands::new()),
            allowance: Allowance::default(),
            images: Mutex::default(),
        }
    }

    /// Sets what each instance may use, and how its commands end.
    pub fn allowance(mut self, allowance: Allowance) -> Self {
        self.incus = Incus::new(HostCommands::new().grace(allowance.grace));
        self.allowance = allowance;
        self
    }

    fn sandbox_options(&self, network: bool) -> SandboxOptions {
        let scratch = match self.allowance.scratch_memory {
            Some(bytes) => SandboxScratch::Memory(bytes),
            None => SandboxScratch::Disk(self.scratch.clone()),
        };
        SandboxOptions {
            network,
            grace: self.allowance.grace,
            limits: self.allowance.limits,
            ..SandboxOptions::new(scratch)
        }
    }

    /// The image of an environment, and whether it was in the cache.
    async fn image(
        &self,
        artifact: &Artifact,
        abort: &Abort,
    ) -> Result<(Image, bool), ExecutorError> {
        let file = image_file(artifact)?;
        let wanted = ImageFile {
            name: file.path.clone(),
            size: file.size,
            sha256: file.sha256.parse().map_err(|error| {
                ExecutorError::Image(format!("artifact {}: {error}", artifact.id))
            })?,
        };
        let cached = AtomicBool::new(true);
        let fetch = |target| async {
            cached.store(false, Ordering::Relaxed);
            self.store
                .fetch_file(artifact.id, &file.path, target)
                .await
                .map_err(|error| ExecutorError::Image(error.to_string()))
        };
        let image = self.cache.ensure(&wanted, fetch, abort).await?;
        Ok((image, cached.into_inner()))
    }

    /// Tools that take a tarball (sbuild, autopkgtest) unpack it each time: a plain one takes them a second instead of fifteen.
    async fn for_unshare(
        &self,
        artifact: &Artifact,
        image: &Image,
        abort: &Abort,
    ) -> Result<VirtServer, ExecutorError> {
        let tarball = self.cache.recode(image, Recoding::Tar, abort).await?;
        let name = tarball.display().to_string();
        let arguments = [
            "--arch",
            text(artifact, "architecture"),
            "--release",
            text(artifact, "codename"),
            "--tarball",
            &name,
        ];
        Ok(VirtServer::new("unshare", &arguments, &name))
    }

    /// Instances of killed runtimes. Those that cannot be cleared away keep nobody from working.
    async fn sweep_incus(&self, abort: &Abort) -> Result<(), ExecutorError> {
        match self.incus.sweep(abort).await {
            Err(ExecutorError::Aborted) => Err(ExecutorError::Aborted),
            Err(error) => {
                tracing::warn!("instances of killed runtimes may be left: {error}");
                Ok(())
            }
            Ok(_) => Ok(()),
        }
    }

    async fn for_incus(
        &self,
        backend: Backend,
        artifact: &Artifact,
        image: &Image,
        abort: &Abort,
    ) -> Result<VirtServer, ExecutorError> {
        let described = incus_image(backend, artifact, image);
        self.incus
            .import(&described, &image.file(), &self.scratch, abort)
            .await?;
        let alias = described.alias.as_str();
        let machine: &[&str] = match backend {
            Backend::IncusVm => &["--vm"],
            _ => &[],
        };
        let arguments = [machine, &[alias, "--", "--profile", INCUS_PROFILE]].concat();
        Ok(VirtServer::new("incus", &arguments, alias))
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
        let (image, cached) = self.image(&artifact, abort).await?;
        let server = match backend {
            Backend::Unshare => self.for_unshare(&artifact, &image, abort).await?,
            Backend::IncusLxc | Backend::IncusVm => {
                self.for_incus(backend, &artifact, &image, abort).await?
            }
            Backend::Qemu => for_qemu(&artifact, &image),
        };
        self.images
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(environment, image);
        Ok(PreparedImage {
            backend,
            artifact,
            cached,
            name: server.image,
            virt_server: server.name,
            virt_server_arguments: server.arguments,
            network: true,
        })
    }

    async fn start(
        &self,
        image: &PreparedImage,
        abort: &Abort,
    ) -> Result<Arc<dyn Instance>, ExecutorError> {
        match image.backend {
            Backend::Unshare => {}
            Backend::IncusLxc | Backend::IncusVm if !image.network => {
                return Err(ExecutorError::Unsupported(
                    "an instance of incus without network: it has that of its profile; grant the task the capability network, or set `backend` to unshare"
                        .to_owned(),
                ));
            }
            Backend::IncusLxc | Backend::IncusVm => {
                self.sweep_incus(abort).await?;
                let kind = match image.backend {
                    Backend::IncusVm => IncusKind::Machine,
                    _ => IncusKind::Container,
                };
                let (limits, alias) = (&self.allowance.limits, &image.name);
                let instance =
                    IncusInstance::launch(&self.incus, alias, kind, limits, abort).await?;
                return Ok(Arc::new(instance));
            }
            Backend::Qemu => {
                return Err(ExecutorError::Unsupported(
                    "the backend qemu has no instances, autopkgtest starts its machines itself; set `backend` to unshare, incus-lxc or incus-vm"
                        .to_owned(),
                ));
            }
        }
        let network = image.network;
        let (image, _) = self.image(&image.artifact, abort).await?;
        sweep(&self.scratch).await;
        let options = self.sandbox_options(network);
        let sandbox = Sandbox::start(&self.cache, image, options, abort).await?;
        Ok(Arc::new(sandbox))
    }
}

/// The cache of images beneath a cache directory.
pub fn image_cache(directory: &Path) -> ImageCache {
    ImageCache::new(directory.join("system-images"))
}

/// Where sandboxes keep what they change, beneath a cache directory.
pub fn sandbox_scratch(directory: &Path) -> PathBuf {
    directory.join("sandboxes")
}

/// One of autopkgtest's virtualisation servers, with what the backend calls the image.
struct VirtServer {
    name: String,
    arguments: Vec<String>,
    image: String,
}

impl VirtServer {
    fn new(name: &str, arguments: &[&str], image: &str) -> Self {
        Self {
            name: name.to_owned(),
            arguments: arguments.iter().copied().map(str::to_owned).collect(),
            image: image.to_owned(),
        }
    }
}

/// A text in an artifact's data; empty if there is none.
fn text<'a>(artifact: &'a Artifact, key: &str) -> &'a str {
    artifact.data[key].as_str().unwrap_or_default()
}

fn for_qemu(artifact: &Artifact, image: &Image) -> VirtServer {
    let name = image.file().display().to_string();
    let arguments = [
        "--boot",
        text(artifact, "boot_mechanism"),
        "--dpkg-architecture",
        text(artifact, "architecture"),
        &name,
    ];
    VirtServer::new("qemu", &arguments, &name)
}

/// Debian's names of architectures, and those of incus where they differ (its manual, "Architectures").
const INCUS_ARCHITECTURES: [(&str, &str); 10] = [
    ("amd64", "x86_64"),
    ("arm64", "aarch64"),
    ("armel", "armv6l"),
    ("armhf", "armv7l"),
    ("i386", "i686"),
    ("loong64", "loongarch64"),
    ("mips64el", "mips64"),
    ("mipsel", "mips"),
    ("powerpc", "ppc"),
    ("ppc64el", "ppc64le"),
];

fn incus_image(backend: Backend, artifact: &Artifact, image: &Image) -> IncusImage {
    let (id, category) = (artifact.id, &artifact.category);
    let [architecture, vendor, codename] =
        ["architecture", "vendor", "codename"].map(|key| text(artifact, key));
    let known = INCUS_ARCHITECTURES.iter().find(|it| it.0 == architecture);
    let kind = match (backend, text(artifact, "image_format")) {
        (Backend::IncusVm, "raw") => IncusImageKind::RawTarball,
        (Backend::IncusVm, _) => IncusImageKind::Qcow2,
        _ => IncusImageKind::Tarball,
    };
    let description =
        format!("Debusine Artifact #{id}: {category} for {vendor} {codename} {architecture}");
    let properties = [
        ("description", description),
        ("os", vendor.to_owned()),
        ("release", codename.to_owned()),
        ("debusine_artifact_id", id.to_string()),
        ("debian_architecture", architecture.to_owned()),
    ];
    IncusImage {
        alias: format!("artifact/{id}"),
        kind,
        sha256: image.digest().to_string(),
        architecture: known.map_or(architecture, |it| it.1).to_owned(),
        properties: properties
            .map(|(name, value)| (name.to_owned(), value))
            .into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifacts::local::LocalStore;
    use crate::executor::Limits;
    use std::time::Duration;

    #[test]
    fn a_sandbox_gets_what_the_operator_allows() {
        let directory = tempfile::tempdir().unwrap();
        let store = Arc::new(LocalStore::open(directory.path().join("store")).unwrap());
        let environments = LocalEnvironments::new(store, directory.path());
        let usual = environments.sandbox_options(true);
        assert_eq!(usual.limits, Limits::default());
        assert_eq!(
            usual.scratch,
            SandboxScratch::Disk(sandbox_scratch(directory.path()))
        );
        let allowance = Allowance {
            grace: Duration::from_millis(300),
            limits: Limits {
                memory: Some(1 << 30),
                processes: Some(300),
                processors: Some(1500),
                ..Limits::default()
            },
            scratch_memory: Some(1 << 28),
        };
        let options = environments.allowance(allowance).sandbox_options(true);
        assert_eq!(options.limits, allowance.limits);
        assert_eq!(options.grace, allowance.grace);
        assert_eq!(options.scratch, SandboxScratch::Memory(1 << 28));
        assert!(options.network);
    }

    #[tokio::test]
    async fn instances_that_cannot_be_swept_keep_no_task_from_starting() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let client = directory.path().join("incus");
        // Knows no instance, cannot list any, and starts one at once.
        let script = "#!/bin/sh
            echo \"$1\" >> \"$(dirname \"$0\")/log\"
            case $1 in
            list) echo 'Error: the daemon has no time' >&2; exit 1 ;;
            info) exit 1 ;;
            exec) echo running ;;
            esac";
        std::fs::write(&client, script).unwrap();
        std::fs::set_permissions(&client, PermissionsExt::from_mode(0o755)).unwrap();
        let store = Arc::new(LocalStore::open(directory.path().join("store")).unwrap());
        let mut environments = LocalEnvironments::new(store, directory.path());
        environments.incus = Incus::new(HostCommands::new()).program(&client);
        let image = PreparedImage {
            cached: true,
            network: true,
            backend: Backend::IncusLxc,
            artifact: Artifact {
                id: ArtifactId(7),
                category: "debian:system-tarball".to_owned(),
                data: serde_json::json!({}),
                files: Vec::new(),
            },
            name: "artifact/7".to_owned(),
            virt_server: "incus".to_owned(),
            virt_server_arguments: Vec::new(),
        };
        let instance = environments.start(&image, &Abort::new()).await.unwrap();
        instance.stop().await.unwrap();
        let log = std::fs::read_to_string(directory.path().join("log")).unwrap();
        assert_eq!(log, "list\ninfo\nlaunch\nexec\ndelete\n");
    }
}
