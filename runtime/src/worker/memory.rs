//! Memory that a task or a compilation needed goes back to the system afterwards: a worker waits for most of its life.

/// Gives back what is free but still held for the next allocation, which for a worker may be hours away.
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: malloc_trim(3) takes no pointers, may be called by any thread at any time, and releases nothing that is in use.
    unsafe {
        nix::libc::malloc_trim(0);
    }
}
