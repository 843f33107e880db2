//! Names that tell which process owns what is so named: when that is gone, anybody may clear up.

use nix::unistd::getpid;
use std::fs;

/// A name for what this process makes.
pub(crate) fn name_of_this_process() -> String {
    let pid = getpid().as_raw();
    format!("{pid}.{}", start_of(pid).unwrap_or_default())
}

/// Whether the process that made this name is gone. A text that is no such name has no owner to lose.
pub(crate) fn is_abandoned(name: &str) -> bool {
    let Some((pid, start)) = name.split_once('.') else {
        return false;
    };
    pid.parse()
        .is_ok_and(|pid| start_of(pid).as_deref() != Some(start))
}

/// When a process was started, in ticks since the start of the machine; none if it has ended.
fn start_of(pid: i32) -> Option<String> {
    let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
    let end_of_name = stat.iter().rposition(|&byte| byte == b')')?;
    let rest = std::str::from_utf8(&stat[end_of_name + 1..]).ok()?;
    let mut fields = rest.split_ascii_whitespace();
    // A zombie waits for its parent only.
    let state = fields.next().filter(|&state| state != "Z" && state != "X");
    state.and(fields.nth(18)).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_process_made_is_abandoned_when_the_process_is_gone() {
        assert!(!is_abandoned(&name_of_this_process()));
        assert!(is_abandoned(&format!("{}.1", getpid())));
        assert!(is_abandoned("4194999.77"));
        assert!(!is_abandoned("something else"));
    }
}
