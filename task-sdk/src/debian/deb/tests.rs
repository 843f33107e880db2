use super::*;
use std::io::Write;

const CONTROL: &str = "Package: hello-data\nSource: hello (1:2.0)\nVersion: 1:2.0+b1\n";

fn tar_of(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut directory = tar::Header::new_ustar();
    directory.set_entry_type(tar::EntryType::Directory);
    directory.set_size(0);
    directory.set_cksum();
    builder.append_data(&mut directory, "./", &[][..]).unwrap();
    for (name, content) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, name, *content).unwrap();
    }
    builder.into_inner().unwrap()
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

fn ar_of(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = b"!<arch>\n".to_vec();
    for (name, content) in members {
        let length = content.len();
        writeln!(
            archive,
            "{name:<16}0           0     0     100644  {length:<10}`"
        )
        .unwrap();
        archive.extend_from_slice(content);
        archive.resize(archive.len().next_multiple_of(2), b'\n');
    }
    archive
}

fn deb_with(name: &str, control_archive: &[u8]) -> Vec<u8> {
    ar_of(&[
        ("debian-binary", b"2.0\n"),
        (name, control_archive),
        ("data.tar", b"never read"),
    ])
}

#[test]
fn the_control_archive_tells_fields_source_and_file_names() {
    let control = tar_of(&[
        ("./postinst", b"#!/bin/sh\n"),
        ("control", CONTROL.as_bytes()),
    ]);
    for (name, archive) in [
        ("control.tar", control.clone()),
        ("control.tar.gz", gzip(&control)),
    ] {
        let deb = Deb::read(&deb_with(name, &archive)).unwrap();
        assert_eq!(deb.control().get("package"), Some("hello-data"));
        assert_eq!(deb.control_files(), ["control", "postinst"]);
        assert_eq!(
            deb.source().unwrap(),
            ("hello".to_owned(), "1:2.0".to_owned())
        );
    }
}

/// A control archive with nothing but `./control` (Package, Version, Description), as xz(1) and zstd(1) pack it.
const PACKED: [(&str, &[u8]); 2] = [
    ("control.tar.xz", include_bytes!("control.tar.xz")),
    ("control.tar.zst", include_bytes!("control.tar.zst")),
];

#[test]
fn control_archives_of_xz_and_zstd_are_unpacked() {
    for (name, archive) in PACKED {
        let deb = Deb::read(&deb_with(name, archive)).unwrap();
        assert_eq!(deb.control().get("Package"), Some("a"), "{name}");
        assert_eq!(deb.control_files(), ["control"], "{name}");
    }
}

#[test]
fn a_damaged_control_archive_is_refused_or_read_but_never_trapped_in() {
    for (name, archive) in PACKED {
        for length in 0..archive.len() / 2 {
            let error = Deb::read(&deb_with(name, &archive[..length])).unwrap_err();
            assert!(
                matches!(error, DebError::Format(_)),
                "{name} {length}: {error}"
            );
        }
        for place in 0..archive.len() {
            for bit in [0x01, 0x10, 0x80] {
                let mut damaged = archive.to_vec();
                damaged[place] ^= bit;
                let _ = Deb::read(&deb_with(name, &damaged));
            }
        }
    }
}

#[test]
fn a_package_without_a_source_field_is_its_own_source() {
    for (control, name, version) in [
        ("Package: a\nVersion: 1\n", "a", "1"),
        ("Package: a\nSource: b\nVersion: 1\n", "b", "1"),
        ("Package: a\nSource: b (2)\nVersion: 1\n", "b", "2"),
    ] {
        let deb = Deb::read(&deb_with(
            "control.tar",
            &tar_of(&[("control", control.as_bytes())]),
        ))
        .unwrap();
        assert_eq!(deb.source().unwrap(), (name.to_owned(), version.to_owned()));
    }
}

#[test]
fn a_truncated_package_is_refused_wherever_it_ends() {
    let whole = deb_with(
        "control.tar.gz",
        &gzip(&tar_of(&[("control", CONTROL.as_bytes())])),
    );
    for length in 0..whole.len() {
        let error = Deb::read(&whole[..length].to_vec()).unwrap_err();
        assert!(matches!(error, DebError::Format(_)), "{length}: {error}");
    }
}

#[test]
fn a_control_archive_that_swells_is_refused() {
    let zeros = vec![0; 40 << 20];
    let bomb = gzip(&tar_of(&[
        ("zeros", &zeros),
        ("control", CONTROL.as_bytes()),
    ]));
    assert!(bomb.len() < 1 << 20);
    let error = Deb::read(&deb_with("control.tar.gz", &bomb)).unwrap_err();
    assert!(matches!(error, DebError::TooLarge), "{error}");
}

#[test]
fn a_control_file_that_is_too_long_is_refused() {
    let long = vec![b'x'; LONGEST_CONTROL_FILE as usize + 1];
    let error = Deb::read(&deb_with("control.tar", &tar_of(&[("control", &long)]))).unwrap_err();
    assert!(matches!(
        error,
        DebError::Control(StanzaError::TooLong { .. })
    ));
}

#[test]
fn parts_that_are_missing_twice_or_unknown_are_refused() {
    let control = tar_of(&[("control", CONTROL.as_bytes())]);
    let parts: [&[(&str, &[u8])]; 5] = [
        &[("control.tar", &control), ("data.tar", b"")],
        &[("debian-binary", b""), ("control.tar", &control)],
        &[
            ("debian-binary", b""),
            ("control.tar.bz2", &control),
            ("data.tar", b""),
        ],
        &[
            ("debian-binary", b""),
            ("control.tar", &control),
            ("control.tar", &control),
            ("data.tar", b""),
        ],
        &[
            ("debian-binary", b""),
            ("control.tar", &tar_of(&[("x", b"")])),
            ("data.tar", b""),
        ],
    ];
    for members in parts {
        assert!(matches!(
            Deb::read(&ar_of(members)),
            Err(DebError::Format(_))
        ));
    }
}

#[test]
fn source_fields_are_split_at_their_first_blank() {
    assert_eq!(split_source("a"), ("a", None));
    assert_eq!(split_source("a (1:2)"), ("a", Some("1:2")));
    assert_eq!(split_source("a  (1)"), ("a", None));
    assert_eq!(split_source("a ()"), ("a", None));
    assert_eq!(split_source("a (1"), ("a", None));
}
