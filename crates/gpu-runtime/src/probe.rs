//! Is there a GPU that this program can use? Asked in an order in which nothing can panic.
//!
//! library present -> functions of the probe -> `cuInit` -> device count -> compute capability
//! -> driver version -> all other functions. Each step that fails has its own [`ErrorKind`].

use std::ffi::CStr;

use cudarc::driver::sys::{self, CUdevice_attribute as Attribute};

use crate::error::{GpuError, Result};
use crate::kind::ErrorKind;
use crate::library::{self, Library, check};
use crate::versions::{COMPUTE_FLOOR, ComputeCapability, CudaVersion, DRIVER_FLOOR};

/// What the driver reports before any device is opened.
#[derive(Debug, Clone)]
pub struct Probe {
    /// The CUDA version that the driver speaks.
    pub driver: CudaVersion,
    /// All devices, those below the floor included.
    pub devices: Vec<Listed>,
}

/// One device, as listed by the driver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The driver's number for it.
    pub ordinal: usize,
    /// The product's name.
    pub name: String,
    /// The generation of the hardware.
    pub compute_capability: ComputeCapability,
}

/// A step that went well: what was asked and what was found.
pub(crate) struct Step {
    pub(crate) subject: &'static str,
    pub(crate) found: String,
}

/// Finds out whether this machine has a GPU that this program can use.
///
/// # Errors
///
/// `LibraryMissing`, `SymbolMissing`, `Init`, `NoDevice`, `DeviceTooOld` when no device reaches
/// compute capability 8.0, `DriverTooOld`: the first that applies, with a hint.
pub fn probe() -> Result<Probe> {
    probe_steps(&mut Vec::new())
}

/// As [`probe()`], and notes each step that went well.
pub(crate) fn probe_steps(steps: &mut Vec<Step>) -> Result<Probe> {
    walk(steps).map_err(|error| error.or_hint("see nvidia-smi and dmesg; reinstall the driver"))
}

fn walk(steps: &mut Vec<Step>) -> Result<Probe> {
    let mut done = |subject, found| steps.push(Step { subject, found });
    let library = Library::open()?;
    library.require(library::BASE)?;
    done("driver library", "libcuda is on the loader's path".to_owned());

    // SAFETY: the function was found; it may be called any number of times.
    check("cuInit", unsafe { sys::cuInit(0) }).map_err(|e| e.or_kind(ErrorKind::Init))?;
    let driver = driver_version()?;
    done("driver", format!("starts, speaks CUDA {driver}"));

    let devices = list()?;
    let names: Vec<&str> = devices.iter().map(|device| device.name.as_str()).collect();
    done("devices", format!("{}: {}", names.len(), names.join(", ")));

    check_capability(&devices)?;
    done("compute capability", format!("at least one device has {COMPUTE_FLOOR} or more"));

    check_version(driver, DRIVER_FLOOR)?;
    library.require(library::REST)?;
    done("driver version", format!("{driver}, {DRIVER_FLOOR} or more is needed"));
    Ok(Probe { driver, devices })
}

fn driver_version() -> Result<CudaVersion> {
    let mut number = 0;
    // SAFETY: the function was found; it writes one int.
    check("cuDriverGetVersion", unsafe { sys::cuDriverGetVersion(&raw mut number) })?;
    Ok(CudaVersion::from_number(number))
}

fn list() -> Result<Vec<Listed>> {
    let mut count = 0;
    // SAFETY: the driver is initialised; it writes one int.
    check("cuDeviceGetCount", unsafe { sys::cuDeviceGetCount(&raw mut count) })?;
    if count < 1 {
        let hint = "check nvidia-smi and CUDA_VISIBLE_DEVICES; in a container pass --gpus all";
        let detail = "the driver works and sees no device";
        return Err(GpuError::new(ErrorKind::NoDevice, "cuda", detail).hint(hint));
    }
    (0..count).map(listed).collect()
}

fn listed(ordinal: i32) -> Result<Listed> {
    let device = raw_device(ordinal)?;
    let mut name = [0; 256];
    // SAFETY: the driver writes at most 256 bytes, the NUL included.
    check("cuDeviceGetName", unsafe { sys::cuDeviceGetName(name.as_mut_ptr(), 256, device) })?;
    name[255] = 0;
    // SAFETY: the last byte is a NUL.
    let name = unsafe { CStr::from_ptr(name.as_ptr()) }.to_string_lossy().into_owned();
    Ok(Listed {
        ordinal: ordinal.unsigned_abs() as usize,
        name,
        compute_capability: ComputeCapability {
            major: attribute(device, Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?,
            minor: attribute(device, Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?,
        },
    })
}

/// The driver's handle for a device. The driver must be initialised.
pub(crate) fn raw_device(ordinal: i32) -> Result<sys::CUdevice> {
    let mut device = 0;
    // SAFETY: the driver is initialised; it writes one handle.
    check("cuDeviceGet", unsafe { sys::cuDeviceGet(&raw mut device, ordinal) })?;
    Ok(device)
}

/// One attribute; negative answers, which the driver does not give, would read as 0.
pub(crate) fn attribute(device: sys::CUdevice, which: Attribute) -> Result<u32> {
    let mut value = 0;
    // SAFETY: the device came from the driver; it writes one int.
    let status = unsafe { sys::cuDeviceGetAttribute(&raw mut value, which, device) };
    check("cuDeviceGetAttribute", status)?;
    Ok(u32::try_from(value).unwrap_or(0))
}

/// At least one device is new enough.
fn check_capability(devices: &[Listed]) -> Result<()> {
    if devices.iter().any(|device| device.compute_capability >= COMPUTE_FLOOR) {
        return Ok(());
    }
    let all: Vec<String> =
        devices.iter().map(|d| format!("`{}` {}", d.name, d.compute_capability)).collect();
    Err(too_old("cuda", &all.join(", ")))
}

/// The error for hardware below the floor.
pub(crate) fn too_old(place: &str, what: &str) -> GpuError {
    let detail = format!("compute capability, expected {COMPUTE_FLOOR} or more, got {what}");
    GpuError::new(ErrorKind::DeviceTooOld, place, detail)
        .hint("the kernels need an Ampere GPU (A100, RTX 30) or newer; the CPU does without")
}

/// The driver is new enough.
fn check_version(driver: CudaVersion, floor: CudaVersion) -> Result<()> {
    if driver >= floor {
        return Ok(());
    }
    let detail = format!("driver speaks CUDA {driver}, expected {floor} or more");
    let hint = match floor.major {
        13 => {
            "update NVIDIA's driver to 580 or newer, or build with --no-default-features \
             --features cuda12 for 570 and newer"
        }
        _ => "update NVIDIA's driver to 570 or newer",
    };
    Err(GpuError::new(ErrorKind::DriverTooOld, "cuda driver", detail).hint(hint))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(major: u32, minor: u32) -> Listed {
        let compute_capability = ComputeCapability { major, minor };
        Listed { ordinal: 0, name: "some GPU".into(), compute_capability }
    }

    #[test]
    fn one_new_device_among_old_ones_is_enough() {
        assert!(check_capability(&[device(7, 5), device(8, 0)]).is_ok());
        let error = check_capability(&[device(7, 5), device(6, 1)]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::DeviceTooOld);
        assert!(error.detail().contains("`some GPU` 7.5, `some GPU` 6.1"), "{error}");
    }

    #[test]
    fn an_old_driver_is_told_which_one_to_install() {
        let version = |major, minor| CudaVersion { major, minor };
        assert!(check_version(version(13, 0), version(13, 0)).is_ok());
        assert!(check_version(version(13, 1), version(12, 8)).is_ok());
        let error = check_version(version(12, 4), version(13, 0)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::DriverTooOld);
        assert!(error.detail().contains("CUDA 12.4, expected 13.0"), "{error}");
        assert!(error.hint_text().unwrap().contains("580"));
        let error = check_version(version(12, 4), version(12, 8)).unwrap_err();
        assert!(error.hint_text().unwrap().contains("570"));
    }

    #[test]
    fn a_probe_finds_devices_or_says_what_to_do() {
        match probe() {
            Ok(probe) => assert!(!probe.devices.is_empty()),
            Err(error) => assert!(error.hint_text().is_some(), "{error}"),
        }
    }
}
