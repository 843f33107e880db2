//! Scripts that piuparts runs in the chroot: how the extra repositories get there.

use crate::base_tarball::BaseTarball;
use task_sdk::prelude::*;
use task_sdk::repositories::{
    AptFile, KEYRINGS_DIRECTORY, SOURCES_DIRECTORY, supports_inline_signed_by,
};
use task_sdk::shell;

/// The directory of the scripts, among the inputs.
const DIRECTORY: &str = "scripts";

/// piuparts(1), custom scripts: run when the base tarball has been unpacked.
const POST_UNPACK: &str = "post_chroot_unpack_debusine";

/// Makes the directory with a script for the extra repositories, if there are any.
pub fn write(
    download: &Directory,
    base: &BaseTarball,
    repositories: &[ExtraRepository],
) -> Result<Directory> {
    let scripts = crate::base_tarball::new_directory(download, DIRECTORY)?;
    if !repositories.is_empty() {
        let script = add_repositories(base.codename()?, repositories)?;
        scripts.write(POST_UNPACK, 0o755, script)?;
    }
    Ok(scripts)
}

/// A shell script that adds repositories to the system in which it runs.
fn add_repositories(codename: &str, repositories: &[ExtraRepository]) -> Result<String> {
    let files = ExtraSources::for_release(codename, repositories)?;
    let mut script = String::from("#!/bin/sh\nset -eux\n");
    if !supports_inline_signed_by(codename) {
        script += &format!("mkdir -p {KEYRINGS_DIRECTORY}\n");
    }
    let lines = files.lines.iter().enumerate();
    let lines = lines.map(|(number, line)| AptFile {
        name: format!("extra_repository_{number}.list"),
        content: format!("{line}\n"),
    });
    for source in files.sources.iter().cloned().chain(lines) {
        // The key comes before the source that names it.
        for key in &files.keys {
            let path = format!("{KEYRINGS_DIRECTORY}/{}", key.name);
            if source.content.contains(&path) {
                script += &write_file(&path, &key.content);
            }
        }
        let path = format!("{SOURCES_DIRECTORY}/{}", source.name);
        script += &write_file(&path, &source.content);
    }
    script += "echo DONE\n";
    Ok(script)
}

fn write_file(path: &str, content: &str) -> String {
    let (path, content) = (shell::quote(path), shell::quote(content));
    format!("printf %s {content} > {path}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repository(suite: &str, signing_key: Option<&str>) -> ExtraRepository {
        let repository = json!({
            "url": "http://e.org/d", "suite": suite, "components": ["main"], "signing_key": signing_key,
        });
        ExtraRepository::parse(&repository).unwrap()
    }

    #[test]
    fn a_new_release_gets_keys_inline() {
        let script = add_repositories("trixie", &[repository("s", Some("it's"))]).unwrap();
        let expected = "#!/bin/sh\nset -eux\n\
            printf %s 'Types: deb\nURIs: http://e.org/d\nSuites: s\nComponents: main\nSigned-By:\n it'\"'\"'s\n' \
            > /etc/apt/sources.list.d/extra_repository_0.sources\necho DONE\n";
        assert_eq!(script, expected);
    }

    #[test]
    fn an_old_release_gets_each_key_before_its_source() {
        let repositories = [repository("s", None), repository("t", Some("k"))];
        let order = |codename, ending: &str| {
            let script = add_repositories(codename, &repositories).unwrap();
            let place = |part: String| {
                script
                    .find(&part)
                    .unwrap_or_else(|| panic!("{part}: {script}"))
            };
            let places = [
                place("mkdir -p /etc/apt/keyrings\n".to_owned()),
                place(format!(
                    "> /etc/apt/sources.list.d/extra_repository_0.{ending}\n"
                )),
                place("printf %s 'k\n' > /etc/apt/keyrings/extra_apt_key_1.asc\n".to_owned()),
                place(format!(
                    "> /etc/apt/sources.list.d/extra_repository_1.{ending}\n"
                )),
            ];
            assert!(places.is_sorted(), "{script}");
        };
        order("bullseye", "sources");
        order("jessie", "list");
    }
}
