//! The heap of a component. It begins in the memory that an instance has from its start: growing a memory is a system call of the host's, and
//! so is shrinking it again for the next instance, which together take as long as the answer to a scheduler's question.

use dlmalloc::{Allocator, Dlmalloc};
use std::alloc::{GlobalAlloc, Layout};
use std::arch::wasm32::{memory_grow, memory_size};
use std::cell::{Cell, UnsafeCell};
use std::ptr;

/// Bytes of a page of memory.
const PAGE: usize = 64 << 10;

/// Pages by which the memory grows at least: what is not touched costs nothing, and the host allows far more.
const AT_ONCE: usize = 16;

#[global_allocator]
static HEAP: Heap = Heap(UnsafeCell::new(Dlmalloc::new_with_allocator(Memory {
    is_begun: Cell::new(false),
})));

/// `malloc` over the instance's memory.
struct Heap(UnsafeCell<Dlmalloc<Memory>>);

// SAFETY: a component has one thread.
unsafe impl Sync for Heap {}

// SAFETY: each call is handed on as it is to an allocator with the same rules; none of them calls back, so the exclusive reference is one.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        unsafe { (*self.0.get()).malloc(layout.size(), layout.align()) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        unsafe { (*self.0.get()).calloc(layout.size(), layout.align()) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        unsafe { (*self.0.get()).free(at, layout.size(), layout.align()) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        unsafe { (*self.0.get()).realloc(at, layout.size(), layout.align(), size) }
    }
}

/// The memory beyond stack and data: first what is there, then what it grows by.
struct Memory {
    is_begun: Cell<bool>,
}

impl Memory {
    /// What is there from the start, between the data and the end: the linker's `--initial-heap`.
    fn beginning() -> (usize, usize) {
        unsafe extern "C" {
            /// The linker's: its address is the first one after stack and data, 16 bytes aligned.
            static __heap_base: u8;
        }
        let start = (&raw const __heap_base).addr();
        (start, memory_size(0) * PAGE - start)
    }
}

// SAFETY: what is handed out belongs to nobody else: it lies after stack and data, or did not exist before.
unsafe impl Allocator for Memory {
    fn alloc(&self, size: usize) -> (*mut u8, usize, u32) {
        if !self.is_begun.replace(true) {
            let (start, there) = Self::beginning();
            if there >= size {
                return (ptr::with_exposed_provenance_mut(start), there, 0);
            }
        }
        let pages = size.div_ceil(PAGE).max(AT_ONCE);
        match memory_grow(0, pages) {
            usize::MAX => (ptr::null_mut(), 0, 0),
            before => (
                ptr::with_exposed_provenance_mut(before * PAGE),
                pages * PAGE,
                0,
            ),
        }
    }

    fn remap(&self, _: *mut u8, _: usize, _: usize, _: bool) -> *mut u8 {
        ptr::null_mut()
    }

    fn free_part(&self, _: *mut u8, _: usize, _: usize) -> bool {
        false
    }

    fn free(&self, _: *mut u8, _: usize) -> bool {
        false
    }

    fn can_release_part(&self, _: u32) -> bool {
        false
    }

    fn allocates_zeros(&self) -> bool {
        true
    }

    fn page_size(&self) -> usize {
        PAGE
    }
}
