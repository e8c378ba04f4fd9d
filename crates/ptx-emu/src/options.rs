//! What can be chosen about a simulated device.

/// How a simulated device behaves.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// Order in which warps are interleaved. Run a test under several.
    pub seed: u64,
    /// Results of `.approx` instructions.
    pub approx: Approx,
    /// Worker threads that run CTAs; 0 takes all cores.
    pub threads: usize,
    /// Whether shared and global memory are watched for races.
    pub races: bool,
    /// Warp instructions after which a launch is stopped.
    pub instruction_limit: u64,
    /// The device that is simulated.
    pub spec: Spec,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            seed: 0,
            approx: Approx::Nearest,
            threads: 0,
            races: true,
            instruction_limit: 1_000_000_000,
            spec: Spec::h200(),
        }
    }
}

/// Results that the hardware's manual bounds but does not define: those of `.approx` instructions, and
/// the sums of tensor cores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Approx {
    /// The exact result, rounded.
    Nearest,
    /// Off by the bound that NVIDIA documents, up or down by a hash of the operand; tensor cores cut off
    /// what does not fit instead of rounding it.
    Worst,
}

/// Facts about a device that programs may ask for.
#[derive(Debug, Clone, PartialEq)]
pub struct Spec {
    /// Its name.
    pub name: String,
    /// Streaming multiprocessors.
    pub sms: u32,
    /// Compute capability, major and minor.
    pub compute_capability: (u32, u32),
    /// Largest shared memory of a CTA, with opt-in, in bytes.
    pub shared_per_block: u32,
    /// Shared memory of a CTA without opt-in, in bytes.
    pub shared_without_opt_in: u32,
    /// Shared memory of an SM in bytes.
    pub shared_per_sm: u32,
    /// 32-bit registers of an SM.
    pub registers_per_sm: u32,
    /// Threads that an SM holds.
    pub threads_per_sm: u32,
    /// L2 cache in bytes.
    pub l2_bytes: u64,
    /// Device memory in bytes.
    pub memory_bytes: u64,
    /// Boost clock of the SMs in Hz.
    pub clock_hz: f64,
    /// Memory bandwidth in bytes a second.
    pub bandwidth: f64,
}

impl Spec {
    /// NVIDIA H200 (SXM): the published figures.
    pub fn h200() -> Spec {
        Spec {
            name: "Emulated H200".to_owned(),
            sms: 132,
            compute_capability: (9, 0),
            shared_per_block: 227 * 1024,
            shared_without_opt_in: 48 * 1024,
            shared_per_sm: 228 * 1024,
            registers_per_sm: 65_536,
            threads_per_sm: 2048,
            l2_bytes: 50 << 20,
            memory_bytes: 141_000_000_000,
            clock_hz: 1.98e9,
            bandwidth: 4.8e12,
        }
    }

    /// NVIDIA A100 (SXM, 80 GB): the published figures.
    pub fn a100() -> Spec {
        Spec {
            name: "Emulated A100".to_owned(),
            sms: 108,
            compute_capability: (8, 0),
            shared_per_block: 163 * 1024,
            shared_without_opt_in: 48 * 1024,
            shared_per_sm: 164 * 1024,
            registers_per_sm: 65_536,
            threads_per_sm: 2048,
            l2_bytes: 40 << 20,
            memory_bytes: 80_000_000_000,
            clock_hz: 1.41e9,
            bandwidth: 2.039e12,
        }
    }
}
