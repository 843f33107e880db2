//! What the machine of a vector is like.

use super::World;
use std::collections::BTreeMap;
use std::ffi::OsString;
use task_runtime::host::Facts;

/// `PATH` of the worker unless the vector has another.
const PATH: &str = "/usr/bin:/bin:/usr/sbin:/sbin";

impl Facts for World {
    fn command_available(&self, name: &str) -> bool {
        let commands = self.input["commands"].as_array();
        commands.is_some_and(|commands| commands.iter().any(|known| known == name))
    }

    fn architecture(&self) -> Option<String> {
        match self.input.get("worker_host_architecture") {
            None => Some("amd64".to_owned()),
            Some(architecture) => architecture.as_str().map(str::to_owned),
        }
    }

    fn environment_variable(&self, name: &str) -> Option<String> {
        let given = self.input["env"].get(name).and_then(|value| value.as_str());
        match (given, name) {
            (None, "PATH") => Some(PATH.to_owned()),
            (given, _) => given.map(str::to_owned),
        }
    }

    fn has_resolv_conf(&self) -> bool {
        self.input["host_resolv_conf"] != false
    }

    fn environment(&self) -> BTreeMap<OsString, OsString> {
        let mut environment = BTreeMap::from([("PATH".into(), PATH.into())]);
        for (name, value) in self.input["env"].as_object().into_iter().flatten() {
            let value = value.as_str().unwrap_or_default();
            environment.insert(name.into(), value.into());
        }
        environment
    }
}
