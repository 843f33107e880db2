//! Files that are about to be stored, as the rules of artifacts read them: through the descriptors that will be stored.

use std::io;
use std::os::unix::fs::FileExt;
use task_runtime::artifacts::NewFile;
use task_sdk::artifacts::Directory;

/// The files of a new artifact by their paths within it.
pub struct FilesOf<'a>(pub &'a [NewFile]);

impl FilesOf<'_> {
    fn file(&self, path: &str) -> io::Result<&std::fs::File> {
        let found = self.0.iter().find(|file| file.path == path);
        found
            .map(|file| &file.content)
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Directory for FilesOf<'_> {
    fn size(&self, path: &str) -> io::Result<u64> {
        Ok(self.file(path)?.metadata()?.len())
    }

    fn read_at(&self, path: &str, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.file(path)?.read_at(buffer, offset)
    }
}
