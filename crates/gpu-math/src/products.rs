//! What products are made with: a device, its kernels, and the precision asked for.

use std::sync::OnceLock;

use gpu_runtime::{Device, Kernel, Module};

use crate::error::Result;
use crate::registry::{KERNELS, Variant};

/// The kernels of a device. Make one for each device and keep it: they are assembled when first used.
#[derive(Debug)]
pub struct Products {
    device: Device,
    loaded: [OnceLock<Kernel>; KERNELS.len()],
}

impl Products {
    /// Products of exact f32, and of bf16 with sums in f32.
    pub fn new(device: &Device) -> Self {
        Self { device: device.clone(), loaded: [const { OnceLock::new() }; KERNELS.len()] }
    }

    /// The device whose streams they take.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The kernel on this device, assembled where it is not yet.
    pub(crate) fn kernel(&self, variant: &Variant) -> Result<&Kernel> {
        let at = KERNELS.iter().position(|known| known.name == variant.name);
        let slot = &self.loaded[at.expect("the registry lists every kernel")];
        if let Some(kernel) = slot.get() {
            return Ok(kernel);
        }
        let file = format!("{}.ptx", variant.name);
        let kernel = Module::load_ptx(&self.device, &file, variant.ptx)?.kernel(variant.name)?;
        Ok(slot.get_or_init(|| kernel))
    }
}
