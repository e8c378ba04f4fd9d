//! How long each launch took, for measuring: an event before and one behind every kernel.

use std::sync::Arc;

use crate::device::Device;
use crate::error::{GpuError, Result};
use crate::event::Event;
use crate::kind::ErrorKind;
use crate::stream::Stream;
use crate::timed_launches::TimedLaunch;

/// One launch.
#[derive(Debug, Clone, PartialEq)]
pub struct LaunchTime {
    /// The kernel's name.
    pub kernel: Arc<str>,
    /// Device time between the events around it. They add a microsecond or two.
    pub ms: f32,
}

/// A mark before a launch, where launches are timed and not only recorded into a graph.
pub(crate) fn before(stream: &Stream) -> Result<Option<Event>> {
    if !stream.device().timed_launches().running() || stream.is_capturing()? {
        return Ok(None);
    }
    stream.record().map(Some)
}

/// The mark behind it.
pub(crate) fn after(stream: &Stream, kernel: &Arc<str>, start: Option<Event>) -> Result<()> {
    let Some(start) = start else { return Ok(()) };
    let device = stream.device();
    let (start, end) = (start.into_raw(), stream.record()?.into_raw());
    let launch = TimedLaunch { kernel: Arc::clone(kernel), start, end };
    if let Some(TimedLaunch { start, end, .. }) = device.timed_launches().add(launch) {
        // Dropped, and so destroyed.
        let _ = [start, end].map(|raw| Event::from_raw(device, raw));
    }
    Ok(())
}

impl Device {
    /// Does `work` and times each kernel that this process launches on the device meanwhile, on any
    /// stream, in the order of the launches. Kernels inside a captured graph are not seen.
    ///
    /// The marks keep kernels from overlapping, so that `work` as a whole is slower than without.
    ///
    /// # Errors
    ///
    /// Those of `work`; `Argument` when launches are being timed already; `Fault` when a kernel failed.
    pub fn time_launches<T, E: From<GpuError>>(
        &self,
        work: impl FnOnce() -> std::result::Result<T, E>,
    ) -> std::result::Result<(T, Vec<LaunchTime>), E> {
        if !self.timed_launches().begin() {
            let detail = "launches are being timed already, expected one such call at a time";
            return Err(GpuError::new(ErrorKind::Argument, "time launches", detail).into());
        }
        let done = work();
        // Taken also when the work failed, so that the events are destroyed.
        let event = |raw| Event::from_raw(self, raw);
        let launches: Vec<_> = self.timed_launches().end();
        let timed: Vec<(Arc<str>, Event, Event)> =
            launches.into_iter().map(|l| (l.kernel, event(l.start), event(l.end))).collect();
        let result = done?;
        let times = timed.iter().map(|(kernel, start, end)| {
            Ok(LaunchTime { kernel: Arc::clone(kernel), ms: end.ms_since(start)? })
        });
        Ok((result, times.collect::<Result<_>>()?))
    }
}
