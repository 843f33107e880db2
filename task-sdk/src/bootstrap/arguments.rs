//! Arguments of mmdebstrap(1) that tell it what was prepared. Its hooks run on the machine; `"$1"` is the new system's root.

use super::keyrings::INSTALLED;
use super::preparation::Preparation;

/// Hooks of mmdebstrap's own, for systems as old as jessie.
pub const MAYBE_JESSIE_OR_OLDER: &str =
    "--hook-dir=/usr/share/mmdebstrap/hooks/maybe-jessie-or-older";

/// The argument that runs a shell command, or a special one of mmdebstrap's, when all packages are installed.
pub fn customize(command: &str) -> String {
    ["--customize-hook=", command].concat()
}

/// The argument that copies a file of this machine into the new system.
pub fn upload(path: &str, path_in_system: &str) -> String {
    customize(&["upload ", path, " ", path_in_system].concat())
}

impl Preparation {
    /// Replaces the system's sources by the prepared ones, installs keyrings, and makes all of them known to the tool.
    pub fn source_arguments(&self) -> Vec<String> {
        let mut arguments = vec![
            customize(r#"cd "$1" && find etc/apt/sources.list.d -type f -delete"#),
            upload(&self.chroot_sources, "/etc/apt/sources.list.d/file.sources"),
            customize(&format!(r#"mkdir "$1{INSTALLED}""#)),
        ];
        for keyring in &self.keyrings {
            if let Some(installed_path) = &keyring.installed_path {
                arguments.push(upload(&keyring.path, installed_path));
            }
        }
        arguments.extend(
            self.keyrings
                .iter()
                .map(|keyring| format!("--keyring={}", keyring.path)),
        );
        arguments.extend(
            self.keyring_packages
                .iter()
                .map(|package| format!("--include={package}")),
        );
        arguments
    }

    /// Runs the customization script in the system, if there is one, and leaves no trace of it.
    pub fn customization_arguments(&self) -> Vec<String> {
        let Some(script) = &self.customization_script else {
            return Vec::new();
        };
        vec![
            upload(script, "/customization_script"),
            customize(r#"chmod 555 "$1/customization_script""#),
            customize(r#"chroot "$1" /customization_script"#),
            customize(r#"rm "$1/customization_script""#),
        ]
    }
}
