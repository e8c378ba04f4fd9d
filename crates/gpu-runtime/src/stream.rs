//! Streams: queues of work that a device takes in order.

use std::ptr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cudarc::driver::sys;

use crate::device::Device;
use crate::error::{GpuError, Result};
use crate::kind::ErrorKind;
use crate::status::NOT_READY;

/// A queue of work on a device. Clones share it.
///
/// Work on one stream runs in order; work on two streams runs in any order unless one waits for
/// the other. Streams do not wait for the driver's default stream, which this crate never uses.
#[derive(Clone)]
pub struct Stream(Arc<Inner>);

struct Inner {
    device: Device,
    raw: sys::CUstream,
    /// Kernels launched in the capture that runs, if one does.
    captured: Mutex<Option<Vec<Arc<str>>>>,
}

// SAFETY: the handle is the driver's and may be used from any thread.
unsafe impl Send for Inner {}
// SAFETY: as above.
unsafe impl Sync for Inner {}

/// Which streams go first when several have work.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Priority {
    /// After all others.
    Low,
    /// The driver's default.
    #[default]
    Normal,
    /// Before all others.
    High,
}

impl Stream {
    /// A new stream.
    ///
    /// # Errors
    ///
    /// When the driver refuses.
    pub fn new(device: &Device) -> Result<Stream> {
        Stream::with_priority(device, Priority::Normal)
    }

    /// A new stream whose work goes before or after that of others.
    ///
    /// # Errors
    ///
    /// When the driver refuses.
    pub fn with_priority(device: &Device, priority: Priority) -> Result<Stream> {
        // Binds the context, too. Greater priorities are smaller numbers, and 0 is the default.
        let (least, greatest) = device.priorities()?;
        let number = match priority {
            Priority::Low => least,
            Priority::Normal => 0,
            Priority::High => greatest,
        };
        let flags = sys::CUstream_flags::CU_STREAM_NON_BLOCKING as u32;
        let mut raw = ptr::null_mut();
        // SAFETY: the context is current; the driver writes one handle.
        let status = unsafe { sys::cuStreamCreateWithPriority(&raw mut raw, flags, number) };
        device.check("stream create", status)?;
        let captured = Mutex::default();
        Ok(Stream(Arc::new(Inner { device: device.clone(), raw, captured })))
    }

    /// The device it is on.
    pub fn device(&self) -> &Device {
        &self.0.device
    }

    /// Whether both are one queue.
    pub fn is_same(&self, other: &Stream) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Waits until all work on the stream has ended.
    ///
    /// # Errors
    ///
    /// `Fault`, naming the launches since the last wait, when a kernel failed; `Capture` while
    /// the stream is captured.
    pub fn synchronize(&self) -> Result<()> {
        self.bind()?;
        // SAFETY: the stream is alive and its context is current.
        self.check("stream synchronize", unsafe { sys::cuStreamSynchronize(self.0.raw) })?;
        self.0.device.trace().stream_done(self.id());
        Ok(())
    }

    /// Whether all work on the stream has ended.
    ///
    /// # Errors
    ///
    /// As [`Stream::synchronize`].
    pub fn is_idle(&self) -> Result<bool> {
        self.bind()?;
        // SAFETY: the stream is alive and its context is current.
        let status = unsafe { sys::cuStreamQuery(self.0.raw) };
        if status as u32 == NOT_READY {
            return Ok(false);
        }
        self.check("stream query", status)?;
        Ok(true)
    }

    /// Whether work put on this stream is recorded into a graph and not run.
    ///
    /// # Errors
    ///
    /// When the driver refuses.
    pub fn is_capturing(&self) -> Result<bool> {
        self.bind()?;
        let mut state = sys::CUstreamCaptureStatus::CU_STREAM_CAPTURE_STATUS_NONE;
        // SAFETY: the stream is alive; the driver writes one status.
        let status = unsafe { sys::cuStreamIsCapturing(self.0.raw, &raw mut state) };
        self.check("stream capture status", status)?;
        Ok(state != sys::CUstreamCaptureStatus::CU_STREAM_CAPTURE_STATUS_NONE)
    }

    /// Refuses what a graph cannot hold.
    pub(crate) fn refuse_in_capture(&self, what: &str) -> Result<()> {
        if !self.is_capturing()? {
            return Ok(());
        }
        let detail = "the stream is being captured into a graph, expected a running one";
        Err(GpuError::new(ErrorKind::Capture, what, detail)
            .hint("allocate and copy from or to the host before or after the capture"))
    }

    pub(crate) fn raw(&self) -> sys::CUstream {
        self.0.raw
    }

    /// A number that tells streams of a process apart.
    pub(crate) fn id(&self) -> usize {
        self.0.raw.addr()
    }

    pub(crate) fn bind(&self) -> Result<()> {
        self.0.device.bind()
    }

    pub(crate) fn check(&self, place: &str, status: sys::CUresult) -> Result<()> {
        self.0.device.check(place, status)
    }

    /// Notes a launch; in blocking mode also waits for it.
    pub(crate) fn launched(&self, kernel: &Arc<str>) -> Result<()> {
        if let Some(names) = self.captured().as_mut() {
            names.push(Arc::clone(kernel));
            return Ok(());
        }
        self.0.device.trace().launched(self.id(), kernel);
        match self.0.device.options().launch_blocking && !self.is_capturing()? {
            true => self.synchronize(),
            false => Ok(()),
        }
    }

    pub(crate) fn captured(&self) -> MutexGuard<'_, Option<Vec<Arc<str>>>> {
        self.0.captured.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Stream({:#x}, {:?})", self.id(), self.0.device)
    }
}

impl Drop for Inner {
    /// The driver lets work that is queued end first.
    fn drop(&mut self) {
        if self.device.bind().is_ok() {
            // SAFETY: created once, destroyed once; no clone is left.
            let _ = unsafe { sys::cuStreamDestroy_v2(self.raw) };
        }
    }
}
