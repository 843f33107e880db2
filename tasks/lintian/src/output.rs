//! lintian's output: tags, each with the explanation behind it and the comment before it.

use crate::lines::{LONGEST_LINE, Lines};
use crate::tag::{Severity, Tag, TagLine};
use std::io::{self, BufRead};
use task_sdk::debian::text::trim;

/// The longest explanation or comment of one tag that is read, in bytes.
pub const LONGEST_TEXT: usize = 8 << 20;

/// Why an output of lintian cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    /// A line of it makes no sense.
    #[error("lintian.txt, line {number}: {problem}")]
    Line {
        /// Which line, from 1.
        number: u64,
        /// What is wrong with it.
        problem: Problem,
    },
    /// The file could not be read.
    #[error("lintian.txt could not be read: {0}")]
    Read(#[from] io::Error),
}

/// What is wrong with a line.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// It is neither a tag nor part of an explanation: its start.
    #[error("neither a tag nor an explanation: {0:?}; see in cmd-output.log why lintian wrote it")]
    NoTag(String),
    /// It is not UTF-8.
    #[error("not UTF-8; see in cmd-output.log whether lintian ended early")]
    NotText,
    /// It is longer than [`LONGEST_LINE`].
    #[error("longer than {LONGEST_LINE} bytes; leave its tag out with exclude_tags")]
    Long,
    /// With it, an explanation or a comment gets longer than [`LONGEST_TEXT`].
    #[error("more than {LONGEST_TEXT} bytes about one tag; leave that tag out with exclude_tags")]
    LongText,
}

impl Problem {
    pub(crate) fn in_line(self, number: u64) -> OutputError {
        OutputError::Line {
            number,
            problem: self,
        }
    }
}

/// The tags of an output, in its order; those that are masked are left out. Nothing is to be expected after an error.
pub struct Tags<R> {
    lines: Lines<R>,
    parser: Parser,
}

impl<R: BufRead> Tags<R> {
    /// The tags of this output.
    pub fn new(output: R) -> Self {
        Self {
            lines: Lines::new(output),
            parser: Parser::default(),
        }
    }

    fn next_tag(&mut self) -> Result<Option<Tag>, OutputError> {
        while let Some(line) = self.lines.next_line()? {
            let read = self.parser.read(trim(line));
            let tag = read.map_err(|problem| problem.in_line(self.lines.number()))?;
            if tag.is_some() {
                return Ok(tag);
            }
        }
        Ok(self.parser.finish())
    }
}

impl<R: BufRead> Iterator for Tags<R> {
    type Item = Result<Tag, OutputError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_tag().transpose()
    }
}

/// What has been read of an output: a tag is known as a whole when the next one begins.
#[derive(Default)]
struct Parser {
    tag: Option<Tag>,
    explanation: Text,
    /// The comment for the next tag.
    comment: Text,
    in_comment: bool,
    /// Whether the last line that counts was a bare `N:`; a second one begins a comment.
    after_bare: bool,
}

impl Parser {
    /// Takes a line without blanks at its ends; gives the tag that ends before it.
    fn read(&mut self, line: &str) -> Result<Option<Tag>, Problem> {
        if line.starts_with("N:") {
            return self.read_remark(line).map(|()| None);
        }
        let next = TagLine::parse(line);
        let next = next.ok_or_else(|| Problem::NoTag(line.chars().take(80).collect()))?;
        let finished = self.finish();
        if let TagLine::Tag(tag) = next {
            self.tag = Some(Tag {
                severity: tag.severity,
                package: tag.package.to_owned(),
                tag: tag.tag.to_owned(),
                explanation: String::new(),
                comment: self.comment.take(),
                note: tag.note.to_owned(),
                pointer: tag.pointer.to_owned(),
            });
            self.in_comment = false;
            self.after_bare = false;
        }
        Ok(finished)
    }

    /// Takes a line of an explanation or comment: `N: TEXT`.
    fn read_remark(&mut self, line: &str) -> Result<(), Problem> {
        let is_bare = line == "N:";
        if is_bare && self.after_bare {
            self.in_comment = true;
            return Ok(());
        }
        self.after_bare = is_bare;
        let text = trim(line.trim_start_matches(['N', ':']));
        match self.in_comment {
            true => self.comment.add(text),
            false => self.explanation.add(text),
        }
    }

    /// The tag that ends here. An explanation for which there is none is left to a later one.
    fn finish(&mut self) -> Option<Tag> {
        let mut tag = self.tag.take()?;
        tag.explanation = self.explanation.take();
        Some(tag).filter(|tag| tag.severity != Severity::Masked)
    }
}

/// Lines joined by newlines; blank ones at either end do not count.
#[derive(Default)]
struct Text(String);

impl Text {
    fn add(&mut self, line: &str) -> Result<(), Problem> {
        if self.0.len() + line.len() >= LONGEST_TEXT {
            return Err(Problem::LongText);
        }
        if !line.is_empty() || !self.0.is_empty() {
            self.0.push_str(line);
            self.0.push('\n');
        }
        Ok(())
    }

    fn take(&mut self) -> String {
        let mut text = std::mem::take(&mut self.0);
        text.truncate(text.trim_end_matches('\n').len());
        text
    }
}

#[cfg(test)]
mod tests;
