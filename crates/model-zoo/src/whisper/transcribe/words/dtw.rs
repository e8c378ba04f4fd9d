//! Dynamic time warping, and the median filter before it.

/// The cheapest monotonic path through `cost` `(rows, columns)`, from its first corner to its
/// last: for each row, the first column that the path visits.
///
/// Costs add up in f32, as in openai-whisper, whose choices among equals are kept.
pub(super) fn first_columns(cost: &[f32], rows: usize, columns: usize) -> Vec<usize> {
    #[derive(Clone, Copy, PartialEq)]
    enum From {
        Both,
        Row,
        Column,
    }
    let width = columns + 1;
    let mut total = vec![f32::INFINITY; (rows + 1) * width];
    let mut from = vec![From::Column; (rows + 1) * width];
    total[0] = 0.0;
    for i in 1..=rows {
        from[i * width] = From::Row;
    }
    for i in 1..=rows {
        for j in 1..=columns {
            let both = total[(i - 1) * width + j - 1];
            let row = total[(i - 1) * width + j];
            let column = total[i * width + j - 1];
            let (least, came) = if both < row && both < column {
                (both, From::Both)
            } else if row < both && row < column {
                (row, From::Row)
            } else {
                (column, From::Column)
            };
            total[i * width + j] = cost[(i - 1) * columns + j - 1] + least;
            from[i * width + j] = came;
        }
    }
    let (mut i, mut j) = (rows, columns);
    let mut first = vec![0; rows];
    while i > 0 && j > 0 {
        // The walk goes back, so that the last visit written is the first in time.
        first[i - 1] = j - 1;
        match from[i * width + j] {
            From::Both => (i, j) = (i - 1, j - 1),
            From::Row => i -= 1,
            From::Column => j -= 1,
        }
    }
    first
}

/// The median of `width` (odd) neighbours at each place of every row of `x` `(.., columns)`, which
/// is mirrored at its ends. Rows no longer than half the width stay as they are.
pub(super) fn median_filter(x: &mut [f32], columns: usize, width: usize) {
    let half = width / 2;
    if columns <= half {
        return;
    }
    let mut window = Vec::with_capacity(width);
    for row in x.chunks_mut(columns) {
        let before = row.to_vec();
        for (place, value) in row.iter_mut().enumerate() {
            window.clear();
            window.extend((0..width).map(|k| {
                let distance = (place + k).abs_diff(half);
                let last = columns - 1;
                before[if distance > last { 2 * last - distance } else { distance }]
            }));
            window.sort_by(f32::total_cmp);
            *value = window[half];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_follows_the_cheap_cells() {
        let cost = [
            [0.0, 0.0, 9.0, 9.0, 9.0], //
            [9.0, 9.0, 0.0, 9.0, 9.0],
            [9.0, 9.0, 9.0, 0.0, 0.0],
        ];
        assert_eq!(first_columns(&cost.concat(), 3, 5), [0, 2, 3]);
        assert_eq!(first_columns(&[1.0; 3], 3, 1), [0, 0, 0]);
        assert_eq!(first_columns(&[1.0; 3], 1, 3), [0]);
    }

    #[test]
    fn cheapest_path_is_that_of_brute_force() {
        // Every path of a 4 x 4 table, by its steps.
        fn least(cost: &[f32], i: usize, j: usize) -> f32 {
            let here = cost[i * 4 + j];
            let back = |di: usize, dj: usize| least(cost, i - di, j - dj);
            match (i, j) {
                (0, 0) => here,
                (0, _) => here + back(0, 1),
                (_, 0) => here + back(1, 0),
                _ => here + back(1, 1).min(back(0, 1)).min(back(1, 0)),
            }
        }
        for seed in 0..20 {
            let mut random = tensor_core::Philox::new(seed, 0);
            let cost: Vec<f32> = (0..16).map(|_| random.uniform()).collect();
            let first = first_columns(&cost, 4, 4);
            // The path between two first visits goes along the row, but for a last step down.
            let mut sum = 0.0;
            for i in 0..4 {
                let end = if i == 3 { 3 } else { first[i + 1] };
                let along = |last: usize| (first[i]..=last).map(|j| cost[i * 4 + j]).sum::<f32>();
                sum += match end > first[i] && i < 3 {
                    true => along(end).min(along(end - 1)),
                    false => along(end),
                };
            }
            assert!((sum - least(&cost, 3, 3)).abs() < 1e-5, "{seed}");
        }
    }

    #[test]
    fn median_mirrors_the_ends() {
        let mut x = [5.0, 1.0, 4.0, 2.0, 3.0, 0.0];
        // Windows of three: (1 5 1), (5 1 4), (1 4 2), (4 2 3), (2 3 0), (3 0 3).
        median_filter(&mut x, 6, 3);
        assert_eq!(x, [1.0, 4.0, 2.0, 3.0, 2.0, 3.0]);
        let mut short = [2.0, 1.0, 2.0, 1.0];
        median_filter(&mut short, 2, 5);
        assert_eq!(short, [2.0, 1.0, 2.0, 1.0]);
    }
}
