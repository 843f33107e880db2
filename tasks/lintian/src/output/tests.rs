use super::*;

/// Tag, explanation and comment of each tag.
fn read(output: &str) -> Vec<[String; 3]> {
    let tags = Tags::new(output.as_bytes());
    tags.map(|tag| {
        let tag = tag.unwrap();
        [tag.tag, tag.explanation, tag.comment]
    })
    .collect()
}

fn error(output: &[u8]) -> String {
    let mut tags = Tags::new(output);
    match tags.find_map(Result::err) {
        Some(error) => error.to_string(),
        None => panic!("{} is accepted", output.escape_ascii()),
    }
}

#[test]
fn an_explanation_belongs_to_the_tag_before_it() {
    let output = "E: a: t\nN:\nN:   First.\nN:\nN:     second\nN: \nW: a: u\nN: /:x\n";
    let expected = [["t", "First.\n\nsecond", ""], ["u", "/:x", ""]];
    assert_eq!(read(output), expected);
}

#[test]
fn a_comment_belongs_to_the_tag_after_it() {
    let output = "N:\nN:\nN: c1\nN:\nN: c2\nO: a: t\nN:\nN: e\nN:\nN:\nN: d\nN:\nO: a: u\n";
    assert_eq!(read(output), [["t", "e", "c1\n\nc2"], ["u", "", "d"]]);
}

#[test]
fn letters_and_colons_are_dropped_from_the_start_of_a_remark_only() {
    let output = "E: a: t\nN:NN:weird\nN: N: nested\nN::x\nN:   NNN y\n\tN: z\r\n";
    assert_eq!(read(output), [["t", "weird\nN: nested\nx\nNNN y\nz", ""]]);
}

#[test]
fn what_is_said_about_no_tag_is_left_to_the_next_one() {
    assert_eq!(read("N:\nN: x\nE: a: t\nN: y\n"), [["t", "x\ny", ""]]);
    let repeated = "E: a: t\nN: x\nE: t\nN: y\nE: a: u\nN: z\n";
    assert_eq!(read(repeated), [["t", "x", ""], ["u", "y\nz", ""]]);
}

#[test]
fn a_line_without_package_does_not_end_a_comment() {
    let output = "N:\nN:\nN: c\nW: t\nN: d\nE: a: u\n";
    assert_eq!(read(output), [["u", "", "c\nd"]]);
    assert_eq!(read("N:\nW: t\nN:\nN: c\nE: a: u\n"), [["u", "", "c"]]);
}

#[test]
fn masked_tags_take_their_explanations_with_them() {
    let output = "N:\nN:\nN: c\nM: a: m\nN: x\nE: a: t\nN: y\n";
    assert_eq!(read(output), [["t", "y", ""]]);
}

#[test]
fn a_line_of_another_kind_is_told_with_its_number() {
    for output in [
        "E: a: t\nwarning: cannot run\n",
        "E: a: t\n\nE: b: u\n",
        "N: x\nN",
        "E: a: t\nE:a: tag",
    ] {
        let error = error(output.as_bytes());
        assert!(error.starts_with("lintian.txt, line 2: neither"), "{error}");
    }
}

/// What a lintian leaves that is killed while it writes: the reference reads it up to the last byte as well.
#[test]
fn an_output_that_breaks_off_is_read_as_far_as_its_last_line_makes_sense() {
    let whole = "E: hello: bad-thing in é [x]";
    let expected = ["E: hello: ba", "E: hello: bad-thing in"];
    assert_eq!(expected.map(|part| read(part).len()), [1, 1]);
    // Cut within the package's name, it is a line without package.
    assert!(read("E: hel").is_empty() && read("E: hello:").is_empty());
    assert!(error(b"E:").contains("neither"));
    let within_a_letter = whole.find('é').unwrap() + 1;
    assert!(error(&whole.as_bytes()[..within_a_letter]).contains("not UTF-8"));
}

#[test]
fn an_explanation_without_end_is_refused() {
    let line = format!("N: {}\n", "x".repeat(1 << 20));
    let error = error(line.repeat(9).as_bytes());
    assert!(error.contains("line 8: more than"), "{error}");
}
