//! From the command line to the options of each loss.

use align_kernels::sinkhorn::{Acceleration, Cost, Fixed, GeomLoss, Mode, Pairing};
use align_kernels::{info_nce, mmd, sinkhorn};
use anyhow::{Result, bail};

use crate::args::{
    AccelerationName, Args, CostName, KernelName, Loss, ModeName, PairingName, SimilarityName,
};

impl Args {
    /// Options of transport.
    pub fn transport(&self) -> Result<sinkhorn::Options> {
        let pairing = match (self.pairing, self.loss) {
            (Some(PairingName::AllPairs), _) | (None, Loss::WassersteinInfoNce) => {
                Pairing::AllPairs
            }
            (Some(PairingName::Paired) | None, _) => Pairing::Paired,
        };
        let cost = match self.cost.unwrap_or(CostName::Sqeuclidean) {
            CostName::Sqeuclidean => Cost::SqEuclidean,
            CostName::Cosine => Cost::Cosine,
            CostName::Euclidean => Cost::Euclidean,
        };
        let (mode, reach, debias, plan) = (self.mode()?, self.reach, self.debias, self.plan);
        let usual = sinkhorn::Options::default();
        Ok(sinkhorn::Options { pairing, cost, mode, reach, debias, plan, ..usual })
    }

    fn mode(&self) -> Result<Mode> {
        let of_geomloss = [
            ("blur", self.blur.is_some()),
            ("scaling", self.scaling.is_some()),
            ("diameter", self.diameter.is_some()),
        ];
        let of_fixed = [
            ("eps", self.eps.is_some()),
            ("max-iters", self.max_iters.is_some()),
            ("tol", self.tol.is_some()),
            ("acceleration", self.acceleration.is_some()),
        ];
        let implied = match first_given(&of_geomloss) {
            Some(_) => ModeName::Geomloss,
            None => ModeName::Fixed,
        };
        let mode = self.mode.unwrap_or(implied);
        let (foreign, owner, got) = match mode {
            ModeName::Geomloss => (first_given(&of_fixed), "fixed", "geomloss"),
            ModeName::Fixed => (first_given(&of_geomloss), "geomloss", "fixed"),
        };
        if let Some(option) = foreign {
            let hint = "--blur, --scaling and --diameter imply geomloss";
            bail!("--{option}: an option of --mode {owner}, got --mode {got} (hint: {hint})");
        }
        Ok(match mode {
            ModeName::Geomloss => {
                let usual = GeomLoss::default();
                Mode::GeomLoss(GeomLoss {
                    blur: self.blur.unwrap_or(usual.blur),
                    scaling: self.scaling.unwrap_or(usual.scaling),
                    diameter: self.diameter,
                })
            }
            ModeName::Fixed => {
                let usual = Fixed::default();
                Mode::Fixed(Fixed {
                    eps: self.eps.unwrap_or(usual.eps),
                    max_iters: self.max_iters.unwrap_or(usual.max_iters),
                    tol: self.tol.unwrap_or(usual.tol),
                    acceleration: match self.acceleration {
                        Some(AccelerationName::Plain) => Acceleration::Plain,
                        Some(AccelerationName::OverRelaxation) => Acceleration::OverRelaxation,
                        Some(AccelerationName::Anderson) => Acceleration::Anderson { memory: 5 },
                        None => usual.acceleration,
                    },
                })
            }
        })
    }

    /// Options of the softmax.
    pub fn contrast(&self) -> info_nce::Options<'static> {
        let usual = info_nce::Options::default();
        info_nce::Options {
            temperature: self.temperature.unwrap_or(usual.temperature),
            similarity: match self.similarity {
                Some(SimilarityName::Cosine) => info_nce::Similarity::Cosine,
                Some(SimilarityName::Dot) => info_nce::Similarity::Dot,
                None => usual.similarity,
            },
            symmetric: self.symmetric,
            ..usual
        }
    }

    /// Kernel and estimator of MMD.
    pub fn discrepancy(&self) -> Result<mmd::Options> {
        let kernel = self.kernel.unwrap_or(KernelName::Linear);
        for (option, is_given, owner, name) in [
            ("degree", self.degree.is_some(), KernelName::Poly, "poly"),
            ("offset", self.offset.is_some(), KernelName::Poly, "poly"),
            ("bandwidth", !self.bandwidth.is_empty(), KernelName::Gaussian, "gaussian"),
        ] {
            if is_given && kernel != owner {
                let kernel = format!("{kernel:?}").to_lowercase();
                bail!("--{option}: an option of --kernel {name}, got --kernel {kernel}");
            }
        }
        let options = match kernel {
            KernelName::Linear => mmd::Options::linear(),
            KernelName::Poly => {
                mmd::Options::polynomial(self.degree.unwrap_or(2), self.offset.unwrap_or(0.0))
            }
            KernelName::Gaussian if self.bandwidth.is_empty() => {
                let hint = "a typical distance between points";
                bail!("--kernel gaussian: no --bandwidth, expected one or more (hint: {hint})");
            }
            KernelName::Gaussian => mmd::Options::gaussian(&self.bandwidth),
        };
        let estimator =
            if self.unbiased { mmd::Estimator::Unbiased } else { mmd::Estimator::Biased };
        Ok(options.with(estimator))
    }

    /// Temperature and number of clips of CRD.
    pub fn distillation(&self, clips: usize) -> (f64, usize) {
        (self.temperature.unwrap_or(0.07), self.n_data.unwrap_or(clips))
    }
}

fn first_given(options: &[(&'static str, bool)]) -> Option<&'static str> {
    options.iter().find(|(_, is_given)| *is_given).map(|(option, _)| *option)
}
