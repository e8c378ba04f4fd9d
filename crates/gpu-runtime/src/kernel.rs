//! A kernel: what it needs, and its launch.

mod config;

use std::ptr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use cudarc::driver::sys::{self, CUfunction_attribute as Attribute};

use crate::args::{Arg, check_args};
use crate::error::{GpuError, Result};
use crate::kernel::config::{Attributes, config};
use crate::kind::ErrorKind;
use crate::launch::Launch;
use crate::launch_times::{after, before};
use crate::library::check;
use crate::loaded::{Function, KernelAttributes};
use crate::module::Module;
use crate::ptx_text::Param;
use crate::stream::Stream;

/// A kernel of a module. Clones share it.
#[derive(Clone)]
pub struct Kernel {
    module: Module,
    function: Arc<Function>,
}

impl Module {
    /// The kernel of that name.
    ///
    /// # Errors
    ///
    /// `NotFound`, naming the kernels that there are.
    pub fn kernel(&self, name: &str) -> Result<Kernel> {
        self.device().bind()?;
        Ok(Kernel { module: self.clone(), function: self.loaded.function(name)? })
    }
}

impl Kernel {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.function.name
    }

    /// Its parameters, as the PTX text declares them.
    pub fn params(&self) -> &[Param] {
        &self.function.entry.params
    }

    /// The module it is in.
    pub fn module(&self) -> &Module {
        &self.module
    }

    /// Registers, local and shared memory, threads.
    pub fn attributes(&self) -> KernelAttributes {
        self.function.attributes
    }

    /// Lets launches ask for up to `bytes` of dynamic shared memory.
    ///
    /// Needed above 48 KiB less the static part; the device's limit is
    /// [`crate::DeviceFacts::shared_per_block_optin`].
    ///
    /// # Errors
    ///
    /// `Launch` when static and dynamic part together are over the device's limit.
    pub fn set_dynamic_shared(&self, bytes: u32) -> Result<()> {
        let most = self.module.device().facts().shared_per_block_optin;
        let fixed = self.function.attributes.static_shared;
        if bytes > most.saturating_sub(fixed) {
            let detail = format!(
                "{bytes} bytes of dynamic shared memory beside {fixed} static ones, \
                 expected at most {most} in all"
            );
            return Err(GpuError::new(ErrorKind::Launch, self.name(), detail)
                .hint("choose a smaller tile on this device"));
        }
        let value = i32::try_from(bytes).expect("a device has less than 2 GiB of shared memory");
        self.set(Attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, value)?;
        self.function.shared_limit.store(bytes, Ordering::Relaxed);
        Ok(())
    }

    /// Allows clusters of more than 8 blocks, which not every device of a generation has.
    ///
    /// # Errors
    ///
    /// When the driver refuses.
    pub fn allow_large_clusters(&self) -> Result<()> {
        self.set(Attribute::CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED, 1)
    }

    /// How many blocks of this shape live on an SM at once.
    ///
    /// # Errors
    ///
    /// When the driver refuses the shape.
    pub fn blocks_per_sm(&self, block_threads: u32, dynamic_shared: u32) -> Result<u32> {
        self.module.device().bind()?;
        let mut blocks = 0;
        let threads = i32::try_from(block_threads).unwrap_or(i32::MAX);
        // SAFETY: the function is loaded; the driver writes one int.
        let status = unsafe {
            sys::cuOccupancyMaxActiveBlocksPerMultiprocessor(
                &raw mut blocks,
                self.function.raw,
                threads,
                dynamic_shared as usize,
            )
        };
        check(self.name(), status).map_err(|error| error.or_kind(ErrorKind::Launch))?;
        Ok(u32::try_from(blocks).unwrap_or(0))
    }

    /// How many blocks of this shape the device holds at once: the limit of a cooperative grid.
    ///
    /// # Errors
    ///
    /// When the driver refuses the shape.
    pub fn cooperative_blocks(&self, block_threads: u32, dynamic_shared: u32) -> Result<u32> {
        let sms = self.module.device().facts().sm_count;
        Ok(self.blocks_per_sm(block_threads, dynamic_shared)? * sms)
    }

    /// How many clusters of this launch the device holds at once.
    ///
    /// # Errors
    ///
    /// `Launch` for a launch without clusters, and when the driver refuses the shape.
    pub fn active_clusters(&self, launch: &Launch) -> Result<u32> {
        if launch.cluster.is_none() {
            let detail = "the launch has no cluster, expected one";
            return Err(GpuError::new(ErrorKind::Launch, self.name(), detail));
        }
        self.check(launch)?;
        self.module.device().bind()?;
        let mut clusters = 0;
        let mut attributes = Attributes::of(launch);
        let config = config(launch, ptr::null_mut(), &mut attributes);
        // SAFETY: the function is loaded; the configuration and its attributes live over the
        // call; the driver writes one int.
        let status = unsafe {
            sys::cuOccupancyMaxActiveClusters(
                &raw mut clusters,
                self.function.raw,
                &raw const config,
            )
        };
        check(self.name(), status).map_err(|error| error.or_kind(ErrorKind::Launch))?;
        Ok(u32::try_from(clusters).unwrap_or(0))
    }

    /// Puts the kernel on a stream and returns; it runs when the stream comes to it.
    ///
    /// Number, size and kind of the arguments are checked against the PTX text, and the shape
    /// against the device. A fault while it runs is reported by a later call.
    ///
    /// # Errors
    ///
    /// `Argument` naming the parameter; `Launch` for a shape that cannot be.
    ///
    /// # Safety
    ///
    /// A kernel is foreign code that receives addresses. The caller promises, until the kernel
    /// has ended:
    /// - each address argument points to live device memory of the extent that the kernel
    ///   accesses with these arguments and this grid;
    /// - memory that it writes came from a `&mut` borrow, and no other stream uses it unless
    ///   ordered by an event;
    /// - buffers of another stream are not dropped before their own stream waits for this one
    ///   ([`Stream::wait_for`]).
    ///
    /// None of this can be checked from the parameter list, hence `unsafe`.
    pub unsafe fn launch(&self, stream: &Stream, launch: &Launch, args: &[Arg<'_>]) -> Result<()> {
        check_args(&self.function.entry, args)?;
        self.check(launch)?;
        let device = self.module.device();
        if !device.is_same(stream.device()) {
            let (want, got) = (device.ordinal(), stream.device().ordinal());
            let detail = format!("the stream is on cuda:{got}, expected cuda:{want}");
            return Err(GpuError::new(ErrorKind::Argument, self.name(), detail)
                .hint("load the module on the stream's device"));
        }
        device.bind()?;
        let start = before(stream)?;
        let mut attributes = Attributes::of(launch);
        let config = config(launch, stream.raw(), &mut attributes);
        let mut values: Vec<_> = args.iter().map(Arg::as_ptr).collect();
        // SAFETY: function and stream belong to the current context; `values` has an address for
        // each parameter, of at least its size, which the driver reads before it returns; the
        // rest is the caller's promise.
        let status = unsafe {
            sys::cuLaunchKernelEx(
                &raw const config,
                self.function.raw,
                values.as_mut_ptr(),
                ptr::null_mut(),
            )
        };
        stream.check(self.name(), status).map_err(|error| error.or_kind(ErrorKind::Launch))?;
        stream.launched(&self.function.name)?;
        after(stream, &self.function.name, start)
    }

    fn check(&self, launch: &Launch) -> Result<()> {
        let facts = self.module.device().facts();
        let mut limit = self.function.shared_limit.load(Ordering::Relaxed);
        if launch.dynamic_shared > limit {
            // Another handle of the same kernel may have raised it.
            let which = Attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
            self.module.device().bind()?;
            limit = self.function.attribute(which)?;
            self.function.shared_limit.store(limit, Ordering::Relaxed);
        }
        launch.check(self.name(), facts, self.function.attributes.max_threads, limit)
    }

    fn set(&self, which: Attribute, value: i32) -> Result<()> {
        self.module.device().bind()?;
        // SAFETY: the function is loaded.
        let status = unsafe { sys::cuFuncSetAttribute(self.function.raw, which, value) };
        check(self.name(), status).map_err(|error| error.or_kind(ErrorKind::Launch))
    }
}

impl std::fmt::Debug for Kernel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Kernel({}, {:?})", self.name(), self.function.attributes)
    }
}
