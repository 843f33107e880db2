//! Memory that a task or a compilation needed goes back to the system afterwards: a worker waits for most of its life.

use std::fs;
use std::ops::Range;

/// From now on new threads share a heap. What is left of one that had its own, as those have that did much, is in nobody's way and of no use to
/// anybody, for as long as the worker lives. To be called before there is a second thread.
pub fn share_heap() {
    #[cfg(target_env = "gnu")]
    // SAFETY: mallopt(3) takes no pointers. Beside allocations of other threads it would not be safe; this is called at the program's start, and if
    // there were such threads, all that this one changes is a number that they read.
    unsafe {
        nix::libc::mallopt(nix::libc::M_ARENA_MAX, 1);
    }
}

/// Gives back what is free but still held for the next allocation, which for a worker may be hours away, and the parts of the program that
/// nobody has called for as long: waiting takes few of them.
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: malloc_trim(3) takes no pointers, may be called by any thread at any time, and releases nothing that is in use.
    unsafe {
        nix::libc::malloc_trim(0);
    }
    for code in code_of_this_program() {
        // SAFETY: a private mapping of a file that nobody wrote to, for it is not writable: whatever is touched next, by any thread, is the
        // file's again. The kernel checks the addresses.
        unsafe {
            nix::libc::madvise(
                std::ptr::with_exposed_provenance_mut(code.start),
                code.len(),
                nix::libc::MADV_DONTNEED,
            );
        }
    }
}

/// Where the code of the program's own file lies in memory; nowhere if that cannot be told.
fn code_of_this_program() -> Vec<Range<usize>> {
    let maps = fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let Ok(program) = fs::read_link("/proc/self/exe") else {
        return Vec::new();
    };
    code_of(&maps, &program.to_string_lossy())
}

/// The mappings of a file that are executable and not writable (see proc_pid_maps(5)).
fn code_of(maps: &str, file: &str) -> Vec<Range<usize>> {
    let code = |line: &str| {
        let (mapping, path) = line.split_at_checked(line.find('/')?)?;
        let mut fields = mapping.split_ascii_whitespace();
        let (start, end) = fields.next()?.split_once('-')?;
        let number = |text| usize::from_str_radix(text, 16).ok();
        (fields.next()? == "r-xp" && path == file).then_some(number(start)?..number(end)?)
    };
    maps.lines().filter_map(code).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_is_what_cannot_be_written() {
        let maps = "\
            55d0a0000000-55d0a0600000 r--p 00000000 fe:00 42   /usr/bin/with space\n\
            55d0a0600000-55d0a1d00000 r-xp 005ff000 fe:00 42   /usr/bin/with space\n\
            55d0a1d00000-55d0a1e00000 rw-p 01cff000 fe:00 42   /usr/bin/with space\n\
            7f0000000000-7f0000100000 r-xp 00000000 fe:00 43   /usr/lib/libc.so.6\n\
            7ffd00000000-7ffd00002000 r-xp 00000000 00:00 0    [vdso]\n";
        let code = code_of(maps, "/usr/bin/with space");
        let [code] = code.as_slice() else {
            panic!("one mapping, and not {code:?}");
        };
        assert_eq!(*code, 0x55d0_a060_0000..0x55d0_a1d0_0000);
    }

    #[test]
    fn the_program_goes_on_after_giving_back() {
        assert!(!code_of_this_program().is_empty());
        share_heap();
        give_back();
        assert_eq!(code_of("", "/usr/bin/true"), Vec::<Range<usize>>::new());
    }
}
