//! What archives from a sandbox may do to the host: nothing.

use super::*;
use cap_std::ambient_authority;
use std::fs::{self, File};
use tar::Builder;
use tempfile::TempDir;

/// A directory beside others that no archive may reach.
struct Scene(TempDir);

impl Scene {
    fn new() -> Self {
        let scene = Self(tempfile::tempdir().unwrap());
        fs::create_dir(scene.0.path().join("tree")).unwrap();
        scene
    }

    fn tree(&self) -> PathBuf {
        self.0.path().join("tree")
    }

    fn open(&self) -> Dir {
        Dir::open_ambient_dir(self.tree(), ambient_authority()).unwrap()
    }

    /// Unpacks an archive of these bytes.
    fn unpack(&self, archive: &[u8]) -> io::Result<()> {
        let path = self.0.path().join("archive.tar");
        fs::write(&path, archive).unwrap();
        unpack(File::open(path).unwrap(), &self.open(), &Wanted::always())
    }

    /// Unpacks an archive that has to be refused, for a reason with these words in it.
    fn refuse(&self, archive: &[u8], words: &str) {
        let error = self.unpack(archive).expect_err(words);
        assert!(error.to_string().contains(words), "{words}: {error}");
        let mut beside: Vec<_> = fs::read_dir(self.0.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        beside.sort();
        assert_eq!(beside, ["archive.tar", "tree"]);
    }
}

/// Adds an entry whatever its name.
fn add(archive: &mut Builder<Vec<u8>>, kind: EntryType, name: &str, link: &str, content: &[u8]) {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(0o6755);
    header.set_mtime(1_700_000_000);
    header.set_size(content.len() as u64);
    let fields = header.as_old_mut();
    fields.name[..name.len()].copy_from_slice(name.as_bytes());
    fields.linkname[..link.len()].copy_from_slice(link.as_bytes());
    if let (EntryType::GNUSparse, Some(fields)) = (kind, header.as_gnu_mut()) {
        // One hole of a gigabyte.
        fields.set_real_size(1 << 30);
        fields.sparse[0].offset.copy_from_slice(b"10000000000\0");
        fields.sparse[0].numbytes.copy_from_slice(b"00000000000\0");
    }
    header.set_cksum();
    archive.append(&header, content).unwrap();
}

fn archive(entries: &[(EntryType, &str, &str, &[u8])]) -> Vec<u8> {
    let mut archive = Builder::new(Vec::new());
    for (kind, name, link, content) in entries {
        add(&mut archive, *kind, name, link, content);
    }
    archive.into_inner().unwrap()
}

#[test]
fn what_was_packed_comes_out_with_modes_and_times() {
    let scene = Scene::new();
    let tree = scene.tree();
    fs::create_dir_all(tree.join("a/b")).unwrap();
    fs::write(tree.join("a/b/script"), "x").unwrap();
    fs::set_permissions(tree.join("a/b/script"), fs::Permissions::from_mode(0o755)).unwrap();
    std::os::unix::fs::symlink("/etc", tree.join("a/link")).unwrap();
    let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    let script = File::options()
        .write(true)
        .open(tree.join("a/b/script"))
        .unwrap();
    script.set_modified(long_ago).unwrap();
    let packed = scene.0.path().join("packed.tar");
    let file = File::create(&packed).unwrap();
    pack(&scene.open(), file, &Wanted::always()).unwrap();

    let other = Scene::new();
    other.unpack(&fs::read(packed).unwrap()).unwrap();
    let script = fs::metadata(other.tree().join("a/b/script")).unwrap();
    assert_eq!(script.permissions().mode() & 0o7777, 0o755);
    assert_eq!(script.modified().unwrap(), long_ago);
    assert_eq!(
        fs::read_link(other.tree().join("a/link")).unwrap(),
        Path::new("/etc")
    );
}

#[test]
fn no_entry_leads_out_of_the_tree() {
    for name in ["../out", "/out", "a/../../out"] {
        let archive = archive(&[(EntryType::Regular, name, "", b"x")]);
        Scene::new().refuse(&archive, "leads out");
    }
    for target in ["../archive.tar", "/etc/passwd"] {
        let archive = archive(&[(EntryType::Link, "a", target, b"")]);
        Scene::new().refuse(&archive, "leads out");
    }
}

#[test]
fn no_entry_is_put_behind_a_link() {
    for target in ["..", "/tmp", "."] {
        let archive = archive(&[
            (EntryType::Symlink, "a", target, b""),
            (EntryType::Directory, "a", "", b""),
            (EntryType::Regular, "a/out", "", b"x"),
        ]);
        Scene::new().refuse(&archive, "no directory");
    }
    let over = archive(&[
        (EntryType::Symlink, "a", "../out", b""),
        (EntryType::Regular, "a", "", b"x"),
    ]);
    Scene::new().refuse(&over, "exists");
}

#[test]
fn a_file_that_is_larger_than_its_archive_is_refused() {
    let sparse = archive(&[(EntryType::GNUSparse, "a", "", b"")]);
    Scene::new().refuse(&sparse, "holes");
    let mut cut = archive(&[(EntryType::Regular, "a", "", &[1; 4096])]);
    cut.truncate(1024);
    Scene::new().refuse(&cut, "");
}

#[test]
fn a_name_of_a_gigabyte_is_not_read() {
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::GNULongName);
    header.set_size(1 << 30);
    header.set_cksum();
    let scene = Scene::new();
    let path = scene.0.path().join("archive.tar");
    let file = File::create(&path).unwrap();
    std::io::Write::write_all(&mut &file, header.as_bytes()).unwrap();
    file.set_len((1 << 30) + 4096).unwrap();
    let error = unpack(File::open(&path).unwrap(), &scene.open(), &Wanted::always()).unwrap_err();
    assert!(
        error.to_string().contains("described in more than"),
        "{error}"
    );
}

#[test]
fn directories_are_not_nested_without_end() {
    let mut deep = Builder::new(Vec::new());
    let path: PathBuf = std::iter::repeat_n("d", DEEPEST + 1).collect();
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::Directory);
    header.set_size(0);
    deep.append_data(&mut header, &path, io::empty()).unwrap();
    Scene::new().refuse(&deep.into_inner().unwrap(), "too many directories");

    let scene = Scene::new();
    fs::create_dir_all(scene.tree().join(&path)).unwrap();
    let file = File::create(scene.0.path().join("packed.tar")).unwrap();
    let error = pack(&scene.open(), file, &Wanted::always()).unwrap_err();
    assert!(
        error.to_string().contains("too many directories"),
        "{error}"
    );
}

#[test]
fn devices_are_refused_and_special_bits_dropped() {
    for kind in [EntryType::Char, EntryType::Block, EntryType::Fifo] {
        Scene::new().refuse(&archive(&[(kind, "a", "", b"")]), "neither");
    }
    let scene = Scene::new();
    scene
        .unpack(&archive(&[(EntryType::Regular, "a", "", b"x")]))
        .unwrap();
    let mode = fs::metadata(scene.tree().join("a"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o7777, 0o755);
}

/// It would be read for as long as it grows, and it grows with what is read.
#[test]
fn an_archive_that_is_packed_into_itself_ends() {
    let scene = Scene::new();
    let tree = scene.tree();
    fs::write(tree.join("a"), vec![7; 3 * BUFFER]).unwrap();
    let archive = File::create(tree.join("b.tar")).unwrap();
    pack(&scene.open(), archive, &Wanted::always()).unwrap();
    let size = fs::metadata(tree.join("b.tar")).unwrap().len();
    assert!(size < 10 * BUFFER as u64, "{size} bytes");
}
