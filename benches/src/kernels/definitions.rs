//! What is timed, as data: every case with its reason, its peers and what is asked of it.

use std::f64::consts::{FRAC_1_SQRT_2, SQRT_2};

use super::crd::Crd;
use super::info_nce::InfoNce;
use super::mmd::Mmd;
use super::nst::Nst;
use super::sinkhorn::{Sinkhorn, Solver};
use super::wasserstein::Wasserstein;

/// One row of the benchmark.
#[derive(Debug)]
pub struct Case {
    /// Operation, as `--op` names it.
    pub op: &'static str,
    /// Shape, as `--shape` names it.
    pub shape: &'static str,
    /// What is computed: the same shape may be timed with gradients and without.
    pub work: &'static str,
    /// The numbers.
    pub problem: Problem,
    /// Who is timed beside us.
    pub peers: &'static [Peer],
    /// The ratio peer / ours that we want.
    pub aims: &'static [Aim],
    /// Why this shape.
    pub reason: &'static str,
}

/// Parameters of a case.
#[derive(Debug)]
pub enum Problem {
    /// Entropic optimal transport.
    Sinkhorn(Sinkhorn),
    /// Gaussian maximum mean discrepancy.
    Mmd(Mmd),
    /// Neuron selectivity transfer.
    Nst(Nst),
    /// InfoNCE, of one layer or several.
    InfoNce(InfoNce),
    /// InfoNCE between clouds, of several layers.
    Wasserstein(Wasserstein),
    /// CRD against memory banks.
    Crd(Crd),
}

/// Somebody else's implementation of a case.
#[derive(Debug)]
pub struct Peer {
    /// Name in tables.
    pub name: &'static str,
    /// Argument of `peers/kernels/serve.py`.
    pub library: &'static str,
    /// Key of the library's `FORMS`.
    pub form: &'static str,
    /// Whether it does the whole work; a yardstick does a part that nobody can avoid.
    pub rival: bool,
}

/// Who an aim is measured against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Against {
    /// The fastest of those that do the same work.
    FastestRival,
    /// The peer of this name.
    Peer(&'static str),
}

/// A wanted ratio, peer / ours.
#[derive(Debug, Clone, Copy)]
pub struct Aim {
    /// Whose time is divided by ours.
    pub against: Against,
    /// Reached at or above this.
    pub at_least: f64,
}

const fn rivals(at_least: f64) -> Aim {
    Aim { against: Against::FastestRival, at_least }
}

const fn over(peer: &Peer, at_least: f64) -> Aim {
    Aim { against: Against::Peer(peer.name), at_least }
}

const fn rival(name: &'static str, library: &'static str, form: &'static str) -> Peer {
    Peer { name, library, form, rival: true }
}

const TORCH_COST: Peer = Peer {
    name: "torch cost product alone",
    library: "torch",
    form: "sinkhorn_gemm",
    rival: false,
};
const TORCH_LOG: Peer = rival("torch log", "torch", "sinkhorn_log");
const TORCH_EXP: Peer = rival("torch exp", "torch", "sinkhorn_exp");
const GEOMLOSS_FIXED: Peer = rival("GeomLoss loop", "geomloss", "fixed");
const GEOMLOSS: Peer = rival("GeomLoss", "geomloss", "samples_loss");
const GEOMLOSS_PAIRS: Peer = rival("GeomLoss, a call a pair", "geomloss", "info_nce_pairs");
const GEOMLOSS_BATCH: Peer = rival("GeomLoss, a call a layer", "geomloss", "info_nce_layers");
const GEOMLOSS_LOOP: Peer = rival("GeomLoss loop, all at once", "geomloss", "info_nce_loop");
const POT_LOG: Peer = rival("POT batch log", "pot", "batch_log");
const POT_EXP: Peer = rival("POT batch exp", "pot", "batch_exp");
const POT_LOOP: Peer = rival("POT loop", "pot", "loop");
const OTT_LSE: Peer = rival("OTT lse", "ott", "lse");
const OTT_KERNEL: Peer = rival("OTT kernel", "ott", "kernel");
const TORCH_MMD: Peer = rival("torch", "torch", "mmd_gaussian");
const NST_BROADCAST: Peer = rival("RepDistiller form", "torch", "nst_broadcast");
const NST_PRODUCT: Peer = rival("torch bmm form", "torch", "nst_product");
const OPEN_CLIP: Peer = rival("open_clip form", "torch", "info_nce");
const REP_DISTILLER: Peer = rival("RepDistiller form", "torch", "crd");

/// Values of all that can be had at a fixed temperature.
const SINKHORN_FORWARD: &[Peer] = &[
    TORCH_COST,
    TORCH_LOG,
    TORCH_EXP,
    GEOMLOSS_FIXED,
    POT_LOG,
    POT_EXP,
    POT_LOOP,
    OTT_LSE,
    OTT_KERNEL,
];
/// Values and gradients: GeomLoss has none at a fixed temperature, POT's loop none at all.
const SINKHORN_GRADIENT: &[Peer] = &[TORCH_LOG, TORCH_EXP, POT_LOG, POT_EXP, OTT_LSE, OTT_KERNEL];

const FIXED: Solver = Solver::Fixed { eps: 0.25, iterations: 100 };
const GEOMLOSS_BLUR: Solver = Solver::GeomLoss { blur: 0.5, scaling: 0.5 };

const S1: Sinkhorn = Sinkhorn {
    x_lengths: &[48; 10],
    y_lengths: &[160; 10],
    width: 4096,
    solver: FIXED,
    gradient: false,
};
const S2Q: Sinkhorn = Sinkhorn {
    x_lengths: &[64; 16],
    y_lengths: &[256; 16],
    width: 1024,
    solver: FIXED,
    gradient: false,
};
const SINGLE: Sinkhorn =
    Sinkhorn { x_lengths: &[4096], y_lengths: &[4096], width: 64, solver: FIXED, gradient: false };
/// Means of 48 and 160, so that the work is S1's.
const RAGGED: Sinkhorn = Sinkhorn {
    x_lengths: &[12, 20, 28, 36, 44, 52, 60, 68, 76, 84],
    y_lengths: &[40, 66, 93, 120, 146, 173, 200, 227, 253, 282],
    ..S1
};

const fn with_gradient(sinkhorn: Sinkhorn) -> Problem {
    Problem::Sinkhorn(Sinkhorn { gradient: true, ..sinkhorn })
}

const fn as_geomloss(sinkhorn: Sinkhorn) -> Problem {
    with_gradient(Sinkhorn { solver: GEOMLOSS_BLUR, ..sinkhorn })
}

/// Squares a factor of two apart around the typical squared distance of unit vectors, 2.
const BANDWIDTHS: &[f64] = &[FRAC_1_SQRT_2, 1.0, SQRT_2, 2.0, 2.0 * SQRT_2];

const FORWARD: &str = "forward";
const GRADIENT: &str = "forward+gradient";
const GEOMLOSS_MODE: &str = "GeomLoss mode, debiased, forward+gradient";
const UPDATE: &str = "forward+gradient+update";

/// Every case, in the order of the tables.
pub const CASES: &[Case] = &[
    Case {
        op: "sinkhorn",
        shape: "S1",
        work: FORWARD,
        problem: Problem::Sinkhorn(S1),
        peers: SINKHORN_FORWARD,
        // At most 1.25 times as long as the product.
        aims: &[over(&TORCH_COST, 0.8), rivals(2.5)],
        reason: "100 pairs of 48 x 160 at width 4096: ten texts against ten utterances of a speech \
                 model's batch, where the cost product dominates",
    },
    Case {
        op: "sinkhorn",
        shape: "S1",
        work: GRADIENT,
        problem: with_gradient(S1),
        peers: SINKHORN_GRADIENT,
        aims: &[],
        reason: "what a training step pays at that shape",
    },
    Case {
        op: "sinkhorn",
        shape: "S1",
        work: GEOMLOSS_MODE,
        problem: as_geomloss(S1),
        peers: &[GEOMLOSS],
        aims: &[rivals(30.0)],
        reason: "the loss that published recipes call, at blur 0.5; a given diameter of both sides \
                 makes their schedules equal",
    },
    Case {
        op: "sinkhorn",
        shape: "S2q",
        work: FORWARD,
        problem: Problem::Sinkhorn(S2Q),
        peers: SINKHORN_FORWARD,
        aims: &[],
        reason: "256 pairs of 64 x 256 at width 1024: a quarter of each side of a batch of 64, \
                 where the iteration dominates",
    },
    Case {
        op: "sinkhorn",
        shape: "S2q",
        work: GRADIENT,
        problem: with_gradient(S2Q),
        peers: SINKHORN_GRADIENT,
        aims: &[rivals(6.0)],
        reason: "what a training step pays at that shape",
    },
    Case {
        op: "sinkhorn",
        shape: "S2q",
        work: GEOMLOSS_MODE,
        problem: as_geomloss(S2Q),
        peers: &[GEOMLOSS],
        aims: &[],
        reason: "debiasing once a sample instead of once a pair, on many pairs",
    },
    Case {
        op: "sinkhorn",
        shape: "single",
        work: FORWARD,
        problem: Problem::Sinkhorn(SINGLE),
        peers: &[TORCH_EXP, POT_LOOP, OTT_LSE, OTT_KERNEL],
        aims: &[rivals(3.0)],
        reason: "one problem of 4096 x 4096 at width 64, the shape that general solvers quote; \
                 log-domain peers on torch take half a minute a run there and are left out",
    },
    Case {
        op: "sinkhorn",
        shape: "single",
        work: GRADIENT,
        problem: with_gradient(SINGLE),
        peers: &[TORCH_EXP, POT_EXP, OTT_LSE, OTT_KERNEL],
        aims: &[rivals(3.0)],
        reason: "the same with gradients",
    },
    Case {
        op: "sinkhorn",
        shape: "ragged",
        work: FORWARD,
        problem: Problem::Sinkhorn(RAGGED),
        peers: &[TORCH_COST, TORCH_EXP, POT_LOOP, OTT_LSE],
        aims: &[],
        reason: "S1's work in items of 12 to 84 and 40 to 282 points: what padding costs those who \
                 pad; the loop does not",
    },
    Case {
        op: "info-nce",
        shape: "B2048",
        work: GRADIENT,
        problem: Problem::InfoNce(InfoNce { layers: 1, batch: 2048, width: 1024 }),
        peers: &[OPEN_CLIP],
        aims: &[],
        reason: "2048 pairs at width 1024: a batch that one machine holds",
    },
    Case {
        op: "info-nce",
        shape: "B8192",
        work: GRADIENT,
        problem: Problem::InfoNce(InfoNce { layers: 1, batch: 8192, width: 1024 }),
        peers: &[OPEN_CLIP],
        aims: &[rivals(1.8)],
        reason: "8192 pairs at width 1024, where a matrix of logits takes 268 MB and ours is never \
                 made whole",
    },
    Case {
        op: "info-nce",
        shape: "7x1024",
        work: GRADIENT,
        problem: Problem::InfoNce(InfoNce { layers: 7, batch: 1024, width: 1024 }),
        peers: &[OPEN_CLIP],
        aims: &[],
        reason: "seven layers of 1024 pairs, as when every second layer of an encoder is aligned",
    },
    Case {
        op: "wasserstein-info-nce",
        shape: "7x10",
        work: "blur 0.05, debiased, forward+gradient by y",
        problem: Problem::Wasserstein(Wasserstein {
            layers: 7,
            x_lengths: &[48; 10],
            y_lengths: &[160; 10],
            width: 2048,
        }),
        peers: &[GEOMLOSS_PAIRS, GEOMLOSS_BATCH, GEOMLOSS_LOOP],
        aims: &[over(&GEOMLOSS_PAIRS, 5.0)],
        reason: "ten texts of 48 tokens against ten recordings of 160 in seven layers of width 2048: \
                 what contr-wasser-all pays a step, texts being constants",
    },
    Case {
        op: "mmd",
        shape: "n1024",
        work: GRADIENT,
        problem: Problem::Mmd(Mmd { count: 1024, width: 1024, bandwidths: BANDWIDTHS }),
        peers: &[TORCH_MMD],
        aims: &[],
        reason: "five Gaussians on 1024 + 1024 points at width 1024, which fit into caches",
    },
    Case {
        op: "mmd",
        shape: "n4096",
        work: GRADIENT,
        problem: Problem::Mmd(Mmd { count: 4096, width: 1024, bandwidths: BANDWIDTHS }),
        peers: &[TORCH_MMD],
        aims: &[rivals(5.0)],
        reason: "the same on 4096 + 4096 points, where five matrices of 8192 x 8192 do not",
    },
    Case {
        op: "nst",
        shape: "n512",
        work: GRADIENT,
        problem: Problem::Nst(Nst { count: 512, width: 1024 }),
        peers: &[NST_BROADCAST, NST_PRODUCT],
        aims: &[over(&NST_BROADCAST, 6.0)],
        reason: "512 neurons at 1024 positions: all that the published form can hold, a gigabyte a \
                 broadcast",
    },
    Case {
        op: "nst",
        shape: "n4096",
        work: GRADIENT,
        problem: Problem::Nst(Nst { count: 4096, width: 1024 }),
        peers: &[NST_PRODUCT],
        aims: &[],
        reason: "4096 neurons at 1024 positions: only products can, and moments need no Gram matrix",
    },
    Case {
        op: "crd",
        shape: "50k",
        work: UPDATE,
        problem: Problem::Crd(Crd { batch: 64, negatives: 16_384, rows: 50_000, width: 128 }),
        peers: &[REP_DISTILLER],
        aims: &[rivals(5.0)],
        reason: "64 anchors against 16384 of 50000 rows of width 128, the published setting",
    },
];

impl Case {
    /// Name of all that tells a case from others.
    pub fn name(&self) -> String {
        format!("{} {} {}", self.op, self.shape, self.work)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_is_one_sentence_on_numbers_that_hold() {
        for case in CASES {
            assert!(case.reason.len() > 20 && !case.reason.contains(". "), "{}", case.name());
        }
        assert_eq!(RAGGED.x_lengths.iter().sum::<usize>(), S1.x_lengths.iter().sum::<usize>());
        assert_eq!(RAGGED.y_lengths.iter().sum::<usize>(), S1.y_lengths.iter().sum::<usize>());
    }

    #[test]
    fn names_are_unique_and_peers_are_told_apart() {
        for (at, case) in CASES.iter().enumerate() {
            let name = case.name();
            assert!(CASES[..at].iter().all(|other| other.name() != name), "{name}");
            for (at, peer) in case.peers.iter().enumerate() {
                assert!(case.peers[..at].iter().all(|other| other.name != peer.name), "{name}");
            }
            for aim in case.aims {
                let known = match aim.against {
                    Against::FastestRival => case.peers.iter().any(|peer| peer.rival),
                    Against::Peer(name) => case.peers.iter().any(|peer| peer.name == name),
                };
                assert!(known && aim.at_least > 0.0, "{name}");
            }
        }
    }
}
