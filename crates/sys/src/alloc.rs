//! Counting what a thread asks its allocator for, so that a module's memory can be held against its budget.

use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;

thread_local! {
    /// Constant at the start and without a destructor: reading it neither allocates nor registers anything, which an
    /// allocator could not bear.
    static ALLOCATED: Cell<u64> = const { Cell::new(0) };
}

/// Bytes this thread has asked for since it began, freed or not. The difference of two readings is what the work between
/// them asked for. Always 0 where [`Counted`] is not the global allocator.
#[inline]
#[must_use]
pub fn thread_allocated() -> u64 {
    ALLOCATED.get()
}

/// An allocator that counts, around one that allocates. About a nanosecond an allocation.
#[derive(Debug, Default, Clone, Copy)]
pub struct Counted<A>(pub A);

#[inline]
fn count(bytes: usize) {
    ALLOCATED.set(ALLOCATED.get().wrapping_add(bytes as u64));
}

// SAFETY: every call goes to the inner allocator with the arguments it came with, so what that one promises holds. The
// counting touches a plain thread-local cell: it neither allocates nor unwinds.
unsafe impl<A: GlobalAlloc> GlobalAlloc for Counted<A> {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller's promise, passed on.
        unsafe { self.0.alloc(layout) }
    }

    #[inline]
    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise, passed on; the block came from the inner allocator.
        unsafe { self.0.dealloc(ptr, layout) }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller's promise, passed on.
        unsafe { self.0.alloc_zeroed(layout) }
    }

    #[inline]
    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        count(new_size.saturating_sub(layout.size()));
        // SAFETY: the caller's promise, passed on; the block came from the inner allocator.
        unsafe { self.0.realloc(ptr, layout, new_size) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[global_allocator]
    static ALLOCATOR: Counted<std::alloc::System> = Counted(std::alloc::System);

    #[test]
    fn what_is_asked_for_is_counted_and_freeing_takes_nothing_back() {
        let before = thread_allocated();
        let block = std::hint::black_box(vec![1u8; 100_000]);
        assert_eq!(thread_allocated() - before, 100_000);
        drop(block);
        assert_eq!(thread_allocated() - before, 100_000);
    }

    #[test]
    fn growing_counts_what_was_added() {
        let mut block = vec![1u8; 1_000];
        let before = thread_allocated();
        block.reserve_exact(9_000);
        std::hint::black_box(&block);
        assert_eq!(thread_allocated() - before, 9_000);
    }

    #[test]
    fn every_thread_counts_for_itself() {
        let before = thread_allocated();
        let handle = std::thread::spawn(|| {
            let before = thread_allocated();
            drop(std::hint::black_box(vec![0u8; 1 << 20]));
            thread_allocated() - before
        });
        assert!(handle.join().unwrap() >= 1 << 20);
        assert!(thread_allocated() - before < 1 << 20);
    }
}
