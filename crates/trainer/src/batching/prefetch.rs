//! Batches made ahead of the loop by worker threads, handed over in step order.
//!
//! Workers take step numbers from a counter that may run at most `depth` ahead of what the loop
//! has taken, so memory is bounded however slow the loop is. The result for a step does not
//! depend on which worker made it, so neither do the numbers of a run.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

/// An endless iterator over `make(start_step)`, `make(start_step + 1)`, ...
///
/// After an `Err` it ends. Dropping it stops the workers and waits for them.
pub struct Prefetcher<T> {
    shared: Arc<Shared<T>>,
    workers: Vec<JoinHandle<()>>,
    failed: bool,
}

struct Shared<T> {
    state: Mutex<State<T>>,
    /// Signalled when a result arrives, when one is taken, and when work stops.
    changed: Condvar,
    make: Box<dyn Fn(u64) -> anyhow::Result<T> + Send + Sync>,
    depth: u64,
}

struct State<T> {
    /// Next step that a worker will start on.
    next_started: u64,
    /// Next step that the loop will be given.
    next_taken: u64,
    ready: BTreeMap<u64, anyhow::Result<T>>,
    stopped: bool,
}

impl<T: Send + 'static> Prefetcher<T> {
    /// Starts `workers` threads (at least one) that keep up to `depth` steps (at least one) ready.
    ///
    /// An error or a panic of `make` reaches the loop at its own step, after all earlier steps.
    ///
    /// # Errors
    ///
    /// When a thread cannot be started.
    pub fn new(
        depth: usize,
        workers: usize,
        start_step: u64,
        make: impl Fn(u64) -> anyhow::Result<T> + Send + Sync + 'static,
    ) -> anyhow::Result<Self> {
        let state = State {
            next_started: start_step,
            next_taken: start_step,
            ready: BTreeMap::new(),
            stopped: false,
        };
        let shared = Arc::new(Shared {
            state: Mutex::new(state),
            changed: Condvar::new(),
            make: Box::new(make),
            depth: depth.max(1) as u64,
        });
        let mut prefetcher = Self { shared, workers: Vec::new(), failed: false };
        for k in 0..workers.max(1) {
            let shared = Arc::clone(&prefetcher.shared);
            let worker = std::thread::Builder::new()
                .name(format!("prefetch-{k}"))
                .spawn(move || shared.work())?;
            prefetcher.workers.push(worker);
        }
        Ok(prefetcher)
    }
}

impl<T> Shared<T> {
    /// The state; a poisoned lock is as good as any, since no user code runs under it.
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State<T>>) -> MutexGuard<'a, State<T>> {
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        let mut state = self.lock();
        loop {
            while !state.stopped && state.next_started >= state.next_taken + self.depth {
                state = self.wait(state);
            }
            if state.stopped {
                return;
            }
            let step = state.next_started;
            state.next_started += 1;
            drop(state);
            let result = catch_unwind(AssertUnwindSafe(|| (self.make)(step)))
                .unwrap_or_else(|panic| Err(panic_error(step, panic.as_ref())));
            state = self.lock();
            state.ready.insert(step, result);
            self.changed.notify_all();
        }
    }
}

impl<T> Iterator for Prefetcher<T> {
    type Item = anyhow::Result<T>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let mut state = self.shared.lock();
        let step = state.next_taken;
        let result = loop {
            match state.ready.remove(&step) {
                Some(result) => break result,
                None => state = self.shared.wait(state),
            }
        };
        state.next_taken += 1;
        if result.is_err() {
            self.failed = true;
            state.stopped = true;
        }
        self.shared.changed.notify_all();
        Some(result)
    }
}

impl<T> Drop for Prefetcher<T> {
    fn drop(&mut self) {
        self.shared.lock().stopped = true;
        self.shared.changed.notify_all();
        for worker in self.workers.drain(..) {
            // A worker catches the panics of `make`, so there is nothing left to report.
            let _ = worker.join();
        }
    }
}

fn panic_error(step: u64, panic: &(dyn std::any::Any + Send)) -> anyhow::Error {
    let text = panic
        .downcast_ref::<&str>()
        .map(ToString::to_string)
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "unknown cause".into());
    anyhow::anyhow!("prefetch: making the batch of step {step} panicked: {text}")
}
