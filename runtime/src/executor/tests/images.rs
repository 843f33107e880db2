//! Promises about the cache of images.

use super::*;
use crate::executor::ids::IdMap;
use crate::executor::{Image, ImageCache, ImageFile, Recoding};
use sha2::{Digest, Sha256};
use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use tar::{Builder, EntryType, Header};

/// An archive in the making.
pub(super) struct Archive(Builder<Vec<u8>>);

impl Archive {
    pub(super) fn new() -> Self {
        Self(Builder::new(Vec::new()))
    }

    pub(super) fn add(
        mut self,
        kind: EntryType,
        path: &str,
        content: &[u8],
        mode: u32,
        owner: u64,
    ) -> Self {
        let mut header = Header::new_gnu();
        // Not through the builder, which refuses names that lead out.
        header.as_mut_bytes()[..path.len()].copy_from_slice(path.as_bytes());
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(owner);
        header.set_gid(owner);
        header.set_mtime(1_000_000_000);
        let link = kind == EntryType::Symlink || kind == EntryType::Link;
        if link {
            header.set_link_name_literal(content).unwrap();
        }
        let content = if link { &[] } else { content };
        header.set_size(content.len() as u64);
        header.set_cksum();
        self.0.append(&header, content).unwrap();
        self
    }

    pub(super) fn directory(self, path: &str) -> Self {
        self.add(EntryType::Directory, path, b"", 0o755, 0)
    }

    pub(super) fn file(self, path: &str, content: &[u8]) -> Self {
        self.add(EntryType::Regular, path, content, 0o644, 0)
    }

    pub(super) fn symlink(self, path: &str, target: &str) -> Self {
        self.add(EntryType::Symlink, path, target.as_bytes(), 0o777, 0)
    }

    pub(super) fn finish(self) -> Vec<u8> {
        self.0.into_inner().unwrap()
    }
}

/// A small archive that has a bit of everything.
fn small() -> Vec<u8> {
    Archive::new()
        .directory("./")
        .directory("./etc/")
        .file("./etc/os-release", b"ID=debian\n")
        .add(EntryType::Regular, "./etc/shadow", b"secret", 0o640, 42)
        .symlink("./lib", "usr/lib")
        .file("./usr/lib/made/without/its/directories", b"x")
        .add(
            EntryType::Link,
            "./etc/again",
            b"./etc/os-release",
            0o644,
            0,
        )
        .add(EntryType::Regular, "./usr/bin/su", b"program", 0o4755, 0)
        .directory("./dev/")
        .add(EntryType::Char, "./dev/null", b"", 0o666, 0)
        .add(EntryType::Block, "./disk", b"", 0o660, 0)
        .finish()
}

pub(super) fn wanted(name: &str, bytes: &[u8]) -> ImageFile {
    ImageFile {
        name: name.into(),
        size: bytes.len() as u64,
        sha256: hex::encode(Sha256::digest(bytes)).parse().unwrap(),
    }
}

async fn ensure(cache: &ImageCache, name: &str, bytes: &[u8]) -> Result<Image, ExecutorError> {
    let fetch = async |mut file: fs::File| {
        file.write_all(bytes).unwrap();
        Ok(())
    };
    cache
        .ensure(&wanted(name, bytes), fetch, &Abort::new())
        .await
}

/// A cache that sub-ids can reach, in a directory that goes with it.
pub(super) fn cache() -> (tempfile::TempDir, ImageCache) {
    let directory = tempfile::tempdir().unwrap();
    let cache = ImageCache::new(directory.path().join("images"));
    (directory, cache)
}

/// Whether there are ids for sandboxes here.
pub(super) fn has_ids() -> bool {
    IdMap::of_this_process()
        .map_err(|error| eprintln!("skipped: {error}"))
        .is_ok()
}

/// Clears a cache away with the means that its files need.
pub(super) async fn clear(cache: &ImageCache) {
    cache.prune(0).await.unwrap();
    assert_eq!(cache.list().unwrap(), []);
}

#[tokio::test]
async fn an_image_is_fetched_and_unpacked_once_for_all() {
    if !has_ids() {
        return;
    }
    let (_directory, cache) = cache();
    let bytes = small();
    let fetches = AtomicUsize::new(0);
    let one = async || {
        let fetch = async |mut file: fs::File| {
            fetches.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(20)).await;
            file.write_all(&bytes).unwrap();
            Ok(())
        };
        let image = cache
            .ensure(&wanted("image.tar", &bytes), fetch, &Abort::new())
            .await
            .unwrap();
        cache.unpack(&image, &Abort::new()).await.unwrap();
        image
    };
    let images = tokio::join!(one(), one(), one());
    assert_eq!(fetches.load(Ordering::Relaxed), 1);
    assert_eq!(fs::read(images.0.file()).unwrap(), bytes);
    check_small(&images.1.root());
    assert!(cache.list().unwrap()[0].unpacked);
    drop(images);
    clear(&cache).await;
}

/// Whether the small archive has been unpacked rightly.
fn check_small(root: &Path) {
    let at = |path: &str| fs::symlink_metadata(root.join(path));
    let base = at("etc/os-release").unwrap();
    let shadow = at("etc/shadow").unwrap();
    assert_eq!(shadow.uid() - base.uid(), 42);
    assert_eq!(shadow.gid() - base.gid(), 42);
    assert_eq!(shadow.mode() & 0o7777, 0o640);
    assert_eq!(base.mtime(), 1_000_000_000);
    assert_eq!(base.ino(), at("etc/again").unwrap().ino());
    assert_eq!(at("usr/bin/su").unwrap().mode() & 0o7777, 0o4755);
    assert_eq!(at("etc").unwrap().mtime(), 1_000_000_000);
    assert!(at("lib").unwrap().is_symlink());
    assert!(at("usr/lib/made/without/its/directories").is_ok());
    assert!(at("dev").unwrap().is_dir());
    assert!(at("dev/null").is_err());
    assert!(at("disk").is_err());
}

/// An archive in each form in which images come.
fn compressed(bytes: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(bytes).unwrap();
    let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 1);
    xz.write_all(bytes).unwrap();
    vec![
        ("image.tar", bytes.to_vec()),
        ("image.tar.gz", gzip.finish().unwrap()),
        ("image.tar.xz", xz.finish().unwrap()),
        ("image.tar.zst", zstd::encode_all(bytes, 1).unwrap()),
    ]
}

#[tokio::test]
async fn every_compression_unpacks_and_recodes_alike() {
    if !has_ids() {
        return;
    }
    let (_directory, cache) = cache();
    for (name, bytes) in compressed(&small()) {
        let image = ensure(&cache, name, &bytes).await.unwrap();
        cache.unpack(&image, &Abort::new()).await.unwrap();
        check_small(&image.root());
        let plain = cache
            .recode(&image, Recoding::Tar, &Abort::new())
            .await
            .unwrap();
        assert_eq!(fs::read(plain).unwrap(), small());
        let quick = cache
            .recode(&image, Recoding::TarZst, &Abort::new())
            .await
            .unwrap();
        assert_eq!(
            zstd::decode_all(fs::File::open(quick).unwrap()).unwrap(),
            small()
        );
    }
    clear(&cache).await;
}

#[tokio::test]
async fn xz_streams_one_after_the_other_are_one_image() {
    if !has_ids() {
        return;
    }
    let (_directory, cache) = cache();
    let archive = small();
    let (first, second) = archive.split_at(1500);
    let bytes: Vec<u8> = [first, second]
        .iter()
        .flat_map(|part| compressed(part)[2].1.clone())
        .collect();
    let image = ensure(&cache, "image.tar.xz", &bytes).await.unwrap();
    cache.unpack(&image, &Abort::new()).await.unwrap();
    check_small(&image.root());
    drop(image);
    clear(&cache).await;
}

#[tokio::test]
async fn a_file_that_is_not_the_image_is_not_kept() {
    let (_directory, cache) = cache();
    let bytes = small();
    for content in [&bytes[..bytes.len() - 1], &[&bytes[1..], b"x"].concat()] {
        let fetch = async |mut file: fs::File| {
            file.write_all(content).unwrap();
            Ok(())
        };
        let refused = cache
            .ensure(&wanted("image.tar", &bytes), fetch, &Abort::new())
            .await;
        assert!(
            matches!(refused, Err(ExecutorError::Image(_))),
            "{refused:?}"
        );
    }
    let failing = async |_| Err(ExecutorError::System("the server is down".into()));
    let failed = cache
        .ensure(&wanted("image.tar", &bytes), failing, &Abort::new())
        .await;
    assert!(matches!(failed, Err(ExecutorError::System(_))));
    assert_eq!(cache.list().unwrap(), []);
}

#[tokio::test]
async fn a_truncated_image_never_starts() {
    if !has_ids() {
        return;
    }
    let (directory, cache) = cache();
    for (name, whole) in compressed(&small()) {
        for length in [whole.len() / 2, whole.len() - 600.min(whole.len() / 4), 3] {
            refuse(&cache, name, &whole[..length], "").await;
        }
    }
    assert_eq!(half_made(directory.path()), 0);
    clear(&cache).await;
}

#[tokio::test]
async fn an_image_that_leads_out_explodes_or_is_none_never_starts() {
    if !has_ids() {
        return;
    }
    let (directory, cache) = cache();
    let cache = cache.unpacked_size(1 << 20);
    let out = Archive::new()
        .directory("etc")
        .file("etc/../../out", b"x")
        .finish();
    refuse(&cache, "out.tar", &out, "leads out").await;
    let link = Archive::new()
        .add(EntryType::Link, "passwd", b"../../../etc/passwd", 0o644, 0)
        .finish();
    refuse(&cache, "link.tar", &link, "leads out").await;
    let bomb = zstd::encode_all(
        &Archive::new().file("big", &vec![0; 4 << 20]).finish()[..],
        1,
    )
    .unwrap();
    refuse(&cache, "bomb.tar.zst", &bomb, "bomb").await;
    let foreign = Archive::new()
        .add(EntryType::Regular, "file", b"", 0o644, 70_000)
        .finish();
    refuse(&cache, "foreign.tar", &foreign, "70000").await;
    let endless = Archive::new()
        .add(
            EntryType::GNULongName,
            "././@LongLink",
            &vec![b'n'; 2 << 20],
            0o644,
            0,
        )
        .file("file", b"x")
        .finish();
    let cache = cache.unpacked_size(1 << 30);
    refuse(&cache, "endless-name.tar", &endless, "bomb").await;
    refuse(&cache, "empty.tar", &Archive::new().finish(), "empty").await;
    refuse(&cache, "text.tar", &[b'x'; 5000], "damaged").await;
    assert_eq!(half_made(directory.path()), 0);
    assert!(!directory.path().join("out").exists());
    clear(&cache).await;
}

#[tokio::test]
async fn links_of_an_image_do_not_lead_out() {
    if !has_ids() {
        return;
    }
    let (directory, cache) = cache();
    let target = directory.path().join("outside");
    fs::create_dir(&target).unwrap();
    fs::set_permissions(&target, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    let text = target.to_str().unwrap();
    let hostile = Archive::new()
        .symlink("way", text)
        .file("way/out", b"x")
        .symlink("up", "../../../../..")
        .file(&format!("up{text}/out"), b"x")
        .finish();
    let image = ensure(&cache, "hostile.tar", &hostile).await.unwrap();
    let _ = cache.unpack(&image, &Abort::new()).await;
    assert_eq!(fs::read_dir(&target).unwrap().count(), 0);
    drop(image);
    clear(&cache).await;
}

async fn refuse(cache: &ImageCache, name: &str, bytes: &[u8], words: &str) {
    let image = ensure(cache, name, bytes).await.unwrap();
    match cache.unpack(&image, &Abort::new()).await {
        Err(ExecutorError::Image(text)) => assert!(text.contains(words), "{text}"),
        other => panic!("{name}: {other:?}"),
    }
    assert!(!image.root().exists());
}

/// How many half-made things lie in a cache.
fn half_made(directory: &Path) -> usize {
    let list = |path: &Path| {
        fs::read_dir(path)
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path())
            .collect::<Vec<_>>()
    };
    let images = list(&directory.join("images"));
    let within = images.iter().flat_map(|path| list(path));
    let unpacked = images.iter().flat_map(|path| list(&path.join("unpacked")));
    within
        .chain(unpacked)
        .chain(images.iter().cloned())
        .filter(|path| path.extension().is_some_and(|end| end == "tmp"))
        .count()
}

#[tokio::test]
async fn the_images_used_last_are_kept() {
    let (_directory, cache) = cache();
    let cache = cache.kept(2);
    let bytes = |number: u8| vec![number; 1000];
    let in_use = ensure(&cache, "0.tar", &bytes(0)).await.unwrap();
    for number in 1..=3 {
        drop(ensure(&cache, "n.tar", &bytes(number)).await.unwrap());
        std::thread::sleep(Duration::from_millis(10));
    }
    drop(ensure(&cache, "again.tar", &bytes(2)).await.unwrap());
    drop(ensure(&cache, "4.tar", &bytes(4)).await.unwrap());
    let names: Vec<_> = cache
        .list()
        .unwrap()
        .into_iter()
        .map(|mut image| {
            image.names.sort();
            image.names.join(" ")
        })
        .collect();
    assert_eq!(names, ["4.tar", "again.tar n.tar", "0.tar"]);
    assert!(cache.remove(in_use.digest()).await.is_err());
    let digest = in_use.digest().clone();
    drop(in_use);
    cache.remove(&digest).await.unwrap();
    clear(&cache).await;
}

#[tokio::test]
async fn images_go_when_all_of_them_take_too_much_room() {
    let (_directory, cache) = cache();
    let cache = cache.room(2500);
    let bytes = |number: u8| vec![number; 1000];
    for number in 1..=3 {
        drop(ensure(&cache, "n.tar", &bytes(number)).await.unwrap());
        std::thread::sleep(Duration::from_millis(10));
    }
    let sizes: Vec<_> = cache.list().unwrap().iter().map(|it| it.room).collect();
    assert_eq!(sizes, [1000, 1000]);
    // One that is larger than all the room is still of use.
    drop(ensure(&cache, "large.tar", &[0; 5000]).await.unwrap());
    assert_eq!(cache.list().unwrap().len(), 1);
}

#[tokio::test]
async fn an_unpacked_image_is_closed_to_others_with_the_same_ids() {
    if !has_ids() {
        return;
    }
    let (_directory, cache) = cache();
    let image = ensure(&cache, "image.tar", &small()).await.unwrap();
    cache.unpack(&image, &Abort::new()).await.unwrap();
    let around = fs::metadata(image.root().parent().unwrap()).unwrap();
    assert_eq!(around.mode() & 0o777, 0o700);
    assert_eq!(around.uid(), nix::unistd::geteuid().as_raw());
    assert_ne!(fs::metadata(image.root()).unwrap().uid(), around.uid());
    drop(image);
    clear(&cache).await;
}

#[tokio::test]
async fn a_damaged_image_is_found() {
    let (_directory, cache) = cache();
    let image = ensure(&cache, "image.tar", &small()).await.unwrap();
    cache.verify(image.digest()).await.unwrap();
    fs::write(image.file(), "something else").unwrap();
    assert!(matches!(
        cache.verify(image.digest()).await,
        Err(ExecutorError::Image(_))
    ));
}

#[tokio::test]
async fn an_abort_ends_a_fetch_and_leaves_nothing() {
    let (directory, cache) = cache();
    let bytes = small();
    let never = async |_| std::future::pending().await;
    let abort = abort_after(Duration::from_millis(30));
    let aborted = cache
        .ensure(&wanted("image.tar", &bytes), never, &abort)
        .await;
    assert!(matches!(aborted, Err(ExecutorError::Aborted)));
    assert_eq!(half_made(directory.path()), 0);
}

#[tokio::test]
async fn what_a_killed_runtime_left_half_made_is_removed() {
    let (directory, cache) = cache();
    let half = directory
        .path()
        .join(format!("images/{}.tmp", "0".repeat(64)));
    fs::create_dir_all(half.join("file")).unwrap();
    fs::write(half.join("file/image.tar"), "half").unwrap();
    assert_eq!(cache.prune(10).await.unwrap(), []);
    assert!(!half.exists());
}

#[tokio::test]
async fn what_a_killed_runtime_left_half_made_of_an_image_in_use_is_removed() {
    let (directory, cache) = cache();
    let image = ensure(&cache, "image.tar", &small()).await.unwrap();
    let half = image.file().parent().unwrap().with_file_name("recoded.tmp");
    fs::write(&half, "half").unwrap();
    assert_eq!(cache.prune(10).await.unwrap(), []);
    assert_eq!(half_made(directory.path()), 0);
    fs::write(&half, "half").unwrap();
    drop(ensure(&cache, "other.tar", b"other").await.unwrap());
    assert_eq!(
        half_made(directory.path()),
        0,
        "removed with the next image"
    );
    assert!(image.file().exists());
}

/// A compressed image of so many bytes.
fn bomb(size: usize) -> Vec<u8> {
    let archive = Archive::new().file("big", &vec![0; size]).finish();
    zstd::encode_all(&archive[..], 1).unwrap()
}

#[tokio::test]
async fn a_decompression_bomb_is_not_recoded() {
    let (directory, cache) = cache();
    let cache = cache.unpacked_size(1 << 20);
    let image = ensure(&cache, "bomb.tar.zst", &bomb(4 << 20)).await;
    let image = image.unwrap();
    for form in [Recoding::Tar, Recoding::TarZst] {
        match cache.recode(&image, form, &Abort::new()).await {
            Err(ExecutorError::Image(text)) => assert!(text.contains("bomb.tar.zst"), "{text}"),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(half_made(directory.path()), 0);
    let image = ensure(&cache, "small.tar.zst", &bomb(1 << 19)).await;
    let image = image.unwrap();
    let recoded = cache.recode(&image, Recoding::Tar, &Abort::new()).await;
    assert!(fs::metadata(recoded.unwrap()).unwrap().len() > 1 << 19);
}

#[tokio::test]
async fn a_damaged_image_is_not_recoded() {
    let (directory, cache) = cache();
    for (name, whole) in compressed(&small()).split_off(1) {
        let image = ensure(&cache, name, &whole[..whole.len() / 2]).await;
        let image = image.unwrap();
        match cache.recode(&image, Recoding::Tar, &Abort::new()).await {
            Err(ExecutorError::Image(text)) => assert!(text.contains("damaged"), "{text}"),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(half_made(directory.path()), 0);
}

#[tokio::test]
async fn an_aborted_recoding_leaves_nothing() {
    let (directory, cache) = cache();
    let image = ensure(&cache, "image.tar.zst", &bomb(64 << 20)).await;
    let image = image.unwrap();
    let abort = abort_after(Duration::from_millis(5));
    let aborted = cache.recode(&image, Recoding::Tar, &abort).await;
    assert!(
        matches!(aborted, Err(ExecutorError::Aborted)),
        "{aborted:?}"
    );
    assert_eq!(half_made(directory.path()), 0);
    // Not even if nobody waits any more.
    let never = Abort::new();
    let unheard = cache.recode(&image, Recoding::Tar, &never);
    let given_up = tokio::time::timeout(Duration::from_millis(5), unheard).await;
    assert!(given_up.is_err());
    assert_eq!(half_made(directory.path()), 0);
    let recoded = cache.recode(&image, Recoding::Tar, &never).await;
    assert!(fs::metadata(recoded.unwrap()).unwrap().len() > 64 << 20);
}

/// A file system of its own that is soon full; none for others than root.
pub(super) struct SmallDisk(pub(super) tempfile::TempDir);

impl SmallDisk {
    pub(super) fn new(size: &str) -> Option<Self> {
        let disk = Self(tempfile::tempdir().unwrap());
        let flags = nix::mount::MsFlags::MS_NOSUID;
        let options = format!("mode=755,size={size}");
        nix::mount::mount(
            Some("none"),
            disk.0.path(),
            Some("tmpfs"),
            flags,
            Some(&*options),
        )
        .map_err(|error| eprintln!("skipped: only root can mount a small disk: {error}"))
        .ok()?;
        Some(disk)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = nix::mount::umount2(self.0.path(), nix::mount::MntFlags::MNT_DETACH);
    }
}

#[tokio::test]
async fn recoding_to_a_full_disk_leaves_nothing_and_says_so() {
    let Some(disk) = SmallDisk::new("2m") else {
        return;
    };
    let cache = ImageCache::new(disk.0.path().join("images"));
    let image = ensure(&cache, "image.tar.zst", &bomb(4 << 20)).await;
    let image = image.unwrap();
    match cache.recode(&image, Recoding::Tar, &Abort::new()).await {
        Err(ExecutorError::System(text)) => assert!(
            text.contains("No space left on device") && text.contains("is the disk full?"),
            "{text}"
        ),
        other => panic!("{other:?}"),
    }
    assert_eq!(half_made(disk.0.path()), 0);
    assert_eq!(cache.list().unwrap().len(), 1, "the image itself is kept");
}

#[tokio::test]
async fn names_are_names() {
    let (_directory, cache) = cache();
    for name in ["", ".hidden", "a/b", ".."] {
        assert!(
            matches!(
                ensure(&cache, name, b"x").await,
                Err(ExecutorError::Image(_))
            ),
            "{name}"
        );
    }
    assert!("abc".parse::<crate::executor::ImageDigest>().is_err());
}

/// A runtime that waits for an image that another one fetches has to end when it is told to: a thread waiting in the kernel would keep it.
#[test]
fn an_abort_ends_the_wait_for_another_runtime_and_so_does_the_end_of_this_one() {
    let (directory, cache) = cache();
    let bytes = small();
    let image = wanted("image.tar", &bytes);
    let locks = directory.path().join("images/locks");
    fs::create_dir_all(&locks).unwrap();
    // As another process has it: locks are of the open file.
    let held = fs::File::create(locks.join(format!("{}.change", image.sha256))).unwrap();
    held.lock().unwrap();
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
    };
    let waiting = async |abort: &Abort| {
        let fetch = async |_| panic!("the image is another runtime's to fetch");
        cache.ensure(&image, fetch, abort).await.map(drop)
    };
    let (told, ended) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let one = runtime();
            let aborted =
                one.block_on(async { waiting(&abort_after(Duration::from_millis(20))).await });
            assert!(
                matches!(aborted, Err(ExecutorError::Aborted)),
                "{aborted:?}"
            );
            // Waits for its threads.
            drop(one);
            let other = runtime();
            let given_up = other.block_on(async {
                let never = Abort::new();
                tokio::time::timeout(Duration::from_millis(20), waiting(&never)).await
            });
            assert!(given_up.is_err());
            drop(other);
            told.send(()).unwrap();
        });
        let in_time = ended.recv_timeout(Duration::from_secs(60));
        // Lets a thread that still waits go on, so that this test ends either way.
        held.unlock().unwrap();
        in_time.expect("a runtime does not end while another one holds the lock");
    });
    let fetched = runtime().block_on(ensure(&cache, "image.tar", &bytes));
    assert!(fetched.unwrap().file().is_file());
}
