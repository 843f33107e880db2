//! Operations that call some stages of a task.

use super::session::{Session, effects, finished};
use super::{Output, Trouble, answer, exception};
use crate::conformance::suite::Suite;
use crate::conformance::vector::Vector;
use serde_json::{Map, Value, json};
use std::path::Path;
use task_runtime::host::bindings::debusine::task::commands::Exit;
use task_runtime::host::{Facts, PlannedCommand};

/// A session with the task of a vector, whose data are sound.
async fn session(suite: &Suite, files: &Path, vector: &Vector) -> Result<Session, Trouble> {
    Session::start(suite, &vector.task, &vector.input, files)
        .await?
        .map_err(|error| Trouble::Broken(format!("the data are refused: {error:?}")))
}

pub async fn fetch_input(suite: &Suite, files: &Path, vector: &Vector) -> Output {
    let mut session = session(suite, files, vector).await?;
    let fetched = session.instance.fetch_input(&session.workspace).await?;
    let ids: Vec<u64> = session.powers.fetched().iter().map(|id| id.0).collect();
    let mut output = json!({"result": answer(fetched), "source_ids": ids});
    leave(&session, &mut output, vector)?;
    Ok(finished(&session.world, output))
}

pub async fn cmdline(suite: &Suite, files: &Path, vector: &Vector) -> Output {
    let mut session = session(suite, files, vector).await?;
    let fetched = answer(session.instance.fetch_input(&session.workspace).await?);
    let mut output = json!({"fetch_input": fetched});
    if fetched == true {
        configure_and_plan(&mut session, &mut output).await?;
    }
    leave(&session, &mut output, vector)?;
    Ok(finished(&session.world, output))
}

pub async fn configure_for_execution(suite: &Suite, files: &Path, vector: &Vector) -> Output {
    let mut session = session(suite, files, vector).await?;
    session
        .world
        .write_tree(session.download(), "download_files")?;
    let mut output = json!({});
    configure_and_plan(&mut session, &mut output).await?;
    leave(&session, &mut output, vector)?;
    Ok(finished(&session.world, output))
}

/// Configures for execution and, if that went well, shows the command line.
async fn configure_and_plan(session: &mut Session, output: &mut Value) -> Result<(), Trouble> {
    let workspace = &session.workspace;
    let configured = session.instance.configure_for_execution(workspace).await?;
    let configured = answer(configured);
    output["configure_for_execution"] = configured.clone();
    if configured != true {
        return Ok(());
    }
    match session.instance.command_line(workspace).await? {
        Ok(Some(command)) => {
            output["argv"] = json!(command.arguments);
            output["env_set"] = own_variables(session, &command);
            output["root"] = json!(command.as_root);
            output["capture_stdout"] = json!(command.captures_output_in);
        }
        Ok(None) => {}
        Err(failure) => output["cmdline_exception"] = json!(failure.message),
    }
    Ok(())
}

/// The variables of a command that differ from the worker's; null if it leaves them alone.
fn own_variables(session: &Session, command: &PlannedCommand) -> Value {
    let Some(variables) = &command.environment else {
        return Value::Null;
    };
    let worker = session.world.environment();
    let is_own = |(name, value): &&(String, String)| {
        worker
            .get(std::ffi::OsStr::new(name))
            .map(|known| known == &**value)
            != Some(true)
    };
    let own = variables.iter().filter(is_own);
    let own: Map<String, Value> = own
        .map(|(name, value)| (name.clone(), json!(value)))
        .collect();
    Value::Object(own)
}

/// Adds what a stage left behind.
fn leave(session: &Session, output: &mut Value, vector: &Vector) -> Result<(), Trouble> {
    output["events"] = Value::Array(session.world.events());
    output["logs"] = session.logs()?;
    output["tree"] = session.tree(&vector.output["tree"])?;
    Ok(())
}

pub async fn task_succeeded(suite: &Suite, files: &Path, vector: &Vector) -> Output {
    let mut session = session(suite, files, vector).await?;
    session
        .world
        .write_tree(session.execute(), "execute_files")?;
    let exit = exit(&vector.input["returncode"]);
    let workspace = &session.workspace;
    let succeeded = session.instance.task_succeeded(workspace, exit).await?;
    Ok(json!({"result": answer(succeeded)}))
}

/// An exit status as the reference has it: none after an abort, negative for a signal.
fn exit(status: &Value) -> Exit {
    match status.as_i64() {
        None => Exit::Aborted,
        Some(signal) if signal < 0 => Exit::Signalled(-signal as i32),
        Some(status) => Exit::Exited(status as i32),
    }
}

pub async fn consistency(suite: &Suite, files: &Path, vector: &Vector) -> Output {
    let mut session = session(suite, files, vector).await?;
    session
        .world
        .write_tree(session.execute(), "execute_files")?;
    let workspace = &session.workspace;
    let flaws = match session.instance.consistency_errors(workspace).await? {
        Ok(flaws) => flaws,
        Err(failure) => return Ok(exception(failure.message)),
    };
    let entries = vector.input["execute_files"].as_object();
    let entries = entries.into_iter().flatten();
    let mut names: Vec<&str> = entries
        .filter_map(|(path, _)| path.split('/').next())
        .collect();
    let referenced = vector.input["referenced_names"].as_array();
    names.extend(referenced.into_iter().flatten().filter_map(Value::as_str));
    names.retain(|name| flaws.iter().any(|flaw| flaw.contains(name)));
    Ok(json!({"errors": flaws.len(), "files_mentioned": names}))
}

pub async fn upload_artifacts(suite: &Suite, files: &Path, vector: &Vector) -> Output {
    let mut session = session(suite, files, vector).await?;
    let input = &vector.input;
    let workspace = &session.workspace.clone();
    let fetched = answer(session.instance.fetch_input(workspace).await?);
    let mut output = json!({"fetch_input": fetched});
    if fetched == true {
        let configured = session.instance.configure_for_execution(workspace).await?;
        output["configure_for_execution"] = answer(configured);
    }
    if output["configure_for_execution"] != true {
        return Ok(finished(&session.world, output));
    }
    session.world.clear_events();
    session
        .world
        .write_tree(session.execute(), "execute_files")?;
    session
        .world
        .write_tree(session.download(), "download_files")?;
    if let Some(status) = input.get("returncode") {
        let succeeded = session.instance.task_succeeded(workspace, exit(status));
        output["task_succeeded"] = answer(succeeded.await?);
    }
    if input["run"] == true {
        output["run"] = answer(session.instance.run(workspace).await?);
    }
    let success = input["execution_success"] == true;
    let uploaded = session
        .instance
        .upload_artifacts(workspace, success)
        .await?;
    output["upload"] = answer(uploaded.map(|()| Value::Null));
    effects(&session.world, &mut output, input, &vector.output);
    Ok(finished(&session.world, output))
}
