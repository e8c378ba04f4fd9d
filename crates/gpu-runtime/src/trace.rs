//! Which kernels may be to blame for a fault that a later call reports.
//!
//! A kernel that fails does so after its launch returned; the driver tells at the next wait. So
//! the device keeps the last launches that no wait has covered, and an error names them.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::GpuError;
use crate::status::is_fault;

/// How many launches are kept.
const KEPT: usize = 16;

/// The launches that no wait has covered yet, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    launches: Mutex<VecDeque<(usize, Arc<str>)>>,
}

impl Trace {
    /// Notes a launch on a stream.
    pub(crate) fn launched(&self, stream: usize, kernel: &Arc<str>) {
        let mut launches = self.lock();
        if launches.len() == KEPT {
            launches.pop_front();
        }
        launches.push_back((stream, Arc::clone(kernel)));
    }

    /// All that was launched on a stream has ended well.
    pub(crate) fn stream_done(&self, stream: usize) {
        self.lock().retain(|(on, _)| *on != stream);
    }

    /// All that was launched on the device has ended well.
    pub(crate) fn all_done(&self) {
        self.lock().clear();
    }

    /// Adds the launches to an error that reports a kernel's failure.
    pub(crate) fn blame(&self, error: GpuError) -> GpuError {
        if !error.status().is_some_and(is_fault) {
            return error;
        }
        let names = distinct(self.lock().iter().map(|(_, name)| &**name));
        match names.is_empty() {
            true => error,
            false => error.more(&format!("; launched since the last wait: {}", names.join(", "))),
        }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<(usize, Arc<str>)>> {
        self.launches.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The names in order, each once, in back-ticks, with a count where a name repeats.
fn distinct<'a>(names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut counted: Vec<(&str, usize)> = Vec::new();
    for name in names {
        match counted.iter_mut().find(|(known, _)| *known == name) {
            Some((_, count)) => *count += 1,
            None => counted.push((name, 1)),
        }
    }
    let text = |(name, count)| match count {
        1 => format!("`{name}`"),
        _ => format!("`{name}` x{count}"),
    };
    counted.into_iter().map(text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault() -> GpuError {
        GpuError::from_status("stream synchronize", 700, "CUDA_ERROR_ILLEGAL_ADDRESS")
    }

    #[test]
    fn a_fault_names_the_launches_since_the_last_wait() {
        let trace = Trace::default();
        trace.launched(1, &"a".into());
        trace.launched(2, &"b".into());
        trace.stream_done(1);
        trace.launched(2, &"c".into());
        trace.launched(2, &"b".into());
        let error = trace.blame(fault());
        assert!(error.detail().ends_with("since the last wait: `b` x2, `c`"), "{error}");
        trace.all_done();
        assert_eq!(trace.blame(fault()).detail(), fault().detail());
    }

    #[test]
    fn other_errors_blame_no_kernel() {
        let trace = Trace::default();
        trace.launched(1, &"a".into());
        let error = trace.blame(GpuError::from_status("alloc", 2, "out of memory"));
        assert!(!error.detail().contains("launched"), "{error}");
    }

    #[test]
    fn only_the_last_launches_are_kept() {
        let trace = Trace::default();
        for k in 0..KEPT + 3 {
            trace.launched(0, &format!("k{k}").into());
        }
        let error = trace.blame(fault());
        assert!(!error.detail().contains("`k2`"), "{error}");
        assert!(error.detail().contains("`k3`"), "{error}");
    }
}
