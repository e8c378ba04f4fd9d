//! Memory in the order of a stream.
//!
//! With a pool, taking and giving back memory is work on a stream like any other: a buffer can
//! be dropped while kernels that use it are still queued, and its memory serves the next buffer
//! without a wait.

use crate::error::{GpuError, Result};
use crate::kind::ErrorKind;
use crate::stream::Stream;

/// Some bytes of a device, given back when dropped.
pub(super) struct Block {
    stream: Stream,
    address: u64,
    bytes: usize,
}

impl Block {
    /// Takes `bytes` bytes, in the order of the stream. None have no address.
    ///
    /// When the device is full, waits for it, gives back what the pool keeps, and tries again.
    pub(super) fn take(stream: &Stream, bytes: usize) -> Result<Block> {
        let stream = stream.clone();
        if bytes == 0 {
            return Ok(Block { stream, address: 0, bytes });
        }
        stream.refuse_in_capture("allocation")?;
        let pool = stream.device().pool();
        pool.release_deferred();
        let attempt = || {
            stream.bind()?;
            let (status, address) = pool.take(stream.raw(), bytes);
            stream.check("allocation", status).map(|()| address)
        };
        let address = match attempt() {
            Err(error) if error.kind() == ErrorKind::OutOfMemory => {
                stream.device().trim_memory(0)?;
                attempt().map_err(|error| explain(error, &stream, bytes))?
            }
            other => other?,
        };
        pool.count(bytes);
        Ok(Block { stream, address, bytes })
    }

    pub(super) fn stream(&self) -> &Stream {
        &self.stream
    }

    pub(super) fn address(&self) -> u64 {
        self.address
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        let Block { stream, address, bytes } = self;
        if *address == 0 {
            return;
        }
        let pool = stream.device().pool();
        match stream.is_capturing() {
            // SAFETY: taken with this size and given back once; that other streams are done is the
            // promise of the `unsafe` launches that used it there.
            Ok(false) => unsafe { pool.give_back(stream.raw(), *address, *bytes) },
            Ok(true) => {
                let later = Block { stream: stream.clone(), address: *address, bytes: *bytes };
                pool.defer(Box::new(later));
            }
            Err(_) => {}
        }
    }
}

/// Says how full the device is.
fn explain(error: GpuError, stream: &Stream, bytes: usize) -> GpuError {
    let mine = stream.device().pool().in_use();
    match stream.device().free_memory() {
        Ok((free, total)) => error.more(&shortage(bytes, free, total, mine)),
        Err(_) => error,
    }
}

fn shortage(bytes: usize, free: usize, total: usize, mine: usize) -> String {
    let mib = |bytes: usize| bytes.div_ceil(1 << 20);
    let others = total.saturating_sub(free).saturating_sub(mine);
    format!(
        "; asked for {} MiB, {} of {} MiB are free, {} are in this program's buffers, {} elsewhere",
        mib(bytes),
        mib(free),
        mib(total),
        mib(mine),
        mib(others)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shortage_says_who_has_the_memory() {
        let mib = 1 << 20;
        assert_eq!(
            shortage(100 * mib, 40 * mib, 1000 * mib, 900 * mib),
            "; asked for 100 MiB, 40 of 1000 MiB are free, 900 are in this program's buffers, \
             60 elsewhere"
        );
        assert!(shortage(1, 0, 0, 5).ends_with("0 elsewhere"));
    }
}
