//! Many small lists in one copy to the device.

use bytemuck::Pod;
use gpu_runtime::{Arg, DeviceBuffer};

use super::session::Session;
use crate::error::Result;

/// Words of the alignment that kernels rely on for their lists: 16 bytes.
const ALIGNMENT: usize = 4;

/// Lists that wait to be sent.
#[derive(Default)]
pub(super) struct Parcel {
    words: Vec<u32>,
}

/// Where a list of a parcel is, in words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place(usize);

/// Lists on the device, to read.
pub(super) struct Delivered(DeviceBuffer<u32>);

impl Parcel {
    /// Adds a list of elements of whole words.
    pub fn put<T: Pod>(&mut self, values: &[T]) -> Place {
        let at = self.words.len().next_multiple_of(ALIGNMENT);
        self.words.resize(at, 0);
        self.words.extend_from_slice(bytemuck::cast_slice(values));
        Place(at)
    }

    pub fn send(self, session: &Session<'_>) -> Result<Delivered> {
        Ok(Delivered(session.send(&self.words)?))
    }
}

impl Delivered {
    /// The address of a list.
    pub fn at(&self, place: Place) -> Arg<'_> {
        self.within(place, 0)
    }

    /// The address of a word of a list.
    pub fn within(&self, place: Place, word: usize) -> Arg<'_> {
        Arg::address(self.0.address() + 4 * (place.0 + word) as u64)
    }

    /// The address of a list as a number.
    pub fn address(&self, place: Place) -> u64 {
        self.0.address() + 4 * place.0 as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_start_at_multiples_of_16_bytes() {
        let mut parcel = Parcel::default();
        let places = [
            parcel.put(&[1.0f32]),
            parcel.put::<u32>(&[]),
            parcel.put(&[[1u32, 2, 3, 4, 5, 6, 7, 8]]),
            parcel.put(&[9u32; 5]),
        ];
        assert_eq!(places.map(|place| place.0), [0, 4, 4, 12]);
        assert_eq!(parcel.words[0], 1.0f32.to_bits());
        assert_eq!(parcel.words[4..], [1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 9, 9]);
    }
}
