//! Instances that share the host's file system: a path means the same file inside and outside.

use super::World;
use super::script::Place;
use async_trait::async_trait;
use serde_json::{Value, json};
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
use task_runtime::artifacts::{Artifact, ArtifactId, ArtifactStore};
use task_runtime::executor::{Abort, Command, Commands, ExecutorError, Exit, Instance};
use task_runtime::host::bindings::debusine::task::executor::Backend;
use task_runtime::host::{Executors, PreparedImage};

/// File names that the cache of images cannot have.
const RESERVED: [&str; 2] = ["backends", "usage.json"];

/// The unprivileged user of an instance.
const USER: &str = "_debusine";

struct ScriptedInstance(Arc<World>);

#[async_trait]
impl Executors for World {
    async fn prepare(
        &self,
        backend: Backend,
        environment: ArtifactId,
        _abort: &Abort,
    ) -> Result<PreparedImage, ExecutorError> {
        let image_error = |why: String| ExecutorError::Image(why);
        let artifact = self
            .artifact(environment)
            .await
            .map_err(|error| image_error(error.to_string()))?;
        check(backend, &artifact).map_err(image_error)?;
        let path = self.image_path(environment.0).unwrap_or_default();
        let file = &artifact.data["filename"];
        self.happened(json!({"ev": "download_image", "artifact": environment, "file": file}));
        let path = path.display().to_string();
        let (virt_server, virt_server_arguments) = virt_server(backend, &artifact, &path);
        let name = match backend {
            Backend::Unshare | Backend::Qemu => path,
            Backend::IncusLxc | Backend::IncusVm => format!("artifact/{environment}"),
        };
        Ok(PreparedImage {
            backend,
            artifact,
            cached: false,
            name,
            virt_server,
            virt_server_arguments,
            network: true,
        })
    }

    async fn start(
        &self,
        image: &PreparedImage,
        _abort: &Abort,
    ) -> Result<Arc<dyn Instance>, ExecutorError> {
        if image.backend == Backend::Qemu {
            let words = "qemu cannot create instances".to_owned();
            return Err(ExecutorError::Unsupported(words));
        }
        let world = self
            .this
            .upgrade()
            .ok_or_else(|| ExecutorError::System("the world of the vector is gone".to_owned()))?;
        self.happened(json!({"ev": "instance_start"}));
        Ok(Arc::new(ScriptedInstance(world)))
    }
}

/// Whether an artifact is an image for a backend.
fn check(backend: Backend, artifact: &Artifact) -> Result<(), String> {
    let wanted = match backend {
        Backend::Unshare | Backend::IncusLxc => "debian:system-tarball",
        Backend::IncusVm | Backend::Qemu => "debian:system-image",
    };
    if artifact.category != wanted {
        return Err(format!("{} where a {wanted} is needed", artifact.category));
    }
    let name = artifact.data["filename"].as_str().unwrap_or_default();
    if name.starts_with('.') || RESERVED.contains(&name) {
        return Err(format!("{name}: the cache has no place for this name"));
    }
    let has_python = !artifact.data["pkglist"]["python3-minimal"].is_null();
    if backend == Backend::Qemu && !has_python {
        return Err("the image lacks python3-minimal".to_owned());
    }
    Ok(())
}

/// autopkgtest's virtualisation server for an image, and its arguments.
fn virt_server(backend: Backend, artifact: &Artifact, path: &str) -> (String, Vec<String>) {
    let text = |key: &str| artifact.data[key].as_str().unwrap_or_default();
    let alias = format!("artifact/{}", artifact.id);
    let (server, arguments): (&str, Vec<&str>) = match backend {
        Backend::Unshare => (
            "unshare",
            vec![
                "--arch",
                text("architecture"),
                "--release",
                text("codename"),
                "--tarball",
                path,
            ],
        ),
        Backend::IncusLxc => ("incus", vec![&alias, "--", "--profile", "debusine"]),
        Backend::IncusVm => ("incus", vec!["--vm", &alias, "--", "--profile", "debusine"]),
        Backend::Qemu => (
            "qemu",
            vec![
                "--boot",
                text("boot_mechanism"),
                "--dpkg-architecture",
                text("architecture"),
                path,
            ],
        ),
    };
    let arguments = arguments.into_iter().map(str::to_owned).collect();
    (server.to_owned(), arguments)
}

#[async_trait]
impl Commands for ScriptedInstance {
    async fn run(&self, command: Command, _abort: &Abort) -> Result<Exit, ExecutorError> {
        self.0.perform(Place::Instance, command).await
    }
}

#[async_trait]
impl Instance for ScriptedInstance {
    async fn create_user(&self, _abort: &Abort) -> Result<(), ExecutorError> {
        self.happened(json!({"ev": "create_user", "user": USER}));
        Ok(())
    }

    async fn push_directory(
        &self,
        source: &Path,
        target: &Path,
        _abort: &Abort,
    ) -> Result<(), ExecutorError> {
        self.happened(json!({
            "ev": "directory_push", "source": source, "target": target, "user": USER, "group": USER,
        }));
        Ok(())
    }

    async fn push_file(
        &self,
        mut source: File,
        target: &Path,
        mode: u32,
        _abort: &Abort,
    ) -> Result<(), ExecutorError> {
        self.happened(json!({"ev": "file_push", "target": target, "mode": format!("{mode:o}")}));
        // Aside first: source and target may be one file.
        let aside = target.with_added_extension("part");
        let copied = File::create(&aside)
            .and_then(|mut file| io::copy(&mut source, &mut file))
            .and_then(|_| std::fs::rename(&aside, target));
        copied.map_err(|error| not_copied(target, &error))
    }

    async fn pull_file(
        &self,
        source: &Path,
        mut target: File,
        _abort: &Abort,
    ) -> Result<(), ExecutorError> {
        self.happened(json!({"ev": "file_pull", "source": source}));
        let copied = File::open(source).and_then(|mut file| io::copy(&mut file, &mut target));
        copied.map_err(|error| not_copied(source, &error))?;
        Ok(())
    }

    async fn create_directory(
        &self,
        path: &Path,
        mode: u32,
        _abort: &Abort,
    ) -> Result<(), ExecutorError> {
        self.happened(json!({
            "ev": "mkdir", "target": path, "user": USER, "group": USER, "mode": format!("{mode:o}"),
        }));
        Ok(())
    }

    async fn stop(&self) -> Result<(), ExecutorError> {
        self.happened(json!({"ev": "instance_stop"}));
        Ok(())
    }
}

impl ScriptedInstance {
    fn happened(&self, event: Value) {
        self.0.happened(event);
    }
}

fn not_copied(path: &Path, error: &io::Error) -> ExecutorError {
    ExecutorError::File(format!("{}: {error}", path.display()))
}
