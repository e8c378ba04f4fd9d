//! A timetable for pairs of blocks: in each round every block takes part at most once.
//!
//! A tile of pairs adds to the gradients of both of its blocks. Tiles of one round share no block,
//! so they can run together without locks, and a block meets the others in an order that does not
//! depend on threads.

/// Rounds of pairs `(i, j)`, `i < j < blocks`: every pair once. The circle method of round-robin
/// tournaments.
pub(super) fn rounds(blocks: usize) -> impl Iterator<Item = Vec<(usize, usize)>> {
    // With an odd number of blocks one sits out each round: it is paired with the absent last.
    let seats = blocks.next_multiple_of(2);
    let circle = seats.saturating_sub(1);
    (0..circle).map(move |round| {
        (0..seats / 2)
            .map(|k| match k {
                0 => (round, circle),
                _ => ((round + k) % circle, (round + circle - k) % circle),
            })
            .map(|(i, j)| (i.min(j), i.max(j)))
            .filter(|&(_, j)| j < blocks)
            .collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pair_meets_once_and_no_block_twice_in_a_round() {
        for blocks in 0..12 {
            let mut met = vec![];
            for round in rounds(blocks) {
                let mut seen: Vec<usize> = round.iter().flat_map(|&(i, j)| [i, j]).collect();
                seen.sort_unstable();
                assert!(seen.windows(2).all(|pair| pair[0] < pair[1]), "{blocks}: {round:?}");
                met.extend(round);
            }
            met.sort_unstable();
            let all = (0..blocks).flat_map(|i| (i + 1..blocks).map(move |j| (i, j)));
            assert!(met.into_iter().eq(all), "{blocks}");
        }
    }
}
