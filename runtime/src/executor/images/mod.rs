//! The cache of images: fetched once, verified, unpacked once, shared by all sandboxes and all runtimes of a machine.
//!
//! ```text
//! <directory>/<sha256>/file/<name>   the image file as it was fetched
//!                      recoded.tar…  the same, quick to unpack, once somebody asked for it
//!                      unpacked/root the root directory, once somebody asked for it; belongs to the ids of sandboxes. Only the cache's
//!                                    owner can pass `unpacked`: other programs with the same sub-ids have no business there
//!                      *.tmp         one of these being made
//! <directory>/<sha256>.tmp/          being fetched, or being removed
//! <directory>/locks/
//! ```
//! Everything gets its final name when it is whole and on disk.

mod locks;
mod model;

pub use model::{CachedImage, ImageDigest, ImageFile, Recoding};

use super::ids::IdMap;
use super::orders::Work;
use super::{Abort, ExecutorError, work};
use locks::{Lock, Purpose};
use sha2::{Digest, Sha256};
use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Images that are kept when nothing else was asked for.
pub const DEFAULT_KEPT: usize = 10;

/// Bytes that all images may take together when nothing else was asked for: 64 GiB.
pub const DEFAULT_ROOM: u64 = 64 << 30;

/// How many times as large as its file the content of an image usually is, compressed by xz.
const USUAL_RATIO: u64 = 4;

/// Bytes that an image may have unpacked when nothing else was asked for: 64 GiB.
pub const DEFAULT_UNPACKED_SIZE: u64 = 64 << 30;

/// An image in the cache. As long as this value lives, the image is not removed.
#[derive(Debug)]
pub struct Image {
    directory: PathBuf,
    wanted: ImageFile,
    _in_use: Lock,
}

impl Image {
    /// The image file, under the name that was asked for.
    pub fn file(&self) -> PathBuf {
        self.directory.join("file").join(&self.wanted.name)
    }

    /// Its checksum.
    pub fn digest(&self) -> &ImageDigest {
        &self.wanted.sha256
    }

    /// The directory that keeps others away from it.
    fn unpacked(&self) -> PathBuf {
        self.directory.join(UNPACKED)
    }

    /// The unpacked root directory, if [`ImageCache::unpack`] has made it.
    pub(super) fn root(&self) -> PathBuf {
        self.unpacked().join("root")
    }
}

/// A directory of images.
#[derive(Debug, Clone)]
pub struct ImageCache {
    directory: PathBuf,
    kept: usize,
    room: u64,
    unpacked_size: u64,
}

impl ImageCache {
    /// A cache in this directory, which is made when it is needed. Tools with sub-ids have to reach it: its parents need `o+x`.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
            kept: DEFAULT_KEPT,
            room: DEFAULT_ROOM,
            unpacked_size: DEFAULT_UNPACKED_SIZE,
        }
    }

    /// How many images are kept; the ones that were used least recently go when a new one comes.
    pub fn kept(mut self, images: usize) -> Self {
        self.kept = images;
        self
    }

    /// How many bytes all images may take in all their forms; likewise. The one that was used last stays in any case.
    pub fn room(mut self, bytes: u64) -> Self {
        self.room = bytes;
        self
    }

    /// How many bytes an image may have when it is unpacked.
    pub fn unpacked_size(mut self, bytes: u64) -> Self {
        self.unpacked_size = bytes;
        self
    }

    /// The image, from the cache or, once for all who ask at the same time, by `fetch`, which writes it to the new file that it is given.
    ///
    /// What was fetched is verified by size and checksum, and kept only if both are right ([`ExecutorError::Image`] otherwise).
    pub async fn ensure<Fetch, Fetched>(
        &self,
        wanted: &ImageFile,
        fetch: Fetch,
        abort: &Abort,
    ) -> Result<Image, ExecutorError>
    where
        Fetch: FnOnce(File) -> Fetched,
        Fetched: Future<Output = Result<(), ExecutorError>>,
    {
        check_name(&wanted.name)?;
        let _alone = self.lock(&wanted.sha256, Purpose::Change, abort).await?;
        let in_use = self.lock(&wanted.sha256, Purpose::Use, abort).await?;
        let image = Image {
            directory: self.place(&wanted.sha256),
            wanted: wanted.clone(),
            _in_use: in_use,
        };
        if !image.directory.is_dir() {
            self.fetch(wanted, fetch, abort).await?;
            // What cannot be removed must not keep from using what there is.
            let _ = self.remove_half_made().await;
            if let Err(error) = self.prune_to(self.kept, Some(&wanted.sha256)).await {
                tracing::warn!("an image that was not used for long stays in the cache: {error}");
            }
        }
        self.name(&image)?;
        let _ = File::open(&image.directory)
            .and_then(|directory| directory.set_modified(SystemTime::now()));
        Ok(image)
    }

    /// Unpacks an image unless it is unpacked already. Sandboxes do this themselves when they start.
    ///
    /// An archive that is damaged, incomplete or too big is an [`ExecutorError::Image`], and nothing of it stays.
    pub async fn unpack(&self, image: &Image, abort: &Abort) -> Result<(), ExecutorError> {
        let ids = IdMap::of_this_process()?;
        let root = image.root();
        if unpacked_for(&ids, &root) {
            return Ok(());
        }
        let _alone = self.lock(image.digest(), Purpose::Change, abort).await?;
        if unpacked_for(&ids, &root) {
            return Ok(());
        }
        if root.exists() {
            let aside = work::put_aside(&root).await;
            aside.map_err(|error| broken(&root, &error))?;
        }
        let place = image.unpacked();
        match DirBuilder::new().mode(0o700).create(&place) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(broken(&place, &error));
            }
            _ => {}
        }
        let directory = open(&place)?;
        let archive = open(&image.file())?;
        let remove = Work::Remove {
            name: HALF_UNPACKED.into(),
        };
        let never = Abort::new();
        // Half a root directory of one who was killed.
        work::request(Some(ids), remove.clone(), &[directory.as_fd()], &never).await?;
        let unpack = Work::Unpack {
            name: HALF_UNPACKED.into(),
            size: self.unpacked_size,
        };
        let descriptors = [directory.as_fd(), archive.as_fd()];
        if let Err(error) = work::request(Some(ids), unpack, &descriptors, abort).await {
            let _ = work::request(Some(ids), remove, &descriptors[..1], &never).await;
            return Err(unusable(&image.wanted, error));
        }
        fs::rename(place.join(HALF_UNPACKED), image.root())
            .and_then(|()| directory.sync_all())
            .map_err(|error| broken(&place, &error))
    }

    /// The image in a form that unpacks quickly: made once, then kept with the image.
    ///
    /// An archive that is damaged or too big is an [`ExecutorError::Image`]. Of one that was not written whole nothing stays.
    pub async fn recode(
        &self,
        image: &Image,
        form: Recoding,
        abort: &Abort,
    ) -> Result<PathBuf, ExecutorError> {
        let path = image.directory.join(form.file_name());
        let _alone = self.lock(image.digest(), Purpose::Change, abort).await?;
        if path.is_file() {
            return Ok(path);
        }
        let from = open(&image.file())?;
        let half = HalfFile(image.directory.join(HALF_RECODED));
        // A file of its own: whoever was killed may have left one, and its helper may not have noticed yet.
        let _ = fs::remove_file(&half.0);
        let target = File::create_new(&half.0).map_err(|error| broken(&half.0, &error))?;
        let recode = Work::Recode {
            compressed: form == Recoding::TarZst,
            size: self.unpacked_size,
        };
        work::request(None, recode, &[from.as_fd(), target.as_fd()], abort)
            .await
            .map_err(|error| unusable(&image.wanted, error))?;
        fs::rename(&half.0, &path).map_err(|error| broken(&path, &error))?;
        Ok(path)
    }

    /// The images, most recently used first.
    pub fn list(&self) -> Result<Vec<CachedImage>, ExecutorError> {
        let entries = match fs::read_dir(&self.directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(broken(&self.directory, &error)),
        };
        let mut images: Vec<CachedImage> = entries
            .flatten()
            .filter_map(|entry| describe(&entry.path()))
            .collect();
        images.sort_by_key(|image| std::cmp::Reverse(image.used));
        Ok(images)
    }

    /// Removes the images that were used least recently until `kept` are left; those in use stay. Also removes what killed runtimes left
    /// half-made. Returns what was removed.
    pub async fn prune(&self, kept: usize) -> Result<Vec<CachedImage>, ExecutorError> {
        self.remove_half_made().await?;
        self.prune_to(kept, None).await
    }

    /// Removes what killed runtimes left half-made: whole images, and parts of images that are in use.
    async fn remove_half_made(&self) -> Result<(), ExecutorError> {
        for half in half_made(&self.directory) {
            let Some(sha256) = digest_of(half.file_stem()) else {
                continue;
            };
            if let Some(_alone) = Lock::try_exclusive(&self.directory, &sha256)?
                && let Err(error) = self.remove_parts(&half).await
            {
                tracing::warn!("what was left half-made stays: {error}");
            }
        }
        for place in entries(&self.directory) {
            let Some(sha256) = digest_of(place.file_name()) else {
                continue;
            };
            let parts = || [half_made(&place), half_made(&place.join(UNPACKED))].concat();
            if parts().is_empty() {
                continue;
            }
            if let Some(_alone) = Lock::try_change(&self.directory, &sha256)? {
                for part in parts() {
                    if let Err(error) = self.remove_part(&part).await {
                        tracing::warn!("what was left half-made stays: {error}");
                    }
                }
            }
        }
        Ok(())
    }

    /// Compares the file of an image with its checksum. A damaged one is an [`ExecutorError::Image`]; remove it with [`remove`](Self::remove).
    pub async fn verify(&self, sha256: &ImageDigest) -> Result<(), ExecutorError> {
        let Some(image) = describe(&self.place(sha256)) else {
            return Err(unknown(sha256));
        };
        let wanted = ImageFile {
            name: image.names.into_iter().next().unwrap_or_default(),
            size: image.size,
            sha256: image.sha256,
        };
        let file = open(&self.place(sha256).join("file").join(&wanted.name))?;
        blocking(move || check(file, &wanted)).await
    }

    /// Removes an image. One that is in use is a [`ExecutorError::System`].
    pub async fn remove(&self, sha256: &ImageDigest) -> Result<(), ExecutorError> {
        if !self.place(sha256).is_dir() {
            return Err(unknown(sha256));
        }
        match Lock::try_exclusive(&self.directory, sha256)? {
            Some(_alone) => self.discard(sha256).await,
            None => Err(ExecutorError::System(format!(
                "the image {sha256} is in use; stop what uses it first"
            ))),
        }
    }

    fn place(&self, sha256: &ImageDigest) -> PathBuf {
        self.directory.join(&sha256.0)
    }

    async fn lock(
        &self,
        sha256: &ImageDigest,
        purpose: Purpose,
        abort: &Abort,
    ) -> Result<Lock, ExecutorError> {
        Lock::wait(&self.directory, sha256, purpose, abort).await
    }

    /// Fetches, verifies and gives the final name.
    async fn fetch<Fetch, Fetched>(
        &self,
        wanted: &ImageFile,
        fetch: Fetch,
        abort: &Abort,
    ) -> Result<(), ExecutorError>
    where
        Fetch: FnOnce(File) -> Fetched,
        Fetched: Future<Output = Result<(), ExecutorError>>,
    {
        let half = self.directory.join(format!("{}.tmp", wanted.sha256));
        self.make_way(&half).await?;
        let make = || -> io::Result<File> {
            fs::create_dir_all(half.join("file"))?;
            File::create_new(half.join("file").join(&wanted.name))
        };
        let file = make().map_err(|error| broken(&half, &error))?;
        let reader = open(&half.join("file").join(&wanted.name))?;
        let fetched = tokio::select! {
            fetched = fetch(file) => fetched,
            () = abort.cancelled() => Err(ExecutorError::Aborted),
        };
        let expected = wanted.clone();
        let whole = match fetched {
            Ok(()) => blocking(move || check(reader, &expected)).await,
            Err(error) => Err(error),
        };
        if let Err(error) = whole {
            let _ = fs::remove_dir_all(&half);
            return Err(error);
        }
        fs::rename(&half, self.place(&wanted.sha256))
            .and_then(|()| File::open(&self.directory)?.sync_all())
            .map_err(|error| broken(&half, &error))
    }

    /// Makes the image's file available under the name that is wanted now, should it have come under another.
    fn name(&self, image: &Image) -> Result<(), ExecutorError> {
        let path = image.file();
        if path.exists() {
            return Ok(());
        }
        let link = || -> io::Result<()> {
            let other = fs::read_dir(image.directory.join("file"))?
                .next()
                .ok_or(io::ErrorKind::NotFound)??;
            fs::hard_link(other.path(), &path)
        };
        link().map_err(|error| broken(&path, &error))
    }

    async fn prune_to(
        &self,
        kept: usize,
        except: Option<&ImageDigest>,
    ) -> Result<Vec<CachedImage>, ExecutorError> {
        let mut removed = Vec::new();
        let mut room = 0u64;
        for (number, image) in self.list()?.into_iter().enumerate() {
            room = room.saturating_add(image.room);
            let stays = number < kept && (room <= self.room || number == 0);
            if stays || Some(&image.sha256) == except {
                continue;
            }
            if let Some(_alone) = Lock::try_exclusive(&self.directory, &image.sha256)? {
                self.discard(&image.sha256).await?;
                removed.push(image);
            }
        }
        Ok(removed)
    }

    /// Takes the image's name away first: from then on it is not there, whatever happens to its parts.
    async fn discard(&self, sha256: &ImageDigest) -> Result<(), ExecutorError> {
        let half = self.directory.join(format!("{sha256}.tmp"));
        let failed = |error: io::Error| broken(&half, &error);
        self.make_way(&half).await?;
        fs::rename(self.place(sha256), &half).map_err(failed)?;
        self.remove_parts(&half).await
    }

    /// Removes what has the name of something half-made or, if it cannot be removed, gives it another name.
    async fn make_way(&self, half: &Path) -> Result<(), ExecutorError> {
        if !half.exists() || self.remove_parts(half).await.is_ok() {
            return Ok(());
        }
        let aside = work::put_aside(half).await;
        aside.map_err(|error| broken(half, &error))
    }

    async fn remove_parts(&self, place: &Path) -> Result<(), ExecutorError> {
        match place.join(UNPACKED).exists() {
            true => remove_as_root(place).await,
            false => fs::remove_dir_all(place).map_err(|error| broken(place, &error)),
        }
    }

    async fn remove_part(&self, part: &Path) -> Result<(), ExecutorError> {
        match part.is_dir() {
            true => remove_as_root(part).await,
            false => fs::remove_file(part).map_err(|error| broken(part, &error)),
        }
    }
}

/// The name of the directory around an unpacked image.
const UNPACKED: &str = "unpacked";

/// The name of a root directory that is not whole yet.
const HALF_UNPACKED: &str = "root.tmp";

/// The name of a recoded image that is not whole yet.
const HALF_RECODED: &str = "recoded.tmp";

/// A file that goes unless it was given its final name.
struct HalfFile(PathBuf);

impl Drop for HalfFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Removes what belongs to the ids of sandboxes.
async fn remove_as_root(place: &Path) -> Result<(), ExecutorError> {
    let directory = open(place.parent().unwrap_or(place))?;
    let name = place.file_name().unwrap_or_default().to_owned();
    let ids = IdMap::of_this_process()?;
    let remove = Work::Remove { name };
    work::request(Some(ids), remove, &[directory.as_fd()], &Abort::new()).await
}

/// Whether an image has been unpacked, for sandboxes with these ids.
fn unpacked_for(ids: &IdMap, root: &Path) -> bool {
    fs::metadata(root).is_ok_and(|found| found.is_dir() && ids.own(&found))
}

fn entries(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).collect()
}

/// What is not whole yet, or no longer.
fn half_made(directory: &Path) -> Vec<PathBuf> {
    let mut found = entries(directory);
    found.retain(|path| path.extension().is_some_and(|end| end == "tmp"));
    found
}

fn digest_of(name: Option<&OsStr>) -> Option<ImageDigest> {
    name?.to_str()?.parse().ok()
}

/// What there is to know of a place in the cache, if it is an image's.
fn describe(place: &Path) -> Option<CachedImage> {
    let sha256 = digest_of(place.file_name())?;
    let files: Vec<_> = fs::read_dir(place.join("file")).ok()?.flatten().collect();
    let size = files.first()?.metadata().ok()?.len();
    let unpacked = place.join(UNPACKED).join("root").is_dir();
    let recoded = [Recoding::Tar, Recoding::TarZst]
        .map(|form| fs::metadata(place.join(form.file_name())).map_or(0, |recoded| recoded.len()));
    // The plain archive is as large as what was in it; without one nobody knows, short of looking at every file.
    let content = match recoded[0] {
        0 => size.saturating_mul(USUAL_RATIO),
        plain => plain,
    };
    Some(CachedImage {
        sha256,
        size,
        room: size + recoded.iter().sum::<u64>() + if unpacked { content } else { 0 },
        names: files
            .iter()
            .filter_map(|file| file.file_name().into_string().ok())
            .collect(),
        unpacked,
        used: fs::metadata(place).ok()?.modified().ok()?,
    })
}

/// Whether a file is the one that is wanted.
fn check(mut file: File, wanted: &ImageFile) -> Result<(), ExecutorError> {
    let name = &wanted.name;
    let mut hash = Sha256::new();
    let mut size = 0;
    let mut buffer = vec![0; 1 << 18];
    loop {
        let length = file
            .read(&mut buffer)
            .map_err(|error| broken(Path::new(name), &error))?;
        if length == 0 {
            break;
        }
        size += length as u64;
        hash.update(&buffer[..length]);
    }
    if size != wanted.size {
        return Err(ExecutorError::Image(format!(
            "the image {name} has {size} bytes instead of {}; fetch it again",
            wanted.size
        )));
    }
    if hex::encode(hash.finalize()) != wanted.sha256.0 {
        return Err(ExecutorError::Image(format!(
            "the image {name} does not have the checksum {}; fetch it again",
            wanted.sha256
        )));
    }
    file.sync_all()
        .map_err(|error| broken(Path::new(name), &error))
}

fn check_name(name: &str) -> Result<(), ExecutorError> {
    if name.is_empty() || name.starts_with('.') || name.contains(['/', '\0']) {
        return Err(ExecutorError::Image(format!(
            "{name:?} cannot be the name of an image file; it may not be empty, begin with a dot or contain a slash"
        )));
    }
    Ok(())
}

fn open(path: &Path) -> Result<File, ExecutorError> {
    File::open(path).map_err(|error| broken(path, &error))
}

fn broken(path: &Path, error: &io::Error) -> ExecutorError {
    ExecutorError::System(format!(
        "the image cache fails at {}: {error}; check the disk and the permissions",
        path.display()
    ))
}

/// Says which image it is that cannot be used.
fn unusable(image: &ImageFile, error: ExecutorError) -> ExecutorError {
    let name = &image.name;
    match error {
        ExecutorError::Image(words) => {
            ExecutorError::Image(format!("cannot use the image {name}: {words}"))
        }
        error => error,
    }
}

fn unknown(sha256: &ImageDigest) -> ExecutorError {
    ExecutorError::Image(format!(
        "there is no image {sha256} in the cache; list them first"
    ))
}

/// Does something that waits for the disk or for others.
async fn blocking<T: Send + 'static>(
    action: impl FnOnce() -> Result<T, ExecutorError> + Send + 'static,
) -> Result<T, ExecutorError> {
    match tokio::task::spawn_blocking(action).await {
        Ok(result) => result,
        Err(error) => Err(ExecutorError::System(format!(
            "work on the image cache failed: {error}"
        ))),
    }
}
