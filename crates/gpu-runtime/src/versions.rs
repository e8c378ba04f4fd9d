//! Versions: of CUDA, of PTX, of the hardware, and which go together.

use std::fmt;

/// The oldest driver that a build of this crate works with.
///
/// Feature `cuda13` (the default) asks for 13.0, driver 580; `cuda12` for 12.8, driver 570.
#[cfg(feature = "cuda13")]
pub const DRIVER_FLOOR: CudaVersion = CudaVersion { major: 13, minor: 0 };
/// The oldest driver that a build of this crate works with.
#[cfg(not(feature = "cuda13"))]
pub const DRIVER_FLOOR: CudaVersion = CudaVersion { major: 12, minor: 8 };

/// The oldest hardware that the kernels are written for: Ampere.
pub const COMPUTE_FLOOR: ComputeCapability = ComputeCapability { major: 8, minor: 0 };

macro_rules! version {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name {
            /// Before the point.
            pub major: u32,
            /// After the point.
            pub minor: u32,
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}.{}", self.major, self.minor)
            }
        }
    };
}

version! {
    /// The CUDA version that a driver speaks.
    CudaVersion
}
version! {
    /// A version of the PTX language, as in `.version 7.8`.
    PtxVersion
}
version! {
    /// A generation of hardware: 8.0 is `sm_80`.
    ComputeCapability
}

impl CudaVersion {
    /// From the driver's own form, 1000 * major + 10 * minor.
    pub fn from_number(number: i32) -> CudaVersion {
        let number = u32::try_from(number).unwrap_or(0);
        CudaVersion { major: number / 1000, minor: number % 1000 / 10 }
    }

    /// The newest PTX that a driver of this version reads.
    ///
    /// `None` when the driver is newer than the table below: it reads at least the last row.
    pub fn newest_ptx(self) -> Option<PtxVersion> {
        let newest = PTX_OF_CUDA.last().expect("the table has rows").0;
        if self > newest {
            return None;
        }
        let row = PTX_OF_CUDA.iter().rev().find(|(cuda, _)| *cuda <= self);
        Some(row.map_or(PtxVersion { major: 0, minor: 0 }, |(_, ptx)| *ptx))
    }
}

/// The first CUDA release that reads each PTX version, oldest first.
///
/// Source: "Release Notes", table "PTX Release History", of NVIDIA's PTX ISA manual.
const PTX_OF_CUDA: &[(CudaVersion, PtxVersion)] = &[
    row(11, 0, 7, 0),
    row(11, 1, 7, 1),
    row(11, 2, 7, 2),
    row(11, 3, 7, 3),
    row(11, 4, 7, 4),
    row(11, 5, 7, 5),
    row(11, 6, 7, 6),
    row(11, 7, 7, 7),
    row(11, 8, 7, 8),
    row(12, 0, 8, 0),
    row(12, 1, 8, 1),
    row(12, 2, 8, 2),
    row(12, 3, 8, 3),
    row(12, 4, 8, 4),
    row(12, 5, 8, 5),
    row(12, 7, 8, 6),
    row(12, 8, 8, 7),
    row(12, 9, 8, 8),
    row(13, 0, 9, 0),
    row(13, 1, 9, 1),
    row(13, 2, 9, 2),
    row(13, 3, 9, 3),
    row(13, 4, 9, 4),
];

const fn row(a: u32, b: u32, c: u32, d: u32) -> (CudaVersion, PtxVersion) {
    (CudaVersion { major: a, minor: b }, PtxVersion { major: c, minor: d })
}

/// The first CUDA release whose driver reads a PTX version, if the table knows it.
pub(crate) fn first_cuda_for(ptx: PtxVersion) -> Option<CudaVersion> {
    PTX_OF_CUDA.iter().find(|(_, reads)| *reads >= ptx).map(|(cuda, _)| *cuda)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_the_driver_are_read() {
        let table = [(11080, (11, 8)), (12080, (12, 8)), (13000, (13, 0)), (13010, (13, 1))];
        for (number, (major, minor)) in table {
            assert_eq!(CudaVersion::from_number(number), CudaVersion { major, minor });
        }
        assert_eq!(CudaVersion::from_number(-1), CudaVersion { major: 0, minor: 0 });
    }

    #[test]
    fn a_driver_reads_the_ptx_of_its_release() {
        let table = [
            ((10, 2), Some((0, 0))),
            ((11, 8), Some((7, 8))),
            ((12, 5), Some((8, 5))),
            ((12, 6), Some((8, 5))),
            ((12, 8), Some((8, 7))),
            ((13, 0), Some((9, 0))),
            ((13, 4), Some((9, 4))),
            ((14, 0), None),
        ];
        for ((major, minor), expected) in table {
            let expected = expected.map(|(major, minor)| PtxVersion { major, minor });
            assert_eq!(CudaVersion { major, minor }.newest_ptx(), expected, "CUDA {major}.{minor}");
        }
    }

    #[test]
    fn the_table_rises() {
        assert!(PTX_OF_CUDA.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 < pair[1].1));
    }

    #[test]
    fn the_release_for_a_ptx_version_is_the_first_that_reads_it() {
        let ptx = |major, minor| PtxVersion { major, minor };
        assert_eq!(first_cuda_for(ptx(7, 8)), Some(CudaVersion { major: 11, minor: 8 }));
        assert_eq!(first_cuda_for(ptx(8, 6)), Some(CudaVersion { major: 12, minor: 7 }));
        assert_eq!(first_cuda_for(ptx(99, 0)), None);
    }
}
