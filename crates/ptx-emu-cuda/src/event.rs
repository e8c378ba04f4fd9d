//! Events: moments in the order of a stream's work.

use std::ffi::c_uint;
use std::sync::Arc;
use std::time::Instant;

use crate::error::{Error, Result, code};
use crate::object::event::{Event, Moment};
use crate::state::{State, state};
use crate::types::{CUevent, CUstream, Out};

/// The flag of an event that keeps no time.
const DISABLE_TIMING: c_uint = 2;
/// The flag of an event for other processes; it must not keep time.
const INTERPROCESS: c_uint = 4;

/// Lets a stream wait. Outside a capture, what it would wait for is over.
pub(crate) fn wait(state: &mut State, stream: CUstream, event: CUevent, flags: c_uint) -> Result {
    let moment = state.events.get(event)?.moment.clone();
    let captured = state.tail(stream)?;
    if flags != 0 {
        return Err(external(flags));
    }
    match (moment, captured) {
        (Moment::InCapture(tail), _) => state.join_capture(stream, &tail),
        (Moment::At(_), Some(own)) => {
            state.spoil(own.capture);
            let story = "a captured stream cannot wait for an event recorded outside the capture";
            Err(Error::with(code::STREAM_CAPTURE_ISOLATION, story))
        }
        _ => Ok(()),
    }
}

fn external(flags: c_uint) -> Error {
    match flags {
        1 => Error::with(code::NOT_SUPPORTED, "external event nodes are not simulated"),
        _ => code::INVALID_VALUE.into(),
    }
}

fn record(event: CUevent, stream: CUstream, flags: c_uint) -> Result {
    let mut state = state()?;
    let context = state.context_of(stream)?;
    if flags != 0 {
        return Err(external(flags));
    }
    let moment = match state.tail(stream)? {
        Some(tail) => Moment::InCapture(tail),
        None => Moment::At(Instant::now()),
    };
    let event = state.events.get_mut(event)?;
    if !Arc::ptr_eq(&event.context, &context) {
        let story = "event and stream are of different contexts";
        return Err(Error::with(code::INVALID_HANDLE, story));
    }
    event.moment = moment;
    Ok(())
}

fn over(event: CUevent) -> Result {
    let state = state()?;
    let event = state.events.get(event)?;
    event.context.check()?;
    match event.moment {
        Moment::InCapture(_) => Err(code::CAPTURED_EVENT.into()),
        _ => Ok(()),
    }
}

fn elapsed(out: Out<'_, f32>, start: CUevent, end: CUevent) -> Result {
    let state = state()?;
    let mut times = [None; 2];
    for (time, handle) in times.iter_mut().zip([start, end]) {
        let event = state.events.get(handle)?;
        event.context.check()?;
        *time = match event.moment {
            Moment::InCapture(_) => return Err(code::CAPTURED_EVENT.into()),
            Moment::At(time) if event.timed => Some(time),
            _ => None,
        };
    }
    let [Some(start), Some(end)] = times else {
        let story = "both events must have been recorded, and keep time";
        return Err(Error::with(code::INVALID_HANDLE, story));
    };
    let seconds = match end.checked_duration_since(start) {
        Some(after) => after.as_secs_f64(),
        None => -start.duration_since(end).as_secs_f64(),
    };
    out.set((seconds * 1e3) as f32)
}

exports! {
    fn cuEventCreate(out: Out<'_, CUevent>, flags: c_uint) {
        let mut state = state()?;
        let context = state.current()?;
        let timed = flags & DISABLE_TIMING == 0;
        if flags > 7 || (flags & INTERPROCESS != 0 && timed) || out.is_null() {
            return Err(code::INVALID_VALUE.into());
        }
        out.set(state.events.insert(Event { context, timed, moment: Moment::Never }))
    }

    fn cuEventDestroy_v2(event: CUevent) {
        state()?.events.remove(event).map(drop)
    }

    fn cuEventRecord(event: CUevent, stream: CUstream) {
        record(event, stream, 0)
    }

    fn cuEventRecordWithFlags(event: CUevent, stream: CUstream, flags: c_uint) {
        record(event, stream, flags)
    }

    fn cuEventQuery(event: CUevent) {
        over(event)?;
        state()?.refuse_while_capturing()
    }

    fn cuEventSynchronize(event: CUevent) {
        over(event)
    }

    fn cuEventElapsedTime(out: Out<'_, f32>, start: CUevent, end: CUevent) {
        elapsed(out, start, end)
    }

    fn cuEventElapsedTime_v2(out: Out<'_, f32>, start: CUevent, end: CUevent) {
        elapsed(out, start, end)
    }
}
