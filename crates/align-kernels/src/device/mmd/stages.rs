//! A kernel as the device is told of it.

use crate::mmd::{Kernel, Step, stages};

/// STAGE of `mmd_weights_v1_f32.ptx`.
pub(super) type Stage = [u32; 4];

/// A function of a product, or of a squared distance.
#[derive(Debug, Clone)]
pub(super) enum Shape {
    Products { degree: u32, offset: f64 },
    Distances { stages: Vec<Stage> },
}

impl Shape {
    pub fn products(degree: u32, offset: f64) -> Self {
        Self::Products { degree, offset }
    }

    pub fn distances(bandwidths: &[f64]) -> Self {
        let stage = |stage: crate::mmd::Stage| {
            let (rate, times) = match stage.step {
                // The device has powers of two.
                Step::Exp { rate } => (rate * std::f32::consts::LOG2_E, 0),
                Step::Square { times } => (0.0, times),
            };
            [rate.to_bits(), times, stage.slope.to_bits(), 0]
        };
        Self::Distances { stages: stages(bandwidths).into_iter().map(stage).collect() }
    }

    pub fn of(kernel: &Kernel) -> Self {
        match kernel {
            Kernel::Linear => Self::products(1, 0.0),
            Kernel::Polynomial { degree, offset } => Self::products(*degree, *offset),
            Kernel::Gaussian { bandwidths } => Self::distances(bandwidths),
        }
    }

    /// As kernels number them.
    pub fn kind(&self) -> u32 {
        u32::from(matches!(self, Self::Distances { .. }))
    }

    /// The degree, or the number of stages.
    pub fn count(&self) -> u32 {
        match self {
            Self::Products { degree, .. } => *degree,
            Self::Distances { stages } => stages.len() as u32,
        }
    }

    pub fn offset(&self) -> f32 {
        match self {
            Self::Products { offset, .. } => *offset as f32,
            Self::Distances { .. } => 0.0,
        }
    }

    pub fn stages(&self) -> &[Stage] {
        match self {
            Self::Products { .. } => &[],
            Self::Distances { stages } => stages,
        }
    }

    /// What the device leaves out: the kernel of a point with itself.
    pub fn own(&self) -> f64 {
        match self {
            Self::Products { .. } => 0.0,
            Self::Distances { stages } => stages.len() as f64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bandwidths_become_rates_of_powers_of_two() {
        let shape = Shape::distances(&[1.0, 2.0]);
        assert_eq!((shape.kind(), shape.count(), shape.own()), (1, 2, 2.0));
        let [wide, narrow] = [shape.stages()[0], shape.stages()[1]];
        let rate = f32::from_bits(wide[0]);
        assert!((rate + std::f32::consts::LOG2_E / 8.0).abs() < 1e-7, "{rate}");
        assert_eq!((wide[1], f32::from_bits(wide[2])), (0, 0.25));
        assert_eq!((narrow[0], narrow[1], f32::from_bits(narrow[2])), (0, 2, 1.0));
    }
}
