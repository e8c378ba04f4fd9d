//! Streams are captured, and graphs repeat what they were given.

mod common;

use std::ffi::c_void;

use common::*;
use ptx_emu_cuda::event::*;
use ptx_emu_cuda::graph::*;
use ptx_emu_cuda::launch::*;
use ptx_emu_cuda::memory::*;
use ptx_emu_cuda::memset::*;
use ptx_emu_cuda::stream::*;
use ptx_emu_cuda::transfer::*;
use ptx_emu_cuda::types::*;

const GLOBAL: u32 = 0;
const THREAD: u32 = 1;
const RELAXED: u32 = 2;

fn stream() -> CUstream {
    let mut stream = 0;
    ok!(cuStreamCreateWithPriority((&mut stream).into(), 1, 0));
    stream
}

fn event() -> CUevent {
    let mut event = 0;
    ok!(cuEventCreate((&mut event).into(), 2));
    event
}

fn add_one(function: CUfunction, x: u64, stream: CUstream) -> u32 {
    let args = Args::new(&[x, x, 2]);
    call!(cuLaunchKernel(function, 1, 1, 1, 32, 1, 1, 0, stream, args.list(), In::null()))
}

fn end(stream: CUstream) -> (u32, CUgraph) {
    let mut graph = 77;
    (call!(cuStreamEndCapture(stream, (&mut graph).into())), graph)
}

fn instantiate(graph: CUgraph) -> CUgraphExec {
    let mut exec = 0;
    ok!(cuGraphInstantiateWithFlags((&mut exec).into(), graph, 0));
    exec
}

fn node_types(graph: CUgraph) -> Vec<u32> {
    let mut count = 0;
    ok!(cuGraphGetNodes(graph, Out::null(), (&mut count).into()));
    let mut nodes = vec![0; count];
    ok!(cuGraphGetNodes(graph, Out::at(nodes.as_mut_ptr()), (&mut count).into()));
    let kind = |node: u64| {
        let mut kind = 99;
        ok!(cuGraphNodeGetType(node, (&mut kind).into()));
        kind
    };
    nodes.into_iter().map(kind).collect()
}

fn status(stream: CUstream) -> u32 {
    let mut status = 9;
    ok!(cuStreamIsCapturing(stream, (&mut status).into()));
    status
}

#[test]
fn a_graph_repeats_what_was_recorded() {
    extern "C" fn count(data: *mut c_void) {
        // SAFETY: the test passes a number that outlives the graph.
        unsafe { *data.cast::<u32>() += 1 };
    }
    context();
    let function = kernel(module(ADD_ONE), c"add_one");
    let (x, y, stream) = (upload(&[1, 2]), upload(&[0, 0]), stream());
    let mut calls = 0u32;
    ok!(cuStreamBeginCapture_v2(stream, THREAD));
    assert_eq!((status(stream), status(0)), (1, 0));
    assert_eq!(add_one(function, x, stream), 0);
    ok!(cuMemcpyDtoDAsync_v2(y, x, 8, stream));
    ok!(cuMemsetD8Async(y + 4, 0, 4, stream));
    ok!(cuLaunchHostFunc(stream, Some(count), Out::at((&raw mut calls).cast())));
    let (ended, graph) = end(stream);
    assert_eq!((ended, status(stream)), (0, 0));
    assert_eq!(node_types(graph), [0, 1, 2, 3]);
    assert_eq!(download(x, 2), [1, 2], "recording runs nothing");
    let exec = instantiate(graph);
    ok!(cuGraphDestroy(graph));
    ok!(cuGraphUpload(exec, stream));
    for _ in 0..3 {
        ok!(cuGraphLaunch(exec, stream));
    }
    assert_eq!((download(x, 2), download(y, 2)), (vec![4, 5], vec![4, 0]));
    assert_eq!(calls, 3);
    ok!(cuGraphExecDestroy(exec));
    assert_eq!(call!(cuGraphLaunch(exec, stream)), 400);
    assert_eq!(call!(cuGraphDestroy(graph)), 400);
}

#[test]
fn an_empty_capture_is_a_graph_and_a_graph_can_be_a_node() {
    context();
    let (x, stream) = (upload(&[9]), stream());
    ok!(cuStreamBeginCapture_v2(stream, GLOBAL));
    let (ended, empty) = end(stream);
    assert_eq!((ended, node_types(empty)), (0, vec![]));
    ok!(cuGraphLaunch(instantiate(empty), stream));

    ok!(cuStreamBeginCapture_v2(stream, RELAXED));
    ok!(cuMemsetD32Async(x, 5, 1, stream));
    let inner = instantiate(end(stream).1);
    ok!(cuStreamBeginCapture_v2(stream, RELAXED));
    ok!(cuGraphLaunch(inner, stream));
    let (_, outer) = end(stream);
    assert_eq!(node_types(outer), [4]);
    assert_eq!(download(x, 1), [9]);
    ok!(cuGraphLaunch(instantiate(outer), stream));
    assert_eq!(download(x, 1), [5]);
    let mut exec = 0;
    assert_eq!(call!(cuGraphInstantiateWithFlags((&mut exec).into(), outer, 5)), 1);
    assert_eq!(call!(cuGraphInstantiateWithFlags((&mut exec).into(), outer, 1 << 20)), 1);
}

#[test]
fn a_capture_spreads_by_events_and_must_come_together() {
    context();
    let (x, first, second) = (upload(&[0, 0]), stream(), stream());
    let (fork, join) = (event(), event());
    for joined in [true, false] {
        ok!(cuStreamBeginCapture_v2(first, THREAD));
        ok!(cuMemsetD32Async(x, 1, 1, first));
        ok!(cuEventRecord(fork, first));
        ok!(cuStreamWaitEvent(second, fork, 0));
        assert_eq!(status(second), 1);
        ok!(cuMemsetD32Async(x + 4, 2, 1, second));
        assert_eq!(call!(cuEventQuery(fork)), 907);
        if joined {
            ok!(cuEventRecord(join, second));
            ok!(cuStreamWaitEvent(first, join, 0));
        }
        let (ended, graph) = end(first);
        assert_eq!((status(first), status(second)), (0, 0));
        if joined {
            assert_eq!((ended, node_types(graph)), (0, vec![2, 2]));
            ok!(cuGraphLaunch(instantiate(graph), first));
            assert_eq!(download(x, 2), [1, 2]);
        } else {
            assert_eq!((ended, graph), (904, 0));
        }
    }
}

#[test]
fn what_may_not_happen_in_a_capture_spoils_it() {
    context();
    let (x, captured, other) = (upload(&[0]), stream(), stream());
    let outside = event();
    ok!(cuEventRecord(outside, other));
    let mut ptr = 0;
    let spoilers: [(&dyn Fn() -> u32, u32); 6] = [
        (&|| call!(cuStreamSynchronize(captured)), 900),
        (&|| call!(cuStreamQuery(captured)), 900),
        (&|| call!(ptx_emu_cuda::context::cuCtxSynchronize()), 900),
        (&|| call!(cuMemcpyHtoD_v2(x, host(&[1u32]), 4)), 900),
        (&|| call!(cuStreamWaitEvent(captured, outside, 0)), 905),
        (&|| call!(cuMemFree_v2(x)), 900),
    ];
    for (index, (spoil, expected)) in spoilers.into_iter().enumerate() {
        ok!(cuStreamBeginCapture_v2(captured, THREAD));
        assert_eq!(spoil(), expected, "{index}");
        assert_eq!(status(captured), 2, "{index}");
        assert_eq!(call!(cuMemsetD32Async(x, 1, 1, captured)), 901);
        assert_eq!(end(captured), (901, 0), "{index}");
    }
    // A relaxed capture does not mind.
    ok!(cuStreamBeginCapture_v2(captured, RELAXED));
    ok!(cuMemAlloc_v2((&mut ptr).into(), 4));
    assert_eq!(end(captured).0, 0);
    assert_eq!(download(x, 1), [0]);
}

#[test]
fn captures_begin_and_end_where_they_should() {
    let own = context();
    let (first, second) = (stream(), stream());
    assert_eq!(call!(cuStreamBeginCapture_v2(0, THREAD)), 900);
    assert_eq!(call!(cuStreamBeginCapture_v2(first, 3)), 1);
    assert_eq!(end(first).0, 401);
    ok!(cuStreamBeginCapture_v2(first, THREAD));
    assert_eq!(call!(cuStreamBeginCapture_v2(first, THREAD)), 401);
    let elsewhere = std::thread::spawn(move || {
        ok!(ptx_emu_cuda::context::cuCtxSetCurrent(own));
        end(first).0
    });
    assert_eq!(elsewhere.join().unwrap(), 908);
    assert_eq!(end(first), (901, 0));

    let fork = event();
    ok!(cuStreamBeginCapture_v2(first, THREAD));
    ok!(cuEventRecord(fork, first));
    ok!(cuStreamWaitEvent(second, fork, 0));
    assert_eq!(end(second).0, 903);
    assert_eq!(end(first).0, 901);

    // A stream that waits for the default stream keeps that from being used.
    let mut blocking = 0;
    ok!(cuStreamCreate((&mut blocking).into(), 0));
    let x = upload(&[0]);
    ok!(cuStreamBeginCapture_v2(blocking, RELAXED));
    assert_eq!(call!(cuMemsetD32Async(x, 1, 1, 0)), 906);
    assert_eq!(end(blocking).0, 901);
}

#[test]
fn memory_of_a_graph_lives_with_it() {
    context();
    let stream = stream();
    let mut ptr = 0;
    ok!(cuStreamBeginCapture_v2(stream, THREAD));
    ok!(cuMemAllocAsync((&mut ptr).into(), 8, stream));
    ok!(cuMemsetD32Async(ptr, 3, 2, stream));
    ok!(cuMemFreeAsync(ptr, stream));
    let (ended, graph) = end(stream);
    assert_eq!((ended, node_types(graph)), (0, vec![10, 2, 11]));
    let exec = instantiate(graph);
    ok!(cuGraphDestroy(graph));
    ok!(cuGraphLaunch(exec, stream));
    ok!(cuGraphLaunch(exec, stream));
    ok!(cuGraphExecDestroy(exec));
    let mut values = [0u32; 2];
    assert_eq!(call!(cuMemcpyDtoH_v2(host_mut(&mut values), ptr, 8)), 1);
}

#[test]
fn events_keep_time_if_they_are_to() {
    context();
    let stream = stream();
    let (mut start, mut stop, mut time) = (0, 0, -1f32);
    ok!(cuEventCreate((&mut start).into(), 0));
    ok!(cuEventCreate((&mut stop).into(), 0));
    assert_eq!(call!(cuEventElapsedTime_v2((&mut time).into(), start, stop)), 400);
    ok!(cuEventQuery(start));
    ok!(cuEventRecord(start, stream));
    std::thread::sleep(std::time::Duration::from_millis(5));
    ok!(cuEventRecord(stop, stream));
    ok!(cuEventSynchronize(stop));
    ok!(cuEventElapsedTime((&mut time).into(), start, stop));
    assert!((5.0..5000.0).contains(&time), "{time}");
    let untimed = event();
    ok!(cuEventRecord(untimed, stream));
    assert_eq!(call!(cuEventElapsedTime((&mut time).into(), start, untimed)), 400);
    assert_eq!(call!(cuEventCreate((&mut start).into(), 4)), 1);
    ok!(cuEventDestroy_v2(stop));
    assert_eq!(call!(cuEventRecord(stop, stream)), 400);
    ok!(cuStreamDestroy_v2(stream));
    assert_eq!(call!(cuStreamSynchronize(stream)), 400);
    assert_eq!(call!(cuEventRecord(untimed, stream)), 400);
}
