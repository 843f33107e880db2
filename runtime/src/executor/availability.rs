//! Which backends a worker can offer, from what is known of its machine: the facts `executor:<backend>:available` of worker metadata.

use std::collections::BTreeMap;

/// `incus info` answered something that this worker does not understand.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "cannot read the answer of `incus info`: {0}; run it by hand and check the installation of incus"
)]
pub struct IncusInfoError(String);

/// `executor:<backend>:available` for the backends `unshare`, `incus-lxc`, `incus-vm` and `qemu`.
///
/// `has_command` looks a program up on `PATH`; `incus_info` is what `incus info` printed, none if it failed; `machine` is that of `uname -m`;
/// `kvm_writable` says whether `/dev/kvm` is. Same facts, same answer: nothing else is looked at. The rules are the reference's
/// (Debusine 0.11.3), which schedules by these names.
pub fn availability(
    has_command: &dyn Fn(&str) -> bool,
    incus_info: Option<&str>,
    machine: &str,
    kvm_writable: bool,
) -> Result<BTreeMap<String, bool>, IncusInfoError> {
    let drivers = match incus_info {
        Some(info) if has_command("incus") && has_command("autopkgtest-virt-incus") => {
            incus_drivers(info)?
        }
        _ => Vec::new(),
    };
    let has_driver = |name: &str| drivers.iter().any(|driver| driver == name);
    let qemu = has_command(&format!("qemu-system-{machine}")) && kvm_writable;
    let backends = [
        ("unshare", has_command("unshare")),
        ("incus-lxc", has_driver("lxc")),
        ("incus-vm", has_driver("qemu")),
        ("qemu", qemu),
    ];
    let key = |name| format!("executor:{name}:available");
    Ok(backends
        .map(|(name, available)| (key(name), available))
        .into())
}

/// The drivers that incus names, as in `lxc | qemu`.
fn incus_drivers(info: &str) -> Result<Vec<String>, IncusInfoError> {
    let info: serde_norway::Value =
        serde_norway::from_str(info).map_err(|error| IncusInfoError(error.to_string()))?;
    let driver = info
        .get("environment")
        .and_then(|environment| environment.get("driver"));
    let driver = driver
        .and_then(serde_norway::Value::as_str)
        .ok_or_else(|| IncusInfoError("it names no environment.driver".into()))?;
    Ok(driver
        .split('|')
        .map(|name| name.trim().to_owned())
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(
        commands: &[&str],
        incus_info: Option<&str>,
        machine: &str,
        kvm_writable: bool,
    ) -> Vec<String> {
        let has_command = |name: &str| commands.contains(&name);
        let backends = availability(&has_command, incus_info, machine, kvm_writable).unwrap();
        assert_eq!(backends.len(), 4);
        let name = |key: String| key.split(':').nth(1).map(str::to_owned);
        backends
            .into_iter()
            .filter(|(_, available)| *available)
            .filter_map(|(key, _)| name(key))
            .collect()
    }

    #[test]
    fn backends_need_their_commands() {
        let incus = ["incus", "autopkgtest-virt-incus"];
        let both = Some("environment:\n  driver: lxc | qemu\n");
        assert_eq!(with(&["unshare"], None, "x86_64", false), ["unshare"]);
        assert_eq!(
            with(&incus, both, "x86_64", false),
            ["incus-lxc", "incus-vm"]
        );
        assert_eq!(
            with(
                &incus,
                Some("environment: {driver: 'qemu|x'}"),
                "x86_64",
                false
            ),
            ["incus-vm"]
        );
        assert_eq!(
            with(
                &incus,
                Some("environment: {driver: lxc-old}"),
                "x86_64",
                false
            ),
            [""; 0]
        );
        assert_eq!(with(&incus, None, "x86_64", false), [""; 0]);
        assert_eq!(with(&incus[..1], both, "x86_64", false), [""; 0]);
        assert_eq!(
            with(&["qemu-system-aarch64"], None, "aarch64", true),
            ["qemu"]
        );
        assert_eq!(
            with(&["qemu-system-aarch64"], None, "x86_64", true),
            [""; 0]
        );
        assert_eq!(
            with(&["qemu-system-aarch64"], None, "aarch64", false),
            [""; 0]
        );
    }

    #[test]
    fn an_answer_that_is_not_understood_is_an_error_and_not_a_no() {
        let has_all = |_: &str| true;
        for info in [
            "environment: {}",
            "x: 1",
            "environment: {driver: 3}",
            "- a",
            "{",
        ] {
            assert!(
                availability(&has_all, Some(info), "x86_64", true).is_err(),
                "{info}"
            );
        }
    }
}
