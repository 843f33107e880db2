//! System calls about which the kernel asks somebody else (seccomp, "user notification"): with [`system`](super::system) the only `unsafe` of the executor.

use nix::errno::Errno;
use nix::libc;
use nix::sys::stat::SFlag;
use std::ffi::{c_int, c_long, c_uint};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};

/// This processor in `seccomp_data.arch` (`linux/audit.h`); none where the filter has not been tried.
#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: Option<u32> = Some(0xc000_003e);
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: Option<u32> = Some(0xc000_00b7);
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
const ARCHITECTURE: Option<u32> = None;

/// The capability to make devices (`linux/capability.h`).
pub(super) const CAP_MKNOD: u32 = 27;

/// A system call that makes a device.
#[derive(Debug, Clone, Copy)]
struct Call {
    number: c_long,
    /// Which argument is the directory that the path may be relative to; none: always the current one.
    directory: Option<usize>,
    path: usize,
    mode: usize,
    device: usize,
}

const CALLS: &[Call] = &[
    Call {
        number: libc::SYS_mknodat,
        directory: Some(0),
        path: 1,
        mode: 2,
        device: 3,
    },
    #[cfg(target_arch = "x86_64")]
    Call {
        number: libc::SYS_mknod,
        directory: None,
        path: 0,
        mode: 1,
        device: 2,
    },
];

/// A process waits for the answer whether it may make a character device.
#[derive(Debug, Clone, Copy)]
pub(super) struct Question {
    id: u64,
    /// The thread, numbered as the asked process sees it.
    pub(super) thread: u32,
    /// The directory to which the path may be relative: a descriptor of the thread's or `AT_FDCWD`.
    pub(super) directory: RawFd,
    /// Where in the memory of the thread its path is.
    pub(super) path: u64,
    pub(super) mode: u32,
    /// Major and minor number as system calls have them.
    pub(super) device: u32,
}

/// What the process is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// It is made.
    Made,
    /// It cannot be made.
    Failed(Errno),
    /// The kernel shall do with the call what it would have done without all this.
    AsUsual,
}

/// From here on the kernel asks when this process, or one that it will start, makes one of these character devices. Everything else stays as it is, also the
/// calls of foreign binary formats; but a program's own filter that asks is refused, for there can be only one. The caller is root in its user namespace, so
/// that programs which change the user keep working.
///
/// Returns where the questions can be read.
pub(super) fn ask_about(devices: &[u32]) -> nix::Result<OwnedFd> {
    let architecture = ARCHITECTURE.ok_or(Errno::ENOSYS)?;
    let filter = filter(architecture, devices);
    let program = libc::sock_fprog {
        len: filter.len() as u16,
        filter: filter.as_ptr().cast_mut(),
    };
    // Signals that do not kill wait until a question is answered, for the call cannot be begun twice. And the filter protects nothing that processors'
    // speculation could tell, hence no measures against that, which cost time.
    let flags = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER
        | libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
        | libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW;
    // SAFETY: program and filter live for the call, which reads them only.
    let listener = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER as c_uint,
            flags as c_uint,
            &raw const program,
        )
    };
    Errno::result(listener).map(|listener| super::system::own(listener as RawFd))
}

/// The filter: for each call a block that ends with its two answers.
fn filter(architecture: u32, devices: &[u32]) -> Vec<libc::sock_filter> {
    // Where `struct seccomp_data` has its fields; of an argument the lower half is looked at, as the calls do.
    const NUMBER: u32 = 0;
    const ARCH: u32 = 4;
    let argument = |index: usize| 16 + 8 * index as u32;
    let load = |offset| statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, offset);
    let answer = |answer| statement(libc::BPF_RET | libc::BPF_K, answer);
    let devices_count = devices.len() as u8;
    let mut filter = vec![
        load(ARCH),
        when(architecture, 1),
        answer(libc::SECCOMP_RET_ALLOW),
    ];
    for call in CALLS {
        filter.extend([
            load(NUMBER),
            unless(call.number as u32, devices_count + 6),
            load(argument(call.mode)),
            statement(
                libc::BPF_ALU | libc::BPF_AND | libc::BPF_K,
                SFlag::S_IFMT.bits(),
            ),
            unless(SFlag::S_IFCHR.bits(), devices_count + 1),
            load(argument(call.device)),
        ]);
        let left = (1..=devices_count).rev();
        filter.extend(
            devices
                .iter()
                .zip(left)
                .map(|(&device, left)| when(device, left)),
        );
        filter.extend([
            answer(libc::SECCOMP_RET_ALLOW),
            answer(libc::SECCOMP_RET_USER_NOTIF),
        ]);
    }
    filter.push(answer(libc::SECCOMP_RET_ALLOW));
    filter
}

fn statement(code: u32, k: u32) -> libc::sock_filter {
    libc::sock_filter {
        code: code as u16,
        jt: 0,
        jf: 0,
        k,
    }
}

/// Leaves out so many statements if what was loaded is this.
fn when(value: u32, leave_out: u8) -> libc::sock_filter {
    libc::sock_filter {
        jt: leave_out,
        ..statement(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, value)
    }
}

/// Leaves out so many statements if what was loaded is something else.
fn unless(value: u32, leave_out: u8) -> libc::sock_filter {
    libc::sock_filter {
        jf: leave_out,
        ..statement(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, value)
    }
}

/// Waits for a question. Everything in it is the asking process's word.
pub(super) fn question(listener: BorrowedFd<'_>) -> nix::Result<Question> {
    loop {
        // SAFETY: all-zero is a valid value of this plain structure, and the one that the kernel insists on.
        let mut raw: libc::seccomp_notif = unsafe { std::mem::zeroed() };
        control(listener, libc::SECCOMP_IOCTL_NOTIF_RECV, &mut raw)?;
        let number = c_long::from(raw.data.nr);
        let call = CALLS.iter().find(|call| call.number == number);
        let Some(call) = call else {
            // The filter asks about no other.
            answer_id(listener, raw.id, Answer::AsUsual)?;
            continue;
        };
        let arguments = raw.data.args;
        return Ok(Question {
            id: raw.id,
            thread: raw.pid,
            directory: call
                .directory
                .map_or(libc::AT_FDCWD, |index| arguments[index] as RawFd),
            path: arguments[call.path],
            mode: arguments[call.mode] as u32,
            device: arguments[call.device] as u32,
        });
    }
}

/// Whether the process still waits: its number cannot have become another's.
pub(super) fn still_waits(listener: BorrowedFd<'_>, question: &Question) -> bool {
    let mut id = question.id;
    control(listener, libc::SECCOMP_IOCTL_NOTIF_ID_VALID, &mut id).is_ok()
}

/// Answers. That the process has died meanwhile is an error.
pub(super) fn answer(
    listener: BorrowedFd<'_>,
    question: &Question,
    answer: Answer,
) -> nix::Result<()> {
    answer_id(listener, question.id, answer)
}

fn answer_id(listener: BorrowedFd<'_>, id: u64, answer: Answer) -> nix::Result<()> {
    let (error, flags) = match answer {
        Answer::Made => (0, 0),
        Answer::Failed(error) => (-(error as c_int), 0),
        Answer::AsUsual => (0, libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32),
    };
    let mut raw = libc::seccomp_notif_resp {
        id,
        val: 0,
        error,
        flags,
    };
    control(listener, libc::SECCOMP_IOCTL_NOTIF_SEND, &mut raw)
}

fn control<T>(listener: BorrowedFd<'_>, request: libc::Ioctl, value: &mut T) -> nix::Result<()> {
    loop {
        // SAFETY: each request of this descriptor's names the size of its structure, which is that of `T` in the three calls above.
        let result = unsafe { libc::ioctl(listener.as_raw_fd(), request, &raw mut *value) };
        match Errno::result(result) {
            Err(Errno::EINTR) => {}
            result => return result.map(drop),
        }
    }
}

/// Gives up all capabilities but one, for good.
pub(super) fn keep_capability(capability: u32) -> nix::Result<()> {
    // struct __user_cap_header_struct: version 3, this process; then twice effective, permitted, inheritable.
    const VERSION_3: u32 = 0x2008_0522;
    let header = [VERSION_3, 0];
    let mut sets = [[0u32; 3]; 2];
    let (half, bit) = (capability as usize / 32, 1 << (capability % 32));
    sets[half] = [bit, bit, 0];
    // SAFETY: both live for the call, which reads them only; version 3 has two triples.
    let result = unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), sets.as_ptr()) };
    Errno::result(result).map(drop)
}
