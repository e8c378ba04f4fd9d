//! The shape of a launch, and the check of it against kernel and device.

use crate::error::{GpuError, Result};
use crate::facts::DeviceFacts;
use crate::kind::ErrorKind;

/// Grid, block, shared memory and mode of a launch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub struct Launch {
    /// Blocks along x, y, z.
    pub grid: [u32; 3],
    /// Threads of a block along x, y, z.
    pub block: [u32; 3],
    /// Bytes of dynamic shared memory a block.
    pub dynamic_shared: u32,
    /// All blocks are resident at once, so that the grid can meet at a barrier.
    pub cooperative: bool,
    /// Blocks of a cluster along x, y, z.
    pub cluster: Option<[u32; 3]>,
}

impl Launch {
    /// A grid of blocks.
    pub const fn new(grid: [u32; 3], block: [u32; 3]) -> Launch {
        Launch { grid, block, dynamic_shared: 0, cooperative: false, cluster: None }
    }

    /// `grid` blocks of `block` threads along x.
    pub const fn linear(grid: u32, block: u32) -> Launch {
        Launch::new([grid, 1, 1], [block, 1, 1])
    }

    /// As many blocks of `block` threads as give each of `count` items a thread.
    ///
    /// At least one block, and at most `u32::MAX`: a kernel guards its own end.
    pub fn over(count: usize, block: u32) -> Launch {
        let blocks = count.div_ceil(block.max(1) as usize).max(1);
        Launch::linear(u32::try_from(blocks).unwrap_or(u32::MAX), block)
    }

    /// Sets [`Launch::dynamic_shared`].
    pub const fn dynamic_shared(mut self, bytes: u32) -> Launch {
        self.dynamic_shared = bytes;
        self
    }

    /// Sets [`Launch::cooperative`].
    pub const fn cooperative(mut self) -> Launch {
        self.cooperative = true;
        self
    }

    /// Sets [`Launch::cluster`].
    pub const fn cluster(mut self, blocks: [u32; 3]) -> Launch {
        self.cluster = Some(blocks);
        self
    }

    /// Threads of a block.
    pub fn block_threads(&self) -> u64 {
        product(self.block)
    }

    /// Refuses a launch that the driver would refuse with a bare "invalid value".
    ///
    /// `max_threads` and `shared_limit` are the kernel's own.
    pub(crate) fn check(
        &self,
        kernel: &str,
        facts: &DeviceFacts,
        max_threads: u32,
        shared_limit: u32,
    ) -> Result<()> {
        let fail = |detail: String| GpuError::new(ErrorKind::Launch, kernel, detail);
        let Launch { grid, block, dynamic_shared, cooperative, cluster } = *self;
        if product(grid) == 0 || product(block) == 0 {
            return Err(fail(format!("grid {grid:?} of block {block:?} has no thread"))
                .hint("skip the launch when there is nothing to do"));
        }
        if over(grid, facts.grid_limit) {
            let limit = facts.grid_limit;
            return Err(fail(format!("grid {grid:?}, expected at most {limit:?}"))
                .hint("put the long axis on x, or loop over items in the kernel"));
        }
        if over(block, facts.block_limit) || self.block_threads() > u64::from(max_threads) {
            let limit = facts.block_limit;
            return Err(fail(format!(
                "block {block:?}, expected at most {limit:?} and {max_threads} threads in all"
            ))
            .hint("this kernel's registers or .maxntid may set the number of threads"));
        }
        if dynamic_shared > shared_limit {
            let most = facts.shared_per_block_optin;
            return Err(fail(format!(
                "{dynamic_shared} bytes of dynamic shared memory, expected at most {shared_limit}"
            ))
            .hint(format!("Kernel::set_dynamic_shared raises it; the device allows {most}")));
        }
        if cooperative && !facts.cooperative {
            return Err(fail("a cooperative launch, which this device cannot do".into()));
        }
        let Some(cluster) = cluster else { return Ok(()) };
        if !facts.clusters {
            return Err(fail("a launch of clusters, which this device cannot do".into())
                .hint("clusters need compute capability 9.0"));
        }
        let divides = (0..3).all(|axis| cluster[axis] > 0 && grid[axis] % cluster[axis] == 0);
        match divides {
            true => Ok(()),
            false => Err(fail(format!("cluster {cluster:?} does not divide grid {grid:?}"))),
        }
    }
}

fn product(extent: [u32; 3]) -> u64 {
    // Saturating: 2^96 does not fit, and anything near it is over every limit.
    extent.iter().fold(1, |all, &n| all.saturating_mul(n.into()))
}

fn over(extent: [u32; 3], limit: [u32; 3]) -> bool {
    extent.iter().zip(limit).any(|(&n, most)| n > most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn over_covers_all_items() {
        for (count, block, blocks) in
            [(0, 128, 1), (1, 128, 1), (128, 128, 1), (129, 128, 2), (5, 0, 5)]
        {
            assert_eq!(Launch::over(count, block).grid, [blocks, 1, 1], "{count} by {block}");
        }
    }

    #[test]
    fn shapes_out_of_bounds_are_refused_before_the_driver_is_asked() {
        let facts = DeviceFacts::example();
        let old = DeviceFacts { clusters: false, cooperative: false, ..facts.clone() };
        let check = |launch: Launch, facts: &DeviceFacts| launch.check("k", facts, 512, 49152);
        let good = [
            Launch::linear(1, 512),
            Launch::new([7, 65535, 65535], [8, 8, 8]).dynamic_shared(49152),
            Launch::linear(8, 32).cooperative().cluster([2, 1, 1]),
        ];
        for launch in good {
            check(launch, &facts).unwrap();
        }
        let bad = [
            (Launch::linear(0, 32), "has no thread"),
            (Launch::new([1, 1, 1], [32, 0, 1]), "has no thread"),
            (Launch::new([1, 65536, 1], [1, 1, 1]), "grid [1, 65536, 1], expected at most"),
            (Launch::linear(1, 513), "512 threads in all"),
            (Launch::new([1, 1, 1], [1, 1, 65]), "block [1, 1, 65]"),
            (Launch::new([1, 1, 1], [u32::MAX; 3]), "threads in all"),
            (Launch::linear(1, 32).dynamic_shared(49153), "49153 bytes of dynamic shared"),
            (Launch::linear(3, 32).cluster([2, 1, 1]), "does not divide grid [3, 1, 1]"),
            (Launch::linear(3, 32).cluster([0, 1, 1]), "does not divide"),
        ];
        for (launch, expected) in bad {
            let error = check(launch, &facts).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Launch);
            assert!(error.detail().contains(expected), "{error}");
        }
        assert!(check(Launch::linear(1, 32).cooperative(), &old).is_err());
        assert!(check(Launch::linear(2, 32).cluster([2, 1, 1]), &old).is_err());
    }
}
