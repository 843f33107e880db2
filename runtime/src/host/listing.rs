//! Listing trees that a task or its command has made: of any size, in bounded memory and with bounded descriptors.
//!
//! Entries come parents first, ordered by the parts of their paths. A directory's names are not all held: only the next ones are, and the
//! directory is read again for those after them.

use super::long_work::Wanted;
use cap_std::fs::Dir;
use std::collections::BinaryHeap;
use std::ffi::OsString;
use std::io;
use std::ops::ControlFlow;
use std::path::Path;

/// What a listing may cost.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// How deep directories may be nested; each level takes a descriptor, of which a process has 1024 as a rule.
    pub depth: usize,
    /// Entries that a single directory may have: a million take a second to read, and each page reads them again.
    pub width: usize,
    /// Names that are held at a time, of all levels together; each level may hold a few besides.
    pub held: usize,
}

/// Of every listing. Real source trees have some 20 levels, and 100 000 files in a directory at the very most.
pub const BOUNDS: Bounds = Bounds {
    depth: 256,
    width: 1_000_000,
    held: 100_000,
};

/// Names that each level may hold whatever the others do.
const FEW: usize = 100;

/// A tree is too much for its bounds.
#[derive(Debug, thiserror::Error)]
pub enum TooMuch {
    /// Too many levels.
    #[error("more than {0} directories in one another")]
    Deep(usize),
    /// Too many entries.
    #[error("more than {0} entries in one directory")]
    Wide(usize),
}

/// A name found in a directory.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Found {
    /// The name as text, by which names are ordered.
    shown: String,
    /// The name itself where that is no text.
    raw: Option<OsString>,
    is_directory: bool,
}

impl Found {
    /// The name as the directory has it.
    pub fn name(&self) -> &Path {
        match &self.raw {
            Some(raw) => Path::new(raw),
            None => Path::new(&self.shown),
        }
    }
}

/// Who takes what is listed: the directory that the name is in, its path beneath the root of the listing, the name.
pub trait Visitor: FnMut(&Dir, String, &Found) -> io::Result<ControlFlow<()>> {}

impl<T: FnMut(&Dir, String, &Found) -> io::Result<ControlFlow<()>>> Visitor for T {}

/// A listing under way.
pub struct Listing<'a, V> {
    /// What it may cost.
    pub bounds: Bounds,
    /// Names that will be taken at most, as far as that is known.
    pub most: usize,
    /// Go into directories.
    pub recursive: bool,
    /// Whether it is still wanted.
    pub wanted: &'a Wanted,
    /// Takes what is listed.
    pub visitor: V,
}

impl<V: Visitor> Listing<'_, V> {
    /// Lists what comes after a path, all if there is none.
    pub fn run(mut self, root: &Dir, after: Option<&str>) -> io::Result<()> {
        let level = Level {
            prefix: "",
            depth: 0,
            held: 0,
        };
        self.level(root, level, after).map(drop)
    }

    fn level(
        &mut self,
        directory: &Dir,
        level: Level<'_>,
        after: Option<&str>,
    ) -> io::Result<ControlFlow<()>> {
        if level.depth > self.bounds.depth {
            return Err(io::Error::other(TooMuch::Deep(self.bounds.depth)));
        }
        // Of the path to go on after: the part of this level, and the rest within it.
        let (mut start, rest) = match after.map(|path| path.split_once('/').unwrap_or((path, ""))) {
            Some((part, rest)) => (Some(Start::At(part.to_owned())), Some(rest)),
            None => (None, None),
        };
        let room = self.bounds.held.saturating_sub(level.held).max(FEW);
        // One more than is taken: the name to go on after is not.
        let most = room.min(self.most.saturating_add(1));
        loop {
            let found = self.next(directory, start.as_ref(), most)?;
            let held = level.held + found.len();
            let is_all = found.len() < most;
            for one in &found {
                self.wanted.check()?;
                let path = format!("{}{}", level.prefix, one.shown);
                let within = match (&start, rest) {
                    (Some(Start::At(part)), Some(rest)) if *part == one.shown => {
                        Some(rest).filter(|rest| !rest.is_empty())
                    }
                    _ => {
                        if (self.visitor)(directory, path.clone(), one)?.is_break() {
                            return Ok(ControlFlow::Break(()));
                        }
                        None
                    }
                };
                if !self.recursive || !one.is_directory {
                    continue;
                }
                let deeper = Level {
                    prefix: &format!("{path}/"),
                    depth: level.depth + 1,
                    held,
                };
                let opened = directory.open_dir(one.name())?;
                if self.level(&opened, deeper, within)?.is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
            match found.into_iter().next_back() {
                Some(last) if !is_all => start = Some(Start::After(last)),
                _ => return Ok(ControlFlow::Continue(())),
            }
        }
    }

    /// The next names of a directory, in order.
    fn next(&self, directory: &Dir, start: Option<&Start>, most: usize) -> io::Result<Vec<Found>> {
        let mut first = BinaryHeap::new();
        for (number, listed) in directory.entries()?.enumerate() {
            if number >= self.bounds.width {
                return Err(io::Error::other(TooMuch::Wide(self.bounds.width)));
            }
            if number % 1024 == 0 {
                self.wanted.check()?;
            }
            let listed = listed?;
            let (shown, raw) = match listed.file_name().into_string() {
                Ok(shown) => (shown, None),
                Err(raw) => (raw.to_string_lossy().into_owned(), Some(raw)),
            };
            let found = Found {
                shown,
                raw,
                is_directory: listed.file_type()?.is_dir(),
            };
            if start.is_some_and(|start| start.is_beyond(&found)) {
                continue;
            }
            if first.len() < most {
                first.push(found);
            } else if let Some(mut last) = first.peek_mut()
                && found < *last
            {
                *last = found;
            }
        }
        Ok(first.into_sorted_vec())
    }
}

/// A directory that is being listed.
#[derive(Clone, Copy)]
struct Level<'a> {
    prefix: &'a str,
    depth: usize,
    /// Names that the levels above hold.
    held: usize,
}

/// Where to go on in a directory.
enum Start {
    At(String),
    After(Found),
}

impl Start {
    fn is_beyond(&self, found: &Found) -> bool {
        match self {
            Self::At(name) => found.shown < *name,
            Self::After(last) => found <= last,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cap_std::ambient_authority;
    use std::fs;
    use tempfile::TempDir;

    const SMALL: Bounds = Bounds {
        depth: 20,
        width: 600,
        held: 150,
    };

    fn listed(
        tree: &TempDir,
        bounds: Bounds,
        most: usize,
        after: Option<&str>,
    ) -> io::Result<Vec<String>> {
        let root = Dir::open_ambient_dir(tree.path(), ambient_authority())?;
        let mut names = Vec::new();
        let listing = Listing {
            bounds,
            most,
            recursive: true,
            wanted: &Wanted::always(),
            visitor: |_: &Dir, path: String, _: &Found| {
                names.push(path);
                Ok(match names.len() < most {
                    true => ControlFlow::Continue(()),
                    false => ControlFlow::Break(()),
                })
            },
        };
        listing.run(&root, after)?;
        Ok(names)
    }

    /// A tree of some thousand entries, with names whose order as text and as paths differ.
    fn tree() -> (TempDir, Vec<String>) {
        let tree = tempfile::tempdir().unwrap();
        let mut names = Vec::new();
        for directory in ["a", "a-b", "a.b", "a/b", "a/b/c", "a/b-c", "z"] {
            fs::create_dir(tree.path().join(directory)).unwrap();
            names.push(directory.to_owned());
            for number in 0..500 {
                let name = format!("{directory}/f{number}");
                fs::write(tree.path().join(&name), "").unwrap();
                names.push(name);
            }
        }
        names.sort_by(|one, other| one.split('/').cmp(other.split('/')));
        (tree, names)
    }

    #[test]
    fn a_listing_is_whole_and_ordered_however_little_is_held() {
        let (tree, expected) = tree();
        let all = listed(&tree, SMALL, usize::MAX, None).unwrap();
        assert_eq!(all, expected);
        assert_eq!(listed(&tree, BOUNDS, usize::MAX, None).unwrap(), expected);
    }

    #[test]
    fn pages_one_after_the_other_are_the_listing() {
        let (tree, expected) = tree();
        for size in [1, 7, 1000] {
            let expected = &expected[expected.len() - 300 * size.min(11)..];
            let mut all = expected[..1].to_vec();
            loop {
                let page = listed(&tree, SMALL, size, all.last().map(String::as_str)).unwrap();
                if page.is_empty() {
                    break;
                }
                all.extend(page);
            }
            assert_eq!(all, expected, "pages of {size}");
        }
    }

    #[test]
    fn a_page_after_something_that_has_gone_goes_on_behind_it() {
        let (tree, expected) = tree();
        let next = listed(&tree, SMALL, 2, Some("a/b/cc/gone")).unwrap();
        let position = expected.iter().position(|name| name == &next[0]).unwrap();
        assert_eq!(expected[position - 1], "a/b/c/f99");
        assert_eq!(next[1], expected[position + 1]);
    }

    #[test]
    fn a_tree_beyond_the_bounds_is_an_error_of_its_own() {
        let tree = tempfile::tempdir().unwrap();
        fs::create_dir_all(tree.path().join(vec!["d"; 22].join("/"))).unwrap();
        let deep = listed(&tree, SMALL, usize::MAX, None).unwrap_err();
        assert_eq!(deep.to_string(), "more than 20 directories in one another");
        for number in 0..601 {
            fs::write(tree.path().join(number.to_string()), "").unwrap();
        }
        let wide = listed(&tree, SMALL, usize::MAX, None).unwrap_err();
        assert_eq!(wide.to_string(), "more than 600 entries in one directory");
    }

    #[test]
    fn names_that_are_no_text_are_listed_and_gone_into() {
        use std::os::unix::ffi::OsStrExt;
        let tree = tempfile::tempdir().unwrap();
        let odd = tree.path().join(std::ffi::OsStr::from_bytes(b"odd\xff"));
        fs::create_dir(&odd).unwrap();
        fs::write(odd.join("inside"), "").unwrap();
        let all = listed(&tree, SMALL, usize::MAX, None).unwrap();
        assert_eq!(all, ["odd\u{fffd}", "odd\u{fffd}/inside"]);
        let next = listed(&tree, SMALL, usize::MAX, Some("odd\u{fffd}")).unwrap();
        assert_eq!(next, ["odd\u{fffd}/inside"]);
    }
}
