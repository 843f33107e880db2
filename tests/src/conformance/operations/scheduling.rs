//! Operations without files: what a scheduler asks a component.

use super::{Output, Trouble, errors};
use crate::conformance::suite::Suite;
use crate::conformance::vector::Vector;
use crate::conformance::world::{ScriptedDatabase, World};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;
use task_runtime::artifacts::TaskDatabase;
use task_runtime::component::Limits;
use task_runtime::host::{DynamicDataError, HostState, TaskConfigError, TaskInstance};

/// An instance that may be asked, in a world with the machine of the vector.
pub async fn instance(
    suite: &Suite,
    task: &str,
    input: &Value,
    database: Option<Arc<dyn TaskDatabase>>,
) -> Result<TaskInstance, Trouble> {
    let world = World::new(input, Path::new(""), Path::new(""));
    let mut state = HostState::new(&suite.engine, &Limits::SCHEDULING, world);
    if let Some(database) = database {
        state = state.with_database(database);
    }
    Ok(suite.task(task)?.scheduling.instantiate(state).await?)
}

/// An instance with the task of a vector; without `dynamic_task_data` none are known.
async fn configured(
    suite: &Suite,
    vector: &Vector,
    database: Option<Arc<dyn TaskDatabase>>,
) -> Result<Result<TaskInstance, TaskConfigError>, Trouble> {
    let input = &vector.input;
    let mut instance = instance(suite, &vector.task, input, database).await?;
    let dynamic_data = input
        .get("dynamic_task_data")
        .filter(|data| !data.is_null());
    let architecture = input["worker_host_architecture"].as_str();
    let configured = instance
        .configure(&input["task_data"], dynamic_data, architecture)
        .await?;
    Ok(configured.map(|()| instance))
}

/// The same where the data are sound.
async fn sound(suite: &Suite, vector: &Vector) -> Result<TaskInstance, Trouble> {
    configured(suite, vector, None)
        .await?
        .map_err(|error| Trouble::Broken(format!("the data are refused: {error:?}")))
}

fn refused(error: &TaskConfigError) -> Value {
    match error {
        TaskConfigError::Data(violations) | TaskConfigError::DynamicData(violations) => {
            errors(violations)
        }
        TaskConfigError::Unsuitable(words) => json!({"ok": false, "unsuitable": words}),
    }
}

pub async fn configure(suite: &Suite, vector: &Vector) -> Output {
    Ok(match configured(suite, vector, None).await? {
        Ok(mut instance) => json!({"ok": true, "data": instance.data().await?}),
        Err(error) => refused(&error),
    })
}

pub async fn configure_dynamic(suite: &Suite, vector: &Vector) -> Output {
    Ok(match configured(suite, vector, None).await? {
        Ok(mut instance) => json!({"ok": true, "dynamic_data": instance.dynamic_data().await?}),
        Err(error) => refused(&error),
    })
}

pub async fn label(suite: &Suite, vector: &Vector) -> Output {
    let mut instance = sound(suite, vector).await?;
    let dynamic_data = instance.dynamic_data().await?.unwrap_or_default();
    Ok(json!({"label": instance.label().await?, "subject": dynamic_data["subject"]}))
}

pub async fn source_artifact_ids(suite: &Suite, vector: &Vector) -> Output {
    let mut instance = sound(suite, vector).await?;
    Ok(match instance.source_artifact_ids().await? {
        Some(ids) => json!({"ids": ids}),
        None => json!({"not_implemented": true}),
    })
}

pub async fn host_architecture(suite: &Suite, vector: &Vector) -> Output {
    let mut instance = sound(suite, vector).await?;
    Ok(json!({"host_architecture": instance.host_architecture().await?}))
}

/// Asks one to one and in bulk: both must say the same.
pub async fn can_run_on(suite: &Suite, vector: &Vector) -> Output {
    let mut instance = sound(suite, vector).await?;
    let metadata = vector.input["worker_metadata"].to_string();
    let result = instance.can_run_on(&metadata).await?;
    let workers = instance.prepare_workers(&[metadata]).await?;
    let in_bulk = instance.can_run_on_each(workers).await? == [1];
    if in_bulk != result {
        let words = format!("can-run-on says {result}, can-run-on-each {in_bulk}");
        return Err(Trouble::Broken(words));
    }
    Ok(json!({"result": result}))
}

pub async fn dynamic_data(suite: &Suite, vector: &Vector) -> Output {
    let database = Arc::new(ScriptedDatabase::new(&vector.input["db"]));
    let asked: Arc<dyn TaskDatabase> = Arc::clone(&database) as _;
    let mut output = match configured(suite, vector, Some(asked)).await? {
        Ok(mut instance) => match instance.compute_dynamic_data().await? {
            Ok(data) => json!({"ok": true, "dynamic_data": data}),
            Err(error) => json!({"ok": false, "error": kind(&error)}),
        },
        Err(error) => refused(&error),
    };
    output["calls"] = Value::Array(database.calls());
    Ok(output)
}

fn kind(error: &DynamicDataError) -> &'static str {
    match error {
        DynamicDataError::Config(_) => "config",
        DynamicDataError::Lookup(_) => "lookup",
        DynamicDataError::Internal(_) => "internal",
    }
}
