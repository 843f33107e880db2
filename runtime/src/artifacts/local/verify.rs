//! Finding damage: every file's size and sha256, rows that lead nowhere, files that no row mentions, the database itself.

use super::blobs::measure;
use super::digest::{Copied, Digest};
use super::failure::{Failure, Outcome};
use super::records;
use super::{Inner, LocalStore};
use crate::artifacts::StoreError;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::path::PathBuf;

/// How far a verification is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct VerifyProgress {
    /// Files that were read.
    pub files: u64,
    /// Files that there are to read.
    pub files_total: u64,
    /// Bytes that were read.
    pub bytes: u64,
    /// Bytes that there are to read.
    pub bytes_total: u64,
}

/// What a verification found.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct VerifyReport {
    /// Distinct files that were read.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// What is wrong; nothing if the store is as it should be.
    pub problems: Vec<Problem>,
}

/// Something wrong with a store. `used_by` names each file of an artifact that has the content, as `ARTIFACT:PATH`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "problem", rename_all = "kebab-case")]
pub enum Problem {
    /// A file is not there.
    MissingFile {
        /// What it should contain.
        sha256: String,
        /// Who needs it.
        used_by: Vec<String>,
    },
    /// A file's size or content is not what was stored.
    DamagedFile {
        /// What it should contain.
        sha256: String,
        /// Size that was stored, in bytes.
        size: u64,
        /// Size that is there, in bytes.
        found_size: u64,
        /// Who needs it.
        used_by: Vec<String>,
    },
    /// The system cannot read a file.
    UnreadableFile {
        /// What it should contain.
        sha256: String,
        /// What the system says.
        error: String,
        /// Who needs it.
        used_by: Vec<String>,
    },
    /// A file that no row mentions; it may be removed.
    OrphanFile {
        /// Where it is.
        path: PathBuf,
    },
    /// A row that refers to one which is not there.
    DanglingRow {
        /// The table of the row.
        table: String,
        /// The table of the missing row.
        parent: String,
    },
    /// The database's own check failed; the words are SQLite's.
    Database {
        /// What SQLite found.
        words: String,
    },
}

impl VerifyReport {
    /// Whether nothing is wrong.
    pub fn is_good(&self) -> bool {
        self.problems.is_empty()
    }
}

impl LocalStore {
    /// Reads the whole store and reports what is wrong with it; `progress` is called after each file. Other processes may go on working.
    ///
    /// # Errors
    /// Only if the verification cannot be carried out; what it finds is in the report.
    pub async fn verify(
        &self,
        progress: impl FnMut(VerifyProgress) + Send + 'static,
    ) -> Result<VerifyReport, StoreError> {
        self.blocking(move |store| verify(store, progress)).await
    }
}

fn verify(store: &Inner, progress: impl FnMut(VerifyProgress)) -> Outcome<VerifyReport> {
    let mut problems = check_database(store)?;
    let contents = match contents(store) {
        // A database too damaged to be read is a finding, not a failure.
        Err(Failure::Database(error)) => {
            let words = error.to_string();
            problems.push(Problem::Database { words });
            return Ok(VerifyReport {
                problems,
                ..VerifyReport::default()
            });
        }
        other => other?,
    };
    let (files, bytes) = check_files(store, &contents, &mut problems, progress)?;
    problems.extend(orphans(store, &contents)?);
    Ok(VerifyReport {
        files,
        bytes,
        problems,
    })
}

/// SQLite's own checks.
fn check_database(store: &Inner) -> Outcome<Vec<Problem>> {
    let found = store.read(|rows| {
        let mut problems = Vec::new();
        let mut check = rows.prepare("PRAGMA integrity_check")?;
        for words in check.query_map([], |row| row.get::<_, String>(0))? {
            match words? {
                words if words == "ok" => {}
                words => problems.push(Problem::Database { words }),
            }
        }
        let mut check = rows.prepare("PRAGMA foreign_key_check")?;
        for row in check.query_map([], |row| Ok((row.get(0)?, row.get(2)?)))? {
            let (table, parent) = row?;
            problems.push(Problem::DanglingRow { table, parent });
        }
        Ok(problems)
    });
    match found {
        Err(Failure::Database(error)) => Ok(vec![Problem::Database {
            words: error.to_string(),
        }]),
        other => other,
    }
}

/// Every content that the database mentions.
fn contents(store: &Inner) -> Outcome<BTreeMap<Digest, u64>> {
    store.read(|rows| {
        let mut contents = rows.prepare("SELECT sha256, size FROM blobs")?;
        let contents = contents.query_map([], records::content)?;
        let contents = contents.map(|content| content.map(|it| (it.digest, it.size)));
        Ok(contents.collect::<rusqlite::Result<_>>()?)
    })
}

fn check_files(
    store: &Inner,
    contents: &BTreeMap<Digest, u64>,
    problems: &mut Vec<Problem>,
    mut progress: impl FnMut(VerifyProgress),
) -> Outcome<(u64, u64)> {
    let mut state = VerifyProgress {
        files_total: contents.len() as u64,
        bytes_total: contents.values().sum(),
        ..VerifyProgress::default()
    };
    for (&digest, &size) in contents {
        problems.extend(check_file(store, Copied { digest, size })?);
        state.files += 1;
        state.bytes += size;
        progress(state);
    }
    Ok((state.files, state.bytes))
}

fn check_file(store: &Inner, stored: Copied) -> Outcome<Option<Problem>> {
    let found = measure(&store.blobs, stored.digest);
    if matches!(&found, Ok(found) if *found == stored) {
        return Ok(None);
    }
    let (sha256, used_by) = (stored.digest.to_string(), used_by(store, stored.digest)?);
    Ok(Some(match found {
        Ok(found) => Problem::DamagedFile {
            sha256,
            size: stored.size,
            found_size: found.size,
            used_by,
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Problem::MissingFile { sha256, used_by }
        }
        Err(error) => Problem::UnreadableFile {
            sha256,
            error: error.to_string(),
            used_by,
        },
    }))
}

fn used_by(store: &Inner, digest: Digest) -> Outcome<Vec<String>> {
    store.read(|rows| {
        let mut users = rows.prepare_cached(
            "SELECT artifact || ':' || path FROM artifact_files WHERE sha256 = ? ORDER BY artifact, path",
        )?;
        let users = users.query_map([digest], |row| row.get(0))?;
        Ok(users.collect::<rusqlite::Result<_>>()?)
    })
}

/// Files that no row mentions. What another process is bringing in is in place before its row is there: it is announced in `incoming/`
/// until after that, so whoever is neither announced nor, after that look, known is an orphan.
fn orphans(store: &Inner, contents: &BTreeMap<Digest, u64>) -> Outcome<Vec<Problem>> {
    let digest_of = |path: &PathBuf| path.file_name()?.to_str()?.parse::<Digest>().ok();
    let is_in_place =
        |path: &PathBuf| digest_of(path).filter(|digest| store.blobs.path(*digest) == *path);
    let mut unknown = store.blobs.all_paths()?;
    unknown.retain(|path| is_in_place(path).is_none_or(|digest| !contents.contains_key(&digest)));
    if unknown.is_empty() {
        return Ok(Vec::new());
    }
    let announced: BTreeSet<_> = store.blobs.announced()?.into_iter().collect();
    let known = self::contents(store)?;
    unknown.retain(|path| {
        is_in_place(path)
            .is_none_or(|digest| !announced.contains(&digest) && !known.contains_key(&digest))
    });
    unknown.sort();
    Ok(unknown
        .into_iter()
        .map(|path| Problem::OrphanFile { path })
        .collect())
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let users = |used_by: &[String]| records::listed(used_by);
        match self {
            Self::MissingFile { sha256, used_by } => {
                write!(
                    f,
                    "file {sha256}: missing; import it again to heal {}",
                    users(used_by)
                )
            }
            Self::DamagedFile {
                sha256,
                size,
                found_size,
                used_by,
            } if size == found_size => {
                write!(
                    f,
                    "file {sha256}: its content has changed; import it again to heal {}",
                    users(used_by)
                )
            }
            Self::DamagedFile {
                sha256,
                size,
                found_size,
                used_by,
            } => write!(
                f,
                "file {sha256}: {found_size} bytes instead of {size}; import it again to heal {}",
                users(used_by)
            ),
            Self::UnreadableFile {
                sha256,
                error,
                used_by,
            } => write!(
                f,
                "file {sha256}: unreadable: {error}; check the disk, then import it again to heal {}",
                users(used_by)
            ),
            Self::OrphanFile { path } => {
                write!(
                    f,
                    "{}: no artifact has this file; remove it",
                    path.display()
                )
            }
            Self::DanglingRow { table, parent } => write!(
                f,
                "database: a row of {table} refers to a row of {parent} that is not there; restore the database from a backup"
            ),
            Self::Database { words } => {
                write!(f, "database: {words}; restore it from a backup")
            }
        }
    }
}
