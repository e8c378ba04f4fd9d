//! The launches that are being timed: names, and the driver's marks around each.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cudarc::driver::sys;

/// One launch, and events that were recorded before and behind it. They belong to who takes it.
#[derive(Debug)]
pub(crate) struct TimedLaunch {
    pub(crate) kernel: Arc<str>,
    pub(crate) start: sys::CUevent,
    pub(crate) end: sys::CUevent,
}

// SAFETY: the handles are the driver's and may be used from any thread.
unsafe impl Send for TimedLaunch {}

/// What a device keeps of them; `None` while nobody times.
#[derive(Debug, Default)]
pub(crate) struct TimedLaunches(Mutex<Option<Vec<TimedLaunch>>>);

impl TimedLaunches {
    /// Begins; false where that was done already.
    pub(crate) fn begin(&self) -> bool {
        let mut all = self.lock();
        let free = all.is_none();
        if free {
            *all = Some(Vec::new());
        }
        free
    }

    /// Whether launches are timed.
    pub(crate) fn running(&self) -> bool {
        self.lock().is_some()
    }

    /// Adds a launch, or gives it back where nobody times any more.
    pub(crate) fn add(&self, launch: TimedLaunch) -> Option<TimedLaunch> {
        match self.lock().as_mut() {
            Some(all) => {
                all.push(launch);
                None
            }
            None => Some(launch),
        }
    }

    /// Ends, with what there was.
    pub(crate) fn end(&self) -> Vec<TimedLaunch> {
        self.lock().take().unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, Option<Vec<TimedLaunch>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::ptr;

    use super::*;

    #[test]
    fn launches_are_kept_between_the_ends() {
        let launch =
            || TimedLaunch { kernel: "k".into(), start: ptr::null_mut(), end: ptr::null_mut() };
        let launches = TimedLaunches::default();
        assert!(!launches.running() && launches.add(launch()).is_some());
        assert!(launches.begin() && !launches.begin());
        assert!(launches.running() && launches.add(launch()).is_none());
        assert_eq!(launches.end().len(), 1);
        assert!(launches.end().is_empty() && launches.begin());
    }
}
