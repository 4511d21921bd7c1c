//! A few threads that share out numbered tasks, and slices cut so that each task owns its part.
//!
//! Tasks are claimed one by one from a counter, so a helper that the system does not schedule delays nobody: the caller does its work
//! too and waits only for tasks that have begun. Helpers spin for a moment between regions, then sleep.

use std::{
    cell::UnsafeCell,
    marker::PhantomData,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    thread::JoinHandle,
};

/// Spins before a helper sleeps: some tens of microseconds, longer than the serial work between two regions of a decode step.
const SPINS: u32 = 4_000;
/// The low half of the state counts helpers inside the region; this bit says that more may enter; the rest is the region's number.
const OPEN: u64 = 1 << 31;
const REGION: u64 = 1 << 32;

/// Threads for one session.
#[derive(Debug)]
pub(crate) struct Pool {
    shared: Arc<Shared>,
    helpers: Vec<JoinHandle<()>>,
}

struct Shared {
    state: AtomicU64,
    next: AtomicUsize,
    job: UnsafeCell<Job>,
    sleepers: AtomicUsize,
    lock: Mutex<()>,
    wake: Condvar,
    quit: AtomicBool,
    panicked: AtomicBool,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

#[derive(Clone, Copy)]
struct Job {
    run: *const (dyn Fn(usize) + Sync),
    tasks: usize,
}

// SAFETY: `job` is written only by the owner of the pool while the region is closed and empty, and read only by helpers counted inside
// an open region; entering (acquire) follows opening (release). The pointer refers to a `Sync` closure.
unsafe impl Sync for Shared {}
// SAFETY: as above; nothing in it belongs to a thread.
unsafe impl Send for Shared {}

impl Pool {
    /// Starts `threads - 1` helpers.
    pub(crate) fn new(threads: usize) -> Self {
        let nothing: &'static (dyn Fn(usize) + Sync) = &|_| {};
        let shared = Arc::new(Shared {
            state: AtomicU64::new(0),
            next: AtomicUsize::new(0),
            job: UnsafeCell::new(Job {
                run: nothing,
                tasks: 0,
            }),
            sleepers: AtomicUsize::new(0),
            lock: Mutex::new(()),
            wake: Condvar::new(),
            quit: AtomicBool::new(false),
            panicked: AtomicBool::new(false),
        });
        let helpers = (1..threads)
            .map_while(|_| {
                let shared = shared.clone();
                // A machine that grants fewer threads is slower, not wrong.
                std::thread::Builder::new()
                    .name("assay-engine".into())
                    .spawn(move || shared.help())
                    .ok()
            })
            .collect();
        Self { shared, helpers }
    }

    /// Threads that compute, the caller's included.
    pub(crate) fn threads(&self) -> usize {
        self.helpers.len() + 1
    }

    /// Calls `f` once for every task below `tasks`, on any thread, and returns when all are done.
    pub(crate) fn run(&mut self, tasks: usize, f: &(dyn Fn(usize) + Sync)) {
        if tasks <= 1 || self.helpers.is_empty() {
            (0..tasks).for_each(f);
            return;
        }
        let shared = &*self.shared;
        // SAFETY: only the lifetime is erased; the region is closed and empty before this function returns or unwinds, so no helper calls it later.
        let run = unsafe {
            std::mem::transmute::<
                *const (dyn Fn(usize) + Sync + '_),
                *const (dyn Fn(usize) + Sync + 'static),
            >(f)
        };
        // SAFETY: `&mut self` makes this the only region, and the last one was closed and empty when it ended.
        unsafe { *shared.job.get() = Job { run, tasks } };
        shared.next.store(0, Ordering::Relaxed);
        let region = (shared.state.load(Ordering::Relaxed) & !(REGION - 1)).wrapping_add(REGION);
        shared.state.store(region | OPEN, Ordering::SeqCst);
        if shared.sleepers.load(Ordering::SeqCst) > 0 {
            drop(shared.lock.lock().unwrap_or_else(PoisonError::into_inner));
            shared.wake.notify_all();
        }
        let closing = Closing(shared);
        shared.work(f, tasks);
        drop(closing);
        assert!(
            !shared.panicked.load(Ordering::Relaxed),
            "BUG: a task panicked on a helper thread"
        );
    }

    /// Calls `f` once for every task below `tasks` with that task's part.
    pub(crate) fn for_each<P: Parts>(
        &mut self,
        tasks: usize,
        parts: P,
        f: impl Fn(usize, P::Part) + Sync,
    ) {
        assert!(
            parts.count() >= tasks,
            "BUG: {tasks} tasks for {} parts",
            parts.count()
        );
        self.run(tasks, &|i| {
            // SAFETY: the index is below the count and `run` hands out every index once.
            f(i, unsafe { parts.part(i) });
        });
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.quit.store(true, Ordering::SeqCst);
        drop(
            self.shared
                .lock
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        );
        self.shared.wake.notify_all();
        for helper in self.helpers.drain(..) {
            // A helper catches the panics of tasks, so joining cannot fail in a way worth telling.
            let _ = helper.join();
        }
    }
}

/// Closes the region and waits until it is empty, also when the caller's own task unwinds.
struct Closing<'a>(&'a Shared);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        // Nobody starts further tasks, which matters when unwinding.
        self.0.next.store(usize::MAX / 2, Ordering::Relaxed);
        let mut state = self.0.state.fetch_and(!OPEN, Ordering::SeqCst) & !OPEN;
        let mut spins = 0u32;
        while state & (OPEN - 1) != 0 {
            spins += 1;
            if spins < SPINS {
                std::hint::spin_loop();
            } else {
                std::thread::yield_now();
            }
            state = self.0.state.load(Ordering::Acquire);
        }
    }
}

impl Shared {
    fn work(&self, f: &(dyn Fn(usize) + Sync), tasks: usize) {
        loop {
            let i = self.next.fetch_add(1, Ordering::Relaxed);
            if i >= tasks {
                return;
            }
            f(i);
        }
    }

    /// A helper's life.
    fn help(&self) {
        let mut last = 0;
        while let Some(region) = self.enter(last) {
            last = region;
            // SAFETY: this helper is counted inside an open region, so the owner neither writes the job nor drops the closure.
            let (run, tasks) = unsafe {
                let job = *self.job.get();
                (&*job.run, job.tasks)
            };
            if catch_unwind(AssertUnwindSafe(|| self.work(run, tasks))).is_err() {
                self.panicked.store(true, Ordering::Relaxed);
            }
            self.state.fetch_sub(1, Ordering::Release);
        }
    }

    /// Waits for an open region other than the last one seen and enters it; none when the pool ends.
    fn enter(&self, last: u64) -> Option<u64> {
        let mut spins = 0;
        loop {
            let state = self.state.load(Ordering::Acquire);
            let region = state & !(REGION - 1);
            if state & OPEN != 0 && region != last {
                if self
                    .state
                    .compare_exchange_weak(state, state + 1, Ordering::Acquire, Ordering::Relaxed)
                    .is_ok()
                {
                    return Some(region);
                }
                continue;
            }
            if self.quit.load(Ordering::Relaxed) {
                return None;
            }
            spins += 1;
            if spins < SPINS {
                std::hint::spin_loop();
                continue;
            }
            spins = 0;
            let guard = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
            self.sleepers.fetch_add(1, Ordering::SeqCst);
            // Looked at once more after the owner could see a sleeper: either it wakes us or we see its region.
            let state = self.state.load(Ordering::SeqCst);
            if (state & OPEN == 0 || state & !(REGION - 1) == last)
                && !self.quit.load(Ordering::SeqCst)
            {
                drop(
                    self.wake
                        .wait(guard)
                        .unwrap_or_else(PoisonError::into_inner),
                );
            }
            self.sleepers.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

/// Something that can be cut into numbered parts that do not overlap.
pub(crate) trait Parts: Sync {
    /// What a task gets.
    type Part;

    /// How many parts there are.
    fn count(&self) -> usize;

    /// One part.
    ///
    /// # Safety
    /// `i` is below the count and no index is taken twice.
    unsafe fn part(&self, i: usize) -> Self::Part;
}

/// A slice cut into chunks of one size; the last may be shorter.
pub(crate) struct Chunks<'a, T> {
    start: *mut T,
    len: usize,
    size: usize,
    slice: PhantomData<&'a mut [T]>,
}

/// Cuts a slice.
pub(crate) fn chunks<T: Send>(slice: &mut [T], size: usize) -> Chunks<'_, T> {
    Chunks {
        start: slice.as_mut_ptr(),
        len: slice.len(),
        size,
        slice: PhantomData,
    }
}

// SAFETY: parts are disjoint and each is taken once, so sharing this is handing out exclusive borrows of elements that may be sent.
unsafe impl<T: Send> Sync for Chunks<'_, T> {}

impl<'a, T: Send> Parts for Chunks<'a, T> {
    type Part = &'a mut [T];

    fn count(&self) -> usize {
        self.len.div_ceil(self.size)
    }

    unsafe fn part(&self, i: usize) -> &'a mut [T] {
        let from = i * self.size;
        let len = self.size.min(self.len - from);
        // SAFETY: inside the slice that this borrows for 'a, and disjoint from every other index.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(from), len) }
    }
}

macro_rules! tuple_parts {
    ($($name:ident $index:tt),+) => {
        impl<$($name: Parts),+> Parts for ($($name,)+) {
            type Part = ($($name::Part,)+);

            fn count(&self) -> usize {
                [$(self.$index.count()),+].into_iter().min().unwrap_or(0)
            }

            unsafe fn part(&self, i: usize) -> Self::Part {
                // SAFETY: passed on from the caller.
                unsafe { ($(self.$index.part(i),)+) }
            }
        }
    };
}
tuple_parts!(A 0, B 1);
tuple_parts!(A 0, B 1, C 2);
tuple_parts!(A 0, B 1, C 2, D 3);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_runs_once_for_any_number_of_threads() {
        for threads in [1, 2, 5] {
            let mut pool = Pool::new(threads);
            for tasks in (0..40).chain([1_000]) {
                let mut counts = vec![0u32; tasks * 2];
                pool.for_each(tasks, chunks(&mut counts, 2), |i, part| {
                    part.iter_mut().for_each(|c| *c += 1 + i as u32)
                });
                assert!(
                    counts
                        .iter()
                        .enumerate()
                        .all(|(i, c)| *c == 1 + (i / 2) as u32)
                );
            }
        }
    }

    #[test]
    fn helpers_wake_after_sleeping() {
        let mut pool = Pool::new(3);
        for _ in 0..200 {
            let sum = AtomicUsize::new(0);
            pool.run(50, &|i| {
                sum.fetch_add(i, Ordering::Relaxed);
            });
            assert_eq!(sum.into_inner(), 1_225);
            std::thread::yield_now();
        }
    }

    // Where panics abort there is nothing to catch.
    #[cfg(panic = "unwind")]
    #[test]
    fn a_panicking_task_ends_the_region_and_reaches_the_caller() {
        let mut pool = Pool::new(2);
        let caught = catch_unwind(AssertUnwindSafe(|| {
            pool.run(100, &|i| {
                assert_ne!(i, 60, "told to fail");
            });
        }));
        assert!(caught.is_err());
    }
}
