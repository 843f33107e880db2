//! Names of files: their order, and which of them may cross a border.

use std::cmp::Ordering;

/// The longest path that Linux takes, in bytes.
const LONGEST_PATH: usize = 4095;

/// Compares paths part by part, so that `a/b` comes before `a-b`: the order of listings and artifacts.
pub fn compare(left: &str, right: &str) -> Ordering {
    left.split('/').cmp(right.split('/'))
}

/// Those names that end in one of the suffixes, in order.
pub fn with_suffixes<'a>(
    names: impl IntoIterator<Item = &'a str>,
    suffixes: &[&str],
) -> Vec<&'a str> {
    let matches = |name: &&str| suffixes.iter().any(|suffix| name.ends_with(suffix));
    let mut found: Vec<&str> = names.into_iter().filter(matches).collect();
    found.sort_by(|left, right| compare(left, right));
    found
}

/// The last part of a path.
pub fn file_name(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(_, name)| name)
}

/// The path of a file beside another one.
pub fn beside(path: &str, name: &str) -> String {
    match path.rsplit_once('/') {
        Some((directory, _)) => format!("{directory}/{name}"),
        None => name.to_owned(),
    }
}

/// Why a path is not to be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("file name {path:?}: {why}; rename the file")]
pub struct PathError {
    /// The path, shortened if it is very long.
    pub path: String,
    /// What is wrong with it.
    pub why: &'static str,
}

/// Accepts a relative path that stays beneath its directory: no empty part, no `.` or `..`, no NUL, no newline.
pub fn check(path: &str) -> Result<(), PathError> {
    let refuse = |why| {
        Err(PathError {
            path: path.chars().take(100).collect(),
            why,
        })
    };
    if path.len() > LONGEST_PATH {
        return refuse("it is too long");
    }
    if path.starts_with('/') {
        return refuse("it is absolute");
    }
    if path.contains(['\0', '\n', '\r']) {
        return refuse("it has a NUL character or an end of line");
    }
    match path
        .split('/')
        .find(|part| matches!(*part, "" | "." | ".."))
    {
        Some("..") => refuse("it leads out of its directory"),
        Some(_) => refuse("a part of it is empty or a dot"),
        None => Ok(()),
    }
}

/// Accepts the name of a file in a known directory: a path of one part.
pub fn check_name(name: &str) -> Result<(), PathError> {
    check(name)?;
    if name.contains('/') {
        return Err(PathError {
            path: name.chars().take(100).collect(),
            why: "it names another directory",
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_ordered_part_by_part() {
        let mut paths = ["a-b", "a/c", "a", "a/b/z", "B", "a.b"];
        paths.sort_by(|left, right| compare(left, right));
        assert_eq!(paths, ["B", "a", "a/b/z", "a/c", "a-b", "a.b"]);
        assert_eq!(
            with_suffixes(["b.deb", "a.udeb", "c"], &[".deb", ".udeb"]),
            ["a.udeb", "b.deb"]
        );
    }

    #[test]
    fn no_path_leads_out_of_its_directory() {
        for path in [
            "",
            "/etc/passwd",
            "..",
            "a/../../b",
            "a//b",
            "./a",
            "a/.",
            "a\0b",
            "a\nb",
            &"a".repeat(5000),
        ] {
            assert!(check(path).is_err(), "{path:?}");
        }
        for path in ["a", "a/b", "...", "a b", "é", "-rf"] {
            assert_eq!(check(path), Ok(()));
        }
        assert!(check_name("a/b").is_err());
    }

    #[test]
    fn a_file_beside_another_has_its_directory() {
        assert_eq!(beside("x/a.changes", "b"), "x/b");
        assert_eq!(beside("a.changes", "b"), "b");
        assert_eq!(file_name("x/y"), "y");
    }
}
