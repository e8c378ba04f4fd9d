//! Devices: how many, which, and what they can do.

use std::ffi::{c_char, c_int, c_uint};

use ptx_emu::Spec;

use crate::error::{Result, code};
use crate::settings::settings;
use crate::state::{start, state};
use crate::types::{CUdevice, Out, put_text};

/// Most resident CTAs of an SM, on compute capabilities 8.0 and 9.0.
pub(crate) const BLOCKS_PER_SM: u32 = 32;
/// Shared memory of each CTA that the system keeps, in bytes.
pub(crate) const RESERVED_SHARED: u32 = 1024;
/// The largest number of an attribute.
const LAST_ATTRIBUTE: c_uint = 162;

/// The value of an attribute, by its number; 0 for what is not simulated.
fn attribute(spec: &Spec, number: c_uint) -> u64 {
    let hopper = u64::from(spec.compute_capability.0 >= 9);
    match number {
        // Threads of a CTA: in all, and along x, y, z.
        1..=3 => 1024,
        4 => 64,
        // Extents of a grid.
        5 => 0x7fff_ffff,
        6 | 7 => 65_535,
        8 => spec.shared_without_opt_in.into(),
        // Constant memory.
        9 => 65_536,
        10 => 32,
        // Largest pitch.
        11 => 0x7fff_ffff,
        12 | 82 => spec.registers_per_sm.into(),
        13 => (spec.clock_hz / 1e3) as u64,
        // Alignments of textures and surfaces.
        14 | 30 => 512,
        50 => 0,
        51 => 32,
        // Copies beside kernels.
        15 | 31 => 1,
        16 => spec.sms.into(),
        19 | 41 => 1,
        32 => 1,
        // The data rate is twice the clock.
        36 => (spec.bandwidth / (2.0 * f64::from(bus_bits(spec)) / 8.0) / 1e3) as u64,
        37 => bus_bits(spec).into(),
        38 => spec.l2_bytes,
        39 => spec.threads_per_sm.into(),
        40 => 3,
        75 => spec.compute_capability.0.into(),
        76 => spec.compute_capability.1.into(),
        // Priorities, and caching of global and local memory in L1.
        78..=80 => 1,
        81 => spec.shared_per_sm.into(),
        // Managed memory, without concurrent access by the host.
        83 => 1,
        87 => 2,
        90 => 1,
        95 => 1,
        97 => spec.shared_per_block.into(),
        // Registering of host memory.
        99 => 1,
        106 => BLOCKS_PER_SM.into(),
        111 => RESERVED_SHARED.into(),
        115 => 1,
        // Clusters and tensor maps.
        120 | 127 => hopper,
        _ => 0,
    }
}

/// Bits of the memory bus: six stacks of 1024 on Hopper, five before.
fn bus_bits(spec: &Spec) -> u32 {
    if spec.compute_capability.0 >= 9 { 6144 } else { 5120 }
}

/// Sixteen bytes that differ between devices and kinds of devices.
fn uuid(spec: &Spec, ordinal: CUdevice) -> [u8; 16] {
    let mut bytes = *b"ptx-emulator\0\0\0\0";
    let (major, minor) = spec.compute_capability;
    bytes[12] = (10 * major + minor) as u8;
    bytes[14..].copy_from_slice(&(ordinal as u16).to_be_bytes());
    bytes
}

fn put_uuid(out: Out<'_, [u8; 16]>, device: CUdevice) -> Result {
    let mut state = state()?;
    state.device(device)?;
    out.set(uuid(&state.settings.options.spec, device))
}

exports! {
    fn cuInit(flags: c_uint) {
        let settings = settings()?;
        if flags != 0 {
            return Err(code::INVALID_VALUE.into());
        }
        if settings.devices == 0 {
            return Err(code::NO_DEVICE.into());
        }
        start(settings);
        Ok(())
    }

    fn cuDriverGetVersion(out: Out<'_, c_int>) {
        out.set(settings()?.driver_version)
    }

    fn cuDeviceGetCount(out: Out<'_, c_int>) {
        out.set(state()?.devices.len() as c_int)
    }

    fn cuDeviceGet(out: Out<'_, CUdevice>, ordinal: c_int) {
        state()?.device(ordinal)?;
        out.set(ordinal)
    }

    fn cuDeviceGetName(out: Out<'_, c_char>, room: c_int, device: CUdevice) {
        let mut state = state()?;
        state.device(device)?;
        let room = usize::try_from(room).ok().filter(|room| *room > 0 && !out.is_null());
        let room = room.ok_or(code::INVALID_VALUE)?;
        put_text(out, room, state.settings.options.spec.name.as_bytes());
        Ok(())
    }

    fn cuDeviceGetUuid(out: Out<'_, [u8; 16]>, device: CUdevice) {
        put_uuid(out, device)
    }

    fn cuDeviceGetUuid_v2(out: Out<'_, [u8; 16]>, device: CUdevice) {
        put_uuid(out, device)
    }

    fn cuDeviceTotalMem_v2(out: Out<'_, usize>, device: CUdevice) {
        let mut state = state()?;
        state.device(device)?;
        out.set(state.settings.options.spec.memory_bytes as usize)
    }

    /// What is not simulated is 0.
    fn cuDeviceGetAttribute(out: Out<'_, c_int>, number: c_uint, device: CUdevice) {
        let mut state = state()?;
        state.device(device)?;
        if number == 0 || number > LAST_ATTRIBUTE {
            return Err(code::INVALID_VALUE.into());
        }
        let value = match number {
            // The bus number tells devices apart.
            33 => device as u64 + 1,
            _ => attribute(&state.settings.options.spec, number),
        };
        out.set(c_int::try_from(value).unwrap_or(c_int::MAX))
    }

    fn cuDeviceComputeCapability(
        major: Out<'_, c_int>,
        minor: Out<'_, c_int>,
        device: CUdevice,
    ) {
        let mut state = state()?;
        state.device(device)?;
        let (high, low) = state.settings.options.spec.compute_capability;
        major.set(high as c_int)?;
        minor.set(low as c_int)
    }

    fn cuDeviceGetPCIBusId(out: Out<'_, c_char>, room: c_int, device: CUdevice) {
        let mut state = state()?;
        state.device(device)?;
        let room = usize::try_from(room).ok().filter(|room| *room > 0 && !out.is_null());
        let room = room.ok_or(code::INVALID_VALUE)?;
        put_text(out, room, format!("0000:{:02X}:00.0", device + 1).as_bytes());
        Ok(())
    }

    fn cuDeviceCanAccessPeer(out: Out<'_, c_int>, device: CUdevice, peer: CUdevice) {
        let mut state = state()?;
        state.device(device)?;
        state.device(peer)?;
        out.set(0)
    }

    /// There is nothing to profile; the counters of launches are in the file that README.md names.
    fn cuProfilerStart() {
        state()?.current().map(drop)
    }

    fn cuProfilerStop() {
        state()?.current().map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_h200_has_its_published_figures() {
        let spec = Spec::h200();
        let table = [
            (1, 1024),
            (8, 49_152),
            (16, 132),
            (37, 6144),
            (39, 2048),
            (75, 9),
            (76, 0),
            (81, 233_472),
            (97, 232_448),
            (115, 1),
            (120, 1),
        ];
        for (number, expected) in table {
            assert_eq!(attribute(&spec, number), expected, "attribute {number}");
        }
        assert_eq!(attribute(&Spec::a100(), 120), 0);
    }

    #[test]
    fn devices_differ_in_their_uuid() {
        let spec = Spec::h200();
        assert_ne!(uuid(&spec, 0), uuid(&spec, 1));
        assert_ne!(uuid(&spec, 0), uuid(&Spec::a100(), 0));
    }
}
