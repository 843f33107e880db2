//! Variables that a component cannot set for a program on the host: with them another program would run under the name that was granted.

/// Variables by which a shell, an interpreter or the C library chooses what it runs or loads. It is sudo's list of bad variables (sudo(8),
/// `env_delete`) with the `PATH`, in which the program is looked up.
const CHOOSING: [&str; 34] = [
    "PATH",
    "BASHOPTS",
    "BASH_ENV",
    "CDPATH",
    "ENV",
    "FPATH",
    "GCONV_PATH",
    "GETCONF_DIR",
    "GLIBC_TUNABLES",
    "GLOBIGNORE",
    "HOSTALIASES",
    "IFS",
    "JAVA_TOOL_OPTIONS",
    "LOCALDOMAIN",
    "NLSPATH",
    "NODE_OPTIONS",
    "NULLCMD",
    "PATH_LOCALE",
    "PERL5DB",
    "PERL5LIB",
    "PERL5OPT",
    "PERLIO_DEBUG",
    "PERLLIB",
    "PS4",
    "PYTHONHOME",
    "PYTHONINSPECT",
    "PYTHONPATH",
    "PYTHONSTARTUP",
    "PYTHONUSERBASE",
    "READNULLCMD",
    "RUBYLIB",
    "RUBYOPT",
    "SHELLOPTS",
    "ZDOTDIR",
];

/// Beginnings of such names: the dynamic linker's, and functions that bash takes over.
const CHOOSING_PREFIXES: [&str; 2] = ["LD_", "BASH_FUNC_"];

/// Why a component cannot set this variable for a program on the host; none if it can.
pub fn objection(name: &str) -> Option<String> {
    let shown: String = name.chars().take(80).collect();
    if name.is_empty() || name.contains(['=', '\0']) {
        return Some(format!(
            "variable {shown:?}: not a name; it must not be empty or contain `=` or a NUL"
        ));
    }
    let chooses = CHOOSING.contains(&name)
        || CHOOSING_PREFIXES
            .iter()
            .any(|prefix| name.starts_with(prefix));
    chooses.then(|| {
        format!(
            "variable {shown}: a component cannot set it on the host, as another program would run than the one that was granted; leave it as the worker has it, or run the command in an environment"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_variable_lets_another_program_run() {
        for name in [
            "PATH",
            "LD_PRELOAD",
            "LD_LIBRARY_PATH",
            "PERL5LIB",
            "BASH_FUNC_a%%",
        ] {
            let words = objection(name).expect(name);
            assert!(words.contains(name), "{words}");
        }
        for name in ["", "LD_PRELOAD=/x", "=", "A\0"] {
            assert!(
                objection(name).expect(name).contains("not a name"),
                "{name:?}"
            );
        }
        for name in [
            "DEB_BUILD_OPTIONS",
            "LC_ALL",
            "SOURCE_DATE_EPOCH",
            "OLD_PATH",
        ] {
            assert_eq!(objection(name), None, "{name}");
        }
    }
}
