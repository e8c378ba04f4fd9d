//! Arrays from fixed seeds, and the files that hand them to the peers.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::{Context, ensure};
use ndarray::Array2;
use tensor_core::Philox;

/// Seed of all inputs; every array has a stream of its own.
const SEED: u64 = 7;

/// Directions that the clusters of all clouds share.
const TOPICS: usize = 4;

/// An array that peers read under its name.
#[derive(Debug)]
pub struct Input<'a> {
    /// Key in the peer's inputs.
    pub name: String,
    /// Extents, row-major.
    pub shape: Vec<usize>,
    /// What is in it.
    pub elements: Elements<'a>,
}

/// Elements by type.
#[derive(Debug)]
pub enum Elements<'a> {
    /// Points.
    F32(&'a [f32]),
    /// Indices.
    I64(Vec<i64>),
}

impl<'a> Input<'a> {
    /// A matrix of ours, which lies in one piece.
    pub fn matrix(name: impl Into<String>, matrix: &'a Array2<f32>) -> Self {
        let elements = Elements::F32(matrix.as_slice().unwrap_or_default());
        Self { name: name.into(), shape: matrix.shape().to_vec(), elements }
    }

    /// Writes the format of `numpy.save`, version 1.0.
    ///
    /// # Errors
    ///
    /// When the file cannot be written, or the shape holds another number of elements.
    pub fn write_npy(&self, path: &Path) -> anyhow::Result<()> {
        let (kind, length) = match &self.elements {
            Elements::F32(values) => ("<f4", values.len()),
            Elements::I64(values) => ("<i8", values.len()),
        };
        let (name, shape) = (&self.name, &self.shape);
        let holds: usize = shape.iter().product();
        ensure!(length == holds, "{name}: {length} elements, expected {holds} of shape {shape:?}");
        let extents: String = shape.iter().map(|extent| format!("{extent},")).collect();
        let header = format!("{{'descr':'{kind}','fortran_order':False,'shape':({extents})}}");
        // Ten bytes go before the header, and elements start at a multiple of 64.
        let padded = (header.len() + 11).next_multiple_of(64) - 10;
        let said = u16::try_from(padded).context("npy: header too long")?;
        let write = || -> std::io::Result<()> {
            let mut file = BufWriter::new(File::create(path)?);
            file.write_all(b"\x93NUMPY\x01\x00")?;
            file.write_all(&said.to_le_bytes())?;
            writeln!(file, "{header:width$}", width = padded - 1)?;
            match &self.elements {
                Elements::F32(values) => {
                    values.iter().try_for_each(|value| file.write_all(&value.to_le_bytes()))?;
                }
                Elements::I64(values) => {
                    values.iter().try_for_each(|value| file.write_all(&value.to_le_bytes()))?;
                }
            }
            file.flush()
        };
        write().with_context(|| format!("{}: cannot write", path.display()))
    }
}

/// A source of the numbers of one array.
pub fn stream(number: u64) -> Philox {
    Philox::new(SEED, number)
}

/// Unit vectors in four clusters around directions that all streams share, so that partners of
/// transport are worth choosing: a cosine of 1/2 within a cluster, of about 0 across.
pub fn clustered(count: usize, width: usize, number: u64) -> Array2<f32> {
    let mut shared = stream(0);
    let topics = Array2::from_shape_simple_fn((TOPICS, width), || shared.normal());
    let mut rng = stream(number);
    let mut points = Array2::zeros((count, width));
    for mut point in points.rows_mut() {
        let topic = rng.below(TOPICS as u32) as usize;
        point.iter_mut().zip(topics.row(topic)).for_each(|(p, topic)| *p = topic + rng.normal());
    }
    unit(points)
}

/// Unit vectors without structure, their coordinates moved by `shift` standard deviations before.
pub fn scattered(count: usize, width: usize, shift: f32, number: u64) -> Array2<f32> {
    let mut rng = stream(number);
    unit(Array2::from_shape_simple_fn((count, width), || rng.normal() + shift))
}

/// Unit vectors near those of `points`: a cosine of about 0.7 with each.
pub fn partners(points: &Array2<f32>, number: u64) -> Array2<f32> {
    let mut rng = stream(number);
    let length = (points.ncols() as f32).sqrt();
    unit(points.mapv(|p| p * length + rng.normal()))
}

/// Rows scaled to length 1.
fn unit(mut points: Array2<f32>) -> Array2<f32> {
    for mut row in points.rows_mut() {
        let length = row.iter().map(|&v| f64::from(v) * f64::from(v)).sum::<f64>().sqrt();
        row.iter_mut().for_each(|v| *v = (f64::from(*v) / length) as f32);
    }
    points
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_a_padded_header_and_then_its_elements() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.npy");
        let mut input =
            Input { name: "a".into(), shape: vec![2, 1], elements: Elements::I64(vec![1, -2]) };
        input.write_npy(&path).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        assert_eq!((bytes.len() - 16) % 64, 0);
        assert_eq!(&bytes[..8], b"\x93NUMPY\x01\x00");
        assert_eq!(usize::from(u16::from_le_bytes([bytes[8], bytes[9]])) + 26, bytes.len());
        assert!(String::from_utf8_lossy(&bytes).contains("'descr':'<i8'"));
        assert!(String::from_utf8_lossy(&bytes).contains("'shape':(2,1,)}"));
        assert_eq!(bytes[bytes.len() - 8..], (-2i64).to_le_bytes());
        input.shape = vec![3];
        let error = input.write_npy(&path).unwrap_err().to_string();
        assert_eq!(error, "a: 2 elements, expected 3 of shape [3]");
    }

    #[test]
    fn points_have_length_one_and_the_likeness_they_should() {
        let dot = |a: &Array2<f32>, i: usize, b: &Array2<f32>, j: usize| a.row(i).dot(&b.row(j));
        let (x, y) = (clustered(40, 512, 1), clustered(40, 512, 2));
        assert!((dot(&x, 3, &x, 3) - 1.0).abs() < 1e-5 && x != y);
        let close = (0..40).filter(|&j| dot(&x, 0, &y, j) > 0.3).count();
        assert!((1..30).contains(&close), "{close}");
        let z = partners(&x, 3);
        assert!((0.6..0.8).contains(&dot(&x, 5, &z, 5)));
        assert!(scattered(50, 64, 0.3, 4).mean().unwrap() > 0.02);
    }
}
