//! What every device path does: take memory, load kernels, launch them, and say what failed.

use bytemuck::Pod;
use gpu_runtime::{Arg, DeviceBuffer, Kernel, Launch, Module, Stream};

use super::form::Form;
use super::points::DevicePoints;
use crate::error::{Failure, KernelError, Result};
use crate::registry::Variant;

/// One call: its stream, and the name that its errors carry.
#[derive(Clone, Copy)]
pub(super) struct Session<'a> {
    pub stream: &'a Stream,
    pub op: &'static str,
    /// What costs are made from.
    pub form: Form,
    /// `D`.
    pub width: usize,
    other: &'a Stream,
}

impl<'a> Session<'a> {
    /// Begins on the stream of `x`, once that of `y` has come as far as it is now.
    pub fn begin(op: &'static str, x: DevicePoints<'a>, y: DevicePoints<'a>) -> Result<Self> {
        let (stream, other) = (x.stream(), y.stream());
        let session = Self { stream, op, form: Form::of(&x, &y), width: x.width(), other };
        if !stream.device().is_same(other.device()) {
            let (x, y) = (stream.device().ordinal(), other.device().ordinal());
            let detail = format!("x is on cuda:{x} and y on cuda:{y}, expected one device");
            return Err(KernelError::option(op, detail, "copy one cloud to the other's device"));
        }
        if x.precision() != y.precision() {
            let detail = format!(
                "x asks for {:?} and y for {:?}, expected one",
                x.precision(),
                y.precision()
            );
            let hint = "give both clouds the same DevicePoints::with_precision";
            return Err(KernelError::option(op, detail, hint));
        }
        if session.has_two_streams() {
            session.gpu(stream.wait_for(other))?;
        }
        Ok(session)
    }

    /// Does the call's work, and lets the stream of `y` wait for it however it ends, so that memory of
    /// `y` is not given back while a kernel reads it.
    pub fn finish<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let result = work();
        let waits = match self.has_two_streams() {
            true => self.gpu(self.other.wait_for(self.stream)),
            false => Ok(()),
        };
        result.and_then(|value| waits.map(|()| value))
    }

    fn has_two_streams(&self) -> bool {
        !std::ptr::eq(self.stream, self.other)
    }

    /// The result under this call's name.
    pub fn gpu<T>(&self, result: std::result::Result<T, impl Failure>) -> Result<T> {
        result.map_err(|error| KernelError::device(self.op, &error))
    }

    /// Memory with no particular contents.
    pub fn room<T: Pod>(&self, len: usize) -> Result<DeviceBuffer<T>> {
        self.gpu(DeviceBuffer::uninit(self.stream, len))
    }

    /// Memory full of zeros.
    pub fn zeros<T: Pod>(&self, len: usize) -> Result<DeviceBuffer<T>> {
        self.gpu(DeviceBuffer::zeroed(self.stream, len))
    }

    /// A copy of host values.
    pub fn send<T: Pod>(&self, values: &[T]) -> Result<DeviceBuffer<T>> {
        self.gpu(DeviceBuffer::from_slice(self.stream, values))
    }

    /// A copy on the host. Waits for the stream.
    pub fn fetch<T: Pod>(&self, values: &DeviceBuffer<T>) -> Result<Vec<T>> {
        self.gpu(values.to_vec())
    }

    /// The kernel on this device, assembled where it is not yet.
    pub fn kernel(&self, variant: &Variant) -> Result<Kernel> {
        let file = format!("{}.ptx", variant.name);
        let module = self.gpu(Module::load_static(self.stream.device(), &file, variant.ptx))?;
        self.gpu(module.kernel(variant.name))
    }

    /// Puts a kernel on the stream; an empty grid is nothing to do.
    ///
    /// # Safety
    ///
    /// As [`Kernel::launch`]: the arguments are what the head of the kernel's file asks for.
    pub unsafe fn launch(&self, kernel: &Kernel, launch: Launch, args: &[Arg<'_>]) -> Result<()> {
        if launch.grid.contains(&0) {
            return Ok(());
        }
        // SAFETY: the caller's promise.
        self.gpu(unsafe { kernel.launch(self.stream, &launch, args) })
    }
}

/// An extent as kernels take it. `limit` is what they can address.
pub(super) fn extent(op: &'static str, what: &str, value: usize, limit: u32) -> Result<u32> {
    match u32::try_from(value) {
        Ok(value) if value < limit => Ok(value),
        _ => {
            let detail = format!("{what} is {value}, expected below {limit} on a device");
            Err(KernelError::shape(op, detail))
        }
    }
}
