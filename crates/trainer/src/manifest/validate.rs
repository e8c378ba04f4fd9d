//! Finds every bad line of a manifest, before a run stumbles over the first one.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use super::read::{duplicate, nothing_left, parse_lines};
use super::{ManifestSpec, Place, Utterance};

/// What is checked and how strictly.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ValidationOptions {
    /// Errors kept; further ones are only counted.
    pub max_errors: usize,
    /// Seconds by which a manifest's duration may differ from the file's header.
    pub tolerance_s: f64,
    /// Characters a second above which a transcript is suspected of belonging elsewhere.
    pub max_chars_per_s: f64,
    /// Longest utterance, in seconds; `None` takes any.
    pub max_duration_s: Option<f64>,
}

/// What the header of a sound file says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Header {
    /// Length in seconds, where it says so.
    pub duration_s: Option<f64>,
    /// Samples a second, Hz.
    pub sample_rate: u32,
}

impl Default for ValidationOptions {
    /// 20 errors; 0.1 s, since encoders of lossy formats pad by up to a few frames; 40
    /// characters a second, twice fast speech; any length.
    fn default() -> Self {
        Self { max_errors: 20, tolerance_s: 0.1, max_chars_per_s: 40.0, max_duration_s: None }
    }
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// `FILE:LINE: what, expected E, got G (hint: ...)`; without `LINE` when it is about the file.
    pub message: String,
}

/// What [`validate`] found.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Validation {
    /// Lines looked at.
    pub n_lines: usize,
    /// Sound files whose header was read.
    pub n_files: usize,
    /// Errors found, kept or not.
    pub n_errors: usize,
    /// The first errors, by line.
    pub errors: Vec<Problem>,
    /// Findings a run survives, by line and then for the whole file.
    pub warnings: Vec<Problem>,
}

impl Validation {
    /// Whether training can start from this manifest.
    pub fn is_ok(&self) -> bool {
        self.n_errors == 0
    }

    fn error(&mut self, options: ValidationOptions, message: String) {
        self.n_errors += 1;
        if self.errors.len() < options.max_errors {
            self.errors.push(Problem { message });
        }
    }

    fn warn(&mut self, message: String) {
        self.warnings.push(Problem { message });
    }
}

/// Checks every line of the manifest `spec`.
///
/// Errors: lines that [`super::read`] refuses, ids that repeat, sound files that are missing or
/// that `header` refuses, segments that reach past the end of their file, and no line at all.
/// Warnings: files longer than the duration given for them, audio without text, text too long for
/// its duration, utterances that are longer than the limit, sound of more than one sample rate, and
/// text that is all upper case (a cased tokenizer then spells it letter by letter).
///
/// `header` says what the header of a sound file does, or what is wrong with it; it is called once
/// a file.
///
/// # Errors
///
/// Only when the manifest itself cannot be read.
pub fn validate(
    spec: &str,
    options: ValidationOptions,
    header: &dyn Fn(&Path) -> Result<Header, String>,
) -> anyhow::Result<Validation> {
    let spec = ManifestSpec::parse(spec)?;
    let mut found = Validation::default();
    let mut places: HashMap<String, Place> = HashMap::new();
    let mut files: BTreeMap<PathBuf, SoundFile> = BTreeMap::new();
    let mut rates: BTreeMap<u32, (Place, usize)> = BTreeMap::new();
    let (mut n_used, mut n_cased, mut n_upper) = (0, 0, 0);
    for line in parse_lines(&spec.path)? {
        found.n_lines += 1;
        let utterance = match line {
            Ok(utterance) if spec.accepts(&utterance) => utterance,
            Ok(_) => continue,
            Err(error) => {
                found.error(options, error.to_string());
                continue;
            }
        };
        n_used += 1;
        if let Some(first) = places.get(&utterance.id) {
            found.error(options, duplicate(&utterance, first));
        }
        places.entry(utterance.id.clone()).or_insert_with(|| utterance.place.clone());

        let sound = check_audio(&utterance, options, header, &mut files, &mut found);
        if let Some(Header { sample_rate, .. }) = sound {
            let first = || (utterance.place.clone(), 0);
            rates.entry(sample_rate).or_insert_with(first).1 += 1;
        }
        check_length(&utterance, sound, options, &mut found);
        check_text(&utterance, options, &mut found);
        let letters = || utterance.text.chars().filter(|c| c.is_uppercase() || c.is_lowercase());
        n_cased += usize::from(letters().next().is_some());
        n_upper += usize::from(letters().next().is_some() && letters().all(char::is_uppercase));
    }
    found.n_files = files.len();
    for unused in files.into_values().filter(|f| f.n_lines == 1).filter_map(|f| f.unused) {
        found.warn(unused);
    }
    if n_used == 0 && found.is_ok() {
        found.error(options, nothing_left(&spec)?);
    }
    if rates.len() > 1 {
        let groups: Vec<String> = rates
            .iter()
            .map(|(rate, (first, n))| format!("{n} lines at {rate} Hz, the first {first}"))
            .collect();
        found.warn(format!(
            "{}: sound of {} sample rates, expected one: {} (hint: all of it is brought to the \
             model's rate, but what was sampled lower sounds duller)",
            spec.path.display(),
            rates.len(),
            groups.join("; ")
        ));
    }
    if n_upper * 2 > n_cased {
        found.warn(format!(
            "{}: {n_upper} of {n_cased} texts are all upper case (hint: data.lowercase = true)",
            spec.path.display()
        ));
    }
    Ok(found)
}

/// What is known of a sound file that lines name.
struct SoundFile {
    /// `None` where it could not be read.
    header: Option<Header>,
    n_lines: usize,
    /// That its line leaves most of it out; nothing is said of a recording of several lines.
    unused: Option<String>,
}

fn check_audio(
    utterance: &Utterance,
    options: ValidationOptions,
    header: &dyn Fn(&Path) -> Result<Header, String>,
    files: &mut BTreeMap<PathBuf, SoundFile>,
    found: &mut Validation,
) -> Option<Header> {
    let Utterance { offset_s, duration_s, place, .. } = utterance;
    let audio = utterance.audio.as_ref()?;
    if !files.contains_key(audio) {
        let result = match audio.is_file() {
            true => header(audio).map_err(|what| format!("{place}: audio: {what}")),
            false => Err(format!("{place}: audio is `{}`, no such file", audio.display())),
        };
        let header = result.map_err(|message| found.error(options, message)).ok();
        files.insert(audio.clone(), SoundFile { header, n_lines: 0, unused: None });
    }
    let file = files.get_mut(audio).expect("it was put there");
    file.n_lines += 1;
    let sound = file.header;
    let Some(file_s) = sound.and_then(|sound| sound.duration_s) else { return sound };
    let end_s = offset_s + duration_s.unwrap_or(0.0);
    if end_s > file_s + options.tolerance_s || *offset_s >= file_s {
        found.error(
            options,
            format!(
                "{place}: segment ends at {end_s:.3} s, expected within the {file_s:.3} s of `{}`",
                audio.display()
            ),
        );
    } else if let Some(duration_s) = duration_s
        && *offset_s == 0.0
        && file_s - duration_s > options.tolerance_s
    {
        file.unused = Some(format!(
            "{place}: duration is {duration_s}, `{}` holds {file_s:.3} s, the rest is unused",
            audio.display()
        ));
    }
    sound
}

fn check_length(
    utterance: &Utterance,
    sound: Option<Header>,
    options: ValidationOptions,
    found: &mut Validation,
) {
    let rest = || Some(sound?.duration_s? - utterance.offset_s);
    let Some(longest) = options.max_duration_s else { return };
    if let Some(seconds) = utterance.duration_s.or_else(rest)
        && seconds > longest
    {
        found.warn(format!(
            "{}: lasts {seconds:.3} s, expected at most {longest} s (hint: data.max_duration_s \
             leaves out what is known to be longer)",
            utterance.place
        ));
    }
}

fn check_text(utterance: &Utterance, options: ValidationOptions, found: &mut Validation) {
    let place = &utterance.place;
    if utterance.text.trim().is_empty() {
        found.warn(format!("{place}: text is empty"));
    } else if let Some(duration_s) = utterance.duration_s {
        let rate = utterance.text.chars().count() as f64 / duration_s;
        if rate > options.max_chars_per_s {
            found.warn(format!(
                "{place}: text has {rate:.0} characters a second, expected at most {:.0} \
                 (hint: does it belong to this audio)",
                options.max_chars_per_s
            ));
        }
    }
}
