//! Memory for guests: an allocator that starts out with the memory the module
//! was given and asks the host for more only when that is used up.
//!
//! The standard library's allocator for this target leaves the rest of the
//! initial memory unused and begins with a `memory.grow`. That call is a good
//! part of what a small run costs, so the SDK brings its own: the same
//! algorithm (dlmalloc) over another source of pages. How much memory a module
//! starts with is set by whoever links it; `pleach plugin build` does.
//!
//! Single-threaded, like every guest of this contract.
#![allow(unsafe_code, reason = "an allocator hands out raw memory")]

use core::alloc::{GlobalAlloc, Layout};
use core::arch::wasm32::{memory_grow, memory_size};
use core::cell::{Cell, UnsafeCell};
use core::ptr;

use dlmalloc::{Allocator, Dlmalloc};

/// The unit of `memory.grow`, in bytes; fixed by the WebAssembly specification.
const PAGE_BYTES: usize = 64 << 10;

#[global_allocator]
static GLOBAL: Global =
    Global(UnsafeCell::new(Dlmalloc::new_with_allocator(Pages { initial_taken: Cell::new(false) })));

unsafe extern "C" {
    /// The first byte after stack and static data; the linker defines it.
    static __heap_base: u8;
}

struct Global(UnsafeCell<Dlmalloc<Pages>>);

// SAFETY: the module has one thread, and the allocator does not call back into
// code that allocates, so there is never a second reference.
unsafe impl Sync for Global {}

// SAFETY: dlmalloc's contract is that of `GlobalAlloc`; sizes and alignments are
// handed on unchanged, and every pointer comes from the same instance.
unsafe impl GlobalAlloc for Global {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        unsafe { (*self.0.get()).malloc(layout.size(), layout.align()) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        unsafe { (*self.0.get()).calloc(layout.size(), layout.align()) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { (*self.0.get()).free(pointer, layout.size(), layout.align()) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        unsafe { (*self.0.get()).realloc(pointer, layout.size(), layout.align(), new_size) }
    }
}

/// Where the pages come from: first what the module started with, then the host.
struct Pages {
    initial_taken: Cell<bool>,
}

impl Pages {
    /// The memory between the static data and the end, once.
    fn take_initial(&self, size: usize) -> Option<(*mut u8, usize)> {
        if self.initial_taken.replace(true) {
            return None;
        }
        let base = &raw const __heap_base;
        let free = (memory_size(0) * PAGE_BYTES).checked_sub(base as usize)?;
        (free >= size).then_some((base.cast_mut(), free))
    }
}

// SAFETY: what is handed out is either the tail of the initial memory, once, or
// pages that did not exist before; neither is ever given back or moved.
unsafe impl Allocator for Pages {
    fn alloc(&self, size: usize) -> (*mut u8, usize, u32) {
        if let Some((base, free)) = self.take_initial(size) {
            return (base, free, 0);
        }
        let pages = size.div_ceil(PAGE_BYTES);
        let first = memory_grow(0, pages);
        if first == usize::MAX {
            return (ptr::null_mut(), 0, 0);
        }
        let start = first * PAGE_BYTES;
        let grown = pages * PAGE_BYTES;
        // The last byte of a 4 GiB address space must stay unused: a pointer to
        // the end of it would wrap around to null.
        let usable = if start.wrapping_add(grown) == 0 { grown - 16 } else { grown };
        (ptr::without_provenance_mut(start), usable, 0)
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
        PAGE_BYTES
    }
}
