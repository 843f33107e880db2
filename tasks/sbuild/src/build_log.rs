//! What sbuild says about a build at the end of its log.

use std::io::{self, BufRead};

/// What a line begins with that says how the build ended.
const STATUS: &[u8] = b"Status: ";
/// What it is if all went well.
const SUCCESSFUL: &[u8] = b"Status: successful";

/// Whether the last status of a log is that of a successful build.
///
/// Nothing of the log is kept: it can have hundreds of megabytes, on one line, of any bytes.
pub fn is_successful(mut log: impl BufRead) -> io::Result<bool> {
    let mut verdict = false;
    let mut line = Line::default();
    loop {
        let piece = log.fill_buf()?;
        if piece.is_empty() {
            return Ok(line.verdict().unwrap_or(verdict));
        }
        // A lone carriage return ends a line as well: build tools draw progress bars with it.
        let end = piece.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
        line.add(&piece[..end.unwrap_or(piece.len())]);
        if end.is_some() {
            verdict = line.verdict().unwrap_or(verdict);
            line = Line::default();
        }
        let used = end.map_or(piece.len(), |end| end + 1);
        log.consume(used);
    }
}

/// What has to be known of a line, however long it is.
#[derive(Default)]
struct Line {
    /// How many bytes at its start are those of [`SUCCESSFUL`].
    matching: usize,
    /// Whether another byte came after those.
    differs: bool,
}

impl Line {
    fn add(&mut self, piece: &[u8]) {
        if self.differs {
            return;
        }
        let wanted = &SUCCESSFUL[self.matching..];
        let pairs = piece.iter().zip(wanted);
        let matching = pairs.take_while(|(byte, wanted)| byte == wanted).count();
        self.matching += matching;
        self.differs = matching < piece.len();
    }

    /// Whether it says that the build was successful; none if it says nothing about the build.
    fn verdict(&self) -> Option<bool> {
        let is_status = self.matching >= STATUS.len();
        is_status.then_some(self.matching == SUCCESSFUL.len() && !self.differs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::BufReader;

    fn judge(log: &[u8]) -> bool {
        let whole = is_successful(log).unwrap();
        let byte_by_byte = is_successful(BufReader::with_capacity(1, log)).unwrap();
        assert_eq!(whole, byte_by_byte);
        whole
    }

    #[test]
    fn the_last_status_decides() {
        assert!(judge(b"x\nStatus: attempted\nStatus: successful\nend\n"));
        assert!(!judge(b"Status: successful\nStatus: given-back\n"));
        assert!(!judge(b"Status: successful\nStatus: \n"));
        assert!(judge(b"Status: successful\nStatus:\n"));
    }

    #[test]
    fn only_the_exact_words_at_the_start_of_a_line_count() {
        for log in [
            &b""[..],
            b"Status:successful\n",
            b" Status: successful\n",
            b"Status: successful.\n",
            b"Status: success\n",
            b"\xff\0Status: successful\n",
        ] {
            assert!(!judge(log), "{}", log.escape_ascii());
        }
        for log in [
            &b"Status: successful"[..],
            b"Status: successful\r\n",
            b"50%\r100%\rStatus: successful\n",
            b"\xff\xff\nStatus: successful\n",
        ] {
            assert!(judge(log), "{}", log.escape_ascii());
        }
    }

    #[test]
    fn a_line_of_a_hundred_megabytes_is_no_obstacle() {
        let mut log = vec![b'x'; 100 << 20];
        log.extend(b"\nStatus: successful\n");
        assert!(is_successful(&log[..]).unwrap());
    }
}
