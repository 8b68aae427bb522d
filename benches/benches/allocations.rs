//! How much memory each operation takes from the allocator, and how much of it stays taken.
//!
//! What is kept is negative where an operation consumes a fact that was made before. Prints one table; arguments are parts of names, `--test` does the smallest size of each operation only. Ends with an
//! error when an operation allocates that must not.
#![expect(unsafe_code, reason = "an allocator that counts has to be one")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::process::ExitCode;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use metallb_benches::operation::{Allocations, Case, Selection};

/// Leaves everything to the system's allocator and counts.
struct Counting;

static CALLS: AtomicU64 = AtomicU64::new(0);
static LIVE: AtomicI64 = AtomicI64::new(0);

fn count(taken: usize, given_back: usize) {
    if taken > 0 {
        CALLS.fetch_add(1, Ordering::Relaxed);
    }
    let change = i64::try_from(taken).unwrap_or(i64::MAX) - i64::try_from(given_back).unwrap_or(i64::MAX);
    LIVE.fetch_add(change, Ordering::Relaxed);
}

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 0);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 0);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size, layout.size());
        // SAFETY: the caller's promise is passed on.
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(0, layout.size());
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Does the batch; calls of the allocator, and octets that are still held afterwards.
fn measure(case: &Case) -> (u64, i64) {
    let mut batch = case.prepared();
    let before = (CALLS.load(Ordering::Relaxed), LIVE.load(Ordering::Relaxed));
    batch.run();
    (CALLS.load(Ordering::Relaxed) - before.0, LIVE.load(Ordering::Relaxed) - before.1)
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn main() -> ExitCode {
    let mut wrong = 0;
    println!("| operation | size | allocations | octets kept |");
    println!("|---|---|---|---|");
    for case in Selection::from_arguments().cases() {
        let (calls, kept) = measure(&case);
        let each = |count: f64| count / f64::from(case.operations);
        let failed = case.allocations == Allocations::Never && calls > 0;
        let remark = if failed { ", **none expected**" } else { "" };
        wrong += u32::from(failed);
        println!(
            "| {} | {} {} | {:.2}{remark} | {:.0} |",
            case.name,
            case.size,
            case.unit,
            each(calls as f64),
            each(kept as f64)
        );
    }
    if wrong > 0 {
        eprintln!("{wrong} operations allocate that must not");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
