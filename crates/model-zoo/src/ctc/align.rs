//! Forced alignment: the likeliest path through the frames that reads as a known labelling.

use super::emission::Emission;
use crate::error::{Result, ZooError};

const PLACE: &str = "ctc align";

/// Which paths a labelling may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AlignmentRule {
    /// All paths of CTC: a token lasts for one or more frames, blanks may stand between tokens and
    /// must stand between equal ones. `torchaudio.functional.forced_align` has this rule.
    #[default]
    Ctc,
    /// The trellis of torchaudio's tutorial on forced alignment with wav2vec 2.0: a token is taken
    /// in one frame, after which blanks follow until the next one is. The first token counts as
    /// taken before the first frame (the tutorial begins with a word delimiter), the last frame is
    /// a blank, and a span begins in the frame after the one that takes its token.
    Trellis,
}

/// When a token is said.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TokenSpan {
    /// The label.
    pub token: u32,
    /// First frame.
    pub start: usize,
    /// Frame after the last.
    pub end: usize,
    /// Mean probability of what the path takes in these frames.
    pub score: f64,
}

/// The likeliest path of a labelling.
#[derive(Debug, Clone, PartialEq)]
pub struct Alignment {
    /// A span for every token, in order, without overlap. Under [`AlignmentRule::Ctc`] the frames
    /// between them are blanks; under [`AlignmentRule::Trellis`] a span lasts until the next one.
    pub spans: Vec<TokenSpan>,
    /// The label that is taken in each frame, blanks included.
    pub path: Vec<u32>,
    /// Log-probability of the path.
    pub log_prob: f64,
}

/// Aligns `tokens` to the frames of an item.
///
/// # Errors
///
/// [`Option`](crate::ErrorKind::Option) when `blank` or a token is no label, or a token is the
/// blank; [`Shape`](crate::ErrorKind::Shape) when the item has too few frames for the tokens or
/// every path has probability 0.
///
/// # Source
///
/// Rule `Ctc`: the Viterbi form of Graves et al. 2006, equations 6 and 7. Rule `Trellis`: Kürzinger
/// et al. 2020, arXiv:2007.09127, as torchaudio's tutorial has it.
pub fn forced_align(
    emission: &Emission,
    tokens: &[u32],
    blank: u32,
    rule: AlignmentRule,
) -> Result<Alignment> {
    emission.check_blank(PLACE, blank)?;
    let vocab = emission.vocab();
    let mut items = tokens.iter().enumerate();
    if let Some((k, id)) = items.find(|(_, id)| **id == blank || **id as usize >= vocab) {
        let detail =
            format!("tokens[{k}] is {id}, expected below {vocab} and not the blank {blank}");
        return Err(ZooError::option(PLACE, detail));
    }
    let repeats = tokens.windows(2).filter(|pair| pair[0] == pair[1]).count();
    let needed = match rule {
        AlignmentRule::Ctc => tokens.len() + repeats,
        AlignmentRule::Trellis => tokens.len(),
    };
    if emission.len() < needed {
        let (got, n) = (emission.len(), tokens.len());
        let detail = format!(
            "{got} frames, expected at least {needed} for {n} tokens, {repeats} of which repeat the one before"
        );
        return Err(ZooError::shape(PLACE, detail).hint("is this the transcript of this clip"));
    }
    let found = match rule {
        AlignmentRule::Ctc => ctc_path(emission, tokens, blank),
        AlignmentRule::Trellis => trellis_path(emission, tokens, blank),
    };
    let Some((begun, path)) = found else {
        return Err(ZooError::shape(PLACE, "every path has probability 0, expected more"));
    };
    let taken: Vec<f64> = path.iter().enumerate().map(|(t, &l)| emission.at(t, l)).collect();
    let log_prob = taken.iter().sum();
    let says = |t: usize| rule == AlignmentRule::Trellis || path[t] != blank;
    let mut spans: Vec<TokenSpan> = Vec::with_capacity(tokens.len());
    for t in (0..path.len()).filter(|&t| begun[t] > 0 && says(t)) {
        let score = taken[t].exp();
        if begun[t] > spans.len() {
            spans.push(TokenSpan { token: tokens[begun[t] - 1], start: t, end: t + 1, score });
        } else if let Some(span) = spans.last_mut() {
            (span.end, span.score) = (t + 1, span.score + score);
        }
    }
    for span in &mut spans {
        span.score /= (span.end - span.start) as f64;
    }
    Ok(Alignment { spans, path, log_prob })
}

/// At each frame, how many tokens have been begun, and the label taken.
type Path = (Vec<usize>, Vec<u32>);

/// Viterbi over the labelling with blanks around every token: state `2 j` is the blank before
/// token `j`, state `2 j + 1` the token. Of equal predecessors the latest state wins.
fn ctc_path(emission: &Emission, tokens: &[u32], blank: u32) -> Option<Path> {
    let states = 2 * tokens.len() + 1;
    let label = |s: usize| if s.is_multiple_of(2) { blank } else { tokens[s / 2] };
    // How far back a state's predecessor may lie: over a blank, but not between equal tokens.
    let reach = |s: usize| match s {
        0 => 0,
        s if s % 2 == 1 && s > 1 && label(s) != label(s - 2) => 2,
        _ => 1,
    };
    let mut best = vec![f64::NEG_INFINITY; states];
    let mut steps = vec![0u8; emission.len() * states];
    for t in 0..emission.len() {
        let mut next = vec![f64::NEG_INFINITY; states];
        for (s, next) in next.iter_mut().enumerate() {
            if t == 0 {
                *next = if s < 2 { emission.at(0, label(s)) } else { f64::NEG_INFINITY };
                continue;
            }
            let (mut from, mut step) = (best[s], 0);
            for back in 1..=reach(s) {
                if best[s - back] > from {
                    (from, step) = (best[s - back], back);
                }
            }
            *next = from + emission.at(t, label(s));
            steps[t * states + s] = step as u8;
        }
        best = next;
    }
    // It ends in the last token or in the blank after it.
    let mut state = states - 1;
    if states > 1 && best[states - 2] > best[states - 1] {
        state = states - 2;
    }
    if !emission.is_empty() && best[state] == f64::NEG_INFINITY {
        return None;
    }
    let (mut begun, mut path) = (vec![0; emission.len()], vec![blank; emission.len()]);
    for t in (0..emission.len()).rev() {
        (begun[t], path[t]) = (state.div_ceil(2), label(state));
        state -= usize::from(steps[t * states + state]);
    }
    Some((begun, path))
}

/// The tutorial's trellis `(T, L)`: entry `(t, j)` is the best score of having begun tokens `0..=j`
/// in the frames before `t`. A change wins over staying only where it scores higher.
fn trellis_path(emission: &Emission, tokens: &[u32], blank: u32) -> Option<Path> {
    let (frames, n) = (emission.len(), tokens.len());
    let mut path = vec![blank; frames];
    if n == 0 {
        return Some((vec![0; frames], path));
    }
    let mut trellis = vec![f64::NEG_INFINITY; frames * n];
    trellis[0] = 0.0;
    for t in 1..frames {
        let (before, now) = trellis.split_at_mut(t * n);
        let before = &before[(t - 1) * n..];
        // The blank of frame 0 is not counted while the first token waits.
        now[0] = before[0] + emission.at(t, blank);
        for j in 1..n {
            let stay = before[j] + emission.at(t - 1, blank);
            let change = before[j - 1] + emission.at(t - 1, tokens[j]);
            now[j] = stay.max(change);
        }
    }
    if trellis[frames * n - 1] == f64::NEG_INFINITY {
        return None;
    }
    let mut begun = vec![1; frames];
    let mut j = n - 1;
    begun[frames - 1] = n;
    for t in (0..frames - 1).rev() {
        if j > 0 {
            let stay = trellis[t * n + j] + emission.at(t, blank);
            let change = trellis[t * n + j - 1] + emission.at(t, tokens[j]);
            if change > stay {
                path[t] = tokens[j];
                j -= 1;
            }
        }
        begun[t] = j + 1;
    }
    Some((begun, path))
}
