//! What rows of tokens and of clips are compared with.

use gpu_runtime::DeviceBuffer;

use crate::device::Gpu;
use crate::device::session::Session;
use crate::error::Result;
use crate::nst::Tokens;

/// A list a row, one after another: LIST and members of `nst_poly_v1_f64.ptx`.
pub(super) struct Lists {
    /// First member and how many.
    pub lists: Vec<[u32; 2]>,
    pub members: Vec<u32>,
}

/// The same on the device.
pub(super) struct Sent {
    pub lists: DeviceBuffer<[u32; 2]>,
    pub members: DeviceBuffer<u32>,
}

impl Lists {
    /// Each token with its clip.
    pub fn of_tokens(tokens: &Tokens<'_, Gpu>) -> Self {
        let count = tokens.clip_of.len() as u32;
        let members = tokens.clip_of.iter().map(|&clip| clip as u32).collect();
        Self { lists: (0..count).map(|token| [token, 1]).collect(), members }
    }

    /// Each clip with its tokens.
    pub fn of_clips(tokens: &Tokens<'_, Gpu>) -> Self {
        let mut out = Self { lists: vec![], members: vec![] };
        for own in tokens.of_clips() {
            out.lists.push([out.members.len() as u32, own.len() as u32]);
            out.members.extend(own.into_iter().map(|token| token as u32));
        }
        out
    }

    pub fn send(&self, session: &Session<'_>) -> Result<Sent> {
        Ok(Sent { lists: session.send(&self.lists)?, members: session.send(&self.members)? })
    }
}
