//! `host-facts`: what a task may know of the machine.

use super::HostState;
use super::bindings::debusine::task::host_facts;
use super::tool::{BRIEFLY, ask};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::OnceLock;

/// Variables of the worker's environment that tasks may see.
pub const VISIBLE_VARIABLES: [&str; 2] = ["PATH", "DEB_BUILD_OPTIONS"];

/// What is known of the machine on which tasks run.
pub trait Facts: Send + Sync {
    /// Whether a program of this name is in the `PATH`.
    fn command_available(&self, name: &str) -> bool;

    /// The machine's Debian architecture, e.g. `amd64`.
    fn architecture(&self) -> Option<String>;

    /// A variable of the environment.
    fn environment_variable(&self, name: &str) -> Option<String>;

    /// Whether `/etc/resolv.conf` is a file.
    fn has_resolv_conf(&self) -> bool;

    /// The whole environment of the worker: what a command on the host gets besides its own variables.
    fn environment(&self) -> BTreeMap<OsString, OsString> {
        std::env::vars_os().collect()
    }
}

/// This machine.
#[derive(Debug, Default)]
pub struct Machine {
    architecture: OnceLock<String>,
}

impl Facts for Machine {
    fn command_available(&self, name: &str) -> bool {
        let is_program = |path: &Path| {
            path.metadata()
                .is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
        };
        std::env::var_os("PATH").is_some_and(|path| {
            std::env::split_paths(&path).any(|directory| is_program(&directory.join(name)))
        })
    }

    fn architecture(&self) -> Option<String> {
        if let Some(known) = self.architecture.get() {
            return Some(known.clone());
        }
        // A failure is not kept: the next question may have an answer.
        let printed = ask("dpkg", &["--print-architecture"], BRIEFLY).ok()?;
        let printed = printed.trim().to_owned();
        Some(self.architecture.get_or_init(|| printed).clone())
    }

    fn environment_variable(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    fn has_resolv_conf(&self) -> bool {
        Path::new("/etc/resolv.conf").is_file()
    }
}

impl host_facts::Host for HostState {
    async fn command_available(&mut self, name: String) -> wasmtime::Result<bool> {
        let is_plain = !name.is_empty() && !name.contains(['/', '\0']);
        Ok(is_plain && self.facts.command_available(&name))
    }

    async fn architecture(&mut self) -> wasmtime::Result<Option<String>> {
        Ok(self.facts.architecture())
    }

    async fn environment_variable(&mut self, name: String) -> wasmtime::Result<Option<String>> {
        if !VISIBLE_VARIABLES.contains(&name.as_str()) {
            return Ok(None);
        }
        Ok(self.facts.environment_variable(&name))
    }

    async fn has_resolv_conf(&mut self) -> wasmtime::Result<bool> {
        Ok(self.facts.has_resolv_conf())
    }
}
