//! What is kept aside: results that nobody will ever take, and what makes no sense. An operator decides about it.

use super::sync;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Added to the name of what the server refused.
pub(super) const REFUSED: &str = "refused";

/// Added to the name of what cannot be read.
pub(super) const UNREADABLE: &str = "unreadable";

/// What has been kept aside in a spool, in the order of the names.
pub fn kept_aside(spool: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(spool).into_iter().flatten().flatten();
    let places = entries.map(|entry| entry.path());
    let mut places: Vec<PathBuf> = places.filter(|place| is_aside(place)).collect();
    places.sort();
    places
}

/// Gives a place in the spool a name that says what is wrong with it, and puts the reason into it. The new name.
pub(super) fn set_aside(place: &Path, kind: &str, reason: &str) -> io::Result<PathBuf> {
    if let Err(error) = fs::write(place.join("why"), format!("{reason}\n")) {
        tracing::warn!("{}: the reason cannot be kept: {error}", place.display());
    }
    let first = place.with_added_extension(kind);
    let more = (2..).map(|count| first.with_added_extension(count.to_string()));
    let free = std::iter::once(first.clone())
        .chain(more)
        .find(|name| !name.exists());
    let name = free.unwrap_or(first);
    fs::rename(place, &name)?;
    if let Some(spool) = place.parent() {
        sync(spool)?;
    }
    Ok(name)
}

/// `17.refused`, `17.unreadable.2`, …
fn is_aside(place: &Path) -> bool {
    let name = place.file_name().unwrap_or_default().to_string_lossy();
    let mut parts = name.split('.');
    let is_number = parts.next().is_some_and(|part| part.parse::<u64>().is_ok());
    is_number && matches!(parts.next(), Some(REFUSED | UNREADABLE))
}
