//! What lintian found, as its artifacts have it: tags in order, and a summary.

use crate::output::{OutputError, Tags};
use crate::packages::{PackageKind, Packages, plain_name};
use crate::tag::{Severity, Tag};
use serde::ser::{Serialize, Serializer};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::io::BufRead;
use task_sdk::artifacts::{LintianSummary, SeverityCounts};
use task_sdk::prelude::*;

/// The version of the format of `analysis.json`.
const FORMAT: u32 = 1;
/// How much memory tags may take, in bytes: three quarters of what a run has.
const ROOM: usize = 192 << 20;
/// What an occurrence takes beside its texts, in bytes: itself, and room for the list of its tag to grow and to be sorted.
const OCCURRENCE: usize = 3 * size_of::<Occurrence>();
/// What a tag takes beside its occurrences and its name, in bytes: a place for it, the start of its list, its place in summaries.
const KIND: usize = 512;
/// How many copies of a tag's name there are: one here, the others in a summary on its way to the store.
const NAMES: usize = 6;
/// What a text takes beside its bytes, at the most.
const ALLOCATION: usize = 16;

/// Why there is no analysis.
#[derive(Debug, thiserror::Error)]
pub enum AnalysisError {
    /// The output makes no sense.
    #[error(transparent)]
    Output(#[from] OutputError),
    /// There is too much of it.
    #[error(
        "lintian.txt: its tags need more than {ROOM} bytes of memory; leave the most frequent ones out with exclude_tags"
    )]
    TooMany,
}

/// The tags of the packages among the inputs, in the order of an analysis: by package, severity (the worst first), tag, note.
///
/// What recurs is kept once: an output of 50 MB has some hundred thousand tags, of some hundred kinds.
#[derive(Default)]
pub struct FoundTags {
    packages: BTreeMap<String, PackageTags>,
    /// How much memory they take.
    size: usize,
}

/// The tags of a package, with all places where each occurs.
type PackageTags = BTreeMap<(Reverse<Severity>, Box<str>), Vec<Occurrence>>;

/// What one occurrence of a tag has for itself.
struct Occurrence {
    explanation: Box<str>,
    comment: Box<str>,
    note: Box<str>,
    pointer: Box<str>,
}

impl FoundTags {
    /// Reads an output. Tags of other packages do not count.
    pub fn read(output: impl BufRead, packages: &Packages) -> Result<Self, AnalysisError> {
        Self::read_within(ROOM, output, packages)
    }

    fn read_within(
        room: usize,
        output: impl BufRead,
        packages: &Packages,
    ) -> Result<Self, AnalysisError> {
        let mut found = Self::default();
        for tag in Tags::new(output) {
            let tag = tag?;
            if packages.contains(&tag.package) {
                found.add(tag);
            }
            if found.size > room {
                return Err(AnalysisError::TooMany);
            }
        }
        found.sort();
        Ok(found)
    }

    fn add(&mut self, tag: Tag) {
        let texts = [&tag.explanation, &tag.comment, &tag.note, &tag.pointer];
        let texts = texts.iter().filter(|text| !text.is_empty());
        self.size += OCCURRENCE + texts.map(|text| text.len() + ALLOCATION).sum::<usize>();
        let of_kind = KIND + NAMES * tag.tag.len();
        let tags = self.packages.entry(tag.package).or_default();
        let occurrences = tags.entry((Reverse(tag.severity), tag.tag.into()));
        let occurrences = occurrences.or_insert_with(|| {
            self.size += of_kind;
            Vec::new()
        });
        occurrences.push(Occurrence {
            explanation: tag.explanation.into(),
            comment: tag.comment.into(),
            note: tag.note.into(),
            pointer: tag.pointer.into(),
        });
    }

    /// Occurrences with equal notes stay in the order of the output.
    fn sort(&mut self) {
        let tags = self.packages.values_mut();
        for occurrences in tags.flat_map(BTreeMap::values_mut) {
            occurrences.sort_by(|one, other| one.note.cmp(&other.note));
        }
    }
}

/// What lintian found in the packages of a kind: `analysis.json`.
#[derive(serde::Serialize)]
pub struct Analysis<'a> {
    tags: TagsOf<'a>,
    #[serde(serialize_with = "summary_as_json")]
    summary: LintianSummary,
    version: u32,
}

impl<'a> Analysis<'a> {
    /// The analysis of the packages of a kind.
    pub fn new(
        found: &'a FoundTags,
        packages: &Packages,
        kind: PackageKind,
        lintian_version: String,
        distribution: &str,
    ) -> Self {
        let with_tags = packages.of(kind);
        let with_tags = with_tags.filter_map(|name| found.packages.get_key_value(name));
        let tags = TagsOf(
            with_tags
                .map(|(name, tags)| (name.as_str(), tags))
                .collect(),
        );
        let file = |(package, _): &(&str, _)| {
            let name = plain_name(package).to_owned();
            (name, packages.file(package).to_owned())
        };
        let summary = LintianSummary {
            tags_count_by_severity: tags.count(),
            package_filename: Dictionary(tags.0.iter().map(file).collect()),
            tags_found: tags.names(|severity| severity != Severity::Overridden),
            overridden_tags_found: tags.names(|severity| severity == Severity::Overridden),
            lintian_version,
            distribution: distribution.to_owned(),
        };
        Self {
            tags,
            summary,
            version: FORMAT,
        }
    }

    /// It in short.
    pub fn summary(&self) -> &LintianSummary {
        &self.summary
    }
}

/// The tags of some packages.
struct TagsOf<'a>(Vec<(&'a str, &'a PackageTags)>);

impl<'a> TagsOf<'a> {
    fn count(&self) -> SeverityCounts {
        let counts = Severity::COUNTED.map(|severity| {
            let of_severity = self.kinds().filter(|(known, ..)| *known == severity);
            let count: usize = of_severity.map(|(.., occurrences)| occurrences.len()).sum();
            (severity.as_str().to_owned(), count as i64)
        });
        SeverityCounts(Dictionary(counts.to_vec()))
    }

    /// The names of the tags of some severities.
    fn names(&self, is_meant: impl Fn(Severity) -> bool) -> Vec<String> {
        let meant = self.kinds().filter(|(severity, ..)| is_meant(*severity));
        let names: BTreeSet<&str> = meant.map(|(_, tag, _)| tag).collect();
        names.into_iter().map(str::to_owned).collect()
    }

    /// Every occurrence of every tag, in order.
    fn records(&self) -> impl Iterator<Item = Tag<&'a str>> {
        self.0.iter().flat_map(|&(package, tags)| {
            tags.iter().flat_map(move |((severity, tag), occurrences)| {
                occurrences.iter().map(move |occurrence| Tag {
                    severity: severity.0,
                    package: plain_name(package),
                    tag: &**tag,
                    explanation: &*occurrence.explanation,
                    comment: &*occurrence.comment,
                    note: &*occurrence.note,
                    pointer: &*occurrence.pointer,
                })
            })
        })
    }

    /// Severity, name and occurrences of each tag.
    fn kinds(&self) -> impl Iterator<Item = (Severity, &'a str, &'a [Occurrence])> {
        let tags = self.0.iter().flat_map(|(_, tags)| tags.iter());
        tags.map(|((severity, tag), occurrences)| (severity.0, &**tag, &**occurrences))
    }
}

impl Serialize for TagsOf<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.records())
    }
}

fn summary_as_json<S: Serializer>(
    summary: &LintianSummary,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    summary.to_json().serialize(serializer)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packages() -> Packages {
        let mut packages = Packages::default();
        packages.add("hello".into(), PackageKind::BinaryAny, "hello.deb".into());
        packages
    }

    /// What this output takes.
    fn size(output: &str) -> usize {
        let found = FoundTags::read(output.as_bytes(), &packages()).unwrap();
        found.size
    }

    #[test]
    fn fifty_megabytes_of_ordinary_output_have_room() {
        let line = "W: hello: hardening-no-bindnow a note about it [usr/lib/hello/plugin.so]\n";
        let lines = (50 << 20) / line.len();
        assert!(size(&line.repeat(1000)) / 1000 * lines < ROOM);
    }

    #[test]
    fn more_tags_than_there_is_room_for_are_refused() {
        let output = "C: hello: t\n".repeat(1000);
        let read = |room| FoundTags::read_within(room, output.as_bytes(), &packages());
        assert!(read(1000 * OCCURRENCE + 1000).is_ok());
        let refused = read(999 * OCCURRENCE).err();
        assert!(matches!(refused, Some(AnalysisError::TooMany)));
    }

    #[test]
    fn tags_of_other_packages_need_no_room() {
        assert_eq!(size("C: other: t\nM: hello: t\n"), 0);
    }
}
