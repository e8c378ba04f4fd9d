//! Streams: names for an order of work. Everything runs when it is asked for, so that a stream
//! has nothing to remember but where it stands in a capture.

use std::ffi::{c_int, c_uint, c_void};
use std::sync::Arc;

use crate::capture::{RELAXED, exchange_mode};
use crate::error::{Result, code};
use crate::event;
use crate::object::context::Context;
use crate::object::operation::{HostCall, Operation, run};
use crate::object::stream::{GREATEST_PRIORITY, Stream};
use crate::state::{State, state};
use crate::types::{
    CUcontext, CUdevice, CUevent, CUgraph, CUhostFn, CUstream, CUstreamCallback, Out,
};

/// The flag of a stream that does not wait for the default stream.
const NON_BLOCKING: c_uint = 1;
/// The default stream under its two other names.
const DEFAULT: [CUstream; 3] = [0, 1, 2];

/// Runs work on a stream, or records it where the stream is captured.
pub(crate) fn submit(stream: CUstream, operation: Operation) -> Result {
    let mut state = state()?;
    let context = state.context_of(stream)?;
    let Some(operation) = state.record(stream, operation)? else { return Ok(()) };
    if DEFAULT.contains(&stream) {
        state.refuse_default_stream(&context)?;
    }
    drop(state);
    run(&context, &operation)
}

/// Runs work that the caller waits for.
pub(crate) fn wait_for(operation: &Operation) -> Result {
    let mut state = state()?;
    let context = state.current()?;
    state.refuse_while_capturing()?;
    state.refuse_default_stream(&context)?;
    drop(state);
    run(&context, operation)
}

impl State {
    /// A stream; `None` is the default stream, which is never captured.
    pub(crate) fn stream(&self, handle: CUstream) -> Result<Option<&Stream>> {
        if DEFAULT.contains(&handle) {
            return Ok(None);
        }
        self.streams.get(handle).map(Some)
    }

    pub(crate) fn stream_mut(&mut self, handle: CUstream) -> Result<Option<&mut Stream>> {
        if DEFAULT.contains(&handle) {
            return Ok(None);
        }
        self.streams.get_mut(handle).map(Some)
    }

    /// The context that work on a stream runs in, if it is not lost.
    pub(crate) fn context_of(&self, handle: CUstream) -> Result<Arc<Context>> {
        match self.stream(handle)? {
            None => self.current(),
            Some(stream) => {
                stream.context.check()?;
                Ok(Arc::clone(&stream.context))
            }
        }
    }
}

fn create(out: Out<'_, CUstream>, flags: c_uint, priority: c_int) -> Result {
    let mut state = state()?;
    let context = state.current()?;
    if flags > NON_BLOCKING || out.is_null() {
        return Err(code::INVALID_VALUE.into());
    }
    let priority = priority.clamp(GREATEST_PRIORITY, 0);
    let non_blocking = flags == NON_BLOCKING;
    out.set(state.streams.insert(Stream { context, non_blocking, tail: None, priority }))
}

exports! {
    fn cuStreamCreate(out: Out<'_, CUstream>, flags: c_uint) {
        create(out, flags, 0)
    }

    fn cuStreamCreateWithPriority(out: Out<'_, CUstream>, flags: c_uint, priority: c_int) {
        create(out, flags, priority)
    }

    fn cuStreamDestroy_v2(stream: CUstream) {
        let mut state = state()?;
        if let Some(tail) = state.streams.remove(stream)?.tail {
            state.spoil(tail.capture);
        }
        Ok(())
    }

    fn cuStreamSynchronize(stream: CUstream) {
        let mut state = state()?;
        state.context_of(stream)?;
        state.refuse_if_captured(stream)
    }

    /// Work has always ended.
    fn cuStreamQuery(stream: CUstream) {
        let mut state = state()?;
        state.context_of(stream)?;
        state.refuse_if_captured(stream)
    }

    fn cuStreamWaitEvent(stream: CUstream, event: CUevent, flags: c_uint) {
        let mut state = state()?;
        state.context_of(stream)?;
        event::wait(&mut state, stream, event, flags)
    }

    fn cuStreamGetPriority(stream: CUstream, out: Out<'_, c_int>) {
        out.set(state()?.stream(stream)?.map_or(0, |stream| stream.priority))
    }

    fn cuStreamGetFlags(stream: CUstream, out: Out<'_, c_uint>) {
        let state = state()?;
        out.set(state.stream(stream)?.map_or(0, |stream| c_uint::from(stream.non_blocking)))
    }

    fn cuStreamGetId(stream: CUstream, out: Out<'_, u64>) {
        state()?.stream(stream)?;
        out.set(stream)
    }

    fn cuStreamGetCtx(stream: CUstream, out: Out<'_, CUcontext>) {
        out.set(state()?.context_of(stream)?.handle)
    }

    fn cuStreamGetDevice(stream: CUstream, out: Out<'_, CUdevice>) {
        out.set(state()?.context_of(stream)?.device)
    }

    /// The function runs before the call returns.
    fn cuStreamAddCallback(
        stream: CUstream,
        function: CUstreamCallback,
        data: Out<'_, c_void>,
        flags: c_uint,
    ) {
        let function = function.filter(|_| flags == 0).ok_or(code::INVALID_VALUE)?;
        state()?.refuse_if_captured(stream)?;
        let data = data.address();
        submit(stream, Operation::Host(HostCall::WithStatus { function, stream, data }))
    }

    /// The function runs before the call returns.
    fn cuLaunchHostFunc(stream: CUstream, function: CUhostFn, data: Out<'_, c_void>) {
        let function = function.ok_or(code::INVALID_VALUE)?;
        let data = data.address();
        submit(stream, Operation::Host(HostCall::Plain { function, data }))
    }

    fn cuStreamBeginCapture_v2(stream: CUstream, mode: c_uint) {
        let mut state = state()?;
        state.context_of(stream)?;
        state.begin_capture(stream, mode)
    }

    fn cuStreamEndCapture(stream: CUstream, out: Out<'_, CUgraph>) {
        let mut state = state()?;
        state.context_of(stream)?;
        out.set(0)?;
        let nodes = state.end_capture(stream)?;
        let graph = state.new_graph(nodes);
        out.set(graph)
    }

    fn cuStreamIsCapturing(stream: CUstream, out: Out<'_, c_uint>) {
        out.set(state()?.capture_status(stream)? as c_uint)
    }

    fn cuThreadExchangeStreamCaptureMode(mode: Out<'_, c_uint>) {
        let new = mode.get()?;
        if new > RELAXED {
            return Err(code::INVALID_VALUE.into());
        }
        mode.set(exchange_mode(new))
    }
}
