//! `artifact import`: files become an artifact, once they have been checked.

use super::super::error::CliError;
use super::super::output::Output;
use super::super::places::Places;
use super::super::{Outcome, Status, documents};
use super::content::FilesOf;
use super::debian;
use serde_json::{Value, json};
use std::fs::File;
use std::path::{Path, PathBuf};
use task_runtime::artifacts::{NewArtifact, NewFile};
use task_sdk::artifacts::Category;

/// Arguments of `artifact import`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  task-runtime artifact import hello_2.10-3.dsc --name hello     a source package with its files
  task-runtime artifact import hello_2.10-3_amd64.changes        an upload, likewise
  task-runtime artifact import hello_2.10-3_amd64.deb            a binary package
  task-runtime artifact import hello_2.10-3_amd64.build          the log of a package build
  task-runtime artifact import system.tar.xz --category debian:system-tarball --data '{
      \"vendor\": \"debian\", \"codename\": \"bookworm\", \"architecture\": \"amd64\",
      \"mirror\": \"https://deb.example.org/debian\", \"variant\": \"buildd\",
      \"pkglist\": {}, \"with_dev\": true, \"with_init\": false}'
  task-runtime artifact import --category debusine:test FILE...  any artifact")]
pub struct Arguments {
    /// The files; of a source package or an upload only the .dsc or .changes file
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Category, where the file's name does not tell
    #[arg(long)]
    category: Option<String>,
    /// Data of the artifact, in the same forms as task data
    #[arg(long, value_name = "DATA", requires = "category")]
    data: Option<String>,
    /// Name by which look-ups find it; may be given several times
    #[arg(long, value_name = "NAME")]
    name: Vec<String>,
    /// Workspace that it belongs to
    #[arg(long)]
    workspace: Option<String>,
}

/// What is to be stored.
pub struct Parts {
    /// Its category.
    pub category: Category,
    /// Its data in normal form.
    pub data: Value,
    /// Its files, open.
    pub files: Vec<NewFile>,
}

/// Checks and stores an artifact.
pub async fn import(arguments: Arguments, places: &Places, output: &Output) -> Outcome {
    let parts = match &arguments.category {
        Some(category) => categorised(category, arguments.data.as_deref(), &arguments.files)?,
        None => debian::recognised(&arguments.files)?,
    };
    let artifact = NewArtifact {
        category: parts.category.as_str().to_owned(),
        data: parts.data,
        files: parts.files,
        work_request: None,
        workspace: arguments.workspace,
    };
    let category = artifact.category.clone();
    let id = places.store()?.import(artifact, arguments.name).await?;
    output.say(&format!("imported a {category} as artifact"));
    output.answer(&json!({"id": id, "category": category}), || id.to_string())?;
    Ok(Status::Success)
}

/// An artifact of a category that was named.
fn categorised(category: &str, data: Option<&str>, paths: &[PathBuf]) -> Result<Parts, CliError> {
    let category: Category = category
        .parse()
        .map_err(task_sdk::artifacts::ArtifactError::from)?;
    let mut data = documents::read_or_empty(data)?;
    let files = paths
        .iter()
        .map(|path| open(path))
        .collect::<Result<Vec<_>, _>>()?;
    let is_named_after_its_file = matches!(
        category,
        Category::SystemTarball | Category::SystemImage | Category::PackageBuildLog
    );
    if let ([file], Value::Object(data), true) = (&files[..], &mut data, is_named_after_its_file) {
        data.entry("filename")
            .or_insert_with(|| file.path.clone().into());
    }
    let names: Vec<&str> = files.iter().map(|file| file.path.as_str()).collect();
    let contents = FilesOf(&files);
    let data = task_sdk::artifacts::check(category.as_str(), &data, &names, Some(&contents))?;
    if matches!(category, Category::SystemTarball | Category::SystemImage) {
        files.iter().try_for_each(debian::check_tarball)?;
    }
    Ok(Parts {
        category,
        data,
        files,
    })
}

/// Opens a regular file under its own name.
pub fn open(path: &Path) -> Result<NewFile, CliError> {
    let refuse = |why: &str| {
        let shown = path.display();
        CliError::new(
            "file",
            format!("{shown}: {why}; check the name and permissions of the file"),
        )
    };
    let found = path
        .metadata()
        .map_err(|error| refuse(&format!("cannot be read: {error}")))?;
    if !found.is_file() {
        return Err(refuse("not a regular file"));
    }
    let name = path.file_name().and_then(|name| name.to_str());
    let name = name
        .ok_or_else(|| refuse("its name is not UTF-8"))?
        .to_owned();
    let content = File::open(path).map_err(|error| refuse(&format!("cannot be read: {error}")))?;
    Ok(NewFile {
        path: name,
        content,
    })
}
