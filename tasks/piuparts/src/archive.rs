//! Tar archives, member by member, with no more memory than a piece of a member takes.
//!
//! Members are taken as they are (extensions of the format are members of their own), so a copy is exact, and nothing that a
//! hostile archive says makes it be kept in memory.

use std::io::{self, Read, Write};
use task_sdk::prelude::is_aborted;

/// tar(5): archives consist of blocks, and two empty ones end them.
const BLOCK: usize = 512;

/// How much of a member is copied at once, in bytes.
const PIECE: usize = 64 << 10;

/// Whether the member `name` (`./` before it or not) is a symbolic link; of several of this name the last one counts, as when the archive is unpacked.
pub fn is_link(archive: impl Read, name: &str) -> io::Result<bool> {
    let mut is_link = false;
    for member in tar::Archive::new(archive).entries()?.raw(true) {
        let member = member?;
        go_on()?;
        let header = member.header();
        if !is_extension(header.entry_type())
            && plain(&header.path_bytes()) == plain(name.as_bytes())
        {
            is_link = header.entry_type().is_symlink();
        }
    }
    Ok(is_link)
}

/// Copies an archive, with an empty file (0644, root's) added to its end if `empty_file` names one.
pub fn copy(
    archive: impl Read,
    target: &mut impl Write,
    empty_file: Option<&str>,
) -> io::Result<()> {
    let mut piece = vec![0; PIECE];
    for member in tar::Archive::new(archive).entries()?.raw(true) {
        let mut member = member?;
        target.write_all(member.header().as_bytes())?;
        let mut left = member.size();
        while left > 0 {
            go_on()?;
            let most = usize::try_from(left).map_or(PIECE, |left| left.min(PIECE));
            let count = member.read(&mut piece[..most])?;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            target.write_all(&piece[..count])?;
            left -= count as u64;
        }
        let padding = (BLOCK - (member.size() % BLOCK as u64) as usize) % BLOCK;
        target.write_all(&[0; BLOCK][..padding])?;
    }
    if let Some(name) = empty_file {
        target.write_all(empty(name)?.as_bytes())?;
    }
    target.write_all(&[0; 2 * BLOCK])
}

/// The header of an empty file.
fn empty(name: &str) -> io::Result<tar::Header> {
    let mut header = tar::Header::new_ustar();
    // `set_path` would drop the `./` by which the other members begin.
    let field = header.as_old_mut().name.get_mut(..name.len());
    field
        .ok_or(io::ErrorKind::InvalidFilename)?
        .copy_from_slice(name.as_bytes());
    header.set_entry_type(tar::EntryType::Regular);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(0);
    header.set_cksum();
    Ok(header)
}

/// Does this only say more about the member that follows?
fn is_extension(kind: tar::EntryType) -> bool {
    kind.is_gnu_longname()
        || kind.is_gnu_longlink()
        || kind.is_pax_local_extensions()
        || kind.is_pax_global_extensions()
}

/// The path of a member beneath the root of the system: without `./` or `/` before it.
fn plain(path: &[u8]) -> &[u8] {
    path.strip_prefix(b"./")
        .or_else(|| path.strip_prefix(b"/"))
        .unwrap_or(path)
}

/// Work of minutes ends when the task is aborted.
fn go_on() -> io::Result<()> {
    match is_aborted() {
        true => Err(io::Error::other("the task is being aborted")),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "./etc/resolv.conf";

    enum Member<'a> {
        File(&'a str, &'a [u8]),
        Link(&'a str),
    }
    use Member::{File, Link};

    /// An archive of these members, under exactly these names.
    fn archive(members: &[Member<'_>]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for member in members {
            let (name, content, kind) = match member {
                File(name, content) => (name, *content, tar::EntryType::Regular),
                Link(name) => (name, &b""[..], tar::EntryType::Symlink),
            };
            let mut header = empty(name).unwrap();
            header.set_entry_type(kind);
            header.set_size(content.len() as u64);
            header.set_cksum();
            builder.append(&header, content).unwrap();
        }
        builder.into_inner().unwrap()
    }

    fn members(archive: &[u8]) -> Vec<(String, u64)> {
        let mut archive = tar::Archive::new(archive);
        let described = |entry: io::Result<tar::Entry<'_, _>>| {
            let entry = entry.unwrap();
            let path = String::from_utf8(entry.path_bytes().into_owned()).unwrap();
            (path, entry.size())
        };
        archive.entries().unwrap().map(described).collect()
    }

    #[test]
    fn a_link_is_found_under_each_name_that_it_can_have() {
        for name in [NAME, "etc/resolv.conf", "/etc/resolv.conf"] {
            assert!(is_link(&*archive(&[File("./a", b"x"), Link(name)]), NAME).unwrap());
            assert!(!is_link(&*archive(&[File(name, b"x")]), NAME).unwrap());
        }
        let others = [Link("./etc/resolv.conf.d"), Link("./usr/etc/resolv.conf")];
        assert!(!is_link(&*archive(&others), NAME).unwrap());
        assert!(!is_link(&*archive(&[]), NAME).unwrap());
    }

    #[test]
    fn of_several_members_of_a_name_the_last_one_counts() {
        let replaced = archive(&[Link(NAME), File(NAME, b"")]);
        assert!(!is_link(&*replaced, NAME).unwrap());
    }

    #[test]
    fn a_copy_is_the_archive_and_the_file_that_was_added() {
        let original = archive(&[
            File("./a", &[7; 1000]),
            File("./b", b""),
            File("./c", &[0; 512]),
        ]);
        let mut same = Vec::new();
        copy(&*original, &mut same, None).unwrap();
        assert_eq!(same, original);
        let mut more = Vec::new();
        copy(&*original, &mut more, Some(NAME)).unwrap();
        let sizes = [("./a", 1000), ("./b", 0), ("./c", 512), (NAME, 0)];
        assert_eq!(
            members(&more),
            sizes.map(|(name, size)| (name.to_owned(), size))
        );
    }

    #[test]
    fn an_archive_that_is_cut_short_is_refused() {
        let original = archive(&[File("./a", &[7; 1000]), File("./b", b"x")]);
        for length in [100, 600, 1100, 1600] {
            let cut = &original[..length];
            assert!(copy(cut, &mut io::sink(), None).is_err(), "{length}");
            assert!(is_link(cut, NAME).is_err(), "{length}");
        }
    }

    #[test]
    fn a_name_of_a_gigabyte_is_not_kept_in_memory() {
        let mut header = empty("././@LongLink").unwrap();
        header.set_entry_type(tar::EntryType::GNULongName);
        header.set_size(1 << 30);
        header.set_cksum();
        let name = io::repeat(b'x').take(1 << 30);
        let hostile = header.as_bytes().chain(name);
        assert!(!is_link(hostile, NAME).unwrap());
    }
}
