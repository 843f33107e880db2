//! The command: piuparts(1), which installs and removes the packages in chroots that it makes of the base tarball.

/// Where piuparts is, and tools like `debootstrap` and `chroot`; not in the PATH of every worker.
const SYSTEM_PROGRAMS: &str = "/usr/sbin";

/// Program and arguments. `path` is the worker's PATH.
pub fn compose(
    path: Option<&str>,
    base_tarball: &str,
    scripts: &str,
    packages: impl Iterator<Item = String>,
) -> Vec<String> {
    let mut line = vec![
        "env".to_owned(),
        format!("PATH={}", with_system_programs(path)),
        "piuparts".to_owned(),
        "--keep-sources-list".to_owned(),
        "--allow-database".to_owned(),
        "--warn-on-leftovers-after-purge".to_owned(),
        format!("--basetgz={base_tarball}"),
        format!("--scriptsdir={scripts}"),
    ];
    line.extend(packages);
    line
}

/// A PATH that has the directory of system programs, at its front unless it is there already.
fn with_system_programs(path: Option<&str>) -> String {
    let path = path.unwrap_or("/usr/bin:/sbin:/bin");
    match path
        .split(':')
        .any(|directory| directory == SYSTEM_PROGRAMS)
    {
        true => path.to_owned(),
        false => format!("{SYSTEM_PROGRAMS}:{path}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn system_programs_are_found_whatever_the_workers_path() {
        for (path, expected) in [
            ("/usr/bin:/bin", "/usr/sbin:/usr/bin:/bin"),
            ("/bin:/usr/sbin", "/bin:/usr/sbin"),
            ("/usr/sbin/", "/usr/sbin:/usr/sbin/"),
            ("/opt/a b", "/usr/sbin:/opt/a b"),
        ] {
            assert_eq!(with_system_programs(Some(path)), expected);
        }
        assert!(with_system_programs(None).starts_with("/usr/sbin:/usr/bin:"));
    }
}
