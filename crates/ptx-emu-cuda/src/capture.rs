//! Captures: work given to a stream becomes the nodes of a graph.
//!
//! A capture begins on one stream and spreads to others, when they wait for an event of it. Each
//! stream in it knows after which nodes its next one comes. The nodes stand in the order of the
//! calls, which is an order in which the graph may run.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::sync::Arc;

use crate::error::{Error, Result, code};
use crate::object::capture::{Capture, Tail};
use crate::object::context::Context;
use crate::object::operation::{Node, Operation};
use crate::state::State;
use crate::types::CUstream;

/// Calls that could spoil a capture are refused while any thread's is under way.
const GLOBAL: u32 = 0;
/// They are refused while one of the same thread is.
const THREAD_LOCAL: u32 = 1;
/// They are not refused.
pub(crate) const RELAXED: u32 = 2;

thread_local! {
    /// What the thread chose for itself.
    static MODE: Cell<u32> = const { Cell::new(GLOBAL) };
}

/// Changes the thread's mode and gives the one before.
pub(crate) fn exchange_mode(mode: u32) -> u32 {
    MODE.replace(mode)
}

/// What `cuStreamIsCapturing` answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    None = 0,
    Active = 1,
    Invalidated = 2,
}

impl State {
    pub(crate) fn capture_status(&self, stream: CUstream) -> Result<Status> {
        let Some(stream) = self.stream(stream)? else { return Ok(Status::None) };
        let capture = stream.tail.as_ref().and_then(|tail| self.captures.get(&tail.capture));
        Ok(match capture {
            None => Status::None,
            Some(capture) if capture.broken => Status::Invalidated,
            Some(_) => Status::Active,
        })
    }

    /// Begins a capture.
    pub(crate) fn begin_capture(&mut self, handle: CUstream, mode: u32) -> Result {
        if mode > RELAXED {
            return Err(code::INVALID_VALUE.into());
        }
        let id = self.number();
        let Some(stream) = self.stream_mut(handle)? else {
            let story = "the default stream cannot be captured";
            return Err(Error::with(code::STREAM_CAPTURE_UNSUPPORTED, story));
        };
        if stream.tail.is_some() {
            return Err(Error::with(code::ILLEGAL_STATE, "the stream is captured already"));
        }
        stream.tail = Some(Tail { capture: id, after: BTreeSet::new() });
        let context = Arc::clone(&stream.context);
        let thread = std::thread::current().id();
        let (broken, nodes) = (false, Vec::new());
        self.captures.insert(id, Capture { context, origin: handle, mode, thread, broken, nodes });
        Ok(())
    }

    /// Records work if the stream is captured; gives it back if it is not.
    pub(crate) fn record(
        &mut self,
        stream: CUstream,
        operation: Operation,
    ) -> Result<Option<Operation>> {
        let context = self.context_of(stream)?;
        let Some(mut tail) = self.tail(stream)? else { return Ok(Some(operation)) };
        let capture = self.captures.get_mut(&tail.capture).ok_or(code::UNKNOWN)?;
        if capture.broken {
            return Err(code::STREAM_CAPTURE_INVALIDATED.into());
        }
        let after = tail.after.iter().copied().collect();
        capture.nodes.push(Node { context, operation: Arc::new(operation), after });
        tail.after = BTreeSet::from([capture.nodes.len() - 1]);
        self.set_tail(stream, Some(tail))?;
        Ok(None)
    }

    /// Where a stream stands, if it is captured.
    pub(crate) fn tail(&self, stream: CUstream) -> Result<Option<Tail>> {
        Ok(self.stream(stream)?.and_then(|stream| stream.tail.clone()))
    }

    fn set_tail(&mut self, stream: CUstream, tail: Option<Tail>) -> Result {
        if let Some(stream) = self.stream_mut(stream)? {
            stream.tail = tail;
        }
        Ok(())
    }

    /// Lets a stream wait for an event that was recorded in a capture.
    pub(crate) fn join_capture(&mut self, stream: CUstream, event: &Tail) -> Result {
        let own = self.tail(stream)?;
        if !self.captures.contains_key(&event.capture) {
            let spoilt = own.map(|own| own.capture);
            spoilt.into_iter().for_each(|id| self.spoil(id));
            let story = "the capture that the event was recorded in has ended";
            return Err(Error::with(code::STREAM_CAPTURE_ISOLATION, story));
        }
        match own {
            Some(own) if own.capture != event.capture => {
                self.spoil(own.capture);
                self.spoil(event.capture);
                Err(code::STREAM_CAPTURE_MERGE.into())
            }
            Some(mut own) => {
                own.after.extend(&event.after);
                self.set_tail(stream, Some(own))
            }
            None if self.stream(stream)?.is_none() => {
                self.spoil(event.capture);
                Err(code::STREAM_CAPTURE_IMPLICIT.into())
            }
            None => self.set_tail(stream, Some(event.clone())),
        }
    }

    /// Ends a capture and gives its nodes.
    pub(crate) fn end_capture(&mut self, stream: CUstream) -> Result<Vec<Node>> {
        let not_captured = || Error::with(code::ILLEGAL_STATE, "the stream is not captured");
        let tail = self.tail(stream)?.ok_or_else(not_captured)?;
        let capture = self.captures.get_mut(&tail.capture).ok_or(code::UNKNOWN)?;
        if capture.origin != stream {
            capture.broken = true;
            return Err(code::STREAM_CAPTURE_UNMATCHED.into());
        }
        if capture.mode != RELAXED && capture.thread != std::thread::current().id() {
            capture.broken = true;
            return Err(code::STREAM_CAPTURE_WRONG_THREAD.into());
        }
        let capture = self.captures.remove(&tail.capture).ok_or(code::UNKNOWN)?;
        let mut last = BTreeSet::new();
        for (_, stream) in self.streams.iter_mut() {
            if let Some(ended) = stream.tail.take_if(|other| other.capture == tail.capture) {
                last.extend(ended.after);
            }
        }
        if capture.broken {
            return Err(code::STREAM_CAPTURE_INVALIDATED.into());
        }
        let joined = ancestors(&capture.nodes, &tail.after);
        if !last.is_subset(&joined) {
            return Err(code::STREAM_CAPTURE_UNJOINED.into());
        }
        Ok(capture.nodes)
    }

    /// Marks a capture as failed.
    pub(crate) fn spoil(&mut self, id: u64) {
        if let Some(capture) = self.captures.get_mut(&id) {
            capture.broken = true;
        }
    }

    /// Refuses a call that waits for a stream which is captured, and spoils the capture.
    pub(crate) fn refuse_if_captured(&mut self, stream: CUstream) -> Result {
        match self.tail(stream)? {
            None => Ok(()),
            Some(tail) => {
                self.spoil(tail.capture);
                let story = "a stream under capture has no work to wait for";
                Err(Error::with(code::STREAM_CAPTURE_UNSUPPORTED, story))
            }
        }
    }

    /// Refuses a call that waits for all work of a context, if any of it is captured.
    pub(crate) fn refuse_in_capture_of(&mut self, context: &Arc<Context>) -> Result {
        let mut found = false;
        for capture in self.captures.values_mut() {
            if Arc::ptr_eq(&capture.context, context) {
                capture.broken = true;
                found = true;
            }
        }
        if found { Err(code::STREAM_CAPTURE_UNSUPPORTED.into()) } else { Ok(()) }
    }

    /// Refuses a call that may wait for the device, where the modes of captures and thread say so.
    pub(crate) fn refuse_while_capturing(&mut self) -> Result {
        let (thread, mode) = (std::thread::current().id(), MODE.get());
        let mut found = false;
        for capture in self.captures.values_mut() {
            let hit = match mode {
                GLOBAL if capture.mode == GLOBAL => true,
                GLOBAL | THREAD_LOCAL => capture.thread == thread && capture.mode != RELAXED,
                _ => false,
            };
            capture.broken |= hit;
            found |= hit;
        }
        if found { Err(code::STREAM_CAPTURE_UNSUPPORTED.into()) } else { Ok(()) }
    }

    /// Refuses work on the default stream while a stream that waits for it is captured.
    pub(crate) fn refuse_default_stream(&mut self, context: &Arc<Context>) -> Result {
        let State { streams, captures, .. } = self;
        let mut found = false;
        for (_, stream) in streams.iter_mut() {
            if let Some(tail) = &stream.tail
                && !stream.non_blocking
                && Arc::ptr_eq(&stream.context, context)
                && let Some(capture) = captures.get_mut(&tail.capture)
            {
                capture.broken = true;
                found = true;
            }
        }
        if found { Err(code::STREAM_CAPTURE_IMPLICIT.into()) } else { Ok(()) }
    }
}

/// The nodes, and all before them.
fn ancestors(nodes: &[Node], of: &BTreeSet<usize>) -> BTreeSet<usize> {
    let mut found = of.clone();
    // Nodes stand after those that they wait for.
    for index in (0..nodes.len()).rev() {
        if found.contains(&index) {
            found.extend(&nodes[index].after);
        }
    }
    found
}
