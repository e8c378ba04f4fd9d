//! A device that is open: its context, its facts, and what hangs on it.

use std::ptr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cudarc::driver::sys;

use crate::error::{GpuError, Result};
use crate::facts::DeviceFacts;
use crate::kind::ErrorKind;
use crate::library::check;
use crate::loaded::Modules;
use crate::memory::pool::{MemoryStats, Pool};
use crate::probe::{probe, raw_device, too_old};
use crate::timed_launches::TimedLaunches;
use crate::trace::Trace;
use crate::versions::COMPUTE_FLOOR;

/// How to open a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeviceOptions {
    /// Wait for each kernel to end, so that a fault names the launch that caused it. Slow.
    pub launch_blocking: bool,
    /// Take memory from a pool in stream order, where the device can.
    pub memory_pool: bool,
}

impl Default for DeviceOptions {
    fn default() -> DeviceOptions {
        DeviceOptions { launch_blocking: false, memory_pool: true }
    }
}

impl DeviceOptions {
    /// Sets [`DeviceOptions::launch_blocking`].
    #[must_use]
    pub fn launch_blocking(mut self, on: bool) -> DeviceOptions {
        self.launch_blocking = on;
        self
    }

    /// Sets [`DeviceOptions::memory_pool`].
    #[must_use]
    pub fn memory_pool(mut self, on: bool) -> DeviceOptions {
        self.memory_pool = on;
        self
    }
}

/// An open CUDA device. Clones share it; it closes when the last user is gone.
///
/// It holds the device's primary context, the one that other CUDA libraries of the process use.
/// Every call makes that context current on the calling thread first, so devices, streams and
/// buffers can be used from any thread.
#[derive(Clone)]
pub struct Device(Arc<Inner>);

struct Inner {
    raw: sys::CUdevice,
    context: sys::CUcontext,
    facts: DeviceFacts,
    options: DeviceOptions,
    pool: Pool,
    modules: Mutex<Modules>,
    trace: Trace,
    timed_launches: TimedLaunches,
}

// SAFETY: the handles are the driver's and may be used from any thread; the rest is Send + Sync.
unsafe impl Send for Inner {}
// SAFETY: as above.
unsafe impl Sync for Inner {}

impl Device {
    /// Opens the device with the driver's number `ordinal`.
    ///
    /// # Errors
    ///
    /// Those of [`probe()`], and `NoDevice` or `DeviceTooOld` for this ordinal. Never panics.
    pub fn cuda(ordinal: usize) -> Result<Device> {
        Device::cuda_with(ordinal, DeviceOptions::default())
    }

    /// As [`Device::cuda`], with options.
    ///
    /// # Errors
    ///
    /// As [`Device::cuda`].
    pub fn cuda_with(ordinal: usize, options: DeviceOptions) -> Result<Device> {
        let probe = probe()?;
        let place = format!("cuda:{ordinal}");
        let Some(listed) = probe.devices.get(ordinal) else {
            let detail = format!("no such device, the driver sees {}", probe.devices.len());
            return Err(GpuError::new(ErrorKind::NoDevice, place, detail)
                .hint("ordinals start at 0; CUDA_VISIBLE_DEVICES may hide devices"));
        };
        if listed.compute_capability < COMPUTE_FLOOR {
            let what = format!("`{}` {}", listed.name, listed.compute_capability);
            return Err(too_old(&place, &what));
        }
        let number = i32::try_from(ordinal).expect("an ordinal below the driver's count fits");
        let raw = raw_device(number)?;
        let facts = DeviceFacts::read(ordinal, listed.name.clone(), raw, probe.driver)?;

        let mut context = ptr::null_mut();
        // SAFETY: the device came from the driver; it writes one handle.
        let status = unsafe { sys::cuDevicePrimaryCtxRetain(&raw mut context, raw) };
        check(&place, status).map_err(|error| error.or_kind(ErrorKind::Init))?;
        let mut inner = Inner {
            raw,
            context,
            options,
            pool: Pool::unpooled(),
            modules: Mutex::default(),
            trace: Trace::default(),
            timed_launches: TimedLaunches::default(),
            facts,
        };
        // The context is released by `Inner`'s Drop from here on, also when a step below fails.
        inner.bind()?;
        if options.memory_pool && inner.facts.memory_pools {
            inner.pool = Pool::on_device(number)?;
        }
        Ok(Device(Arc::new(inner)))
    }

    /// Sizes and limits.
    pub fn facts(&self) -> &DeviceFacts {
        &self.0.facts
    }

    /// The driver's number for the device.
    pub fn ordinal(&self) -> usize {
        self.0.facts.ordinal
    }

    /// The options it was opened with.
    pub fn options(&self) -> DeviceOptions {
        self.0.options
    }

    /// Whether both use the same hardware, and so the same context.
    pub fn is_same(&self, other: &Device) -> bool {
        self.ordinal() == other.ordinal()
    }

    /// Free and total bytes of device memory, over all processes.
    ///
    /// # Errors
    ///
    /// When the driver refuses, for instance after a fault.
    pub fn free_memory(&self) -> Result<(usize, usize)> {
        self.bind()?;
        let (mut free, mut total) = (0, 0);
        // SAFETY: the context is current; the driver writes two sizes.
        check("memory info", unsafe { sys::cuMemGetInfo_v2(&raw mut free, &raw mut total) })?;
        Ok((free, total))
    }

    /// What this device's buffers use and what the pool holds back for later.
    ///
    /// # Errors
    ///
    /// When the driver refuses.
    pub fn memory_stats(&self) -> Result<MemoryStats> {
        self.bind()?;
        self.0.pool.stats()
    }

    /// Gives memory that the pool holds back to the system, but for `keep_bytes`.
    ///
    /// Waits for the device first, since memory is given back only once it is unused.
    ///
    /// # Errors
    ///
    /// When the driver refuses.
    pub fn trim_memory(&self, keep_bytes: usize) -> Result<()> {
        self.synchronize()?;
        self.0.pool.trim(keep_bytes)
    }

    /// Waits until all streams of the device are idle.
    ///
    /// # Errors
    ///
    /// `Fault`, naming the launches since the last wait, when a kernel failed.
    pub fn synchronize(&self) -> Result<()> {
        self.bind()?;
        // SAFETY: the context is current.
        self.check("device synchronize", unsafe { sys::cuCtxSynchronize() })?;
        self.0.trace.all_done();
        Ok(())
    }

    /// The least and the greatest priority of a stream; a greater one is a smaller number.
    pub(crate) fn priorities(&self) -> Result<(i32, i32)> {
        self.bind()?;
        let (mut least, mut greatest) = (0, 0);
        // SAFETY: the context is current; the driver writes two ints.
        let status = unsafe { sys::cuCtxGetStreamPriorityRange(&raw mut least, &raw mut greatest) };
        check("stream priorities", status)?;
        Ok((least, greatest))
    }

    /// Makes the context current on this thread.
    pub(crate) fn bind(&self) -> Result<()> {
        self.0.bind()
    }

    /// As `library::check`; a fault of a kernel also names the launches that may have caused it.
    pub(crate) fn check(&self, place: &str, status: sys::CUresult) -> Result<()> {
        check(place, status).map_err(|error| self.0.trace.blame(error))
    }

    pub(crate) fn timed_launches(&self) -> &TimedLaunches {
        &self.0.timed_launches
    }

    pub(crate) fn trace(&self) -> &Trace {
        &self.0.trace
    }

    pub(crate) fn pool(&self) -> &Pool {
        &self.0.pool
    }

    pub(crate) fn modules(&self) -> MutexGuard<'_, Modules> {
        self.0.modules.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn bind(&self) -> Result<()> {
        // SAFETY: the context is retained as long as `self` lives.
        check("cuCtxSetCurrent", unsafe { sys::cuCtxSetCurrent(self.context) })
    }
}

impl Drop for Inner {
    /// Errors are dropped: after a fault, which was reported, every call fails.
    fn drop(&mut self) {
        if self.bind().is_ok() {
            self.modules.get_mut().unwrap_or_else(PoisonError::into_inner).unload();
            self.pool.destroy();
        }
        // SAFETY: retained once, released once; nothing that uses the context is left.
        let _ = unsafe { sys::cuDevicePrimaryCtxRelease_v2(self.raw) };
    }
}

impl std::fmt::Debug for Device {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Device(cuda:{}, {})", self.ordinal(), self.0.facts.name)
    }
}
