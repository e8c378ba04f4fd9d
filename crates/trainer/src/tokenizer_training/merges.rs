//! Byte-pair merges: again and again, the most frequent pair of neighbours becomes one piece.
//!
//! # Source
//!
//! Sennrich et al. 2016, arXiv 1508.07909, algorithm 1. Ties go to the pair whose pieces are
//! older, which makes the result a function of the word counts alone.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap};

/// A pair that occurs only once is chance, not a piece.
const MIN_COUNT: u64 = 2;

/// Pieces in the order of their ids, and the merges in the order in which they apply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Learnt {
    pub(super) pieces: Vec<String>,
    pub(super) merges: Vec<(String, String)>,
}

type Pair = (usize, usize);

/// Words as pieces, and where each pair of neighbours is.
struct Corpus {
    words: Vec<(Vec<usize>, u64)>,
    counts: HashMap<Pair, u64>,
    places: HashMap<Pair, BTreeSet<usize>>,
}

/// Learns merges over `words` (word and count) until there are `n_pieces` pieces or no pair
/// occurs twice.
///
/// `alphabet` holds the pieces of one character; within a word they carry `prefix`.
pub(super) fn learn(
    words: &BTreeMap<String, u64>,
    alphabet: Vec<String>,
    prefix: &str,
    n_pieces: usize,
) -> Learnt {
    let mut pieces = alphabet;
    let mut ids: HashMap<String, usize> = pieces.iter().cloned().zip(0..).collect();
    let mut corpus = Corpus::new(words, &ids, prefix);
    let mut merges = Vec::new();
    // Counts in the heap may be out of date; they are looked up again when they come to the top.
    let mut heap: BinaryHeap<(u64, Reverse<Pair>)> =
        corpus.counts.iter().map(|(&pair, &count)| (count, Reverse(pair))).collect();
    while pieces.len() < n_pieces {
        let Some((count, Reverse(pair))) = heap.pop() else { break };
        let current = corpus.counts.get(&pair).copied().unwrap_or(0);
        if current != count {
            if current > 0 {
                heap.push((current, Reverse(pair)));
            }
            continue;
        }
        if count < MIN_COUNT {
            break;
        }
        let (left, right) = (pieces[pair.0].clone(), pieces[pair.1].clone());
        let merged = format!("{left}{}", right.strip_prefix(prefix).unwrap_or(&right));
        // Two different pairs may spell the same piece.
        let id = *ids.entry(merged.clone()).or_insert_with(|| {
            pieces.push(merged);
            pieces.len() - 1
        });
        merges.push((left, right));
        for changed in corpus.merge(pair, id) {
            heap.push((corpus.counts[&changed], Reverse(changed)));
        }
    }
    Learnt { pieces, merges }
}

impl Corpus {
    fn new(words: &BTreeMap<String, u64>, ids: &HashMap<String, usize>, prefix: &str) -> Self {
        let mut corpus = Self { words: Vec::new(), counts: HashMap::new(), places: HashMap::new() };
        for (word, &count) in words {
            let id = |(k, c): (usize, char)| {
                let piece = if k == 0 { String::from(c) } else { format!("{prefix}{c}") };
                ids.get(&piece).copied()
            };
            corpus.words.push((word.chars().enumerate().filter_map(id).collect(), count));
            corpus.add(corpus.words.len() - 1);
        }
        corpus
    }

    /// Replaces `pair` by `id` in every word; returns the pairs that became more frequent.
    fn merge(&mut self, pair: Pair, id: usize) -> BTreeSet<Pair> {
        let mut grown = BTreeSet::new();
        for at in self.places.remove(&pair).unwrap_or_default() {
            self.subtract(at);
            let word = &mut self.words[at].0;
            let mut kept = Vec::with_capacity(word.len());
            let mut k = 0;
            while k < word.len() {
                if k + 1 < word.len() && (word[k], word[k + 1]) == pair {
                    kept.push(id);
                    k += 2;
                } else {
                    kept.push(word[k]);
                    k += 1;
                }
            }
            *word = kept;
            grown.extend(pairs(word).filter(|&(a, b)| a == id || b == id));
            self.add(at);
        }
        grown
    }

    fn add(&mut self, at: usize) {
        let (word, count) = &self.words[at];
        for pair in pairs(word) {
            *self.counts.entry(pair).or_insert(0) += count;
            self.places.entry(pair).or_default().insert(at);
        }
    }

    fn subtract(&mut self, at: usize) {
        let (word, count) = &self.words[at];
        for pair in pairs(word) {
            if let Some(known) = self.counts.get_mut(&pair) {
                *known -= count;
            }
            if let Some(places) = self.places.get_mut(&pair) {
                places.remove(&at);
            }
        }
    }
}

fn pairs(word: &[usize]) -> impl Iterator<Item = Pair> + '_ {
    word.windows(2).map(|pair| (pair[0], pair[1]))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same by counting everything anew for each merge.
    fn slow(words: &BTreeMap<String, u64>, alphabet: Vec<String>, n_pieces: usize) -> Learnt {
        let mut pieces = alphabet;
        let mut merges = Vec::new();
        let mut split: Vec<(Vec<String>, u64)> =
            words.iter().map(|(w, &n)| (w.chars().map(String::from).collect(), n)).collect();
        while pieces.len() < n_pieces {
            let id = |piece: &String| pieces.iter().position(|known| known == piece).unwrap();
            let mut counts: BTreeMap<(usize, usize), u64> = BTreeMap::new();
            for (word, count) in &split {
                for pair in word.windows(2) {
                    *counts.entry((id(&pair[0]), id(&pair[1]))).or_insert(0) += count;
                }
            }
            let best = counts.into_iter().max_by_key(|&(pair, count)| (count, Reverse(pair)));
            let Some((pair, _)) = best.filter(|&(_, count)| count >= MIN_COUNT) else { break };
            let (left, right) = (pieces[pair.0].clone(), pieces[pair.1].clone());
            for (word, _) in &mut split {
                let mut k = 0;
                while k + 1 < word.len() {
                    if word[k] == left && word[k + 1] == right {
                        word[k] = format!("{left}{right}");
                        word.remove(k + 1);
                    }
                    k += 1;
                }
            }
            let merged = format!("{left}{right}");
            if !pieces.contains(&merged) {
                pieces.push(merged);
            }
            merges.push((left, right));
        }
        Learnt { pieces, merges }
    }

    fn words(items: &[(&str, u64)]) -> BTreeMap<String, u64> {
        items.iter().map(|&(word, count)| (word.to_string(), count)).collect()
    }

    fn alphabet(words: &BTreeMap<String, u64>) -> Vec<String> {
        let characters: BTreeSet<char> = words.keys().flat_map(|word| word.chars()).collect();
        characters.into_iter().map(String::from).collect()
    }

    #[test]
    fn merges_are_those_of_counting_everything_anew() {
        for items in [
            &[("low", 5), ("lower", 2), ("newest", 6), ("widest", 3)][..],
            &[("aaaa", 3), ("aaa", 2), ("aabaa", 7), ("a", 100)],
            &[("banana", 1), ("bandana", 1), ("ananas", 1)],
            &[("x", 9)],
        ] {
            let words = words(items);
            for n_pieces in [0, 8, 12, 20, 100] {
                let fast = learn(&words, alphabet(&words), "", n_pieces);
                assert_eq!(fast, slow(&words, alphabet(&words), n_pieces), "{items:?} {n_pieces}");
            }
        }
    }

    #[test]
    fn the_papers_example_merges_e_s_t_first() {
        let words = words(&[("low", 5), ("lower", 2), ("newest", 6), ("widest", 3)]);
        let got = learn(&words, alphabet(&words), "", 100);
        let first: Vec<String> = got.merges[..2].iter().map(|(a, b)| format!("{a} {b}")).collect();
        assert_eq!(first, ["e s", "es t"]);
    }

    #[test]
    fn pairs_seen_once_are_not_merged() {
        let words = words(&[("abc", 1)]);
        assert_eq!(learn(&words, alphabet(&words), "", 100).merges, []);
    }
}
