use super::*;

fn fields(stanza: &Stanza) -> Vec<(&str, &str)> {
    stanza.iter().collect()
}

#[test]
fn continuation_lines_stay_as_they_stand() {
    let stanza = Stanza::parse_signed(b"A:\n one\n .\n  two \nTab:\ta \nB:x\n").unwrap();
    assert_eq!(
        fields(&stanza),
        [("A", "\n one\n .\n  two "), ("Tab", "a"), ("B", "x")]
    );
    assert_eq!(stanza.to_string(), "A:\n one\n .\n  two \nTab: a\nB: x\n");
}

#[test]
fn a_field_given_twice_keeps_its_first_name_and_its_last_value() {
    let stanza = Stanza::parse_signed(b"Foo: a\nBar: b\nfoo: c\n").unwrap();
    assert_eq!(fields(&stanza), [("Foo", "c"), ("Bar", "b")]);
    assert_eq!(stanza.get("FOO"), Some("c"));
}

#[test]
fn only_what_a_signature_covers_is_read() {
    let text = b"-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\nA: 1\n\nB: 2\n-----BEGIN PGP SIGNATURE-----\n\nC: 3\n-----END PGP SIGNATURE-----\nD: 4\n";
    let stanza = Stanza::parse_signed(text).unwrap();
    assert_eq!(fields(&stanza), [("A", "1"), ("B", "2")]);
}

#[test]
fn an_unsigned_stanza_ends_at_its_first_blank_line() {
    let stanza = Stanza::parse_signed(b"\n \nA: 1\r\n \nB: 2\n").unwrap();
    assert_eq!(fields(&stanza), [("A", "1")]);
}

#[test]
fn a_comment_before_a_blank_line_ends_an_upload_but_not_a_control_file() {
    let text = b"# comment\n\nA: 1\n";
    assert!(Stanza::parse_signed(text).unwrap().is_empty());
    assert_eq!(fields(&Stanza::parse(text).unwrap()), [("A", "1")]);
}

#[test]
fn lines_that_make_no_sense_are_passed_over() {
    let stanza = Stanza::parse_signed(b" early\ngarbage\nA: 1\ngarbage\n more\n: x\n").unwrap();
    assert_eq!(fields(&stanza), [("A", "1\n more")]);
}

#[test]
fn carriage_returns_end_lines() {
    let text = b"A: 1\r\nB: 2\rC: 3";
    for stanza in [Stanza::parse(text), Stanza::parse_signed(text)] {
        assert_eq!(
            fields(&stanza.unwrap()),
            [("A", "1"), ("B", "2"), ("C", "3")]
        );
    }
}

#[test]
fn a_control_file_that_is_not_utf8_is_read_as_latin_and_an_upload_is_refused() {
    let text = b"A: \xc3\xa9\nB: \xe9\nC: \xc3\xa9\n";
    let stanza = Stanza::parse(text).unwrap();
    assert_eq!(fields(&stanza), [("A", "é"), ("B", "é"), ("C", "Ã©")]);
    let error = Stanza::parse_signed(text).unwrap_err();
    assert_eq!(error, StanzaError::NotUtf8 { line: 2 });
}

#[test]
fn a_value_that_would_forge_a_field_is_refused() {
    let error = Stanza::parse_signed("A:\n x\x0cB: 1\n".as_bytes()).unwrap_err();
    assert!(matches!(error, StanzaError::Value { field, .. } if field == "A"));
}

#[test]
fn a_stanza_of_a_hundred_megabytes_is_refused_before_it_is_parsed() {
    let error = Stanza::parse(&vec![b'x'; LONGEST_STANZA + 1]).unwrap_err();
    assert!(matches!(error, StanzaError::TooLong { .. }));
}
