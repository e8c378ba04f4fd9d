//! A sound as a bounded-memory stream of mono blocks, cut and resampled on the fly.
//!
//! The cut is made in the samples of the *result*: `offset_s` and `duration_s` choose a slice of what the
//! whole file would give. The decoder therefore starts a little before the offset, at a frame where the
//! resampler's phase is zero and far enough back to fill its filter, and the extra output is dropped.

use std::io::{Cursor, Read, Seek};
use std::path::Path;

use crate::decode::{PacketDecoder, open_file};
use crate::error::{AudioError, Origin, Result};
use crate::resample::Resampler;
use crate::sound::{AudioInfo, LoadOptions, Waveform};

/// Default block length, in samples of the result: one second at 16 kHz.
const BLOCK_LEN: usize = 16_000;

/// Mono f32 blocks of a sound, in order.
///
/// Every block has `block_len` samples except the last, which may be shorter and is never empty. After an
/// error the iterator ends. Memory is bounded by the block, one packet and the resampler's filter.
///
/// # Examples
///
/// ```no_run
/// use audio_frontend::{AudioStream, LoadOptions};
///
/// let mut energy = 0.0;
/// for block in AudioStream::open("lecture.mp3", &LoadOptions::default())? {
///     energy += block?.iter().map(|x| f64::from(x * x)).sum::<f64>();
/// }
/// # Ok::<(), audio_frontend::AudioError>(())
/// ```
pub struct AudioStream<'s> {
    decoder: PacketDecoder<'s>,
    resampler: Resampler,
    sample_rate: u32,
    block_len: usize,
    /// Decoded at the file's rate, not yet resampled.
    decoded: Vec<f32>,
    /// Resampled, not yet handed out; the first `ready_from` samples are spent.
    ready: Vec<f32>,
    ready_from: usize,
    /// Resampled samples still to drop before the offset.
    to_drop: u64,
    /// Samples still to hand out.
    remaining: u64,
    handed_out: u64,
    has_offset: bool,
    /// The decoder and the resampler have given all they have.
    ended: bool,
    /// The caller has seen the end or an error.
    done: bool,
}

impl AudioStream<'static> {
    /// Opens a file.
    ///
    /// # Errors
    ///
    /// As [`load`](crate::load).
    pub fn open(path: impl AsRef<Path>, options: &LoadOptions) -> Result<Self> {
        let (file, origin) = open_file(path.as_ref())?;
        Self::start(PacketDecoder::open(file, origin)?, options)
    }
}

impl<'s> AudioStream<'s> {
    /// Reads bytes in memory.
    ///
    /// # Errors
    ///
    /// As [`load`](crate::load).
    pub fn from_bytes(bytes: &'s [u8], options: &LoadOptions) -> Result<Self> {
        Self::start(PacketDecoder::open(Cursor::new(bytes), Origin::Named("bytes"))?, options)
    }

    /// Reads a seekable source from its start.
    ///
    /// # Errors
    ///
    /// As [`load`](crate::load).
    pub fn from_reader<R>(reader: R, options: &LoadOptions) -> Result<Self>
    where
        R: Read + Seek + Send + Sync + 's,
    {
        Self::start(PacketDecoder::open(reader, Origin::Named("reader"))?, options)
    }

    /// Sets the block length, in samples of the result.
    ///
    /// # Errors
    ///
    /// [`Option`](crate::ErrorKind::Option) when `block_len` is 0.
    pub fn with_block_len(mut self, block_len: usize) -> Result<Self> {
        if block_len == 0 {
            return Err(AudioError::option(
                "AudioStream",
                "block_len, expected at least 1, got 0",
                "16000 samples are one second at 16 kHz",
            ));
        }
        self.block_len = block_len;
        Ok(self)
    }

    /// Sample rate of the blocks, in Hz.
    pub fn sample_rate(&self) -> u32 {
        self.sample_rate
    }

    /// What the file's header says.
    pub fn info(&self) -> AudioInfo {
        self.decoder.info()
    }

    /// Reads all that is left.
    ///
    /// # Errors
    ///
    /// As [`load`](crate::load).
    pub fn collect_waveform(mut self) -> Result<Waveform> {
        while self.remaining > (self.ready.len() - self.ready_from) as u64 && self.fill()? {}
        let mut samples = std::mem::take(&mut self.ready);
        samples.drain(..self.ready_from);
        samples.truncate(usize::try_from(self.remaining).unwrap_or(usize::MAX));
        self.handed_out += samples.len() as u64;
        self.check_any()?;
        Ok(Waveform { samples, sample_rate: self.sample_rate })
    }

    /// Replaces the contents of `block` by the next block; `false` when there is none left.
    ///
    /// # Errors
    ///
    /// As [`load`](crate::load). After an error the stream has ended.
    pub fn next_block(&mut self, block: &mut Vec<f32>) -> Result<bool> {
        block.clear();
        let result = self.next_block_or_end(block);
        self.done |= !matches!(result, Ok(true));
        result
    }

    fn next_block_or_end(&mut self, block: &mut Vec<f32>) -> Result<bool> {
        if self.done {
            return Ok(false);
        }
        let wanted = self.remaining.min(self.block_len as u64) as usize;
        while self.ready.len() - self.ready_from < wanted && self.fill()? {}
        let n = wanted.min(self.ready.len() - self.ready_from);
        block.extend_from_slice(&self.ready[self.ready_from..self.ready_from + n]);
        self.ready_from += n;
        self.remaining -= n as u64;
        self.handed_out += n as u64;
        match n {
            0 => self.check_any().map(|()| false),
            _ => Ok(true),
        }
    }

    fn start(mut decoder: PacketDecoder<'s>, options: &LoadOptions) -> Result<Self> {
        options.check()?;
        let resampler = Resampler::new(decoder.sample_rate(), options.sample_rate)?;
        let rate = f64::from(options.sample_rate);
        let first = (options.offset_s * rate).round() as u64;
        let remaining = match options.duration_s {
            Some(duration_s) => ((duration_s * rate).round() as u64).max(1),
            None => u64::MAX,
        };
        // Start at a multiple of the reduced input rate, where the phase is zero.
        let (m, l) = (resampler.reduced_from(), resampler.reduced_to());
        let centre = u128::from(first) * u128::from(m) / u128::from(l);
        let centre = u64::try_from(centre).unwrap_or(u64::MAX);
        let start_frame = centre.saturating_sub(resampler.half_width() as u64) / m * m;
        if start_frame > 0 {
            decoder.skip_to(start_frame)?;
        }
        Ok(Self {
            decoder,
            resampler,
            sample_rate: options.sample_rate,
            block_len: BLOCK_LEN,
            decoded: Vec::new(),
            ready: Vec::new(),
            ready_from: 0,
            to_drop: first - start_frame / m * l,
            remaining,
            handed_out: 0,
            has_offset: first > 0,
            ended: false,
            done: false,
        })
    }

    /// Decodes and resamples one packet more; `false` when there was none.
    fn fill(&mut self) -> Result<bool> {
        if self.ended {
            return Ok(false);
        }
        self.ready.drain(..self.ready_from);
        self.ready_from = 0;
        self.decoded.clear();
        if self.decoder.next_block(&mut self.decoded)? {
            self.resampler.process(&self.decoded, &mut self.ready);
        } else {
            self.resampler.finish(&mut self.ready);
            self.ended = true;
        }
        let dropped = self.to_drop.min(self.ready.len() as u64);
        self.ready.drain(..dropped as usize);
        self.to_drop -= dropped;
        Ok(true)
    }

    fn check_any(&self) -> Result<()> {
        match (self.handed_out, self.has_offset) {
            (0, true) => Err(self.decoder.beyond_end()),
            (0, false) => Err(self.decoder.no_samples()),
            _ => Ok(()),
        }
    }
}

impl Iterator for AudioStream<'_> {
    type Item = Result<Vec<f32>>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut block = Vec::new();
        match self.next_block(&mut block) {
            Ok(true) => Some(Ok(block)),
            Ok(false) => None,
            Err(error) => Some(Err(error)),
        }
    }
}
