//! Copies. The synchronous ones may not happen during a capture; the others can be recorded.

use std::ffi::c_void;
use std::sync::Arc;

use crate::error::Result;
use crate::object::operation::{Operation, run};
use crate::state::{State, state};
use crate::stream::{submit, wait_for};
use crate::types::{CUcontext, CUdeviceptr, CUstream, In, Out};

fn write(to: CUdeviceptr, from: In<'_, c_void>, bytes: usize) -> Operation {
    Operation::Write { to, from: from.address(), bytes }
}

fn read(to: Out<'_, c_void>, from: CUdeviceptr, bytes: usize) -> Operation {
    Operation::Read { to: to.address(), from, bytes }
}

/// A copy whose ends are on the host or the device, as their addresses say.
///
/// An address is the device's if an allocation there has it. A host address that is a device
/// address too, which the two systems do not rule out, is taken for the device's.
fn either(state: &State, to: u64, from: u64, bytes: usize) -> Result<Operation> {
    let context = state.current()?;
    let on_device = |address| context.gpu.allocation(address).is_some();
    Ok(match (on_device(to), on_device(from)) {
        (true, true) => Operation::Copy { to, from, bytes },
        (true, false) => Operation::Write { to, from, bytes },
        (false, true) => Operation::Read { to, from, bytes },
        (false, false) => Operation::Move { to, from, bytes },
    })
}

/// A copy between contexts, and whether it runs in the context of the target.
fn peer(
    to: (CUdeviceptr, CUcontext),
    from: (CUdeviceptr, CUcontext),
    bytes: usize,
) -> Result<(Operation, bool)> {
    let state = state()?;
    let (target, source) = (state.context(to.1)?, state.context(from.1)?);
    source.check()?;
    let (own, source) = (Arc::ptr_eq(target, source), Arc::clone(source));
    Ok(match own {
        true => (Operation::Copy { to: to.0, from: from.0, bytes }, true),
        false => (Operation::Peer { to: to.0, from: from.0, bytes, source }, false),
    })
}

exports! {
    fn cuMemcpyHtoD_v2(to: CUdeviceptr, from: In<'_, c_void>, bytes: usize) {
        wait_for(&write(to, from, bytes))
    }

    fn cuMemcpyHtoDAsync_v2(
        to: CUdeviceptr,
        from: In<'_, c_void>,
        bytes: usize,
        stream: CUstream,
    ) {
        submit(stream, write(to, from, bytes))
    }

    fn cuMemcpyDtoH_v2(to: Out<'_, c_void>, from: CUdeviceptr, bytes: usize) {
        wait_for(&read(to, from, bytes))
    }

    fn cuMemcpyDtoHAsync_v2(
        to: Out<'_, c_void>,
        from: CUdeviceptr,
        bytes: usize,
        stream: CUstream,
    ) {
        submit(stream, read(to, from, bytes))
    }

    fn cuMemcpyDtoD_v2(to: CUdeviceptr, from: CUdeviceptr, bytes: usize) {
        wait_for(&Operation::Copy { to, from, bytes })
    }

    fn cuMemcpyDtoDAsync_v2(
        to: CUdeviceptr,
        from: CUdeviceptr,
        bytes: usize,
        stream: CUstream,
    ) {
        submit(stream, Operation::Copy { to, from, bytes })
    }

    /// The addresses say which end is where.
    fn cuMemcpy(to: CUdeviceptr, from: CUdeviceptr, bytes: usize) {
        let operation = either(&*state()?, to, from, bytes)?;
        wait_for(&operation)
    }

    /// The addresses say which end is where.
    fn cuMemcpyAsync(to: CUdeviceptr, from: CUdeviceptr, bytes: usize, stream: CUstream) {
        let operation = either(&*state()?, to, from, bytes)?;
        submit(stream, operation)
    }

    fn cuMemcpyPeer(
        to: CUdeviceptr,
        to_context: CUcontext,
        from: CUdeviceptr,
        from_context: CUcontext,
        bytes: usize,
    ) {
        let (operation, _) = peer((to, to_context), (from, from_context), bytes)?;
        let target = {
            let mut state = state()?;
            state.refuse_while_capturing()?;
            Arc::clone(state.context(to_context)?)
        };
        run(&target, &operation)
    }

    /// The copy runs in the target's context, whichever the stream is of; it is not recorded.
    fn cuMemcpyPeerAsync(
        to: CUdeviceptr,
        to_context: CUcontext,
        from: CUdeviceptr,
        from_context: CUcontext,
        bytes: usize,
        stream: CUstream,
    ) {
        let (operation, own) = peer((to, to_context), (from, from_context), bytes)?;
        if own {
            return submit(stream, operation);
        }
        let target = {
            let mut state = state()?;
            state.context_of(stream)?;
            state.refuse_if_captured(stream)?;
            Arc::clone(state.context(to_context)?)
        };
        run(&target, &operation)
    }
}
