//! How many bytes does a thread hold? The test binary's allocator counts.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static LIVE: Cell<i64> = const { Cell::new(0) };
}

/// Bytes that this thread has allocated, less those that it has freed. What another thread frees is not taken off.
pub fn live_bytes() -> i64 {
    LIVE.get()
}

fn count(bytes: i64) {
    // While a thread ends its counter may be gone; nobody asks for it then.
    let _ = LIVE.try_with(|live| live.set(live.get() + bytes));
}

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: every call is handed on to the system's allocator as it came, which keeps the contract; counting touches a
// thread's own number that needs no allocation.
#[expect(unsafe_code, reason = "an allocator is an unsafe trait")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as i64);
        // SAFETY: the caller's promise is the one that the system's allocator asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        count(-(layout.size() as i64));
        // SAFETY: as above, and the memory came from the same allocator.
        unsafe { System.dealloc(at, layout) }
    }
}
