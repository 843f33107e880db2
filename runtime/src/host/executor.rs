//! `executor`: images of environments, and the instances that are started from them.

use super::bindings::debusine::task::commands::{Command, Outcome};
use super::bindings::debusine::task::executor::{self, Backend, HostExecutor, HostInstance, Image};
use super::command_log::Place;
use super::files::DirectoryHandle;
use super::{Fault, HostState, commands};
use crate::artifacts::{Artifact, ArtifactFile, ArtifactId};
use crate::executor::{Abort, ExecutorError, Instance};
use async_trait::async_trait;
use std::path::Path;
use std::sync::Arc;
use wasmtime::component::Resource;

/// Where instances come from: real backends, or a test's script.
#[async_trait]
pub trait Executors: Send + Sync {
    /// Fetches an environment's image into the cache and verifies it.
    async fn prepare(
        &self,
        backend: Backend,
        environment: ArtifactId,
        abort: &Abort,
    ) -> Result<PreparedImage, ExecutorError>;

    /// Starts an instance of a prepared image.
    async fn start(
        &self,
        image: &PreparedImage,
        abort: &Abort,
    ) -> Result<Arc<dyn Instance>, ExecutorError>;
}

/// An image that is ready to be started.
#[derive(Clone, Debug)]
pub struct PreparedImage {
    /// The backend that it was prepared for.
    pub backend: Backend,
    /// The environment's artifact.
    pub artifact: Artifact,
    /// Whether its file was in the cache, so that it was not fetched.
    pub cached: bool,
    /// What the backend calls the image: a path, or an alias.
    pub name: String,
    /// autopkgtest's virtualisation server for it.
    pub virt_server: String,
    /// That server's arguments.
    pub virt_server_arguments: Vec<String>,
    /// Whether what is started from it reaches the host's network.
    pub network: bool,
}

/// Names that the image cache of the reference keeps for itself; images of the same names are refused everywhere.
const RESERVED_NAMES: [&str; 2] = ["backends", "usage.json"];

/// Whether an artifact holds an image for a backend: category, file name, what the backend needs inside.
pub fn check_image(backend: Backend, artifact: &Artifact) -> Result<(), ExecutorError> {
    let wrong = |why: String| ExecutorError::Image(format!("environment {}: {why}", artifact.id));
    let needed = match backend {
        Backend::Unshare | Backend::IncusLxc => "debian:system-tarball",
        Backend::IncusVm | Backend::Qemu => "debian:system-image",
    };
    if artifact.category != needed {
        let found = &artifact.category;
        return Err(wrong(format!(
            "a {found}, and the backend needs a {needed}"
        )));
    }
    let name = &image_file(artifact)?.path;
    if name.starts_with('.') || RESERVED_NAMES.contains(&name.as_str()) {
        return Err(wrong(format!("its file cannot have the name {name:?}")));
    }
    if backend == Backend::Qemu && artifact.data["pkglist"]["python3-minimal"].is_null() {
        return Err(wrong(
            "the backend qemu needs python3-minimal in the image".to_owned(),
        ));
    }
    Ok(())
}

/// The one file of an environment's artifact.
pub fn image_file(artifact: &Artifact) -> Result<&ArtifactFile, ExecutorError> {
    let wrong = |why: String| ExecutorError::Image(format!("environment {}: {why}", artifact.id));
    let name = artifact.data["filename"]
        .as_str()
        .ok_or_else(|| wrong("its data have no `filename`".to_owned()))?;
    artifact
        .files
        .iter()
        .find(|file| file.path == name)
        .ok_or_else(|| wrong(format!("it has no file {name:?}")))
}

/// A prepared image in the hands of a component.
pub struct ExecutorHandle(PreparedImage);

/// An instance in the hands of a component; it ends when the last handle is gone.
pub struct InstanceHandle(Arc<dyn Instance>);

impl executor::Host for HostState {
    async fn prepare(
        &mut self,
        backend: Backend,
        environment: u64,
    ) -> Result<Resource<ExecutorHandle>, Fault> {
        let powers = self.powers()?;
        let image = powers
            .executors
            .prepare(backend, ArtifactId(environment), &powers.abort)
            .await?;
        Ok(self.table.push(ExecutorHandle(image))?)
    }
}

impl HostExecutor for HostState {
    async fn image(&mut self, handle: Resource<ExecutorHandle>) -> wasmtime::Result<Image> {
        let image = &self.table.get(&handle)?.0;
        Ok(Image {
            id: image.artifact.id.0,
            category: image.artifact.category.clone(),
            data: image.artifact.data.to_string(),
            name: image.name.clone(),
            virt_server: image.virt_server.clone(),
            virt_server_arguments: image.virt_server_arguments.clone(),
        })
    }

    async fn start(
        &mut self,
        handle: Resource<ExecutorHandle>,
    ) -> Result<Resource<InstanceHandle>, Fault> {
        let image = self.table.get(&handle)?.0.clone();
        let powers = self.powers()?;
        let instance = powers.executors.start(&image, &powers.abort).await?;
        powers.register(&instance);
        Ok(self.table.push(InstanceHandle(instance))?)
    }

    async fn drop(&mut self, handle: Resource<ExecutorHandle>) -> wasmtime::Result<()> {
        self.table.delete(handle)?;
        Ok(())
    }
}

impl HostState {
    fn instance(&self, handle: &Resource<InstanceHandle>) -> Result<Arc<dyn Instance>, Fault> {
        Ok(Arc::clone(&self.table.get(handle)?.0))
    }
}

impl HostInstance for HostState {
    async fn run(
        &mut self,
        handle: Resource<InstanceHandle>,
        command: Command,
        files: Resource<DirectoryHandle>,
    ) -> Result<Outcome, Fault> {
        let instance = self.instance(&handle)?;
        let files = self.directory(&files)?;
        let powers = self.powers()?.clone();
        let facts = Arc::clone(&self.facts);
        commands::run(
            Place::Instance,
            &*instance,
            command,
            &files,
            &powers,
            &*facts,
        )
        .await
    }

    async fn create_user(&mut self, handle: Resource<InstanceHandle>) -> Result<(), Fault> {
        let instance = self.instance(&handle)?;
        Ok(instance.create_user(&self.powers()?.abort).await?)
    }

    async fn push_directory(
        &mut self,
        handle: Resource<InstanceHandle>,
        source: Resource<DirectoryHandle>,
    ) -> Result<(), Fault> {
        let instance = self.instance(&handle)?;
        let source = self.directory(&source)?;
        let location = source.reachable_location()?;
        let parent = location.parent().unwrap_or(Path::new("/"));
        instance
            .push_directory(location, parent, &self.powers()?.abort)
            .await?;
        Ok(())
    }

    async fn push_file(
        &mut self,
        handle: Resource<InstanceHandle>,
        from: Resource<DirectoryHandle>,
        source: String,
        target: String,
        mode: u32,
    ) -> Result<(), Fault> {
        let instance = self.instance(&handle)?;
        let file = self.directory(&from)?.open_file(&source)?;
        let abort = &self.powers()?.abort;
        instance
            .push_file(file, Path::new(&target), mode & 0o777, abort)
            .await?;
        Ok(())
    }

    async fn pull_file(
        &mut self,
        handle: Resource<InstanceHandle>,
        source: String,
        into: Resource<DirectoryHandle>,
        target: String,
    ) -> Result<(), Fault> {
        let instance = self.instance(&handle)?;
        let into = self.directory(&into)?;
        // Aside first: with a scripted instance source and target may be one file.
        let aside = format!("{target}.part");
        let file = into.create_file(&aside, 0o644)?;
        let pulled = instance
            .pull_file(Path::new(&source), file, &self.powers()?.abort)
            .await
            .map_err(Fault::from)
            .and_then(|()| into.rename_file(&aside, &target));
        if pulled.is_err() {
            let _ = into.remove_file(&aside);
        }
        pulled
    }

    async fn create_directory(
        &mut self,
        handle: Resource<InstanceHandle>,
        directory: Resource<DirectoryHandle>,
        mode: u32,
    ) -> Result<(), Fault> {
        let instance = self.instance(&handle)?;
        let directory = self.directory(&directory)?;
        instance
            .create_directory(directory.location(), mode & 0o777, &self.powers()?.abort)
            .await?;
        Ok(())
    }

    async fn stop(&mut self, handle: Resource<InstanceHandle>) -> Result<(), Fault> {
        Ok(self.instance(&handle)?.stop().await?)
    }

    async fn drop(&mut self, handle: Resource<InstanceHandle>) -> wasmtime::Result<()> {
        self.table.delete(handle)?;
        Ok(())
    }
}
