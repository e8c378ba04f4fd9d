//! Values and gradients that the host puts together: by weights and by the temperature, own problems
//! taken off.

use super::numbers::{Numbers, earned_by, worth};
use super::own::Own;
use crate::sinkhorn::{Call, Mode, Pairing};

/// What pairs and own problems came to.
pub(super) struct Parts<'p> {
    pub call: &'p Call<'p>,
    pub eps: f64,
    pub numbers: &'p Numbers,
    /// With debiasing.
    pub own: Option<&'p [Own; 2]>,
}

/// Gradients by the weights of `x` and of `y`, where they are wanted, and by the temperature: of each block
/// of a pairing by blocks, or of all pairs.
pub(super) type Slopes = (Vec<f32>, Vec<f32>, Vec<f64>);

impl Parts<'_> {
    /// Values of all pairs.
    pub fn values(&self) -> Vec<f64> {
        let one = |k: usize| {
            let surplus = self.surplus(k);
            let own =
                |own: &Own| own.tasks.of_pair[k].map_or(0.0, |task| own.report[task][0] / 2.0);
            let own: f64 = self.own.map_or(0.0, |sides| sides.iter().map(own).sum());
            self.numbers.report[k][0] - own + self.eps / 2.0 * surplus * surplus
        };
        (0..self.call.pairs()).map(one).collect()
    }

    /// `sum a - sum b` of an unbalanced pair at one temperature, whose divergence has a term for it.
    fn surplus(&self, k: usize) -> f64 {
        let Self { call, .. } = self;
        let (i, j) = call.items(k);
        let is_fixed = matches!(call.options.mode, Mode::Fixed(_));
        match is_fixed && call.options.debias && call.rho.is_finite() && call.has_mass(k) {
            true => call.x.mass[i] - call.y.mass[j],
            false => 0.0,
        }
    }

    /// `rows` and `columns` are what the plans sum to.
    pub fn slopes(&self, upstream: Option<&[f32]>, [rows, columns]: [&[f32]; 2]) -> Slopes {
        let Self { call, numbers, .. } = self;
        let wanted = call.options.gradients;
        let mut a = vec![0f64; if wanted.has_x() { call.x.weights.len() } else { 0 }];
        let mut b = vec![0f64; if wanted.has_y() { call.y.weights.len() } else { 0 }];
        let (blocks, of_block) = match call.options.pairing {
            Pairing::Blocks(_) => (call.grid.blocks, call.grid.of_block()),
            Pairing::Paired | Pairing::AllPairs => (1, call.pairs()),
        };
        let mut slopes = vec![0.0; blocks];
        let (mut f_at, mut g_at) = (0, 0);
        for k in 0..call.pairs() {
            let eps: &mut f64 = &mut slopes[k / of_block];
            let (i, j) = call.items(k);
            let (n, m) = (call.x.count(i), call.y.count(j));
            let (of_f, of_g) = (f_at..f_at + n, g_at..g_at + m);
            (f_at, g_at) = (of_f.end, of_g.end);
            if !call.has_mass(k) {
                continue;
            }
            let weight = upstream.map_or(1.0, |upstream| f64::from(upstream[k]));
            let surplus = self.surplus(k);
            *eps += weight * (numbers.report[k][3] + surplus * surplus / 2.0);
            let task = |side: usize| {
                let own = &self.own?[side];
                own.tasks.of_pair[k].map(|task| (own, task))
            };
            for (own, task) in [task(0), task(1)].into_iter().flatten() {
                *eps -= weight * own.report[task][3] / 2.0;
            }
            let own = |side: usize| {
                let (own, task) = task(side)?;
                let rows = own.layout.potentials(task).0;
                let mass = [call.x.mass[i], call.y.mass[j]][side];
                Some(Held { h: &own.f[rows.clone()], sums: &own.sums[rows], mass })
            };
            let of_x =
                Held { h: &numbers.f[of_f.clone()], sums: &rows[of_f], mass: call.y.mass[j] };
            let of_y =
                Held { h: &numbers.g[of_g.clone()], sums: &columns[of_g], mass: call.x.mass[i] };
            let more = self.eps * surplus;
            if wanted.has_x() {
                let to_a = &mut a[call.x.offsets[i]..];
                self.add(to_a, call.x.item_weights(i), (of_x, own(0)), (weight, more));
            }
            if wanted.has_y() {
                let to_b = &mut b[call.y.offsets[j]..];
                self.add(to_b, call.y.item_weights(j), (of_y, own(1)), (weight, -more));
            }
        }
        let narrow = |sums: Vec<f64>| sums.iter().map(|&s| s as f32).collect();
        (narrow(a), narrow(b), slopes)
    }

    fn add(
        &self,
        out: &mut [f64],
        weights: &[f32],
        (held, own): (Held<'_>, Option<Held<'_>>),
        (upstream, more): (f64, f64),
    ) {
        for ((r, out), &w) in out.iter_mut().enumerate().zip(weights) {
            if w != 0.0 {
                let own = own.as_ref().map_or(0.0, |own| self.slope(own, r, w));
                *out += upstream * (self.slope(&held, r, w) - own + more);
            }
        }
    }

    /// By the weight `w` of point `r`.
    fn slope(&self, held: &Held<'_>, r: usize, w: f32) -> f64 {
        let (h, eps, rho) = (f64::from(held.h[r]), self.eps, self.call.rho);
        match self.call.options.mode {
            Mode::Fixed(_) => {
                let sum = f64::from(held.sums[r]) / f64::from(w);
                worth(h, rho) - eps * (sum - held.mass)
            }
            Mode::GeomLoss(_) if rho.is_infinite() => h,
            // Of the converged value, of which `rho + eps / 2` is the forward form.
            Mode::GeomLoss(_) => earned_by(h, rho, rho + eps) - eps / 2.0,
        }
    }
}

/// One side of a solved problem: potentials, what the plan sums to, and the other side's mass.
struct Held<'h> {
    h: &'h [f32],
    sums: &'h [f32],
    mass: f64,
}
