//! The cache of images, and what the machine can do.

use crate::machine::Machine;
use sha2::{Digest, Sha256};

/// Puts an image into a cache, as a run does it; its checksum.
fn cached(machine: &Machine, name: &str, content: &[u8]) -> String {
    let sha256 = hex::encode(Sha256::digest(content));
    machine.write(
        &format!("cache/system-images/{sha256}/file/{name}"),
        content,
    );
    sha256
}

#[test]
fn images_are_listed_verified_and_pruned() {
    let machine = Machine::new();
    let cache = machine.path("cache");
    let image = |words: &[&str]| {
        let words = [&["image"], words, &["--cache", cache.to_str().unwrap()]].concat();
        machine.ask(&[&words[..], &["--json"]].concat())
    };
    assert_eq!(image(&["list"]).json().as_array().unwrap().len(), 0);
    let good = cached(&machine, "good.tar", b"good");
    let bad = cached(&machine, "bad.tar", b"bad");
    machine.write(&format!("cache/system-images/{bad}/file/bad.tar"), "bug");
    assert_eq!(image(&["list"]).json().as_array().unwrap().len(), 2);

    let verified = image(&["verify"]);
    assert_eq!(verified.status, Some(1), "{verified:?}");
    let one = image(&["verify", &good[..8]]);
    assert_eq!(one.status, Some(0), "{one:?}");
    assert_eq!(one.json()[0]["names"][0], "good.tar");
    assert_eq!(image(&["verify", "0123"]).status, Some(2));
    let removed = image(&["verify", "--remove"]);
    assert_eq!(removed.status, Some(0), "{removed:?}");
    assert_eq!(image(&["list"]).json()[0]["sha256"], good.as_str());

    let pruned = image(&["prune", "--keep", "0"]).json();
    assert_eq!(pruned[0]["sha256"], good.as_str());
    assert_eq!(image(&["list"]).json().as_array().unwrap().len(), 0);
}

#[test]
fn the_doctor_says_what_holds_and_how_to_get_the_rest() {
    let machine = Machine::new();
    let answer = machine.ask(&["doctor", "--json"]);
    let found = answer.json();
    let guarantees = found["guarantees"].as_array().unwrap();
    let missing: Vec<_> = guarantees
        .iter()
        .filter(|it| !it["missing"].is_null())
        .collect();
    assert_eq!(
        answer.status,
        Some(i32::from(missing.iter().any(|it| it["optional"] == false))),
        "{answer:?}"
    );
    for guarantee in missing {
        assert!(
            guarantee["missing"].as_str().unwrap().contains("; "),
            "{guarantee}"
        );
    }
    assert!(found["backends"]["unshare"].is_boolean());
    let tools = found["tools"].as_array().unwrap();
    assert!(tools.iter().all(|it| it["package"].is_string()));
    let text = machine.ask(&["doctor"]).stdout;
    assert!(text.contains("Guarantees") && text.contains("sandboxes can be started"));
}
