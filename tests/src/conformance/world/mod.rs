//! A scripted world behind the traits that the real one implements: server, URLs, commands, instances, facts of the machine.

mod database;
mod facts;
mod instances;
mod script;
mod server;
pub mod tree;
mod urls;

pub use database::ScriptedDatabase;
pub use server::Stored;

use super::keyrings::Keyrings;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// The world of one vector, made from its input.
pub struct World {
    input: Value,
    files: PathBuf,
    cache: PathBuf,
    state: Mutex<State>,
    /// Instances hold on to the world that they are in.
    this: Weak<World>,
}

/// What has happened in it.
#[derive(Default)]
struct State {
    download: PathBuf,
    execute: PathBuf,
    events: Vec<Value>,
    artifacts: Vec<Stored>,
    relations: Vec<Value>,
    keyrings: Keyrings,
}

impl World {
    /// A world for a vector's input; `files` holds the folder's binary files, `cache` is where images would be.
    pub fn new(input: &Value, files: &Path, cache: &Path) -> Arc<Self> {
        Arc::new_cyclic(|this| Self {
            input: input.clone(),
            files: files.to_owned(),
            cache: cache.to_owned(),
            state: Mutex::default(),
            this: this.clone(),
        })
    }

    /// Tells where the directories of the run are.
    pub fn set_directories(&self, download: &Path, execute: &Path) {
        let mut state = self.state();
        state.download = download.to_owned();
        state.execute = execute.to_owned();
    }

    /// Writes the trees that are in a directory beforehand.
    pub fn write_tree(&self, directory: &Path, name: &str) -> std::io::Result<()> {
        tree::write(directory, &self.input[name], &self.files)
    }

    /// What happened so far, in order.
    pub fn events(&self) -> Vec<Value> {
        self.state().events.clone()
    }

    /// Forgets what happened so far.
    pub fn clear_events(&self) {
        self.state().events.clear();
    }

    /// The uploaded artifacts, in order.
    pub fn artifacts(&self) -> Vec<Stored> {
        self.state().artifacts.clone()
    }

    /// The recorded relations, in order: from, to, type.
    pub fn relations(&self) -> Vec<Value> {
        self.state().relations.clone()
    }

    /// Puts placeholders for what differs from run to run: directories, the image, random parts of names.
    pub fn with_placeholders(&self, value: &Value) -> Value {
        self.look_for_keyrings();
        let state = self.state();
        let mut replacements = state.keyrings.replacements();
        let places = [
            (self.image().unwrap_or_default(), "${image}"),
            (state.download.clone(), "${download}"),
            (state.execute.clone(), "${execute}"),
            (self.cache.clone(), "${cache}"),
        ];
        for (path, placeholder) in places {
            if path != Path::new("") {
                replacements.push((path.display().to_string(), placeholder.to_owned()));
            }
        }
        replaced(value, &replacements)
    }

    /// Finds out what downloaded keyrings are called by now.
    pub fn look_for_keyrings(&self) {
        let mut state = self.state();
        let download = state.download.clone();
        state.keyrings.look_in(&download);
    }

    /// Placeholders in the script's paths, made real.
    fn expanded(&self, text: &str) -> String {
        let state = self.state();
        text.replace("${download}", &state.download.display().to_string())
            .replace("${execute}", &state.execute.display().to_string())
            .replace("${cache}", &self.cache.display().to_string())
    }

    /// Where the environment's image would be; none if the task has no environment.
    fn image(&self) -> Option<PathBuf> {
        let id = self.input["dynamic_task_data"]["environment_id"].as_u64()?;
        self.image_path(id)
    }

    fn image_path(&self, id: u64) -> Option<PathBuf> {
        let artifact = &self.input["server"]["artifacts"][id.to_string()];
        let name = artifact["data"]["filename"].as_str()?;
        let images = self.cache.join("system-images");
        Some(images.join(id.to_string()).join(name))
    }

    fn happened(&self, event: Value) {
        self.state().events.push(event);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Replaces texts in all strings of a document, in this order, also in the names of members.
fn replaced(value: &Value, replacements: &[(String, String)]) -> Value {
    let replace = |text: &str| {
        let mut text = text.to_owned();
        for (from, to) in replacements {
            if text.contains(from.as_str()) {
                text = text.replace(from.as_str(), to);
            }
        }
        text
    };
    match value {
        Value::String(text) => json!(replace(text)),
        Value::Array(values) => values
            .iter()
            .map(|value| replaced(value, replacements))
            .collect(),
        Value::Object(map) => map
            .iter()
            .map(|(key, value)| (replace(key), replaced(value, replacements)))
            .collect(),
        scalar => scalar.clone(),
    }
}
