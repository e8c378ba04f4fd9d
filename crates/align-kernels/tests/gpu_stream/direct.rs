//! The kernel itself, in groups of any size and with any part of a strip streamed: a launch through the
//! library chooses both by the card.

use align_kernels::reference::sinkhorn as twin;
use align_kernels::registry::KERNELS;
use gpu_runtime::{DeviceBuffer, Launch, Module, Stream, args};

use crate::batch::noise;
use crate::device::stream;

/// One problem, and potentials after an update in the log domain.
struct Problem {
    n: usize,
    m: usize,
    cost: Vec<f32>,
    a: Vec<f32>,
    b: Vec<f32>,
    first: [Vec<f32>; 2],
    wanted: twin::Solution,
}

/// How a launch cuts it.
#[derive(Debug, Clone, Copy)]
struct Cut {
    size: usize,
    streamed: usize,
}

/// Potentials of each copy, and their iterations.
type Found = (Vec<[Vec<f32>; 2]>, Vec<u32>);

const EPS: f64 = 0.1;

impl Problem {
    /// Every fifth weight is 0, and some costs forbid.
    fn new(n: usize, m: usize, iterations: usize) -> Self {
        let mut noise = noise(n + m);
        let forbidden = |k: usize| k % 11 == 3;
        let cost: Vec<f32> =
            (0..n * m).map(|k| if forbidden(k) { f32::INFINITY } else { noise() }).collect();
        let mut weights = |count: usize| -> Vec<f32> {
            (0..count).map(|k| if k % 5 == 2 { 0.0 } else { noise() / count as f32 }).collect()
        };
        let (a, b) = (weights(n), weights(m));
        let wide = |x: &[f32]| x.iter().map(|&x| f64::from(x)).collect::<Vec<f64>>();
        let solve = |max_iters| {
            let options = twin::SolveOptions { eps: EPS, max_iters, tol: 0.0, rho: None };
            twin::solve(&wide(&cost), &wide(&a), &wide(&b), options).unwrap()
        };
        let narrow = |x: &[f64]| x.iter().map(|&x| x as f32).collect::<Vec<f32>>();
        let (first, wanted) = (solve(1), solve(iterations));
        let first = [narrow(&first.f), narrow(&first.g)];
        Self { n, m, cost, a, b, first, wanted }
    }

    /// Solves some copies; `None` where the cut needs too much memory. NaN lies wherever nothing may be read.
    fn run(&self, stream: &Stream, copies: usize, cut: Cut) -> Option<Found> {
        let kernel = |name: &str| {
            let kernel = KERNELS.iter().find(|kernel| kernel.name == name).unwrap();
            Module::load_ptx(stream.device(), name, kernel.ptx).unwrap().kernel(name).unwrap()
        };
        let [absorb, iterate, fold] =
            ["absorb", "stream", "fold"].map(|name| kernel(&format!("sinkhorn_{name}_v2_f32")));
        let (size, panels) = (cut.size, self.m.div_ceil(128));
        let wide = panels.div_ceil(2).next_power_of_two().ilog2() as usize;
        let parts = 16 >> wide;
        let blocks = self.n.div_ceil(size * parts).div_ceil(4);
        let streamed = cut.streamed.min(blocks);
        let shared = 10880 + 64 * parts * blocks + 2048 * parts * panels * (blocks - streamed);
        let shared = shared as u32;
        if shared > stream.device().facts().shared_per_block_optin {
            return None;
        }
        iterate.set_dynamic_shared(shared).unwrap();
        let mut cost = self.cost.clone();
        for (k, c) in cost.iter_mut().enumerate() {
            if self.a[k / self.m] == 0.0 || self.b[k % self.m] == 0.0 {
                *c = f32::NAN;
            }
        }
        let send = |x: &[f32]| DeviceBuffer::from_slice(stream, x).unwrap();
        let (cost, a, b) = (send(&cost), send(&self.a), send(&self.b));
        let room = 32 + (4 * size).next_multiple_of(32) + 128 * panels * (5 + size * parts);
        let lengths = [512 * parts * panels * blocks * size, 16 * parts * blocks * size, room, 8];
        // Potentials, then kernel, rows, room and state.
        let scratch: Vec<_> = (0..copies)
            .map(|_| {
                let [kernel, rows, room, state] = lengths.map(|len| vec![0f32; len]);
                let [kernel, rows] = [kernel, rows].map(|x| vec![f32::NAN; x.len()]);
                let words =
                    [1f32.to_bits(), 1f32.to_bits(), 0, f32::INFINITY.to_bits(), 0, 1, 0, 0];
                let state: Vec<f32> =
                    state.iter().zip(words).map(|(_, w)| f32::from_bits(w)).collect();
                (
                    self.first.clone().map(|h| send(&h)),
                    [kernel, rows, room, state].map(|x| send(&x)),
                )
            })
            .collect();
        let mut jobs = Vec::new();
        for (k, ([f, g], own)) in scratch.iter().enumerate() {
            let put = |jobs: &mut Vec<u32>, address: u64| {
                jobs.extend([address as u32, (address >> 32) as u32]);
            };
            own.iter().for_each(|x| put(&mut jobs, x.address()));
            let sizes = [wide, parts, blocks, streamed, panels, self.m, self.n, self.m];
            jobs.extend(sizes.map(|x| x as u32));
            [f, g, &a, &b, &cost].iter().for_each(|x| put(&mut jobs, x.address()));
            jobs.extend([k as u32, 0]);
        }
        let jobs = DeviceBuffer::from_slice(stream, &jobs).unwrap();
        let words = || DeviceBuffer::<u32>::zeroed(stream, copies).unwrap();
        let [mut next, mut skip_columns, mut skip_rows, mut iterations] = [(); 4].map(|()| words());
        let (count, size) = (copies as u32, size as u32);
        let max_iters = self.wanted.iterations as u32;
        let scale = (std::f64::consts::LOG2_E / EPS) as f32;
        let all = Launch::new([count * size, 1, 1], [32, 16, 1]);
        let some = Launch::new([2.min(count) * size, 1, 1], [32, 16, 1]);
        // SAFETY: as the heads of the kernels say, three times.
        unsafe {
            absorb.launch(stream, &all, args![&jobs, size, scale, 0f32]).unwrap();
            let args = args![&jobs, count, size, max_iters, 0f32, 1f32];
            let some = some.dynamic_shared(shared).cooperative();
            iterate.launch(stream, &some, args).unwrap();
            let args = args![
                &jobs,
                &mut next,
                &mut skip_columns,
                &mut skip_rows,
                &mut iterations,
                size,
                (std::f64::consts::LN_2 * EPS) as f32,
            ];
            fold.launch(stream, &Launch::new(all.grid, [512, 1, 1]), args).unwrap();
        }
        assert!(next.to_vec().unwrap().iter().all(|&next| next == 2), "{cut:?}: unfinished");
        for flags in [skip_columns, skip_rows] {
            assert!(flags.to_vec().unwrap().iter().all(|&flag| flag == 1));
        }
        let of = |[f, g]: &[DeviceBuffer<f32>; 2]| [f.to_vec().unwrap(), g.to_vec().unwrap()];
        Some((scratch.iter().map(|(h, _)| of(h)).collect(), iterations.to_vec().unwrap()))
    }
}

#[test]
fn any_cut_gives_the_solution_and_streaming_the_same_bits() {
    let Some(stream) = stream() else { return };
    for (n, m) in [(61, 130), (37, 513), (9, 2049), (11, 4096)] {
        let problem = Problem::new(n, m, 5);
        for size in [1, 3, 7] {
            let mut first = None;
            for streamed in 0..4 {
                let cut = Cut { size, streamed };
                // Three pairs for two groups: one of them solves two.
                let Some((got, iterations)) = problem.run(&stream, 3, cut) else { continue };
                assert_eq!(iterations, [5; 3], "{n} {m} {cut:?}");
                let sides = [&problem.wanted.f, &problem.wanted.g];
                for (got, want) in got[0].iter().zip(sides) {
                    for (got, want) in got.iter().zip(want) {
                        let off = (f64::from(*got) - want).abs();
                        assert!(off < 4e-7, "{n} {m} {cut:?}: {got} {want}");
                    }
                }
                assert!(got.iter().all(|one| *one == got[0]), "{n} {m} {cut:?}: copies differ");
                let first = first.get_or_insert_with(|| got[0].clone());
                assert_eq!(*first, got[0], "{n} {m} {cut:?}: streaming changes bits");
            }
        }
    }
}
