//! symphonia behind a guard: bytes in, mono samples at the file's own rate out.
//!
//! symphonia is careful but large, and in builds with overflow checks a hostile header can make it panic.
//! Every call into it goes through `guarded`, which turns a panic into a [`Corrupt`](ErrorKind::Corrupt)
//! error; a decoder that panicked is not used again. (The program's panic hook still runs, so a line on
//! stderr is possible; with `panic = "abort"` the guard has no effect.)

use std::io::{Read, Seek};
use std::panic::{AssertUnwindSafe, catch_unwind};

use symphonia::core::codecs::CodecParameters;
use symphonia::core::codecs::audio::well_known as codec;
use symphonia::core::codecs::audio::{AudioDecoder, AudioDecoderOptions};
use symphonia::core::errors::Error as SymphoniaError;
use symphonia::core::formats::probe::Hint;
use symphonia::core::formats::well_known as format_id;
use symphonia::core::formats::{FormatId, FormatReader, SeekMode, SeekTo, Track, TrackType};
use symphonia::core::io::MediaSourceStream;
use symphonia::core::packet::Packet;
use symphonia::core::units::Timestamp;

use super::header::{check_header, header_error, no_known_codec, settled_params};
use super::mp4::timestamps_are_frames;
use super::source::{Facts, Source};
use crate::error::{AudioError, ErrorKind, Origin, Position, Result};
use crate::sound::AudioInfo;

/// Skips shorter than this are decoded and dropped; longer ones seek.
const SEEK_AFTER_S: u64 = 10;
/// A seek lands this early, so that the state of lossy codecs has settled when the wanted samples come.
const PREROLL_S: u64 = 1;
/// A file with this many packets in a row and no sound is stuck.
const MAX_SILENT_PACKETS: u32 = 4096;

/// Decodes one track of one source, packet by packet, to mono.
pub(crate) struct PacketDecoder<'s> {
    format: Box<dyn FormatReader + 's>,
    decoder: Box<dyn AudioDecoder>,
    track: Track,
    sample_rate: u32,
    channels: usize,
    origin: Origin,
    byte_len: u64,
    /// Frames before the sound: the delay that an MP4's edit list cuts off.
    lead: u64,
    /// Frames of the sound, where the header tells; `lead` is not among them.
    n_frames: Option<u64>,
    /// Frame index of the next sample, `lead` included.
    frame: u64,
    /// Packets read so far.
    packet: u64,
    /// Frames before this one are dropped; `lead` included.
    skip_to: u64,
    /// A seek has happened, and the position has to be taken from the packets until `skip_to`.
    seeked: bool,
    interleaved: Vec<f32>,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Running,
    Ended,
    Failed,
}

impl<'s> PacketDecoder<'s> {
    /// Finds the container and the default audio track, and makes a decoder for it.
    pub(crate) fn open<R: Read + Seek + Send + Sync + 's>(
        reader: R,
        origin: Origin,
    ) -> Result<Self> {
        let (source, Facts { magic, len: byte_len, movie }) = Source::new(reader, &origin)?;
        let stream = MediaSourceStream::new(Box::new(source), Default::default());
        let probe = || {
            symphonia::default::get_probe().probe(
                &Hint::new(),
                stream,
                Default::default(),
                Default::default(),
            )
        };
        let format = guarded(&origin, None, probe)?
            .map_err(|error| header_error(&origin, magic, byte_len, error))?;
        let Some(track) = format.default_track(TrackType::Audio).cloned() else {
            return Err(no_known_codec(&origin));
        };
        let Some(CodecParameters::Audio(params)) = track.codec_params.clone() else {
            return Err(no_known_codec(&origin));
        };
        check_header(&origin, params.sample_rate, params.channels.as_ref().map(|c| c.count()))?;
        // The checksum that FLAC carries is the only proof that all of it was decoded rightly.
        let options = AudioDecoderOptions::default().verify(params.codec == codec::CODEC_ID_FLAC);
        let make = || symphonia::default::get_codecs().make_audio_decoder(&params, &options);
        let decoder = guarded(&origin, None, make)?
            .map_err(|error| header_error(&origin, magic, byte_len, error))?;

        let (sample_rate, channels) = settled_params(&origin, decoder.codec_params(), &params)?;
        let (lead, n_frames) = match format.format_info().format {
            format_id::FORMAT_ID_ISOMP4 => movie.presented(&track, sample_rate),
            _ => (0, track.num_frames),
        };
        Ok(Self {
            format,
            decoder,
            track,
            sample_rate,
            channels,
            origin,
            byte_len,
            lead,
            n_frames,
            frame: 0,
            packet: 0,
            skip_to: lead,
            seeked: false,
            interleaved: Vec::new(),
            state: State::Running,
        })
    }

    /// What the header says.
    pub(crate) fn info(&self) -> AudioInfo {
        // Fragmented MP4s write 0 for a length that they do not know.
        let duration = self.track.duration.filter(|duration| duration.get() > 0);
        let time = self.track.time_base.zip(duration).and_then(|(base, n)| base.calc_duration(n));
        let exact = self.n_frames.map(|n| n as f64 / f64::from(self.sample_rate));
        AudioInfo {
            sample_rate: self.sample_rate,
            channels: self.channels,
            n_frames: self.n_frames,
            duration_s: exact.or(time.map(|time| time.as_secs_f64())),
        }
    }

    /// [`info`](Self::info), refused when the file is too short to hold what the header promises.
    pub(crate) fn checked_info(&self) -> Result<AudioInfo> {
        let info = self.info();
        if info.n_frames == Some(0) {
            return Err(self.no_samples());
        }
        if let (Some(n_frames), Some(frame_bytes)) = (info.n_frames, self.pcm_frame_bytes())
            && n_frames.saturating_mul(frame_bytes) > self.byte_len
        {
            return Err(self.truncated(n_frames, self.byte_len / frame_bytes));
        }
        Ok(info)
    }

    /// Samples per second of the file itself.
    pub(crate) fn sample_rate(&self) -> u32 {
        self.sample_rate
    }

    /// Drops everything before frame `frame`, by a seek when it is far. Call before the first block.
    pub(crate) fn skip_to(&mut self, frame: u64) -> Result<()> {
        self.skip_to = frame.saturating_add(self.lead);
        let rate = u64::from(self.sample_rate);
        if frame < SEEK_AFTER_S * rate || !timestamps_are_frames(&self.track, self.sample_rate) {
            return Ok(());
        }
        let Ok(ts) = i64::try_from(self.skip_to - PREROLL_S * rate) else {
            return Err(self.beyond_end());
        };
        if self.n_frames.is_some_and(|n| frame >= n) && !self.length_is_estimated() {
            return Err(self.beyond_end());
        }
        let to = SeekTo::Timestamp { ts: Timestamp::new(ts), track_id: self.track.id };
        let position = self.position();
        let seek = || self.format.seek(SeekMode::Accurate, to);
        match guarded(&self.origin, Some(position), seek)? {
            Ok(seeked) => {
                self.decoder.reset();
                self.seeked = true;
                self.frame = u64::try_from(seeked.actual_ts.get()).unwrap_or(0);
                Ok(())
            }
            Err(SymphoniaError::SeekError(_)) => Err(self.beyond_end()),
            Err(error) => Err(self.decode_error(error)),
        }
    }

    /// Appends the next packet's mono samples to `out`; `false` when the sound has ended.
    pub(crate) fn next_block(&mut self, out: &mut Vec<f32>) -> Result<bool> {
        if self.state != State::Running {
            return Ok(false);
        }
        let result = self.advance(out);
        match &result {
            Ok(true) => {}
            Ok(false) => self.state = State::Ended,
            Err(_) => self.state = State::Failed,
        }
        result
    }

    /// No frame of the requested part exists.
    pub(crate) fn beyond_end(&self) -> AudioError {
        let length = match (self.state, self.info().duration_s) {
            (State::Running | State::Failed, Some(duration_s)) => duration_s,
            _ => self.seconds(),
        };
        AudioError::new(
            ErrorKind::Range,
            &self.origin,
            format!("offset is past the end, expected less than {length:.3} s of sound"),
        )
        .hinted("check offset and duration in the manifest")
    }

    /// The file is well formed and holds no sample.
    pub(crate) fn no_samples(&self) -> AudioError {
        AudioError::new(
            ErrorKind::Empty,
            &self.origin,
            "file holds no samples, expected at least 1, got 0",
        )
        .hinted("a WAV with data length 0 is often a recording that was never finalised")
    }

    fn advance(&mut self, out: &mut Vec<f32>) -> Result<bool> {
        for _ in 0..MAX_SILENT_PACKETS {
            if self.cut_at().is_some_and(|end| self.frame >= end) {
                return Ok(false);
            }
            let Some(packet) = self.next_packet()? else {
                self.check_end()?;
                return Ok(false);
            };
            let before = out.len();
            let got_any = self.decode_packet(&packet, out)?;
            self.packet += 1;
            // Progress inside the skipped part is not silence; come back for more.
            if got_any && (out.len() > before || self.frame < self.skip_to) {
                return Ok(true);
            }
        }
        Err(self.silent())
    }

    /// The track's next packet. Those of other tracks, such as a film's pictures, are passed over.
    fn next_packet(&mut self) -> Result<Option<Packet>> {
        let position = self.position();
        // Every packet but an empty one takes bytes from the file, so there is an end to this.
        for _ in 0..self.byte_len {
            let read = || self.format.next_packet();
            match guarded(&self.origin, Some(position), read)? {
                Ok(Some(packet)) if packet.track_id != self.track.id => {}
                Ok(packet) => return Ok(packet),
                // Some containers end when the bytes end; whether they should have is judged by `check_end`.
                Err(SymphoniaError::IoError(error))
                    if error.kind() == std::io::ErrorKind::UnexpectedEof =>
                {
                    return match self.kind() {
                        format_id::FORMAT_ID_ISOMP4 => {
                            let got = self.frame.saturating_sub(self.lead);
                            Err(self.truncated(self.n_frames.unwrap_or(0), got))
                        }
                        _ => Ok(None),
                    };
                }
                Err(error) => return Err(self.decode_error(error)),
            }
        }
        Err(self.silent())
    }

    /// Decodes one packet; `true` when it held frames, wanted or not.
    fn decode_packet(&mut self, packet: &Packet, out: &mut Vec<f32>) -> Result<bool> {
        let pts = packet.pts.get().max(0).unsigned_abs();
        if self.seeked && self.frame < self.skip_to {
            self.frame = pts;
        } else if self.is_flac() && pts != self.frame {
            return Err(AudioError::new(
                ErrorKind::Corrupt,
                &self.origin,
                format!("damaged FLAC frames, expected sample {}, got {pts}", self.frame),
            )
            .at(self.position())
            .hinted("fetch or copy the file again"));
        }
        let position = self.position();
        let (decoder, interleaved) = (&mut self.decoder, &mut self.interleaved);
        let decode = || {
            decoder.decode(packet).map(|buffer| {
                buffer.copy_to_vec_interleaved::<f32>(interleaved);
                (buffer.spec().rate(), buffer.spec().channels().count())
            })
        };
        let (rate, channels) = match guarded(&self.origin, Some(position), decode)? {
            Ok(spec) => spec,
            // The first packets after a seek lack the state of those before them; they are preroll.
            Err(SymphoniaError::DecodeError(_)) if self.seeked && self.frame < self.skip_to => {
                return Ok(true);
            }
            Err(error) => return Err(self.decode_error(error)),
        };
        if self.interleaved.is_empty() {
            return Ok(false);
        }
        if (rate, channels) != (self.sample_rate, self.channels) {
            return Err(AudioError::new(
                ErrorKind::Unsupported,
                &self.origin,
                format!(
                    "format changes inside the file, expected {} Hz x {}, got {rate} Hz x {channels}",
                    self.sample_rate, self.channels
                ),
            )
            .at(self.position())
            .hinted("split the file where its format changes"));
        }
        self.check_finite()?;
        self.mix_down(out);
        Ok(true)
    }

    /// Appends the mean of the channels, less the frames that are to be skipped and the encoder's padding.
    fn mix_down(&mut self, out: &mut Vec<f32>) {
        let n_frames = self.interleaved.len() / self.channels;
        let clip = |frames: u64| frames.saturating_sub(self.frame).min(n_frames as u64) as usize;
        let end = self.cut_at().map_or(n_frames, clip);
        let skipped = clip(self.skip_to).min(end);
        let wanted = &self.interleaved[skipped * self.channels..end * self.channels];
        match self.channels {
            1 => out.extend_from_slice(wanted),
            2 => out.extend(wanted.chunks_exact(2).map(|frame| 0.5 * (frame[0] + frame[1]))),
            n => {
                let scale = 1.0 / n as f32;
                out.extend(wanted.chunks_exact(n).map(|frame| scale * frame.iter().sum::<f32>()));
            }
        }
        self.frame += n_frames as u64;
    }

    fn check_finite(&self) -> Result<()> {
        // Bit test without branches, so that the common case is one vectorised pass.
        const EXPONENT: u32 = 0x7f80_0000;
        let bad = |x: &f32| x.to_bits() & EXPONENT == EXPONENT;
        if !self.interleaved.iter().fold(false, |any, x| any | bad(x)) {
            return Ok(());
        }
        let at = self.interleaved.iter().position(bad).unwrap_or(0);
        let index = self.frame + (at / self.channels) as u64;
        Err(AudioError::new(
            ErrorKind::NonFinite,
            &self.origin,
            format!("sample is not finite, expected a number, got {}", self.interleaved[at]),
        )
        .at(Position::Sample {
            index,
            channel: at % self.channels,
            seconds: index as f64 / f64::from(self.sample_rate),
        })
        .hinted("the program that wrote this float file produced NaN or infinity"))
    }

    /// The end of the bytes: is it also the end that the header promised?
    fn check_end(&mut self) -> Result<()> {
        let slack = match self.kind() {
            format_id::FORMAT_ID_WAVE | format_id::FORMAT_ID_FLAC => 0,
            // Writers disagree whether the tag's own frame counts, and on the rounding of the delay.
            format_id::FORMAT_ID_MP3 => 2 * 1152,
            _ => return Ok(()),
        };
        if let Some(declared) = self.n_frames
            && !self.length_is_estimated()
            && self.frame.saturating_add(slack) < declared
        {
            return Err(self.truncated(declared, self.frame));
        }
        if self.is_flac() && !self.seeked {
            let position = self.position();
            let (origin, decoder) = (&self.origin, &mut self.decoder);
            let verdict = guarded(origin, Some(position), || decoder.finalize())?;
            if verdict.verify_ok == Some(false) {
                return Err(AudioError::new(
                    ErrorKind::Corrupt,
                    &self.origin,
                    "decoded sound does not match the file's MD5 checksum",
                )
                .at(self.position())
                .hinted("fetch or copy the file again"));
            }
        }
        Ok(())
    }

    /// Where an MP4's sound ends and what its edit list or its last packet has beyond that begins. The other
    /// readers trim by themselves.
    fn cut_at(&self) -> Option<u64> {
        let n_frames = self.n_frames.filter(|_| self.kind() == format_id::FORMAT_ID_ISOMP4);
        n_frames.map(|n| self.lead.saturating_add(n))
    }

    /// An MP3 without an encoder's tag has its length guessed from its bit rate.
    fn length_is_estimated(&self) -> bool {
        self.kind() == format_id::FORMAT_ID_MP3 && self.track.delay.is_none()
    }

    fn is_flac(&self) -> bool {
        self.kind() == format_id::FORMAT_ID_FLAC
    }

    /// The container.
    fn kind(&self) -> FormatId {
        self.format.format_info().format
    }

    /// Bytes a frame of uncompressed WAV, else `None`.
    fn pcm_frame_bytes(&self) -> Option<u64> {
        let Some(CodecParameters::Audio(params)) = &self.track.codec_params else { return None };
        let bytes = match params.codec {
            codec::CODEC_ID_PCM_U8 | codec::CODEC_ID_PCM_ALAW | codec::CODEC_ID_PCM_MULAW => 1,
            codec::CODEC_ID_PCM_S16LE => 2,
            codec::CODEC_ID_PCM_S24LE => 3,
            codec::CODEC_ID_PCM_S32LE | codec::CODEC_ID_PCM_F32LE => 4,
            codec::CODEC_ID_PCM_F64LE => 8,
            _ => return None,
        };
        Some(bytes * self.channels as u64)
    }

    fn position(&self) -> Position {
        Position::Packet { seconds: self.seconds(), packet: self.packet }
    }

    /// How far the sound has come.
    fn seconds(&self) -> f64 {
        self.frame.saturating_sub(self.lead) as f64 / f64::from(self.sample_rate)
    }

    fn silent(&self) -> AudioError {
        let what = format!("no sound in {MAX_SILENT_PACKETS} packets or more in a row");
        AudioError::new(ErrorKind::Corrupt, &self.origin, what).at(self.position())
    }

    fn truncated(&self, expected: u64, got: u64) -> AudioError {
        AudioError::new(
            ErrorKind::Truncated,
            &self.origin,
            format!("file is cut short, expected {expected} samples a channel, got {got}"),
        )
        .at(self.position())
        .hinted("fetch or copy the file again; its header promises more than it holds")
    }

    fn decode_error(&self, error: SymphoniaError) -> AudioError {
        let (kind, hint) = match &error {
            SymphoniaError::IoError(io) if io.kind() != std::io::ErrorKind::UnexpectedEof => {
                (ErrorKind::Io, "the disk or reader failed, not the file's contents")
            }
            SymphoniaError::Unsupported(_) | SymphoniaError::ResetRequired => {
                (ErrorKind::Unsupported, "convert the file to FLAC or 16-bit WAV")
            }
            _ => (ErrorKind::Corrupt, "fetch or copy the file again, or leave it out"),
        };
        AudioError::new(kind, &self.origin, format!("cannot decode: {error}"))
            .at(self.position())
            .hinted(hint)
            .caused_by(error)
    }
}

/// Runs a call into symphonia and turns its panic into an error.
fn guarded<T>(origin: &Origin, position: Option<Position>, call: impl FnOnce() -> T) -> Result<T> {
    // Sound: on a panic the error makes the caller drop or retire whatever the closure touched.
    catch_unwind(AssertUnwindSafe(call)).map_err(|_| {
        let error = AudioError::new(
            ErrorKind::Corrupt,
            origin,
            "the decoder gave up on contradictory data (caught a panic)",
        )
        .hinted("fetch or copy the file again, or leave it out");
        match position {
            Some(position) => error.at(position),
            None => error,
        }
    })
}
