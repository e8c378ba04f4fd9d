//! What products are made with: a device, its kernels, and the precision asked for.

use std::sync::OnceLock;

use gpu_runtime::{Blas, Device, Kernel, Module, Stream};

use crate::error::Result;
use crate::registry::{KERNELS, Variant};

/// How f32 operands are multiplied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Precision {
    /// Exactly, summed in f32.
    #[default]
    Exact,
    /// Rounded to TF32 first, 10 bits of fraction, on tensor cores and summed in f32. Operands whose rows do
    /// not all start at multiples of 16 bytes are multiplied exactly.
    Tf32,
}

/// The kernels of a device. Make one for each device and keep it: they are assembled when first used.
#[derive(Debug)]
pub struct Products {
    device: Device,
    precision: Precision,
    library: Option<Blas>,
    loaded: [OnceLock<Kernel>; KERNELS.len()],
}

impl Products {
    /// Products of exact f32, and of bf16 with sums in f32.
    pub fn new(device: &Device) -> Self {
        let loaded = [const { OnceLock::new() }; KERNELS.len()];
        Self { device: device.clone(), precision: Precision::Exact, library: None, loaded }
    }

    /// The same, but products of whole matrices on this stream go through cuBLASLt where it is found. Their
    /// order of sums is then the library's, and may change with its release.
    ///
    /// # Errors
    ///
    /// [`Device`](crate::ErrorKind::Device) when a library is found that does not start.
    pub fn with_library(self, stream: &Stream) -> Result<Self> {
        Ok(Self { library: Blas::open(stream)?, ..self })
    }

    /// cuBLASLt, where it is allowed and was found.
    pub fn library(&self) -> Option<&Blas> {
        self.library.as_ref()
    }

    /// The same with another precision of f32 products; bf16 ones do not change.
    #[must_use]
    pub fn with_precision(self, precision: Precision) -> Self {
        Self { precision, ..self }
    }

    /// How f32 operands are multiplied.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// The device whose streams they take.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Whether the device runs what is made for compute capability 9.0.
    pub(crate) fn is_hopper(&self) -> bool {
        let capability = self.device.facts().compute_capability;
        (capability.major, capability.minor) == (9, 0)
    }

    /// The kernel on this device, assembled where it is not yet, and allowed its dynamic shared memory.
    pub(crate) fn kernel(&self, variant: &Variant, shared: u32) -> Result<&Kernel> {
        let at = KERNELS.iter().position(|known| known.name == variant.name);
        let slot = &self.loaded[at.expect("the registry lists every kernel")];
        if let Some(kernel) = slot.get() {
            return Ok(kernel);
        }
        let file = format!("{}.ptx", variant.name);
        let kernel = Module::load_static(&self.device, &file, variant.ptx)?.kernel(variant.name)?;
        if shared > 0 {
            kernel.set_dynamic_shared(shared)?;
        }
        Ok(slot.get_or_init(|| kernel))
    }
}
