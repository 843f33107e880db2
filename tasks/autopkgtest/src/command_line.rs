//! The command: autopkgtest(1), which tests the packages in an instance that its virtualisation server makes of the image.

use crate::data::{AutopkgtestData, Timeout};
use crate::{OUTPUT, SUMMARY};
use task_sdk::prelude::*;
use task_sdk::repositories::{KEYRINGS_DIRECTORY, SOURCES_DIRECTORY};

/// What the command line is made of.
pub struct TestRun<'a> {
    /// The task data.
    pub data: &'a AutopkgtestData,
    /// The system to test in.
    pub image: &'a Image,
    /// Extra repositories in the form of that system's release.
    pub sources: &'a ExtraSources,
    /// Absolute path of the directory with the inputs.
    pub download: &'a str,
    /// Names of the packages there, and of the `.dsc`.
    pub targets: &'a [String],
    /// Whether the worker's `/etc/resolv.conf` is a file.
    pub host_has_resolv_conf: bool,
}

impl TestRun<'_> {
    /// Program and arguments.
    pub fn command_line(&self) -> Result<Vec<String>> {
        let data = self.data;
        let mut arguments = vec![
            "autopkgtest".to_owned(),
            "--apt-upgrade".to_owned(),
            format!("--output-dir={OUTPUT}"),
            format!("--summary={SUMMARY}"),
            "--no-built-binaries".to_owned(),
        ];
        let option = |name: &'static str| move |value: &String| format!("--{name}={value}");
        arguments.extend(data.include_tests.iter().map(option("test-name")));
        arguments.extend(data.exclude_tests.iter().map(option("skip-test")));
        if let Ok(level @ 1..) = usize::try_from(data.debug_level) {
            arguments.push(format!("-{}", "d".repeat(level)));
        }
        self.add_sources(&mut arguments);
        if data.use_packages_from_base_repository {
            let codename = self.image.text("codename")?;
            arguments.push(format!("--apt-default-release={codename}"));
        }
        let variables = data.extra_environment.iter();
        arguments.extend(variables.map(|(name, value)| format!("--env={name}={value}")));
        arguments.push(format!("--needs-internet={}", data.needs_internet));
        arguments.extend(data.timeout.iter().flat_map(timeouts));
        if self.lends_resolv_conf() {
            arguments.push("--copy=/etc/resolv.conf:/etc/resolv.conf".to_owned());
        }
        arguments.extend(self.targets.iter().map(|name| self.input(name)));
        arguments.push("--".to_owned());
        arguments.push(self.image.virt_server.clone());
        arguments.extend(self.image.virt_server_arguments.iter().cloned());
        Ok(arguments)
    }

    /// The absolute path of an input.
    fn input(&self, name: &str) -> String {
        format!("{}/{name}", self.download)
    }

    fn add_sources(&self, arguments: &mut Vec<String>) {
        let copy =
            |name: &str, directory: &str| format!("--copy={}:{directory}/{name}", self.input(name));
        for file in &self.sources.sources {
            arguments.push(copy(&file.name, SOURCES_DIRECTORY));
        }
        let lines = self.sources.lines.iter();
        arguments.extend(lines.map(|line| format!("--add-apt-source={line}")));
        for file in &self.sources.keys {
            arguments.push(copy(&file.name, KEYRINGS_DIRECTORY));
        }
    }

    /// Only an instance on the worker's own network can use the worker's name servers, and needs them.
    fn lends_resolv_conf(&self) -> bool {
        let backend = self.data.executor.backend.effective();
        backend == Backend::Unshare && self.host_has_resolv_conf
    }
}

/// One option for each time that is set.
fn timeouts(timeout: &Timeout) -> impl Iterator<Item = String> + use<> {
    let times = [
        ("global", timeout.overall),
        ("factor", timeout.factor),
        ("short", timeout.short),
        ("install", timeout.install),
        ("test", timeout.test),
        ("copy", timeout.copy),
    ];
    let set = times
        .into_iter()
        .filter_map(|(name, time)| Some((name, time?)));
    set.map(|(name, time)| format!("--timeout-{name}={time}"))
}
