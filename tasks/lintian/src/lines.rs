//! The lines of lintian's output. Only one is in memory at a time, and a long one never is.

use crate::output::{OutputError, Problem};
use std::io::BufRead;

/// The longest line that is read, in bytes. Lintian itself cuts what it quotes to a few hundred.
pub const LONGEST_LINE: usize = 8 << 20;

/// Lines of a text.
pub struct Lines<R> {
    source: R,
    line: Vec<u8>,
    /// How many lines were read.
    number: u64,
    /// Whether a carriage return ended the last one: a newline behind it belongs to it.
    ends_in_return: bool,
}

impl<R: BufRead> Lines<R> {
    /// The lines of this text.
    pub fn new(source: R) -> Self {
        Self {
            source,
            line: Vec::new(),
            number: 0,
            ends_in_return: false,
        }
    }

    /// Where the line that was read last is, from 1.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The next line without its end: a newline, a carriage return, or both. None at the end of the text.
    pub fn next_line(&mut self) -> Result<Option<&str>, OutputError> {
        self.line.clear();
        self.number += 1;
        if !self.fill()? {
            return Ok(None);
        }
        match str::from_utf8(&self.line) {
            Ok(line) => Ok(Some(line)),
            Err(_) => Err(Problem::NotText.in_line(self.number)),
        }
    }

    /// Reads up to the next end of a line; false if there is nothing more.
    fn fill(&mut self) -> Result<bool, OutputError> {
        loop {
            let piece = self.source.fill_buf()?;
            let Some(first) = piece.first() else {
                return Ok(!self.line.is_empty());
            };
            if std::mem::take(&mut self.ends_in_return) && *first == b'\n' {
                self.source.consume(1);
                continue;
            }
            let end = piece.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
            let part = &piece[..end.unwrap_or(piece.len())];
            if self.line.len() + part.len() > LONGEST_LINE {
                return Err(Problem::Long.in_line(self.number));
            }
            self.line.extend_from_slice(part);
            self.ends_in_return = end.is_some_and(|end| piece[end] == b'\r');
            let used = end.map_or(piece.len(), |end| end + 1);
            self.source.consume(used);
            if end.is_some() {
                return Ok(true);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufReader, Read};

    fn all(text: &[u8], capacity: usize) -> Result<Vec<String>, OutputError> {
        let mut lines = Lines::new(BufReader::with_capacity(capacity, text));
        let mut found = Vec::new();
        while let Some(line) = lines.next_line()? {
            found.push(line.to_owned());
        }
        Ok(found)
    }

    #[test]
    fn every_kind_of_line_end_counts_once() {
        let text = "a\r\n\r\né\rb\n\n\rc".as_bytes();
        for capacity in 1..20 {
            let found = all(text, capacity).unwrap();
            assert_eq!(found, ["a", "", "é", "b", "", "", "c"]);
        }
        assert!(all(b"", 8).unwrap().is_empty());
        assert_eq!(all(b"a\n", 8).unwrap(), ["a"]);
    }

    #[test]
    fn bytes_that_are_no_text_are_told_with_their_line() {
        let error = all(b"a\nb \xff\n", 8).unwrap_err();
        assert!(error.to_string().contains("line 2: not UTF-8"), "{error}");
    }

    #[test]
    fn a_line_of_a_hundred_megabytes_is_refused_before_it_is_in_memory() {
        let endless = BufReader::new(std::io::repeat(b'x').take(100 << 20));
        let mut lines = Lines::new(endless);
        let error = lines.next_line().unwrap_err();
        assert!(error.to_string().contains("line 1: longer than"), "{error}");
        assert!(lines.line.capacity() <= 2 * LONGEST_LINE);
    }
}
