//! Blanks, lines and words as the reference counts them: by Unicode, a few control characters included.
//!
//! Debian's control files are UTF-8, and the reference reads them with Python's text functions. Where Rust's own differ
//! (`str::lines` knows only the newline), a field would come out otherwise than the server expects it.

/// Is this a blank? What `str.isspace` of Python and `\s` of its regular expressions accept.
pub fn is_blank(c: char) -> bool {
    c.is_whitespace() || ('\x1c'..='\x1f').contains(&c)
}

/// Does this end a line for Python's `str.splitlines`?
fn ends_line(c: char) -> bool {
    matches!(
        c,
        '\n' | '\r' | '\x0b' | '\x0c' | '\x1c'..='\x1e' | '\u{85}' | '\u{2028}' | '\u{2029}'
    )
}

/// The lines of a text without their ends; a last end of line opens no further line.
pub fn lines(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let Some((at, end)) = rest.char_indices().find(|&(_, c)| ends_line(c)) else {
            return Some(std::mem::take(&mut rest));
        };
        let line = &rest[..at];
        rest = &rest[at + end.len_utf8()..];
        if end == '\r' {
            rest = rest.strip_prefix('\n').unwrap_or(rest);
        }
        Some(line)
    })
}

/// The words of a text: what stands between runs of blanks.
pub fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(is_blank).filter(|word| !word.is_empty())
}

/// The text without blanks at its ends.
pub fn trim(text: &str) -> &str {
    text.trim_matches(is_blank)
}

/// The text without blanks at its end.
pub fn trim_end(text: &str) -> &str {
    text.trim_end_matches(is_blank)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_feed_and_a_lone_carriage_return_end_lines_as_well() {
        let found: Vec<&str> = lines("a\r\nb\rc\x0cd\n\ne\u{2028}").collect();
        assert_eq!(found, ["a", "b", "c", "d", "", "e"]);
    }

    #[test]
    fn words_part_at_any_blank() {
        assert_eq!(
            words(" a\u{a0}b\x1cc \n").collect::<Vec<_>>(),
            ["a", "b", "c"]
        );
        assert_eq!(trim("\x1f x y\u{a0}"), "x y");
    }
}
