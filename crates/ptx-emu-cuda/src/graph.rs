//! Graphs: work that was recorded once, to be run many times.

use std::ffi::{c_char, c_uint, c_ulonglong};
use std::sync::Arc;

use crate::error::{Error, Result, code};
use crate::object::graph::Graph;
use crate::object::operation::{GraphExec, Node, Operation};
use crate::state::{State, state};
use crate::stream::submit;
use crate::types::{CUgraph, CUgraphExec, CUgraphNode, CUstream, Out};

/// Allocations that a launch leaves are freed before the next, which is always so here.
const AUTO_FREE: c_ulonglong = 1;
/// The graph is launched by kernels.
const DEVICE_LAUNCH: c_ulonglong = 4;
/// All flags that there are.
const ALL_FLAGS: c_ulonglong = 15;

impl State {
    pub(crate) fn new_graph(&mut self, nodes: Vec<Node>) -> CUgraph {
        let table = &mut self.graph_nodes;
        self.graphs.insert_with(|graph| {
            let handle = |node: &Node| table.insert((graph, node.operation.node_type()));
            let handles = nodes.iter().map(handle).collect();
            Graph { nodes, handles }
        })
    }
}

fn instantiate(out: Out<'_, CUgraphExec>, graph: CUgraph, flags: c_ulonglong) -> Result {
    let mut state = state()?;
    let nodes = state.graphs.get(graph)?.nodes.clone();
    if flags & !ALL_FLAGS != 0 || flags & (AUTO_FREE | DEVICE_LAUNCH) == AUTO_FREE | DEVICE_LAUNCH {
        return Err(code::INVALID_VALUE.into());
    }
    if flags & DEVICE_LAUNCH != 0 {
        let story = "graphs that kernels launch are not simulated";
        return Err(Error::with(code::NOT_SUPPORTED, story));
    }
    out.set(state.graph_execs.insert(Arc::new(GraphExec { nodes, flags })))
}

exports! {
    fn cuGraphInstantiateWithFlags(
        out: Out<'_, CUgraphExec>,
        graph: CUgraph,
        flags: c_ulonglong,
    ) {
        instantiate(out, graph, flags)
    }

    fn cuGraphInstantiate_v2(
        out: Out<'_, CUgraphExec>,
        graph: CUgraph,
        error_node: Out<'_, CUgraphNode>,
        log: Out<'_, c_char>,
        room: usize,
    ) {
        error_node.offer(0);
        crate::types::put_text(log, room, b"");
        instantiate(out, graph, 0)
    }

    /// On a stream under capture the graph becomes a node.
    fn cuGraphLaunch(exec: CUgraphExec, stream: CUstream) {
        let exec = Arc::clone(state()?.graph_execs.get(exec)?);
        submit(stream, Operation::Graph(exec))
    }

    /// There is nothing to upload.
    fn cuGraphUpload(exec: CUgraphExec, stream: CUstream) {
        let state = state()?;
        state.graph_execs.get(exec)?;
        state.context_of(stream).map(drop)
    }

    fn cuGraphExecGetFlags(exec: CUgraphExec, out: Out<'_, c_ulonglong>) {
        out.set(state()?.graph_execs.get(exec)?.flags)
    }

    fn cuGraphExecDestroy(exec: CUgraphExec) {
        // Memory that it owns is freed after the lock is gone.
        let exec = state()?.graph_execs.remove(exec)?;
        drop(exec);
        Ok(())
    }

    fn cuGraphDestroy(graph: CUgraph) {
        let mut state = state()?;
        let removed = state.graphs.remove(graph)?;
        state.graph_nodes.retain(|(owner, _)| *owner != graph);
        drop(state);
        drop(removed);
        Ok(())
    }

    /// The nodes in the order of their recording; without `nodes`, their number alone.
    fn cuGraphGetNodes(graph: CUgraph, nodes: Out<'_, CUgraphNode>, count: Out<'_, usize>) {
        let state = state()?;
        let handles = &state.graphs.get(graph)?.handles;
        if nodes.is_null() {
            return count.set(handles.len());
        }
        let room = count.get()?;
        for index in 0..room {
            nodes.element(index).set(handles.get(index).copied().unwrap_or(0))?;
        }
        count.set(room.min(handles.len()))
    }

    fn cuGraphNodeGetType(node: CUgraphNode, out: Out<'_, c_uint>) {
        out.set(state()?.graph_nodes.get(node)?.1)
    }
}
