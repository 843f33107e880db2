//! The list of promises is whole, and names tests that are there.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};

const LIST: &str = include_str!("promises.txt");

#[test]
fn every_promise_is_kept_by_a_test() {
    let listed = Command::new("/proc/self/exe")
        .arg("--list")
        .stderr(Stdio::null())
        .output()
        .unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    let tests: BTreeSet<&str> = listed
        .lines()
        .filter_map(|line| {
            line.strip_suffix(": test")?
                .strip_prefix("executor::tests::")
        })
        .collect();
    assert!(!tests.is_empty());
    let mut promises = Vec::new();
    for line in LIST.lines().filter(|line| !line.starts_with('#')) {
        if let Some(test) = line.strip_prefix("  ") {
            assert!(tests.contains(test), "there is no test {test}");
            let kept: &mut (u32, usize) = promises.last_mut().unwrap();
            kept.1 += 1;
        } else if let Some((Ok(number), _)) = line
            .split_once(' ')
            .map(|(number, words)| (number.parse(), words))
        {
            promises.push((number, 0));
        }
    }
    let numbers: Vec<u32> = promises.iter().map(|promise| promise.0).collect();
    assert_eq!(numbers, (1..=32).collect::<Vec<_>>());
    let broken: Vec<_> = promises.iter().filter(|promise| promise.1 == 0).collect();
    assert!(broken.is_empty(), "{broken:?}");
}
