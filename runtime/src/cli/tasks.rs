//! Tasks by their names: found, loaded, configured for the calls of a scheduler.

use super::documents;
use super::error::CliError;
use super::places::Places;
use serde_json::Value;
use std::sync::Arc;
use task_runtime::artifacts::TaskDatabase;
use task_runtime::component::{
    CompilerProcess, ComponentCache, Engine, EngineOptions, LoadedComponent, Registry,
};
use task_runtime::host::{
    Facts, HostState, Linkers, Machine, Purpose, TaskComponent, TaskInstance,
};

/// A task and its data, as most subcommands take them.
#[derive(Debug, clap::Args)]
pub struct TaskArguments {
    /// Name of the task
    pub task: String,
    /// Task data: a file of JSON or YAML, `-` for standard input, or JSON itself if it begins with `{`; an empty object if missing
    #[arg(short, long, value_name = "DATA")]
    pub data: Option<String>,
}

impl TaskArguments {
    /// Reads the task data.
    pub fn data(&self) -> Result<Value, CliError> {
        documents::read_or_empty(self.data.as_deref())
    }
}

/// The tasks of this installation, and what it takes to ask them.
pub struct Tasks {
    pub registry: Registry,
    pub linkers: Arc<Linkers>,
    pub facts: Arc<dyn Facts>,
}

impl Tasks {
    /// Looks which tasks there are; nothing is loaded yet.
    pub fn open(places: &Places) -> Result<Self, CliError> {
        Self::open_with(EngineOptions::FEW, places)
    }

    /// The same for a process that waits for most of its life: it leaves compiling to others, which end.
    pub fn open_lean(places: &Places) -> Result<Self, CliError> {
        let compiler = CompilerProcess::of_this_program();
        let cache = places.components()?.compiling_in(compiler);
        Self::assemble(EngineOptions::FEW, cache, places)
    }

    /// The same, on an engine with these options and the operator's limits.
    pub fn open_with(options: EngineOptions, places: &Places) -> Result<Self, CliError> {
        Self::assemble(options, places.components()?, places)
    }

    fn assemble(
        options: EngineOptions,
        cache: ComponentCache,
        places: &Places,
    ) -> Result<Self, CliError> {
        let engine = Engine::with(places.limits().engine(options))?;
        let linkers = Linkers::new(&engine)
            .map_err(|error| CliError::new("system", format!("cannot link: {error:#}")))?;
        let linkers = linkers.with_policy(Arc::new(places.policy()?));
        Ok(Self {
            registry: Registry::open(engine, cache, &places.tasks())?,
            linkers: Arc::new(linkers),
            facts: Arc::new(Machine::default()),
        })
    }

    /// The engine that runs them.
    pub fn engine(&self) -> &Engine {
        self.registry.engine()
    }

    /// An instance of a task for the calls of a scheduler.
    pub async fn instance(
        &self,
        loaded: &LoadedComponent,
        database: Option<Arc<dyn TaskDatabase>>,
    ) -> Result<TaskInstance, CliError> {
        let engine = self.engine();
        let component = TaskComponent::new(engine, &self.linkers, loaded, Purpose::Scheduling)?;
        let limits = &engine.options().scheduling;
        let mut state = HostState::new(engine, limits, Arc::clone(&self.facts));
        if let Some(database) = database {
            state = state.with_database(database);
        }
        Ok(component.instantiate(state).await?)
    }

    /// An instance that holds the configured task, for no worker in particular.
    pub async fn configured(
        &self,
        loaded: &LoadedComponent,
        data: &Value,
        dynamic_data: Option<&Value>,
    ) -> Result<TaskInstance, CliError> {
        let mut instance = self.instance(loaded, None).await?;
        instance
            .configure(data, dynamic_data, None)
            .await?
            .map_err(|error| CliError::configuration(&loaded.name, error))?;
        Ok(instance)
    }

    /// Computes the dynamic data of a task that this machine is to run.
    pub async fn dynamic_data(
        &self,
        loaded: &LoadedComponent,
        data: &Value,
        database: Arc<dyn TaskDatabase>,
    ) -> Result<Value, CliError> {
        let mut instance = self.instance(loaded, Some(database)).await?;
        instance
            .configure(data, None, self.facts.architecture().as_deref())
            .await?
            .map_err(|error| CliError::configuration(&loaded.name, error))?;
        instance
            .compute_dynamic_data()
            .await?
            .map_err(|error| CliError::dynamic_data(&loaded.name, error))
    }
}
