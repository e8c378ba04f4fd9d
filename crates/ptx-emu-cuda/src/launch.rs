//! Launches: arguments taken from the caller's memory, sizes checked as the driver checks them.

use std::ffi::{c_uint, c_void};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use ptx_emu::LaunchConfig;

use crate::error::{Error, Result, code};
use crate::function::function;
use crate::object::function::{Function, MAX_THREADS};
use crate::object::launch::Launch;
use crate::object::operation::Operation;
use crate::state::state;
use crate::stream::submit;
use crate::types::{CUfunction, CUlaunchAttribute, CUlaunchConfig, CUstream, In};

/// The numbers of the attributes that count.
const COOPERATIVE: c_uint = 2;
const CLUSTER: c_uint = 4;
/// The largest cluster that every device takes, and the largest with leave.
const PORTABLE_CLUSTER: u32 = 8;
const LARGEST_CLUSTER: u32 = 16;

/// The attributes of a launch.
fn attributes(config: &CUlaunchConfig) -> Result<Vec<CUlaunchAttribute>> {
    if config.attributes.is_null() {
        return Ok(Vec::new());
    }
    // SAFETY: the caller from C gives as many attributes as it says.
    unsafe { In::at(config.attributes) }.list(config.attribute_count as usize)
}

/// The cluster that a launch asks for, or that the kernel has.
pub(crate) fn cluster_of(function: &Function, config: &CUlaunchConfig) -> Result<Option<[u32; 3]>> {
    let asked = attributes(config)?.into_iter().find(|attribute| attribute.id == CLUSTER);
    let asked = asked.map(|attribute| [attribute.value[0], attribute.value[1], attribute.value[2]]);
    Ok(asked.or(function.kernel()?.cluster()))
}

/// Refuses what the driver refuses, with its status.
fn check(function: &Function, config: &LaunchConfig) -> Result {
    let name = &function.name;
    let fail = |status, detail: String| Err(Error::with(status, format!("{name}: {detail}")));
    let kernel = function.kernel()?;
    let spec = function.spec();
    let LaunchConfig { grid, block, dynamic_shared, .. } = *config;
    let threads = block.iter().copied().fold(1, u32::saturating_mul);
    if threads == 0 || threads > MAX_THREADS || block[2] > 64 {
        return fail(code::INVALID_VALUE, format!("block {block:?}, expected 1 to 1024 threads"));
    }
    let over = grid[0] > 0x7fff_ffff || grid[1] > 65_535 || grid[2] > 65_535;
    if grid.contains(&0) || over {
        let detail = format!("grid {grid:?}, expected 1 to [2147483647, 65535, 65535]");
        return fail(code::INVALID_VALUE, detail);
    }
    if let Some(required) = kernel.required_threads().filter(|required| *required != block) {
        let detail = format!("block {block:?}, the file requires {required:?}");
        return fail(code::INVALID_VALUE, detail);
    }
    let most = function.max_threads()?;
    if threads > most {
        let detail = format!("{threads} threads, the file allows {most}");
        return fail(code::LAUNCH_OUT_OF_RESOURCES, detail);
    }
    let allowed = function.dynamic_shared.load(Relaxed);
    if dynamic_shared > allowed {
        let detail = format!(
            "{dynamic_shared} bytes of dynamic shared memory, expected at most {allowed} (hint: \
             CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES raises it)"
        );
        return fail(code::INVALID_VALUE, detail);
    }
    if let Some(shape) = config.cluster {
        check_cluster(function, grid, shape)?;
    }
    let resident = function.blocks_per_sm(threads, dynamic_shared)?;
    if resident == 0 {
        let detail = format!("a CTA of {threads} threads does not fit an SM");
        return fail(code::LAUNCH_OUT_OF_RESOURCES, detail);
    }
    let ctas = grid.iter().map(|&extent| u128::from(extent)).product::<u128>();
    let room = u64::from(resident) * u64::from(spec.sms);
    if config.cooperative && ctas > room.into() {
        let detail = format!("a cooperative grid of {ctas} CTAs, the device holds {room}");
        return fail(code::COOPERATIVE_LAUNCH_TOO_LARGE, detail);
    }
    Ok(())
}

fn check_cluster(function: &Function, grid: [u32; 3], shape: [u32; 3]) -> Result {
    let count = shape.iter().copied().fold(1, u32::saturating_mul);
    let divides = (0..3).all(|axis| shape[axis] != 0 && grid[axis].is_multiple_of(shape[axis]));
    let large = function.large_clusters.load(Relaxed);
    let most = if large { LARGEST_CLUSTER } else { PORTABLE_CLUSTER };
    if divides && count <= most && function.spec().compute_capability.0 >= 9 {
        return Ok(());
    }
    let story = format!(
        "{}: cluster {shape:?} of grid {grid:?}, expected a divisor of it, at most {most} CTAs, \
         and compute capability 9.0",
        function.name
    );
    Err(Error::with(code::INVALID_CLUSTER_SIZE, story))
}

/// The parameter block: from an array of pointers to arguments, or from one buffer.
fn params(
    function: &Function,
    list: In<'_, *const u8>,
    extra: In<'_, *const c_void>,
) -> Result<Vec<u8>> {
    let kernel = function.kernel()?;
    let bytes = kernel.param_bytes() as usize;
    if !list.is_null() && !extra.is_null() {
        return Err(code::INVALID_VALUE.into());
    }
    if !extra.is_null() {
        return from_extra(extra, bytes);
    }
    let mut block = vec![0; bytes];
    if bytes != 0 {
        let pointers = list.list(kernel.params().len())?;
        for (param, pointer) in kernel.params().iter().zip(pointers) {
            // SAFETY: the caller from C gives a value of the parameter's size for each parameter.
            let value = unsafe { In::at(pointer) }.list(param.bytes as usize)?;
            block[param.offset as usize..][..value.len()].copy_from_slice(&value);
        }
    }
    Ok(block)
}

/// Pairs of a name and a value, ended by a null: 1 is the buffer, 2 a pointer to its size.
fn from_extra(extra: In<'_, *const c_void>, bytes: usize) -> Result<Vec<u8>> {
    /// More entries than the two there are, so that a list without an end is an error.
    const MOST: usize = 8;
    let (mut buffer, mut size) = (In::null(), In::null());
    for pair in 0..MOST {
        let name = extra.element(2 * pair).get()? as usize;
        if name == 0 {
            let given = size.get()?;
            if given < bytes {
                let story = format!("{given} bytes of parameters, expected {bytes}");
                return Err(Error::with(code::INVALID_VALUE, story));
            }
            return buffer.list(bytes);
        }
        let value = extra.element(2 * pair + 1).get()?;
        match name {
            // SAFETY: the caller from C gives the parameter block after this name.
            1 => buffer = unsafe { In::<u8>::at(value.cast()) },
            // SAFETY: and a pointer to its size after this one.
            2 => size = unsafe { In::<usize>::at(value.cast()) },
            _ => return Err(code::INVALID_VALUE.into()),
        }
    }
    Err(code::INVALID_VALUE.into())
}

/// Checks and submits a launch.
fn launch(
    handle: CUfunction,
    config: LaunchConfig,
    stream: CUstream,
    list: In<'_, *const u8>,
    extra: In<'_, *const c_void>,
) -> Result {
    let function = function(handle)?;
    let context = state()?.context_of(stream)?;
    if !Arc::ptr_eq(&context, &function.context) {
        let story = format!("{}: function and stream are of different contexts", function.name);
        return Err(Error::with(code::INVALID_HANDLE, story));
    }
    let config =
        LaunchConfig { cluster: config.cluster.or(function.kernel()?.cluster()), ..config };
    check(&function, &config)?;
    let params = params(&function, list, extra)?;
    submit(stream, Operation::Launch(Box::new(Launch { function, config, params })))
}

exports! {
    fn cuLaunchKernel(
        handle: CUfunction,
        grid_x: c_uint,
        grid_y: c_uint,
        grid_z: c_uint,
        block_x: c_uint,
        block_y: c_uint,
        block_z: c_uint,
        shared_bytes: c_uint,
        stream: CUstream,
        params: In<'_, *const u8>,
        extra: In<'_, *const c_void>,
    ) {
        let config = LaunchConfig::new([grid_x, grid_y, grid_z], [block_x, block_y, block_z]);
        launch(handle, config.with_shared(shared_bytes), stream, params, extra)
    }

    fn cuLaunchCooperativeKernel(
        handle: CUfunction,
        grid_x: c_uint,
        grid_y: c_uint,
        grid_z: c_uint,
        block_x: c_uint,
        block_y: c_uint,
        block_z: c_uint,
        shared_bytes: c_uint,
        stream: CUstream,
        params: In<'_, *const u8>,
    ) {
        let config = LaunchConfig::new([grid_x, grid_y, grid_z], [block_x, block_y, block_z]);
        let config = LaunchConfig { cooperative: true, ..config.with_shared(shared_bytes) };
        launch(handle, config, stream, params, In::null())
    }

    /// Of the attributes, cooperation and clusters count; the others change no result.
    fn cuLaunchKernelEx(
        config: In<'_, CUlaunchConfig>,
        handle: CUfunction,
        params: In<'_, *const u8>,
        extra: In<'_, *const c_void>,
    ) {
        let config = config.get()?;
        let attributes = attributes(&config)?;
        let find = |id| attributes.iter().find(|attribute| attribute.id == id);
        let cluster = cluster_of(&*function(handle)?, &config)?;
        let cooperative = find(COOPERATIVE).is_some_and(|attribute| attribute.value[0] != 0);
        let plain = LaunchConfig::new(config.grid, config.block).with_shared(config.shared_bytes);
        let plain = LaunchConfig { cooperative, cluster, ..plain };
        launch(handle, plain, config.stream, params, extra)
    }
}
