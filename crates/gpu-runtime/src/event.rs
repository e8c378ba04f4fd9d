//! Events: marks in the work of a stream, to wait for and to time by.

use std::ptr;

use cudarc::driver::sys::{self, CUevent_flags as Flags};

use crate::device::Device;
use crate::error::Result;
use crate::status::NOT_READY;
use crate::stream::Stream;

/// A mark in a stream's work.
pub struct Event {
    device: Device,
    raw: sys::CUevent,
}

// SAFETY: the handle is the driver's and may be used from any thread.
unsafe impl Send for Event {}
// SAFETY: as above.
unsafe impl Sync for Event {}

impl Event {
    /// An event that notes the time when it is reached. Record it before use.
    ///
    /// # Errors
    ///
    /// When the driver refuses.
    pub fn timed(device: &Device) -> Result<Event> {
        Event::new(device, Flags::CU_EVENT_DEFAULT)
    }

    /// An event for ordering alone, which is cheaper.
    ///
    /// # Errors
    ///
    /// When the driver refuses.
    pub fn untimed(device: &Device) -> Result<Event> {
        Event::new(device, Flags::CU_EVENT_DISABLE_TIMING)
    }

    fn new(device: &Device, flags: Flags) -> Result<Event> {
        device.bind()?;
        let mut raw = ptr::null_mut();
        // SAFETY: the context is current; the driver writes one handle.
        let status = unsafe { sys::cuEventCreate(&raw mut raw, flags as u32) };
        device.check("event create", status)?;
        Ok(Event { device: device.clone(), raw })
    }

    /// Moves the mark to the present end of a stream's work.
    ///
    /// # Errors
    ///
    /// When the driver refuses.
    pub fn record(&self, stream: &Stream) -> Result<()> {
        self.device.bind()?;
        // SAFETY: event and stream are alive.
        self.device.check("event record", unsafe { sys::cuEventRecord(self.raw, stream.raw()) })
    }

    /// Waits until the mark is reached.
    ///
    /// # Errors
    ///
    /// `Fault` when a kernel before the mark failed.
    pub fn synchronize(&self) -> Result<()> {
        self.device.bind()?;
        // SAFETY: the event is alive.
        self.device.check("event synchronize", unsafe { sys::cuEventSynchronize(self.raw) })
    }

    /// Whether the mark has been reached.
    ///
    /// # Errors
    ///
    /// As [`Event::synchronize`].
    pub fn is_reached(&self) -> Result<bool> {
        self.device.bind()?;
        // SAFETY: the event is alive.
        let status = unsafe { sys::cuEventQuery(self.raw) };
        if status as u32 == NOT_READY {
            return Ok(false);
        }
        self.device.check("event query", status)?;
        Ok(true)
    }

    /// Milliseconds of device time from `start` to this mark. Waits for this mark first.
    ///
    /// Both must be timed and recorded. The driver's resolution is about half a microsecond.
    ///
    /// # Errors
    ///
    /// When an event is not timed or not recorded, or a kernel failed.
    pub fn ms_since(&self, start: &Event) -> Result<f32> {
        self.synchronize()?;
        let mut ms = 0.0;
        // SAFETY: both events are alive; the driver writes one float.
        let status = unsafe { sys::cuEventElapsedTime_v2(&raw mut ms, start.raw, self.raw) };
        self.device.check("event elapsed time", status)?;
        Ok(ms)
    }

    pub(crate) fn raw(&self) -> sys::CUevent {
        self.raw
    }

    /// The driver's handle, which is the caller's from now on.
    pub(crate) fn into_raw(self) -> sys::CUevent {
        let mut event = std::mem::ManuallyDrop::new(self);
        let raw = event.raw;
        // SAFETY: the event is never used again; its device is let go here once, its handle not.
        unsafe { ptr::drop_in_place(&raw mut event.device) };
        raw
    }

    /// The event of a handle that [`into_raw`](Event::into_raw) gave, on the device that it was made on.
    pub(crate) fn from_raw(device: &Device, raw: sys::CUevent) -> Event {
        Event { device: device.clone(), raw }
    }
}

impl Stream {
    /// Marks the present end of the stream's work, with the time when it is reached.
    ///
    /// # Errors
    ///
    /// When the driver refuses.
    pub fn record(&self) -> Result<Event> {
        let event = Event::timed(self.device())?;
        event.record(self)?;
        Ok(event)
    }

    /// Work put on this stream from now on waits for the event.
    ///
    /// # Errors
    ///
    /// When the driver refuses.
    pub fn wait(&self, event: &Event) -> Result<()> {
        self.bind()?;
        // SAFETY: stream and event are alive; flags are 0.
        self.check("stream wait", unsafe { sys::cuStreamWaitEvent(self.raw(), event.raw(), 0) })
    }

    /// Work put on this stream from now on waits for all work on the other one.
    ///
    /// # Errors
    ///
    /// When the driver refuses.
    pub fn wait_for(&self, other: &Stream) -> Result<()> {
        let event = Event::untimed(other.device())?;
        event.record(other)?;
        self.wait(&event)
    }
}

impl std::fmt::Debug for Event {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Event({:?})", self.device)
    }
}

impl Drop for Event {
    /// The driver keeps an event that a stream still waits for until it is reached.
    fn drop(&mut self) {
        if self.device.bind().is_ok() {
            // SAFETY: created once, destroyed once.
            let _ = unsafe { sys::cuEventDestroy_v2(self.raw) };
        }
    }
}
