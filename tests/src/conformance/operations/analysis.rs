//! What workers report about themselves.

use super::{Output, Trouble, exception, scheduling};
use crate::conformance::suite::Suite;
use crate::conformance::vector::Vector;
use serde_json::{Map, Value, json};
use task_runtime::worker::metadata::{SystemFacts, system_metadata};

pub async fn worker(suite: &Suite, vector: &Vector) -> Output {
    let mut instance = scheduling::instance(suite, &vector.task, &vector.input, None).await?;
    Ok(json!({"metadata": instance.analyze_worker().await?}))
}

/// All tasks together, which needs all of them.
pub async fn all_tasks(suite: &Suite, vector: &Vector) -> Output {
    let recorded = vector.output["metadata"].as_object().into_iter().flatten();
    for (key, _) in recorded {
        let task = key.split(':').next().unwrap_or_default();
        if suite.task(task).is_err() {
            return Err(Trouble::Skipped(format!("no component for {task}")));
        }
    }
    let mut metadata = Map::new();
    for task in suite.tasks() {
        let mut instance = scheduling::instance(suite, task, &vector.input, None).await?;
        metadata.extend(instance.analyze_worker().await?);
    }
    Ok(json!({"metadata": metadata}))
}

pub fn executors(input: &Value) -> Value {
    let commands = input["commands"].as_array();
    let has_command =
        |name: &str| commands.is_some_and(|commands| commands.iter().any(|known| known == name));
    let available = task_runtime::executor::availability(
        &has_command,
        input["incus_info"].as_str(),
        input["machine"].as_str().unwrap_or_default(),
        input["kvm_writable"] == true,
    );
    match available {
        Ok(available) => json!({"metadata": available}),
        Err(error) => exception(error),
    }
}

pub fn system(input: &Value) -> Value {
    let text = |name: &str| input[name].as_str().map(str::to_owned);
    let facts = SystemFacts {
        dpkg_print_architecture: text("dpkg_print_architecture"),
        arch_test: text("arch_test"),
        cpu_count: input["cpu_count"].as_u64(),
        memory: input["memory"].as_u64().unwrap_or_default(),
        worker_type: text("worker_type").unwrap_or_default(),
    };
    json!({"metadata": system_metadata(&facts)})
}
