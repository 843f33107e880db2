//! What a scheduler adds to the lookup of an environment: architecture, format and backend, where the author left them open.

use super::SingleLookup;
use crate::task_data::Backend;
use std::fmt;

/// How a system image is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImageFormat {
    /// A tarball of files.
    Tarball,
    /// A disk image.
    Image,
}

impl ImageFormat {
    /// What a backend starts from.
    pub fn of(backend: Backend) -> Self {
        match backend {
            Backend::IncusVm | Backend::Qemu => Self::Image,
            Backend::Auto | Backend::Unshare | Backend::IncusLxc => Self::Tarball,
        }
    }

    /// The word in a lookup.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tarball => "tarball",
            Self::Image => "image",
        }
    }
}

/// What an environment has to fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EnvironmentFilters<'a> {
    /// The architecture of the task, if it is known.
    pub architecture: Option<&'a str>,
    /// How the image is packed.
    pub format: ImageFormat,
    /// The effective backend; none leaves it open.
    pub backend: Option<Backend>,
}

impl EnvironmentFilters<'_> {
    /// Adds to a lookup `COLLECTION/match:KEY=VALUE...` the filters whose keys it lacks; other lookups stay as they are.
    ///
    /// The filters of any lookup of two segments have to be well formed, of whatever type it is: the reference reads them first.
    pub fn augment(&self, lookup: &SingleLookup) -> Result<SingleLookup, MalformedFilter> {
        let SingleLookup::Path(path) = lookup else {
            return Ok(lookup.clone());
        };
        let segments: Vec<&str> = path.split('/').collect();
        let [collection, item] = segments.as_slice() else {
            return Ok(lookup.clone());
        };
        let mut parts = item.split(':');
        let kind = parts.next().unwrap_or_default();
        let mut filters: Vec<(&str, &str)> = Vec::new();
        for part in parts {
            let (key, value) = part
                .split_once('=')
                .ok_or_else(|| MalformedFilter(part.to_owned()))?;
            set(&mut filters, key, value);
        }
        if kind != "match" {
            return Ok(lookup.clone());
        }
        self.add_to(&mut filters);
        let mut augmented = [collection, "/match"].concat();
        for (key, value) in filters {
            augmented.extend([":", key, "=", value]);
        }
        Ok(SingleLookup::Path(augmented))
    }

    fn add_to<'a>(&'a self, filters: &mut Vec<(&'a str, &'a str)>) {
        let wanted = [
            ("architecture", self.architecture),
            ("format", Some(self.format.as_str())),
            (
                "backend",
                self.backend.map(|backend| backend.effective().as_str()),
            ),
        ];
        for (key, value) in wanted {
            if let Some(value) = value
                && !filters.iter().any(|(given, _)| *given == key)
            {
                filters.push((key, value));
            }
        }
    }
}

/// A key given twice keeps its first position and takes its last value.
fn set<'a>(filters: &mut Vec<(&'a str, &'a str)>, key: &'a str, value: &'a str) {
    match filters.iter_mut().find(|(given, _)| *given == key) {
        Some(filter) => filter.1 = value,
        None => filters.push((key, value)),
    }
}

/// A part of a lookup's filters that is not `KEY=VALUE`. The reference answers with an internal error, not with a fault of the task data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MalformedFilter(pub String);

impl fmt::Display for MalformedFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the environment lookup has the filter {:?}: it lacks a value; write KEY=VALUE",
            self.0
        )
    }
}

impl std::error::Error for MalformedFilter {}
