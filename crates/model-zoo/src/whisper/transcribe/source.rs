//! Where the frames of a recording come from.

use tensor_core::Tensor;

use crate::error::ZooError;

/// Frames per second of log-Mel features: a hop of 10 ms.
pub const FRAMES_PER_SECOND: f64 = 100.0;

/// Log-Mel frames of a recording.
///
/// How sound becomes features is not known here; whoever knows gives windows of them.
pub trait LogMelSource {
    /// What goes wrong with a recording, or with decoding it.
    type Error: From<ZooError>;

    /// Frames of the recording.
    fn n_frames(&self) -> usize;

    /// The `len` frames from `seek` on, as the encoder takes them.
    ///
    /// # Errors
    ///
    /// Whatever reading a recording may fail with.
    fn window(&mut self, seek: usize, len: usize) -> Result<LogMelWindow, Self::Error>;
}

/// Features of one window.
#[derive(Debug, Clone)]
pub struct LogMelWindow {
    /// `(1, F, T)`. A model that was trained on padded windows is given the padding too.
    pub input_features: Tensor,
    /// How many frames the encoder may see, `1..=T`: all of a padded window.
    pub n_frames: usize,
}
