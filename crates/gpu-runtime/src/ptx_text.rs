//! What a PTX file says about itself: its version, its target, its kernels' parameters.
//!
//! This is no assembler. It reads the header and the parameter lists, so that a launch can be
//! checked and a file that the driver or the device cannot take is refused in plain words.

use crate::error::{GpuError, Result};
use crate::kind::ErrorKind;
use crate::versions::{ComputeCapability, CudaVersion, PtxVersion, first_cuda_for};

/// Header and kernels of a PTX file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PtxText {
    /// `.version`.
    pub version: PtxVersion,
    /// `.target`, for instance `sm_80` or `sm_90a`.
    pub target: String,
    /// The kernels, in the order of the file.
    pub entries: Vec<Entry>,
}

/// One kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// Its parameters, in order.
    pub params: Vec<Param>,
}

/// One parameter of a kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Param {
    /// Its name.
    pub name: String,
    /// Its type as written, for instance `.u64` or `.b8[16]`.
    pub ty: String,
    /// Its size.
    pub bytes: usize,
    /// What it holds.
    pub kind: ParamKind,
    /// Whether it is declared as an address, with `.ptr`.
    pub pointer: bool,
}

/// What a parameter holds, as far as its type tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParamKind {
    /// `.u8` to `.u64`, `.s8` to `.s64`. Addresses are usually `.u64`.
    Integer,
    /// `.f16`, `.f32`, `.f64`.
    Float,
    /// `.b8` to `.b128`: anything of that size.
    Bits,
    /// An array of bytes: a structure passed by value.
    Bytes,
}

impl PtxText {
    /// Reads header and parameter lists.
    ///
    /// # Errors
    ///
    /// `Jit` with file and line when a directive is absent or cannot be read.
    pub fn parse(file: &str, source: &str) -> Result<PtxText> {
        let bad = |line: usize, what: String| {
            GpuError::new(ErrorKind::Jit, format!("{file}:{line}"), what)
        };
        if let Some(at) = source.find('\0') {
            return Err(bad(line_of(source, at), "a NUL byte, expected text".into()));
        }
        let text = without_comments(source);

        let (at, word) = directive(&text, ".version").ok_or_else(|| missing(file, ".version"))?;
        let version = version(word)
            .ok_or_else(|| bad(line_of(&text, at), format!("`.version {word}` is no version")))?;
        let (_, target) = directive(&text, ".target").ok_or_else(|| missing(file, ".target"))?;

        let mut entries: Vec<Entry> = Vec::new();
        for (at, _) in text.match_indices(".entry") {
            let entry = entry(&text[at + ".entry".len()..])
                .map_err(|what| bad(line_of(&text, at), what))?;
            if entries.iter().all(|known| known.name != entry.name) {
                entries.push(entry);
            }
        }
        Ok(PtxText { version, target: target.to_owned(), entries })
    }

    /// The kernel of that name.
    pub fn entry(&self, name: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.name == name)
    }

    /// Refuses a file that the driver is too old to read.
    pub(crate) fn check_version(&self, file: &str, driver: CudaVersion) -> Result<()> {
        let Some(newest) = driver.newest_ptx() else { return Ok(()) };
        if self.version <= newest {
            return Ok(());
        }
        let asks = self.version;
        let detail =
            format!("file asks for PTX {asks}, this driver (CUDA {driver}) reads up to {newest}");
        let hint = match first_cuda_for(asks) {
            Some(cuda) => format!("update the driver to one that speaks CUDA {cuda}"),
            None => "no driver that this program knows reads it; lower .version".to_owned(),
        };
        Err(GpuError::new(ErrorKind::PtxTooNew, file, detail).hint(hint))
    }

    /// Refuses a file that is for other hardware.
    ///
    /// `sm_80` runs on 8.0 and all that follows; `sm_90a` on 9.0 alone; `sm_100f` on 10.0 and its
    /// family, 10.x.
    pub(crate) fn check_target(&self, file: &str, device: ComputeCapability) -> Result<()> {
        let Some((wanted, suffix)) = target(&self.target) else { return Ok(()) };
        let (fits, what) = match suffix {
            Some('a') => (device == wanted, "that architecture alone"),
            Some('f') => (device.major == wanted.major && device >= wanted, "that family alone"),
            _ => (device >= wanted, "that architecture and later ones"),
        };
        if fits {
            return Ok(());
        }
        let ComputeCapability { major, minor } = device;
        let name = &self.target;
        let detail = format!("file is for `{name}`, {what}; this device is sm_{major}{minor}");
        Err(GpuError::new(ErrorKind::WrongTarget, file, detail)
            .hint("choose the kernel's variant for this device, such as its sm_80 form"))
    }
}

/// The error for a header without a directive.
fn missing(file: &str, directive: &str) -> GpuError {
    GpuError::new(ErrorKind::Jit, file, format!("no `{directive}`, expected a PTX file"))
}

/// Blanks comments and keeps line ends, so that line numbers stay right.
fn without_comments(source: &str) -> String {
    let mut text = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(at) = rest.find('/') {
        text.push_str(&rest[..at]);
        rest = &rest[at..];
        let end = match rest.as_bytes().get(1) {
            Some(b'/') => rest.find('\n').unwrap_or(rest.len()),
            Some(b'*') => rest.find("*/").map_or(rest.len(), |end| end + 2),
            _ => {
                text.push('/');
                rest = &rest[1..];
                continue;
            }
        };
        text.push(' ');
        text.extend(rest[..end].chars().filter(|&c| c == '\n'));
        rest = &rest[end..];
    }
    text.push_str(rest);
    text
}

fn line_of(text: &str, at: usize) -> usize {
    text[..at].matches('\n').count() + 1
}

/// The first word after a directive, and where the directive stands.
fn directive<'a>(text: &'a str, name: &str) -> Option<(usize, &'a str)> {
    let at = text.find(name)?;
    let word = text[at + name.len()..].split_whitespace().next()?;
    Some((at, word.trim_end_matches(',').split(',').next()?))
}

fn version(word: &str) -> Option<PtxVersion> {
    let (major, minor) = word.split_once('.')?;
    Some(PtxVersion { major: major.parse().ok()?, minor: minor.parse().ok()? })
}

/// `sm_90a` is 9.0 with suffix `a`. `None` for a form that is not known, left to the driver.
fn target(word: &str) -> Option<(ComputeCapability, Option<char>)> {
    let digits = word.strip_prefix("sm_")?;
    let suffix = digits.chars().last().filter(char::is_ascii_alphabetic);
    let number: u32 = digits.trim_end_matches(|c: char| c.is_ascii_alphabetic()).parse().ok()?;
    Some((ComputeCapability { major: number / 10, minor: number % 10 }, suffix))
}

/// Reads what follows `.entry`: a name, and parameters in parentheses if there are any.
fn entry(rest: &str) -> std::result::Result<Entry, String> {
    let rest = rest.trim_start();
    let end = rest.find(|c: char| c.is_whitespace() || "({;".contains(c)).unwrap_or(rest.len());
    let name = rest[..end].to_owned();
    if name.is_empty() {
        return Err("`.entry` without a name".into());
    }
    let mut params = Vec::new();
    if let Some(list) = rest[end..].trim_start().strip_prefix('(') {
        let close = list.find(')').ok_or_else(|| format!("`{name}`: no `)` after parameters"))?;
        for text in list[..close].split(',').map(str::trim).filter(|text| !text.is_empty()) {
            params.push(param(text).ok_or_else(|| format!("`{name}`: cannot read `{text}`"))?);
        }
    }
    Ok(Entry { name, params })
}

/// Reads `.param .u64 .ptr .global .align 16 x` or `.param .align 8 .b8 x[24]`.
fn param(text: &str) -> Option<Param> {
    let (text, count) = match text.split_once('[') {
        Some((before, after)) => (before, Some(after.trim_end().strip_suffix(']')?.trim())),
        None => (text, None),
    };
    let count: Option<usize> = count.map(str::parse).transpose().ok()?;
    let mut words = text.split_whitespace();
    let (mut ty, mut name, mut pointer) = (None, None, false);
    if words.next()? != ".param" {
        return None;
    }
    while let Some(word) = words.next() {
        match word {
            ".ptr" => pointer = true,
            ".align" => drop(words.next()?.parse::<usize>().ok()?),
            ".global" | ".shared" | ".const" | ".local" => {}
            _ if word.starts_with('.') => ty = Some(word),
            _ => name = Some(word),
        }
    }
    let (ty, name) = (ty?, name?);
    let (kind, size) = scalar(ty)?;
    Some(match count {
        None => Param { name: name.into(), ty: ty.into(), bytes: size, kind, pointer },
        Some(count) => Param {
            name: name.into(),
            ty: format!("{ty}[{count}]"),
            bytes: size * count,
            kind: ParamKind::Bytes,
            pointer,
        },
    })
}

/// Kind and size of a scalar type: `.u32` is an integer of 4 bytes.
fn scalar(ty: &str) -> Option<(ParamKind, usize)> {
    let (kind, bits) = match ty {
        ".f16x2" | ".bf16x2" => (ParamKind::Bits, 32),
        ".bf16" => (ParamKind::Float, 16),
        _ => {
            let kind = match ty.as_bytes().get(1)? {
                b'u' | b's' => ParamKind::Integer,
                b'f' => ParamKind::Float,
                b'b' => ParamKind::Bits,
                _ => return None,
            };
            (kind, ty.get(2..)?.parse().ok()?)
        }
    };
    matches!(bits, 8 | 16 | 32 | 64 | 128).then_some((kind, bits / 8))
}

#[cfg(test)]
#[path = "ptx_text/tests.rs"]
mod tests;
