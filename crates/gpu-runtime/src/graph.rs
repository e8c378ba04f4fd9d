//! Graphs: work of a stream, recorded once and run many times at the cost of one launch.

use std::any::Any;
use std::ptr;
use std::sync::Arc;

use cudarc::driver::sys;

use crate::device::Device;
use crate::error::{GpuError, Result};
use crate::kind::ErrorKind;
use crate::stream::Stream;

/// Recorded work, ready to run.
pub struct Graph {
    device: Device,
    graph: sys::CUgraph,
    exec: sys::CUgraphExec,
    nodes: usize,
    /// Stands for the graph in errors.
    name: Arc<str>,
    kept: Vec<Box<dyn Any + Send + Sync>>,
}

// SAFETY: the handles are the driver's and may be used from any thread.
unsafe impl Send for Graph {}
// SAFETY: as above; `&self` only launches, which the driver serialises for one graph.
unsafe impl Sync for Graph {}

impl Stream {
    /// Records what `work` puts on this stream into a graph, and runs none of it.
    ///
    /// Kernels, device-to-device copies and fills can be recorded. Allocations and copies from
    /// or to the host are refused, and buffers that are dropped meanwhile are given back after.
    /// Streams that wait for this one and that it waits for are recorded with it.
    ///
    /// # Errors
    ///
    /// The error of `work`; `Capture` when what it did cannot be recorded.
    pub fn capture(&self, work: impl FnOnce(&Stream) -> Result<()>) -> Result<Graph> {
        let recording = Recording::begin(self)?;
        work(self)?;
        let (graph, kernels) = recording.end()?;
        Graph::instantiate(self.device(), graph, &kernels)
    }
}

impl Graph {
    /// Makes a recorded graph runnable. Owns it from the start, also when a step fails.
    fn instantiate(device: &Device, raw: sys::CUgraph, kernels: &[Arc<str>]) -> Result<Graph> {
        let name = format!("graph of {}", kernels.join(", ")).into();
        let device = device.clone();
        let exec = ptr::null_mut();
        let mut graph = Graph { device, graph: raw, exec, nodes: 0, name, kept: Vec::new() };
        // SAFETY: the graph is alive; a null list asks for the count.
        let status = unsafe { sys::cuGraphGetNodes(raw, ptr::null_mut(), &raw mut graph.nodes) };
        graph.device.check("graph nodes", status)?;
        // SAFETY: the graph is alive; the driver writes one handle; flags are 0.
        let status = unsafe { sys::cuGraphInstantiateWithFlags(&raw mut graph.exec, raw, 0) };
        graph
            .device
            .check("graph instantiate", status)
            .map_err(|error| error.or_kind(ErrorKind::Capture))?;
        Ok(graph)
    }

    /// How many operations it holds.
    pub fn nodes(&self) -> usize {
        self.nodes
    }

    /// Keeps a value, such as the buffers that the recorded kernels use, as long as the graph.
    #[must_use]
    pub fn keep(mut self, value: impl Any + Send + Sync) -> Graph {
        self.kept.push(Box::new(value));
        self
    }

    /// Puts one run of the graph on a stream of its device, and returns.
    ///
    /// # Errors
    ///
    /// `Argument` for a stream of another device; as a launch otherwise.
    ///
    /// # Safety
    ///
    /// The promise of each recorded [`crate::Kernel::launch`] is given anew: the memory that it
    /// was recorded with is alive ([`Graph::keep`]) and used by no other work, until this run
    /// has ended.
    pub unsafe fn launch(&self, stream: &Stream) -> Result<()> {
        if !self.device.is_same(stream.device()) {
            let (want, got) = (self.device.ordinal(), stream.device().ordinal());
            let detail = format!("the stream is on cuda:{got}, expected cuda:{want}");
            return Err(GpuError::new(ErrorKind::Argument, &*self.name, detail));
        }
        stream.bind()?;
        // SAFETY: graph and stream are alive and of one device; the rest is the caller's promise.
        let status = unsafe { sys::cuGraphLaunch(self.exec, stream.raw()) };
        stream.check(&self.name, status).map_err(|error| error.or_kind(ErrorKind::Launch))?;
        stream.launched(&self.name)
    }
}

impl std::fmt::Debug for Graph {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Graph({} nodes, {})", self.nodes, self.name)
    }
}

impl Drop for Graph {
    /// Give the graph up first, then what it keeps. A run that is queued ends first.
    fn drop(&mut self) {
        if self.device.bind().is_err() {
            return;
        }
        // SAFETY: made once, destroyed once.
        unsafe {
            if !self.exec.is_null() {
                let _ = sys::cuGraphExecDestroy(self.exec);
            }
            let _ = sys::cuGraphDestroy(self.graph);
        }
    }
}

/// A capture that runs. Ends when dropped, so that an error or a panic leaves no stream in it.
struct Recording<'a> {
    stream: &'a Stream,
    open: bool,
}

impl<'a> Recording<'a> {
    fn begin(stream: &'a Stream) -> Result<Recording<'a>> {
        stream.refuse_in_capture("graph capture")?;
        // Other threads may go on: only calls of this one are refused when they would break it.
        let mode = sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
        // SAFETY: the stream is alive and its context is current.
        let status = unsafe { sys::cuStreamBeginCapture_v2(stream.raw(), mode) };
        stream.check("graph capture", status)?;
        *stream.captured() = Some(Vec::new());
        Ok(Recording { stream, open: true })
    }

    /// Ends the capture: the graph, and the names of its kernels.
    fn end(mut self) -> Result<(sys::CUgraph, Vec<Arc<str>>)> {
        self.close()
    }

    fn close(&mut self) -> Result<(sys::CUgraph, Vec<Arc<str>>)> {
        self.open = false;
        let kernels = self.stream.captured().take().unwrap_or_default();
        let mut graph = ptr::null_mut();
        self.stream.bind()?;
        // SAFETY: the capture was begun by this thread; the driver writes one handle.
        let status = unsafe { sys::cuStreamEndCapture(self.stream.raw(), &raw mut graph) };
        self.stream.device().pool().release_deferred();
        self.stream.check("graph capture", status)?;
        Ok((graph, kernels))
    }
}

impl Drop for Recording<'_> {
    fn drop(&mut self) {
        if self.open
            && let Ok((graph, _)) = self.close()
        {
            // SAFETY: the graph was just made, and nobody else knows it.
            let _ = unsafe { sys::cuGraphDestroy(graph) };
        }
    }
}
