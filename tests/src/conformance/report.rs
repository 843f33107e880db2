//! Counting outcomes, and telling them to a person.

use super::deviations::Deviations;
use super::suite::Outcome;
use super::vector::{Folder, Level, Vector};
use std::collections::BTreeMap;
use std::fmt;

/// How many failing vectors of a task and operation are shown.
const SHOWN_VECTORS: usize = 3;

/// How many differences of each are shown.
const SHOWN_DIFFERENCES: usize = 8;

/// Counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Vectors that agree.
    pub passed: usize,
    /// Vectors that differ and are not listed.
    pub failed: usize,
    /// Vectors that differ on purpose.
    pub deviating: usize,
    /// Vectors that were not tried.
    pub skipped: usize,
}

/// The failing vectors of one task and operation, the first of them with their differences.
type Failures<'a> = Vec<(&'a Vector, &'a [String])>;

/// One task and operation.
#[derive(Default)]
struct Group<'a> {
    tally: Tally,
    failures: Failures<'a>,
    skipped: Option<&'a str>,
}

/// Everything that came of a folder.
pub struct Report<'a> {
    groups: BTreeMap<(Level, &'a str, &'a str), Group<'a>>,
    stale: Vec<&'a str>,
}

impl<'a> Report<'a> {
    /// Sorts outcomes by level, task and operation.
    pub fn new(folder: &'a Folder, outcomes: &'a [Outcome], deviations: &'a Deviations) -> Self {
        let mut groups: BTreeMap<_, Group> = BTreeMap::new();
        let mut stale = Vec::new();
        for (vector, outcome) in folder.vectors.iter().zip(outcomes) {
            let key = (vector.level, vector.task.as_str(), vector.op.as_str());
            let group = groups.entry(key).or_default();
            match outcome {
                Outcome::Passed => {
                    group.tally.passed += 1;
                    if deviations.names(vector) {
                        stale.push(vector.id.as_str());
                    }
                }
                Outcome::Failed(differences)
                    if deviations.reason(vector, differences).is_some() =>
                {
                    group.tally.deviating += 1;
                }
                Outcome::Failed(differences) => {
                    group.tally.failed += 1;
                    group.failures.push((vector, differences));
                }
                Outcome::Skipped(why) => {
                    group.tally.skipped += 1;
                    group.skipped = Some(why);
                }
            }
        }
        Self { groups, stale }
    }

    /// The counts of one level.
    pub fn tally(&self, level: Level) -> Tally {
        let of_level = self.groups.iter().filter(|((of, ..), _)| *of == level);
        of_level.fold(Tally::default(), |sum, (_, group)| Tally {
            passed: sum.passed + group.tally.passed,
            failed: sum.failed + group.tally.failed,
            deviating: sum.deviating + group.tally.deviating,
            skipped: sum.skipped + group.tally.skipped,
        })
    }

    /// Listed vectors that agree after all.
    pub fn stale(&self) -> &[&'a str] {
        &self.stale
    }
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (level, title) in [(Level::Core, "Core"), (Level::Exotic, "Exotic")] {
            let of_level = self.groups.iter().filter(|((of, ..), _)| *of == level);
            writeln!(f, "{title}")?;
            for ((_, task, op), group) in of_level {
                write_group(f, task, op, group)?;
            }
        }
        for id in &self.stale {
            writeln!(
                f,
                "{id}: listed as a deviation, but it passes: take it off the list"
            )?;
        }
        write_sum(f, "exotic: ", self.tally(Level::Exotic))?;
        write_sum(f, "", self.tally(Level::Core))
    }
}

fn write_group(f: &mut fmt::Formatter<'_>, task: &str, op: &str, group: &Group<'_>) -> fmt::Result {
    let tally = group.tally;
    let total = tally.passed + tally.failed + tally.deviating + tally.skipped;
    write!(f, "  {task} {op}: {}/{total}", tally.passed)?;
    if tally.deviating > 0 {
        write!(f, ", {} deviate", tally.deviating)?;
    }
    if let Some(why) = group.skipped {
        write!(f, ", {} skipped: {why}", tally.skipped)?;
    }
    writeln!(f)?;
    for (vector, differences) in group.failures.iter().take(SHOWN_VECTORS) {
        writeln!(f, "    {}", vector.id)?;
        for difference in differences.iter().take(SHOWN_DIFFERENCES) {
            writeln!(f, "      {difference}")?;
        }
        if let Some(more) = differences.len().checked_sub(SHOWN_DIFFERENCES + 1) {
            writeln!(f, "      and {} more", more + 1)?;
        }
    }
    if let Some(more) = group.failures.len().checked_sub(SHOWN_VECTORS + 1) {
        let rest = group.failures[SHOWN_VECTORS..].iter();
        let names: Vec<&str> = rest.map(|(vector, _)| vector.id.as_str()).collect();
        writeln!(f, "    and {} more: {}", more + 1, names.join(" "))?;
    }
    Ok(())
}

fn write_sum(f: &mut fmt::Formatter<'_>, prefix: &str, tally: Tally) -> fmt::Result {
    let Tally {
        passed,
        failed,
        deviating,
        skipped,
    } = tally;
    if deviating + skipped > 0 {
        writeln!(
            f,
            "{prefix}{deviating} deviate on purpose, {skipped} skipped (neither passed nor failed)"
        )?;
    }
    writeln!(f, "{prefix}{passed} passed, {failed} failed")
}
