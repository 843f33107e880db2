//! Downloaded keyrings have random names: which is which is told by the order in which they were downloaded.

use serde_json::Value;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// What the name of such a file begins with.
const PREFIX: &str = "keyring-repo-";

/// The keyrings of a run.
#[derive(Debug, Default)]
pub struct Keyrings {
    /// Inodes of downloaded files, in order; a renamed file keeps its own.
    downloads: Vec<u64>,
    /// Names with the number of their inode in that list.
    names: Vec<(usize, String)>,
}

impl Keyrings {
    /// A file with this inode has been downloaded.
    pub fn downloaded(&mut self, inode: u64) {
        self.downloads.push(inode);
    }

    /// Looks for keyrings beneath a directory.
    pub fn look_in(&mut self, directory: &Path) {
        if self.downloads.is_empty() {
            return;
        }
        for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
            let Ok(found) = entry.metadata() else {
                continue;
            };
            let name = entry.file_name().to_string_lossy().into_owned();
            if found.is_dir() {
                self.look_in(&entry.path());
            } else if name.starts_with(PREFIX)
                && !self.names.iter().any(|(_, known)| *known == name)
            {
                let is_it = |inode: &u64| *inode == found.ino();
                let number = self.downloads.iter().rposition(is_it);
                self.names.push((number.unwrap_or(usize::MAX), name));
            }
        }
    }

    /// Each name with what vectors call it.
    pub fn replacements(&self) -> Vec<(String, String)> {
        let mut names = self.names.clone();
        names.sort();
        let numbered = names.into_iter().enumerate().map(|(index, (_, name))| {
            let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
            let recorded = format!("{PREFIX}RANDOM{}.{ending}", index + 1);
            (name, recorded)
        });
        numbered.collect()
    }
}

/// Puts consecutive `--keyring=` arguments in order: their own depends on random names.
fn sort_arguments(arguments: &mut [String]) {
    for run in arguments.chunk_by_mut(|one, other| is_keyring(one) && is_keyring(other)) {
        run.sort();
    }
}

fn is_keyring(argument: &str) -> bool {
    argument.starts_with("--keyring=")
}

/// Puts them in order everywhere in a document: in lists of arguments, and in command lines (`cmd: …`) of logs.
pub fn sort_everywhere(value: &mut Value) {
    match value {
        Value::String(text) if text.contains("--keyring=") => {
            let lines: Vec<String> = text.split('\n').map(sorted_line).collect();
            *text = lines.join("\n");
        }
        Value::Array(values) => {
            values.iter_mut().for_each(sort_everywhere);
            let texts = values.iter().map(|value| value.as_str().map(str::to_owned));
            if let Some(mut arguments) = texts.collect::<Option<Vec<String>>>() {
                sort_arguments(&mut arguments);
                *values = arguments.into_iter().map(Value::String).collect();
            }
        }
        Value::Object(map) => map.values_mut().for_each(sort_everywhere),
        _ => {}
    }
}

fn sorted_line(line: &str) -> String {
    if !line.starts_with("cmd: ") {
        return line.to_owned();
    }
    let mut words: Vec<String> = line.split(' ').map(str::to_owned).collect();
    sort_arguments(&mut words);
    words.join(" ")
}
