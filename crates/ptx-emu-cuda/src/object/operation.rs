//! Work in stream order: run at once, or recorded in a graph and run when that is launched.

use std::ffi::{c_ulonglong, c_void};
use std::sync::{Arc, PoisonError};

use ptx_emu::Fault;

use super::context::Context;
use super::launch::Launch;
use crate::error::{Error, Failure, Result, code};
use crate::types::CUresult;

/// A piece of work. Host addresses are the caller's and good until the work has run.
#[derive(Debug)]
pub(crate) enum Operation {
    /// Host to device.
    Write { to: u64, from: u64, bytes: usize },
    /// Device to host.
    Read { to: u64, from: u64, bytes: usize },
    /// Device to device.
    Copy { to: u64, from: u64, bytes: usize },
    /// Host to host.
    Move { to: u64, from: u64, bytes: usize },
    /// From the memory of another context.
    Peer { to: u64, from: u64, bytes: usize, source: Arc<Context> },
    /// Sets `count` elements of `width` bytes.
    Fill { at: u64, value: u32, width: usize, count: usize },
    /// A kernel.
    Launch(Box<Launch>),
    /// A function of the caller's.
    Host(HostCall),
    /// A recorded allocation; it lives as long as a graph that has it.
    Alloc(#[expect(dead_code, reason = "it is held, not read")] Arc<GraphMemory>),
    /// A recorded release; the memory stays with its graph.
    Free,
    /// A whole graph.
    Graph(Arc<GraphExec>),
}

/// A function of the caller's, with its argument.
#[derive(Debug, Clone, Copy)]
pub(crate) enum HostCall {
    Plain {
        function: unsafe extern "C" fn(*mut c_void),
        data: u64,
    },
    WithStatus {
        function: unsafe extern "C" fn(u64, CUresult, *mut c_void),
        stream: u64,
        data: u64,
    },
}

impl HostCall {
    pub(crate) fn run(self) {
        match self {
            // SAFETY: the caller gave the function to be called with this argument.
            HostCall::Plain { function, data } => unsafe { function(data as *mut c_void) },
            // SAFETY: as above.
            HostCall::WithStatus { function, stream, data } => unsafe {
                function(stream, code::SUCCESS, data as *mut c_void);
            },
        }
    }
}

/// Device memory that a graph allocates.
#[derive(Debug)]
pub(crate) struct GraphMemory {
    pub(crate) context: Arc<Context>,
    pub(crate) ptr: u64,
}

impl Drop for GraphMemory {
    fn drop(&mut self) {
        // The caller may have freed it after the graph ran.
        let _ = self.context.gpu.free(self.ptr);
    }
}

/// A node: work, its context, and the nodes before it.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) context: Arc<Context>,
    pub(crate) operation: Arc<Operation>,
    pub(crate) after: Vec<usize>,
}

/// A graph that can be launched. It does not change with the graph that it came from.
#[derive(Debug)]
pub(crate) struct GraphExec {
    pub(crate) nodes: Vec<Node>,
    pub(crate) flags: c_ulonglong,
}

impl Operation {
    /// The type of the node that it is in a graph, as the driver numbers them.
    pub(crate) fn node_type(&self) -> u32 {
        match self {
            Operation::Launch(_) => 0,
            Operation::Write { .. }
            | Operation::Read { .. }
            | Operation::Copy { .. }
            | Operation::Move { .. }
            | Operation::Peer { .. } => 1,
            Operation::Fill { .. } => 2,
            Operation::Host(_) => 3,
            Operation::Graph(_) => 4,
            Operation::Alloc(_) => 10,
            Operation::Free => 11,
        }
    }

    /// Does it; the context's queue is held.
    fn work(&self, context: &Context) -> std::result::Result<(), Failure> {
        let gpu = &context.gpu;
        let failed = |fault: Fault| (Error::memory(&fault), false);
        match self {
            Operation::Write { to, from, bytes } => {
                gpu.write(*to, host(*from, *bytes)?).map_err(failed)
            }
            Operation::Read { to, from, bytes } => {
                gpu.read(*from, host_mut(*to, *bytes)?).map_err(failed)
            }
            Operation::Copy { to, from, bytes } => gpu.copy(*to, *from, *bytes).map_err(failed),
            Operation::Move { to, from, bytes } => {
                let copy = host(*from, *bytes)?.to_vec();
                host_mut(*to, *bytes)?.copy_from_slice(&copy);
                Ok(())
            }
            Operation::Peer { to, from, bytes, source } => {
                let mut copy = vec![0; *bytes];
                source.gpu.read(*from, &mut copy).map_err(failed)?;
                gpu.write(*to, &copy).map_err(failed)
            }
            Operation::Fill { at, value, width, count } => {
                if *width == 1 {
                    return gpu.fill(*at, *value as u8, *count).map_err(failed);
                }
                let pattern = &value.to_le_bytes()[..*width];
                gpu.write(*at, &pattern.repeat(*count)).map_err(failed)
            }
            Operation::Launch(launch) => launch.run(gpu),
            Operation::Alloc(_) | Operation::Free => Ok(()),
            // `run` does these two itself, without holding the queue.
            Operation::Host(_) | Operation::Graph(_) => Ok(()),
        }
    }
}

impl GraphExec {
    /// Runs every node in its order.
    pub(crate) fn run(&self) -> Result {
        self.nodes.iter().try_for_each(|node| run(&node.context, &node.operation))
    }
}

/// Runs work in its context, to its end.
pub(crate) fn run(context: &Context, operation: &Operation) -> Result {
    context.check()?;
    match operation {
        // What the caller's function does is its own affair, waiting for others included.
        Operation::Host(call) => {
            call.run();
            return Ok(());
        }
        Operation::Graph(exec) => return exec.run(),
        _ => {}
    }
    let _turn = context.queue.lock().unwrap_or_else(PoisonError::into_inner);
    context.check()?;
    context.host.push(&context.gpu)?;
    let done = operation.work(context);
    if let Err((error, true)) = done {
        context.lose(error);
    }
    context.host.pull(&context.gpu)?;
    done.map_err(|(error, _)| error)
}

fn host<'a>(from: u64, bytes: usize) -> std::result::Result<&'a [u8], Failure> {
    match (from, bytes) {
        (_, 0) => Ok(&[]),
        (0, _) => Err((code::INVALID_VALUE.into(), false)),
        // SAFETY: the caller of the copy promised that many bytes until the copy has run.
        _ => Ok(unsafe { std::slice::from_raw_parts(from as *const u8, bytes) }),
    }
}

fn host_mut<'a>(to: u64, bytes: usize) -> std::result::Result<&'a mut [u8], Failure> {
    match (to, bytes) {
        (_, 0) => Ok(&mut []),
        (0, _) => Err((code::INVALID_VALUE.into(), false)),
        // SAFETY: as in `host`, and nobody else uses them meanwhile.
        _ => Ok(unsafe { std::slice::from_raw_parts_mut(to as *mut u8, bytes) }),
    }
}
