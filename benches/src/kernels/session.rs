//! One case from its inputs to its times: the check first, then everybody in turn.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;
use serde_json::{Value, json};

use super::check::error;
use super::definitions::{Against, Aim, Case, Peer};
use super::memory::peak_growth;
use super::options::Options;
use super::peers::{Process, numbers};
use super::turns::Turn;
use super::{Answer, Work};
use crate::percentiles;

/// Rounds that everybody takes part in, however slow.
const FEWEST_ROUNDS: usize = 3;

/// Threads that spin after their work would slow the next one's; they have gone to sleep by then.
const PAUSE: Duration = Duration::from_millis(50);

/// What came of a case.
#[derive(Debug)]
pub struct CaseResult {
    /// Which.
    pub case: &'static Case,
    /// Ours against the reference.
    pub error: f64,
    /// Ours, in ms.
    pub samples: Vec<f64>,
    /// Memory beyond the inputs, in MB.
    pub extra_mb: Option<f64>,
    /// In the order of the case.
    pub peers: Vec<PeerResult>,
}

/// What came of one peer.
#[derive(Debug)]
pub struct PeerResult {
    /// Which.
    pub peer: &'static Peer,
    /// What ran.
    pub version: String,
    /// In ms.
    pub samples: Vec<f64>,
    /// As ours.
    pub extra_mb: Option<f64>,
    /// Largest relative difference between its results and ours.
    pub difference: Option<f64>,
}

/// The median.
pub fn median(samples: &[f64]) -> f64 {
    percentiles(samples)[1]
}

impl CaseResult {
    /// Peer / ours, medians.
    pub fn ratio(&self, peer: &PeerResult) -> f64 {
        median(&peer.samples) / median(&self.samples)
    }

    /// The fastest of those who do the same work.
    pub fn fastest_rival(&self) -> Option<&PeerResult> {
        let rivals = self.peers.iter().filter(|result| result.peer.rival);
        rivals.min_by(|a, b| median(&a.samples).total_cmp(&median(&b.samples)))
    }

    /// The ratio that an aim is about, if it was measured.
    pub fn reached(&self, aim: Aim) -> Option<f64> {
        let peer = match aim.against {
            Against::FastestRival => self.fastest_rival(),
            Against::Peer(name) => self.peers.iter().find(|result| result.peer.name == name),
        };
        peer.map(|peer| self.ratio(peer))
    }
}

/// A peer that is in the race.
struct Racer {
    process: Process,
    result: PeerResult,
    last_ms: f64,
    spent: Duration,
}

/// Checks a case, and times it and its peers.
///
/// A peer that fails is reported on standard error and left out.
///
/// # Errors
///
/// When ours fails, or its result is not that of the reference.
pub fn run_case(case: &'static Case, options: &Options) -> anyhow::Result<CaseResult> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(options.threads).build()?;
    let mut work = pool.install(|| case.problem.prepare())?;
    let began = Instant::now();
    let (first, extra_mb) = peak_growth(|| pool.install(|| work.run()));
    first?;
    let mut last_ms = began.elapsed().as_secs_f64() * 1e3;
    let errors = pool.install(|| work.check())?;
    errors.accept()?;

    let answer = work.answer();
    let mut racers = match &options.python {
        Some(python) => start_peers(case, work.as_ref(), &answer, python, options.threads)?,
        None => Vec::new(),
    };
    let mut samples = Vec::new();
    for round in 0..options.rounds {
        let turn = Turn::for_work_of(last_ms);
        let times = pool.install(|| turn.take(|| work.run()))?;
        last_ms = median(&times);
        samples.extend(times);
        racers.retain_mut(|racer| {
            let is_due = round < FEWEST_ROUNDS || racer.spent < options.seconds;
            is_due.then(|| racer.take_turn()).is_none_or(|done| kept(racer.result.peer, done))
        });
        // Not between our turn and a peer's: ours sleep at once.
        std::thread::sleep(PAUSE);
    }
    let peers = racers.into_iter().map(|racer| racer.result).collect();
    Ok(CaseResult { case, error: errors.worst(), samples, extra_mb, peers })
}

/// Whether a peer goes on; one that failed is named.
fn kept<T>(peer: &Peer, outcome: anyhow::Result<T>) -> bool {
    if let Err(error) = &outcome {
        eprintln!("peer: {} is left out: {error:#}", peer.name);
    }
    outcome.is_ok()
}

fn start_peers(
    case: &'static Case,
    work: &dyn Work,
    answer: &Answer,
    python: &str,
    threads: usize,
) -> anyhow::Result<Vec<Racer>> {
    let folder = tempfile::tempdir().context("temporary folder: cannot create")?;
    let mut files = json!({});
    for input in work.inputs() {
        let path = folder.path().join(format!("{}.npy", input.name));
        input.write_npy(&path)?;
        files[&input.name] = path_text(&path)?.into();
    }
    let mut racers = Vec::new();
    for peer in case.peers {
        let request =
            json!({ "form": peer.form, "inputs": files, "parameters": work.parameters() });
        let racer = Racer::start(peer, &request, answer, python, threads);
        match racer {
            Ok(racer) => racers.push(racer),
            Err(error) => eprintln!("peer: {} is left out: {error:#}", peer.name),
        }
    }
    Ok(racers)
}

fn path_text(path: &Path) -> anyhow::Result<&str> {
    path.to_str().with_context(|| format!("{}: not Unicode, expected so", path.display()))
}

impl Racer {
    fn start(
        peer: &'static Peer,
        request: &Value,
        ours: &Answer,
        python: &str,
        threads: usize,
    ) -> anyhow::Result<Self> {
        let mut process = Process::start(python, peer.library, threads)?;
        let reply = process.ask(request)?;
        let theirs = Answer {
            values: numbers(&reply["values"]).context("its values are not finite numbers")?,
            grad_norm: reply["grad_norm"].as_f64(),
        };
        let result = PeerResult {
            peer,
            version: reply["version"].as_str().unwrap_or_default().to_owned(),
            samples: Vec::new(),
            extra_mb: reply["extra_mb"].as_f64(),
            difference: peer.rival.then(|| difference(ours, &theirs)),
        };
        let last_ms = reply["ms"].as_f64().context("the peer's reply has no time")?;
        Ok(Self { process, result, last_ms, spent: Duration::ZERO })
    }

    fn take_turn(&mut self) -> anyhow::Result<()> {
        let began = Instant::now();
        let times = self.process.take(Turn::for_work_of(self.last_ms))?;
        std::thread::sleep(PAUSE);
        self.spent += began.elapsed();
        self.last_ms = median(&times);
        self.result.samples.extend(times);
        Ok(())
    }
}

/// Largest relative difference of values and of the gradients' lengths.
fn difference(ours: &Answer, theirs: &Answer) -> f64 {
    let of_values = error(theirs.values.iter().copied(), ours.values.iter().copied());
    match (theirs.grad_norm, ours.grad_norm) {
        (Some(theirs), Some(ours)) => of_values.max(error([theirs], [ours])),
        _ => of_values,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::definitions::CASES;

    #[test]
    fn answers_differ_by_their_worst_part() {
        let answer = |value, grad_norm| Answer { values: vec![value], grad_norm };
        assert_eq!(difference(&answer(2.0, Some(4.0)), &answer(2.0, Some(5.0))), 0.25);
        assert_eq!(difference(&answer(2.0, Some(4.0)), &answer(1.0, None)), 0.5);
    }

    #[test]
    fn an_aim_is_about_the_fastest_rival_or_the_peer_it_names() {
        let case = &CASES[0];
        let peer = |at: usize, ms: f64| PeerResult {
            peer: &case.peers[at],
            version: String::new(),
            samples: vec![ms],
            extra_mb: None,
            difference: None,
        };
        let peers = vec![peer(0, 5.0), peer(1, 40.0), peer(2, 30.0)];
        let result = CaseResult { case, error: 0.0, samples: vec![10.0], extra_mb: None, peers };
        assert_eq!(result.fastest_rival().map(|peer| peer.peer.name), Some(case.peers[2].name));
        let reached: Vec<_> = case.aims.iter().map(|&aim| result.reached(aim)).collect();
        assert_eq!(reached, [Some(0.5), Some(3.0)]);
        let alone = CaseResult { peers: Vec::new(), ..result };
        assert_eq!(alone.reached(case.aims[0]), None);
    }
}
