//! The command line of sbuild, and what it gets in its environment.

use crate::data::{BinNmu, BuildComponent, SbuildData};
use task_sdk::debian::text;
use task_sdk::prelude::*;
use task_sdk::repositories::{AptFile, KEYRINGS_DIRECTORY, SOURCES_DIRECTORY};
use task_sdk::shell;

/// Build profiles that sbuild does not pass on as build options, although packages expect both (Debian policy 4.9.1).
pub const PROFILES_THAT_ARE_OPTIONS: [&str; 2] = ["nocheck", "nodoc"];

/// What the command line is made of.
pub struct Build<'a> {
    /// The task data.
    pub data: &'a SbuildData,
    /// Who makes a binNMU if the task data do not say.
    pub binnmu_maintainer: Option<&'a str>,
    /// The system to build in.
    pub image: &'a Image,
    /// Extra repositories in the form of that system's release.
    pub sources: &'a ExtraSources,
    /// Absolute path of the directory with the inputs.
    pub download: &'a str,
    /// Names of the extra packages there.
    pub extra_packages: &'a [String],
    /// Name of the `.dsc` file there.
    pub dsc: &'a str,
}

impl Build<'_> {
    /// Program and arguments.
    pub fn command_line(&self) -> Result<Vec<String>> {
        let mut arguments = vec![
            "sbuild".to_owned(),
            "--purge-deps=never".to_owned(),
            "--no-run-lintian".to_owned(),
        ];
        self.add_components(&mut arguments);
        arguments.push(format!("--arch={}", self.data.host_architecture));
        arguments.push(format!("--dist={}", self.image.text("codename")?));
        self.add_environment(&mut arguments);
        self.add_sources(&mut arguments);
        if let Some(binnmu) = &self.data.binnmu {
            self.add_binnmu(binnmu, &mut arguments);
        }
        match self.data.build_profiles.as_deref() {
            None | Some([]) => {}
            Some(profiles) => arguments.push(format!("--profiles={}", profiles.join(","))),
        }
        arguments.push("--bd-uninstallable-explainer=dose3".to_owned());
        let extra_package = |name: &String| format!("--extra-package={}", self.input(name));
        arguments.extend(self.extra_packages.iter().map(extra_package));
        arguments.push(self.input(self.dsc));
        Ok(arguments)
    }

    /// The absolute path of an input.
    fn input(&self, name: &str) -> String {
        format!("{}/{name}", self.download)
    }

    fn add_components(&self, arguments: &mut Vec<String>) {
        for (component, option) in [
            (BuildComponent::Any, "arch-any"),
            (BuildComponent::All, "arch-all"),
            (BuildComponent::Source, "source"),
        ] {
            let wanted = self.data.build_components.contains(&component);
            arguments.push([if wanted { "--" } else { "--no-" }, option].concat());
        }
    }

    fn add_environment(&self, arguments: &mut Vec<String>) {
        if self.data.executor.backend.effective() == Backend::Unshare {
            arguments.push("--chroot-mode=unshare".to_owned());
            arguments.push(format!("--chroot={}", self.image.name));
            // sbuild copies the host's file to this place, which a link in the image would lead astray.
            arguments.push("--chroot-setup-commands=rm -f /etc/resolv.conf".to_owned());
            return;
        }
        arguments.push("--chroot-mode=autopkgtest".to_owned());
        let server = &self.image.virt_server;
        arguments.push(format!("--autopkgtest-virt-server={server}"));
        let option = |argument: &String| {
            let argument = without_escapes(argument);
            format!("--autopkgtest-virt-server-opt={argument}")
        };
        arguments.extend(self.image.virt_server_arguments.iter().map(option));
    }

    fn add_sources(&self, arguments: &mut Vec<String>) {
        for file in &self.sources.sources {
            let command = format!("cat > {SOURCES_DIRECTORY}/{}", file.name);
            arguments.push(self.copy_to_environment(file, &command));
        }
        let line = |line: &String| format!("--extra-repository={line}");
        arguments.extend(self.sources.lines.iter().map(line));
        for file in &self.sources.keys {
            let command = format!(
                "mkdir -p {KEYRINGS_DIRECTORY} && cat > {KEYRINGS_DIRECTORY}/{}",
                file.name
            );
            arguments.push(self.copy_to_environment(file, &command));
        }
    }

    /// The option that, before the build, gives a file to a shell command in the environment.
    fn copy_to_environment(&self, file: &AptFile, command: &str) -> String {
        let path = self.input(&file.name);
        let path = without_escapes(&shell::quote(&path));
        let command = shell::quote(command);
        format!("--pre-build-commands=cat {path} | %SBUILD_CHROOT_EXEC sh -c {command}")
    }

    fn add_binnmu(&self, binnmu: &BinNmu, arguments: &mut Vec<String>) {
        arguments.push(format!("--make-binNMU={}", binnmu.changelog));
        arguments.push(format!("--append-to-version={}", binnmu.suffix));
        arguments.push("--binNMU=0".to_owned());
        if let Some(timestamp) = &binnmu.timestamp {
            arguments.push(format!("--binNMU-timestamp={}", timestamp.to_rfc5322()));
        }
        let given = binnmu.maintainer.as_ref().map(Maintainer::to_string);
        let maintainer = given.or_else(|| self.binnmu_maintainer.map(str::to_owned));
        // The server always names one; without it the reference writes this word, which is seen in the package.
        let maintainer = maintainer.as_deref().unwrap_or("None");
        arguments.push(format!("--maintainer={maintainer}"));
    }
}

/// A text in which sbuild finds none of its percent escapes.
fn without_escapes(text: &str) -> String {
    text.replace('%', "%%")
}

/// `DEB_BUILD_OPTIONS` for these profiles, added to what the worker has there; none if it can stay as it is.
pub fn build_options(profiles: &[String], of_worker: Option<&str>) -> Option<String> {
    let is_option = |profile: &&str| PROFILES_THAT_ARE_OPTIONS.contains(profile);
    let mut added = profiles
        .iter()
        .map(String::as_str)
        .filter(is_option)
        .peekable();
    added.peek()?;
    let options: Vec<&str> = text::words(of_worker.unwrap_or_default())
        .chain(added)
        .collect();
    Some(options.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(changes: Value, image: &Image) -> Result<Vec<String>> {
        arguments_by(Some("Debusine <noreply@example.org>"), changes, image)
    }

    fn arguments_by(
        binnmu_maintainer: Option<&str>,
        changes: Value,
        image: &Image,
    ) -> Result<Vec<String>> {
        let mut data = json!({
            "input": {"source_artifact": 5},
            "environment": "debian/match:codename=trixie",
            "host_architecture": "amd64",
        });
        for (key, change) in changes.as_object().unwrap() {
            data[key] = change.clone();
        }
        let data = SbuildData::parse(&data).unwrap();
        let repositories = data.repositories.extra_repositories.as_deref();
        let codename = image.text("codename")?;
        let build = Build {
            data: &data,
            binnmu_maintainer,
            image,
            sources: &ExtraSources::for_release(codename, repositories.unwrap_or_default())?,
            download: "/50%",
            extra_packages: &["b.deb".to_owned(), "a.deb".to_owned()],
            dsc: "hello_1.0.dsc",
        };
        build.command_line()
    }

    fn image(codename: &str) -> Image {
        Image {
            id: 42,
            category: "debian:system-tarball".to_owned(),
            data: json!({"codename": codename}),
            name: "/images/42/system.tar.xz".to_owned(),
            virt_server: "incus".to_owned(),
            virt_server_arguments: vec!["artifact/42".to_owned(), "100%".to_owned()],
        }
    }

    #[test]
    fn a_binnmu_that_nobody_maintains_says_so() {
        let binnmu = json!({"changelog": "Rebuild", "suffix": "+b1"});
        let changes = json!({"binnmu": binnmu});
        let arguments = arguments_by(None, changes, &image("trixie")).unwrap();
        assert!(arguments.contains(&"--maintainer=None".to_owned()));
    }

    #[test]
    fn a_build_names_what_to_build_and_where() {
        let expected = [
            "sbuild",
            "--purge-deps=never",
            "--no-run-lintian",
            "--arch-any",
            "--no-arch-all",
            "--no-source",
            "--arch=amd64",
            "--dist=trixie",
            "--chroot-mode=unshare",
            "--chroot=/images/42/system.tar.xz",
            "--chroot-setup-commands=rm -f /etc/resolv.conf",
            "--bd-uninstallable-explainer=dose3",
            "--extra-package=/50%/b.deb",
            "--extra-package=/50%/a.deb",
            "/50%/hello_1.0.dsc",
        ];
        assert_eq!(arguments(json!({}), &image("trixie")).unwrap(), expected);
    }

    #[test]
    fn sbuild_finds_no_escapes_in_arguments_of_a_virtualisation_server() {
        let arguments = arguments(json!({"backend": "incus-lxc"}), &image("trixie")).unwrap();
        let expected = [
            "--chroot-mode=autopkgtest",
            "--autopkgtest-virt-server=incus",
            "--autopkgtest-virt-server-opt=artifact/42",
            "--autopkgtest-virt-server-opt=100%%",
        ];
        assert_eq!(arguments[8..12], expected);
    }

    #[test]
    fn keys_follow_the_sources_that_name_them() {
        let repository = json!({
            "url": "http://e.org/d", "suite": "s", "components": ["main"], "signing_key": "k",
        });
        let repositories = json!({"extra_repositories": [repository]});
        let key = "--pre-build-commands=cat /50%%/extra_apt_key_0.asc | %SBUILD_CHROOT_EXEC sh -c \
            'mkdir -p /etc/apt/keyrings && cat > /etc/apt/keyrings/extra_apt_key_0.asc'";
        let source = "--pre-build-commands=cat /50%%/extra_repository_0.sources | %SBUILD_CHROOT_EXEC sh -c \
            'cat > /etc/apt/sources.list.d/extra_repository_0.sources'";
        let line = "--extra-repository=deb [signed-by=/etc/apt/keyrings/extra_apt_key_0.asc] \
            http://e.org/d s main";
        for (codename, expected) in [
            ("jessie", &[line, key][..]),
            ("bullseye", &[source, key]),
            ("trixie", &[source]),
        ] {
            let arguments = arguments(repositories.clone(), &image(codename)).unwrap();
            assert_eq!(arguments[11..11 + expected.len()], *expected, "{codename}");
            assert_eq!(
                arguments[11 + expected.len()],
                "--bd-uninstallable-explainer=dose3"
            );
        }
    }

    #[test]
    fn a_binnmu_has_a_date_only_if_one_was_given_and_always_a_maintainer() {
        let rebuild = |binnmu: Value| {
            let changes = json!({"binnmu": binnmu, "build_profiles": ["a", "nocheck"]});
            arguments(changes, &image("trixie")).unwrap()[11..].to_vec()
        };
        let plain = rebuild(json!({"changelog": "Rebuild", "suffix": "+b1"}));
        let expected = [
            "--make-binNMU=Rebuild",
            "--append-to-version=+b1",
            "--binNMU=0",
            "--maintainer=Debusine <noreply@example.org>",
            "--profiles=a,nocheck",
        ];
        assert_eq!(plain[..5], expected);
        let full = rebuild(json!({
            "changelog": "Rebuild", "suffix": "+b1",
            "timestamp": "2024-05-01T12:00:00Z", "maintainer": "foo@example.org",
        }));
        let expected = [
            "--binNMU-timestamp=Wed, 01 May 2024 12:00:00 +0000",
            "--maintainer=foo <foo@example.org>",
        ];
        assert_eq!(full[3..5], expected);
    }

    #[test]
    fn build_options_are_set_only_for_profiles_that_are_options() {
        let options = |profiles: &[&str], of_worker| {
            let profiles: Vec<String> = profiles.iter().map(ToString::to_string).collect();
            build_options(&profiles, of_worker)
        };
        assert_eq!(options(&[], Some("parallel=2")), None);
        assert_eq!(options(&["cross"], None), None);
        assert_eq!(options(&["nodoc", "cross"], None).unwrap(), "nodoc");
        let with_worker = options(&["nodoc", "nocheck"], Some(" parallel=2  nocheck "));
        assert_eq!(with_worker.unwrap(), "parallel=2 nocheck nodoc nocheck");
    }
}
