//! Neuron selectivity transfer on the device. `kernels/nst/README.md` tells of the kernels.

mod rows;

pub(super) use rows::of_rows;
