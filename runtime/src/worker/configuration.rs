//! The configuration of a worker, in the files that `debusine-worker` reads: an existing worker's directory works as it is.

use super::ini::IniFile;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// The section of `config.ini`.
const SECTION: &str = "General";

/// The worker's secret.
const TOKEN: &str = "token";

/// What a worker made for a pool registers with, once.
const ACTIVATION_TOKEN: &str = "activation-token";

/// The longest token that the server keeps.
const LONGEST_TOKEN: usize = 64;

/// What the files say.
#[derive(Debug, Clone)]
pub struct Configuration {
    /// The directory of the files.
    pub directory: PathBuf,
    /// Address of the server's interface, e.g. `https://debusine.example.org/api`.
    pub api_url: String,
    /// Where the log goes; none is standard error.
    pub log_file: Option<PathBuf>,
    /// How much the log tells.
    pub log_level: Option<LogLevel>,
    /// The worker's secret; none before it is registered.
    pub token: Option<String>,
    /// A token to register with, if the worker was made for a pool.
    pub activation_token: Option<String>,
}

/// The least that a configuration says.
const EXAMPLE: &str = "[General]\napi-url = https://debusine.example.org/api";

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigurationError {
    /// None of the directories exists.
    #[error(
        "no configuration: none of {} is a directory; make one, with a config.ini that names the server:\n{EXAMPLE}",
        shown(.0)
    )]
    Missing(Vec<PathBuf>),
    /// A file cannot be read or written.
    #[error("{path}: {error}; check its owner and permissions", path = .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// `config.ini` does not say what it must.
    #[error("{path}: {reason}", path = .path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// Others may read a secret.
    #[error("{path}: mode {mode:04o} lets others read the secret in it; chmod 600 it", path = .path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
}

/// How much the log tells, in the reference's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLevel {
    /// Everything.
    Debug,
    /// One line for each event of the worker's life.
    Info,
    /// What may need attention.
    Warning,
    /// What went wrong; also the reference's `CRITICAL`.
    Error,
}

impl FromStr for LogLevel {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name.to_uppercase().as_str() {
            "DEBUG" => Ok(Self::Debug),
            "INFO" => Ok(Self::Info),
            "WARNING" | "WARN" => Ok(Self::Warning),
            "ERROR" | "CRITICAL" | "FATAL" => Ok(Self::Error),
            _ => Err(format!(
                "{name:?} is no log level; use DEBUG, INFO, WARNING, ERROR or CRITICAL"
            )),
        }
    }
}

impl Configuration {
    /// Where the files may be: the first directory that exists counts.
    pub fn directories(home: &Path) -> Vec<PathBuf> {
        vec![
            home.join(".config/debusine/worker"),
            PathBuf::from("/etc/debusine/worker"),
        ]
    }

    /// Reads the files of the first of these directories that exists.
    pub fn read(directories: &[PathBuf]) -> Result<Self, ConfigurationError> {
        let directory = directories.iter().find(|directory| directory.is_dir());
        let missing = || ConfigurationError::Missing(directories.to_owned());
        let directory = directory.ok_or_else(missing)?.clone();
        let path = directory.join("config.ini");
        let ini = parse(&path)?;
        let content = |reason: String| ConfigurationError::Content {
            path: path.clone(),
            reason,
        };
        let value = |key: &str| ini.value(SECTION, key).map_err(content);
        if !ini.has_section(SECTION) {
            return Err(content(format!(
                "there is no section [{SECTION}]; add it, with the key api-url"
            )));
        }
        let api_url = value("api-url")?.ok_or_else(|| {
            content(format!(
                "[{SECTION}] has no api-url; add the server's address, e.g. api-url = https://debusine.example.org/api"
            ))
        })?;
        let log_level = value("log-level")?.map(|name| name.parse().map_err(content));
        Ok(Self {
            token: secret(&directory.join(TOKEN))?,
            activation_token: secret(&directory.join(ACTIVATION_TOKEN))?,
            log_file: value("log-file")?.map(PathBuf::from),
            log_level: log_level.transpose()?,
            api_url,
            directory,
        })
    }

    /// Keeps the secret of a worker that has been registered: all of it or, if the disk is full, nothing. A token that is there already is not
    /// replaced.
    pub fn keep_token(&mut self, token: &str) -> Result<(), ConfigurationError> {
        let path = self.directory.join(TOKEN);
        let write = || {
            // With mode 0600, as those of its kind have.
            let mut aside = tempfile::NamedTempFile::new_in(&self.directory)?;
            aside.write_all(token.as_bytes())?;
            aside.as_file().sync_all()?;
            aside.persist_noclobber(&path)?;
            File::open(&self.directory)?.sync_all()
        };
        write().map_err(|error| ConfigurationError::File {
            path: path.clone(),
            error,
        })?;
        self.token = Some(token.to_owned());
        Ok(())
    }

    /// Whether a token could be kept: a registration whose token is lost leaves an orphan on the server.
    pub fn check_writable(&self) -> Result<(), ConfigurationError> {
        let tested = tempfile::NamedTempFile::new_in(&self.directory);
        tested.map(drop).map_err(|error| ConfigurationError::File {
            path: self.directory.clone(),
            error,
        })
    }
}

fn parse(path: &Path) -> Result<IniFile, ConfigurationError> {
    let missing = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
    let text = fs::read_to_string(path);
    if text.as_ref().is_err_and(missing) {
        return Err(ConfigurationError::Content {
            path: path.to_owned(),
            reason: format!("it is not there; make it, it names the server:\n{EXAMPLE}"),
        });
    }
    let text = text.map_err(|error| ConfigurationError::File {
        path: path.to_owned(),
        error,
    })?;
    IniFile::parse(&text).map_err(|reason| ConfigurationError::Content {
        path: path.to_owned(),
        reason: format!("{reason}; write it as [General] and lines KEY = VALUE"),
    })
}

/// The one line of a file that nobody else may read; none if there is no such file.
fn secret(path: &Path) -> Result<Option<String>, ConfigurationError> {
    let failed = |error| ConfigurationError::File {
        path: path.to_owned(),
        error,
    };
    let metadata = match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        metadata => metadata.map_err(failed)?,
    };
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(ConfigurationError::Open {
            path: path.to_owned(),
            mode,
        });
    }
    let text = fs::read_to_string(path).map_err(failed)?;
    let token = text.trim_end_matches('\n');
    let is_printable = |byte: u8| (b'!'..=b'~').contains(&byte);
    if token.is_empty() || token.len() > LONGEST_TOKEN || !token.bytes().all(is_printable) {
        return Err(ConfigurationError::Content {
            path: path.to_owned(),
            reason: format!(
                "it must hold one line of 1 to {LONGEST_TOKEN} characters without spaces; remove it to register anew"
            ),
        });
    }
    Ok(Some(token.to_owned()))
}

fn shown(paths: &[PathBuf]) -> String {
    let shown: Vec<_> = paths
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    shown.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::TempDir;

    fn directory(config: &str) -> TempDir {
        let directory = tempfile::tempdir().expect("a directory");
        fs::write(directory.path().join("config.ini"), config).expect("a file");
        directory
    }

    fn read(directory: &TempDir) -> Result<Configuration, ConfigurationError> {
        Configuration::read(&[directory.path().join("absent"), directory.path().to_owned()])
    }

    fn keep(directory: &TempDir, name: &str, content: &str, mode: u32) {
        let path = directory.path().join(name);
        fs::write(&path, content).expect("a file");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("a mode");
    }

    #[test]
    fn an_existing_worker_s_directory_is_understood() {
        let directory = directory(
            "# the server\n[DEFAULT]\nhost = example.org\n[General]\nApi-URL = https://%(host)s/api#x\nlog-file: /var/log/worker.log\nlog-level = info\nmore = less\n",
        );
        keep(&directory, "token", "0123abcd\n", 0o600);
        let read = read(&directory).expect("a configuration");
        assert_eq!(read.api_url, "https://example.org/api#x");
        assert_eq!(read.log_file, Some(PathBuf::from("/var/log/worker.log")));
        assert_eq!(read.log_level, Some(LogLevel::Info));
        assert_eq!(read.token.as_deref(), Some("0123abcd"));
        assert_eq!(read.activation_token, None);
    }

    #[test]
    fn what_is_missing_is_named_with_its_remedy() {
        let words = |config: &str| {
            read(&directory(config))
                .expect_err("no configuration")
                .to_string()
        };
        assert!(words("api-url = x\n").contains("is in no section"));
        assert!(words("[general]\napi-url = x\n").contains("no section [General]"));
        assert!(words("[General]\n").contains("has no api-url"));
        assert!(words("[General]\napi-url = x\nlog-level = loud\n").contains("no log level"));
        let nowhere = Configuration::read(&[PathBuf::from("/nonexistent")]);
        assert!(
            nowhere
                .expect_err("nothing there")
                .to_string()
                .contains("/nonexistent")
        );
    }

    #[test]
    fn a_token_that_others_can_read_is_refused() {
        let directory = directory("[General]\napi-url = http://localhost/api\n");
        for mode in [0o640, 0o604, 0o620, 0o644] {
            keep(&directory, "token", "secret", mode);
            let error = read(&directory).expect_err("an open token").to_string();
            assert!(error.contains("chmod 600"), "{error}");
        }
        keep(&directory, "token", "secret", 0o400);
        keep(&directory, "activation-token", "secret", 0o644);
        assert!(matches!(
            read(&directory),
            Err(ConfigurationError::Open { .. })
        ));
    }

    #[test]
    fn a_token_that_is_none_is_refused() {
        let directory = directory("[General]\napi-url = http://localhost/api\n");
        for token in ["", "\n", "two words", "two\nlines", &"x".repeat(65)] {
            keep(&directory, "token", token, 0o600);
            assert!(
                matches!(read(&directory), Err(ConfigurationError::Content { .. })),
                "{token:?}"
            );
        }
    }

    #[test]
    fn a_kept_token_is_private_and_is_never_replaced() {
        let directory = directory("[General]\napi-url = http://localhost/api\n");
        let mut configuration = read(&directory).expect("a configuration");
        configuration.keep_token("first").expect("kept");
        assert!(configuration.keep_token("second").is_err());
        let mode = fs::metadata(directory.path().join("token"))
            .expect("there")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(
            read(&directory).expect("still").token.as_deref(),
            Some("first")
        );
    }
}
