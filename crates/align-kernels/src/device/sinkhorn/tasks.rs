//! Which problems of clouds with themselves there are: one an item, or one for every pair that it is in.

use crate::sinkhorn::{Call, GeomLoss, Mode};

/// The own problems of one side's items, those of an item together.
pub(super) struct Tasks {
    /// The item of each problem.
    pub items: Vec<usize>,
    /// A pair that it serves: the only one where schedules differ.
    pub pairs: Vec<usize>,
    /// Summed weights of the pairs it serves.
    pub upstream: Vec<f32>,
    /// First problem of each item, and how many it has.
    pub runs: Vec<[u32; 2]>,
    /// The problem of each pair; none where a side has no mass.
    pub of_pair: Vec<Option<usize>>,
}

impl Tasks {
    /// `side` is 0 for `x` and 1 for `y`. An item whose pairs all lack mass has no problem.
    pub fn new(call: &Call<'_>, side: usize, upstream: Option<&[f32]>) -> Self {
        let items = [call.x.items(), call.y.items()][side];
        let item_of = |k: usize| [call.items(k).0, call.items(k).1][side];
        let mut pairs_of = vec![Vec::new(); items];
        for k in (0..call.pairs()).filter(|&k| call.has_mass(k)) {
            pairs_of[item_of(k)].push(k);
        }
        let weight = |k: usize| upstream.map_or(1.0, |upstream| upstream[k]);
        let differ = matches!(call.options.mode, Mode::GeomLoss(GeomLoss { diameter: None, .. }));
        let mut tasks = Self {
            items: Vec::new(),
            pairs: Vec::new(),
            upstream: Vec::new(),
            runs: Vec::new(),
            of_pair: vec![None; call.pairs()],
        };
        for (item, pairs) in pairs_of.iter().enumerate() {
            let first = tasks.items.len();
            let groups = if differ { pairs.chunks(1) } else { pairs.chunks(pairs.len().max(1)) };
            for group in groups {
                for &k in group {
                    tasks.of_pair[k] = Some(tasks.items.len());
                }
                tasks.items.push(item);
                tasks.pairs.push(group[0]);
                tasks.upstream.push(group.iter().map(|&k| weight(k)).sum());
            }
            tasks.runs.push([first as u32, (tasks.items.len() - first) as u32]);
        }
        tasks
    }
}
