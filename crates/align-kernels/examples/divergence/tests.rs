//! The program end to end, on files of every loss and with everything wrong that can be.

use std::path::{Path, PathBuf};

use align_kernels::sinkhorn::{Options, Weights, sinkhorn_with_gradient};
use align_kernels::{Ragged, info_nce, mmd};
use half::{bf16, f16};
use ndarray::{Array2, array};
use safetensors::tensor::{TensorView, serialize};
use safetensors::{Dtype, SafeTensors};
use tempfile::TempDir;

use super::*;

/// A tensor of the input file.
struct Given(&'static str, Dtype, Vec<usize>, Vec<u8>);

fn floats(name: &'static str, shape: &[usize], values: &[f32]) -> Given {
    let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    Given(name, Dtype::F32, shape.to_vec(), bytes)
}

fn rows(name: &'static str, rows: &Array2<f32>) -> Given {
    floats(name, rows.shape(), rows.as_slice().unwrap())
}

fn whole(name: &'static str, values: &[i64]) -> Given {
    let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    Given(name, Dtype::I64, vec![values.len()], bytes)
}

/// A folder with an input file, and what the program makes of it.
struct Case {
    folder: TempDir,
}

impl Case {
    fn new(tensors: &[Given]) -> Self {
        let folder = TempDir::new().unwrap();
        let views = tensors.iter().map(|Given(name, dtype, shape, bytes)| {
            (*name, TensorView::new(*dtype, shape.clone(), bytes).unwrap())
        });
        let bytes = serialize(views, None).unwrap();
        fs::write(folder.path().join("in.safetensors"), bytes).unwrap();
        Self { folder }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn run(&self, options: &str) -> Result<String> {
        program(options, &self.at("in.safetensors"), &self.at("out.safetensors"))
    }

    /// The error of a run, without the folder's name. Nothing is written.
    fn fault(&self, options: &str) -> String {
        let error = self.run(options).unwrap_err();
        let files: Vec<_> = fs::read_dir(self.folder.path()).unwrap().collect();
        assert_eq!(files.len(), 1, "a file was left behind: {files:?}");
        let folder = format!("{}/", self.folder.path().display());
        format!("{error:#}").replace(&folder, "")
    }

    fn found(&self, options: &str) -> Found {
        self.run(options).unwrap();
        Found(fs::read(self.at("out.safetensors")).unwrap())
    }
}

fn program(options: &str, input: &Path, output: &Path) -> Result<String> {
    let mut all: Vec<OsString> = vec!["divergence".into()];
    all.extend(options.split_whitespace().map(OsString::from));
    all.extend(["--input".into(), input.into(), "--output".into(), output.into()]);
    run(all)
}

/// The output file.
struct Found(Vec<u8>);

impl Found {
    fn names(&self) -> Vec<String> {
        let file = SafeTensors::deserialize(&self.0).unwrap();
        let mut names: Vec<String> = file.names().into_iter().map(str::to_owned).collect();
        names.sort_unstable();
        names
    }

    /// Shape and elements, checked to be of `dtype`.
    fn tensor(&self, name: &str, dtype: Dtype) -> (Vec<usize>, Vec<u8>) {
        let file = SafeTensors::deserialize(&self.0).unwrap();
        let tensor = file.tensor(name).unwrap();
        assert_eq!(tensor.dtype(), dtype, "{name}");
        (tensor.shape().to_vec(), tensor.data().to_vec())
    }

    fn f32(&self, name: &str) -> (Vec<usize>, Vec<f32>) {
        let (shape, bytes) = self.tensor(name, Dtype::F32);
        (shape, bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect())
    }

    fn f64(&self, name: &str) -> (Vec<usize>, Vec<f64>) {
        let (shape, bytes) = self.tensor(name, Dtype::F64);
        (shape, bytes.as_chunks().0.iter().map(|b| f64::from_le_bytes(*b)).collect())
    }

    fn i64(&self, name: &str) -> Vec<i64> {
        let (shape, bytes) = self.tensor(name, Dtype::I64);
        assert_eq!(shape.len(), 1, "{name}");
        bytes.as_chunks().0.iter().map(|b| i64::from_le_bytes(*b)).collect()
    }

    fn value(&self) -> Vec<f64> {
        let (shape, values) = self.f64("value");
        assert_eq!(shape, [values.len()]);
        values
    }
}

fn three_and_two() -> (Array2<f32>, Array2<f32>) {
    (array![[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]], array![[1.0, 1.0], [2.0, 0.0]])
}

#[test]
fn sinkhorn_gives_the_value_of_geomloss_and_everything_about_the_pair() {
    let (x, y) = three_and_two();
    let case = Case::new(&[rows("x", &x), rows("y", &y)]);
    for (options, want) in [
        ("--mode geomloss --blur 0.5 --debias", 0.7481201295),
        ("--blur 0.5 --scaling 0.5", 0.9480979220),
        ("--blur 0.05 --debias --pairing all-pairs", 0.8309064290),
    ] {
        let found = case.found(&format!("--loss sinkhorn {options} --plan"));
        assert!((found.value()[0] - want).abs() < 1e-6, "{options}: {:?}", found.value());
        let names = "f f_offsets g g_offsets gap grad_a grad_b grad_eps grad_x grad_y iterations \
                     marginal_error plan value";
        assert_eq!(found.names().join(" "), names);
        let (shape, plan) = found.f32("plan");
        assert!(shape == [3, 2] && plan.iter().all(|&p| p >= 0.0), "{plan:?}");
        assert_eq!((found.f32("f").0, found.f32("g").0), (vec![3], vec![2]));
        assert_eq!(found.i64("f_offsets"), [0, 3]);
        assert_eq!((found.f64("marginal_error").0, found.f32("gap").0), (vec![1], vec![1]));
        // Its schedules: 5, 5, 1.25, 0.3125, 0.25, and three more down to a blur of 0.05.
        assert_eq!(found.i64("iterations"), [if options.contains("0.05") { 8 } else { 5 }]);
    }
}

#[test]
fn ragged_batches_with_weights_are_those_of_the_library() {
    let x = Array2::from_shape_fn((5, 3), |(i, d)| ((i * 7 + d * 3) % 5) as f32 / 4.0);
    let y = Array2::from_shape_fn((6, 3), |(i, d)| ((i * 5 + d * 2) % 7) as f32 / 5.0);
    let (a, b) = ([0.5, 0.5, 0.2, 0.3, 0.5], [0.5, 0.25, 0.25, 0.125, 0.375, 0.5]);
    let case = Case::new(&[
        rows("x", &x),
        rows("y", &y),
        whole("x_offsets", &[0, 2, 5]),
        whole("y_offsets", &[0, 3, 6]),
        floats("a", &[5], &a),
        floats("b", &[6], &b),
    ]);
    let found = case.found("--loss sinkhorn --eps 0.1 --tol 1e-6 --max-iters 500 --plan");
    let (x, y) = (
        Ragged::new(x.view().into(), &[0, 2, 5]).unwrap(),
        Ragged::new(y.view().into(), &[0, 3, 6]).unwrap(),
    );
    let mode = align_kernels::sinkhorn::Mode::Fixed(align_kernels::sinkhorn::Fixed {
        eps: 0.1,
        max_iters: 500,
        tol: 1e-6,
        acceleration: align_kernels::sinkhorn::Acceleration::OverRelaxation,
    });
    let options = Options { mode, plan: true, ..Options::default() };
    let weights = Weights { a: Some(&a), b: Some(&b) };
    let (want, grads) = sinkhorn_with_gradient(&x, &y, weights, &options, None).unwrap();
    assert_eq!(found.value(), want.value);
    assert_eq!(found.f32("plan"), (vec![15], want.plan.clone()));
    assert_eq!((found.f32("f").1, found.f32("g").1), (want.f, want.g));
    assert_eq!(found.f32("grad_x"), (vec![5, 3], grads.x.into_raw_vec_and_offset().0));
    assert_eq!(found.f32("grad_y"), (vec![6, 3], grads.y.into_raw_vec_and_offset().0));
    assert_eq!((found.f32("grad_a").1, found.f32("grad_b").1), (grads.a, grads.b));
    assert_eq!(found.f32("grad_eps"), (vec![1], vec![grads.eps as f32]));
    assert_eq!(found.f64("marginal_error").1, want.marginal_error);

    let all = case.found("--loss sinkhorn --eps 0.1 --pairing all-pairs --reach 0.5 --debias");
    assert_eq!((all.value().len(), all.i64("f_offsets")), (4, vec![0, 2, 4, 7, 10]));
    assert!(!all.names().contains(&"plan".to_owned()));
    // Updates go past the fit after ten iterations, unless told not to.
    let short = "--loss sinkhorn --eps 0.01 --tol 0 --max-iters 15";
    let (relaxed, plain) =
        (case.found(short), case.found(&format!("{short} --acceleration plain")));
    assert_eq!((relaxed.i64("iterations"), plain.i64("iterations")), (vec![15; 2], vec![15; 2]));
    assert_ne!(relaxed.f32("f"), plain.f32("f"));
}

#[test]
fn half_precision_inputs_give_what_their_values_give() {
    let (x, y) = three_and_two();
    let wanted =
        Case::new(&[rows("x", &x), rows("y", &y)]).found("--loss sinkhorn --cost euclidean");
    let bytes = |half: fn(f32) -> [u8; 2], points: &Array2<f32>| -> Vec<u8> {
        points.iter().flat_map(|&v| half(v)).collect()
    };
    let of_bf16 = bytes(|v| bf16::from_f32(v).to_le_bytes(), &x);
    let of_f16 = bytes(|v| f16::from_f32(v).to_le_bytes(), &y);
    let case = Case::new(&[
        Given("x", Dtype::BF16, vec![3, 2], of_bf16),
        Given("y", Dtype::F16, vec![2, 2], of_f16),
    ]);
    assert_eq!(case.found("--loss sinkhorn --cost euclidean").0, wanted.0);
}

#[test]
fn mmd_compares_items_by_every_kernel_and_estimator() {
    let (x, y) = (array![[0.0, 1.0], [2.0, 1.0], [5.0, 5.0]], array![[1.0, 3.0], [5.0, 5.0]]);
    let case = Case::new(&[
        rows("x", &x),
        rows("y", &y),
        whole("x_offsets", &[0, 2, 3]),
        whole("y_offsets", &[0, 1, 2]),
    ]);
    let found = case.found("--loss mmd");
    // Means (1, 1) and (1, 3); then equal points.
    assert_eq!(found.value(), [4.0, 0.0]);
    assert_eq!(found.f32("grad_y"), (vec![2, 2], vec![0.0, 4.0, 0.0, 0.0]));
    assert_eq!(found.names(), ["grad_x", "grad_y", "value"]);

    let (x, y) = (
        Ragged::new(x.view().into(), &[0, 2, 3]).unwrap(),
        Ragged::new(y.view().into(), &[0, 1, 2]).unwrap(),
    );
    for (options, want) in [
        ("--kernel poly --degree 3 --offset 1", mmd::Options::polynomial(3, 1.0)),
        ("--kernel poly --biased", mmd::Options::polynomial(2, 0.0)),
        ("--kernel gaussian --bandwidth 0.5,2", mmd::Options::gaussian(&[0.5, 2.0])),
        ("--unbiased", mmd::Options::linear().with(mmd::Estimator::Unbiased)),
    ] {
        let found = case.found(&format!("--loss mmd {options}"));
        let want = mmd::mmd(&x, &y, &want).unwrap();
        assert_eq!(found.value(), want.value, "{options}");
        assert_eq!(found.f32("grad_x").1, want.grad_x.into_raw_vec_and_offset().0, "{options}");
    }
}

#[test]
fn info_nce_is_that_of_the_library() {
    let x = array![[1.0, 0.2], [-0.3, 0.8], [0.5, -1.0]];
    let y = array![[0.9, 0.1], [0.1, 1.5], [0.2, -0.7], [1.0, 1.0]];
    let case = Case::new(&[rows("x", &x), rows("y", &y)]);
    for (options, temperature, symmetric, similarity) in [
        ("", 0.1, false, info_nce::Similarity::Cosine),
        ("--temperature 0.5 --symmetric --similarity dot", 0.5, true, info_nce::Similarity::Dot),
    ] {
        let found = case.found(&format!("--loss info_nce {options}"));
        let options =
            info_nce::Options { temperature, symmetric, similarity, ..Default::default() };
        let want = info_nce::info_nce(x.view(), y.view(), &options).unwrap();
        assert_eq!(found.value(), [want.value]);
        assert_eq!(found.f32("grad_x").1, want.grad_x.into_raw_vec_and_offset().0);
        assert_eq!(found.f32("grad_y").1, want.grad_y.into_raw_vec_and_offset().0);
        assert_eq!(found.f32("grad_temperature").1, [want.grad_temperature as f32]);
        assert_eq!(found.names(), ["grad_temperature", "grad_x", "grad_y", "value"]);
    }
}

#[test]
fn wasserstein_info_nce_gives_the_printed_vector() {
    let x = array![[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 1.0, 1.0]];
    let y =
        array![[1.0, 0.2, 0.0], [0.1, 1.0, 0.0], [0.5, 0.5, 0.0], [0.0, 0.1, 1.0], [1.0, 1.0, 0.8]];
    let case = Case::new(&[
        rows("x", &x),
        rows("y", &y),
        whole("x_offsets", &[0, 2, 4]),
        whole("y_offsets", &[0, 3, 5]),
    ]);
    let options = "--loss wasserstein_info_nce --blur 0.05 --debias --cost cosine";
    let found = case.found(options);
    assert!((found.value()[0] - 0.0033723574).abs() < 1e-7);
    let (shape, divergence) = found.f64("divergence");
    assert!(shape == [2, 2] && (divergence[1] - 0.64251941).abs() < 1e-6);
    assert_eq!((found.f32("grad_x").0, found.f32("grad_y").0), (vec![4, 3], vec![5, 3]));
    assert_eq!((found.i64("iterations").len(), found.f64("marginal_error").0), (4, vec![4]));
    assert_eq!(found.f32("grad_temperature").0, [1]);
    let both = case.found(&format!("{options} --symmetric --temperature 0.1"));
    assert!((both.value()[0] - (0.0033723574 + 0.0039046026) / 2.0).abs() < 1e-7);
    let error = case.run(&format!("{options} --pairing paired")).unwrap_err().to_string();
    assert!(error.starts_with("wasserstein_info_nce: transport pairs items one by one"), "{error}");
}

#[test]
fn crd_draws_by_itself_what_the_file_does_not_name() {
    let unit = |angle: f32| [angle.cos(), angle.sin()];
    let x = Array2::from(vec![unit(0.1), unit(1.0), unit(2.0), unit(3.0)]);
    let y = Array2::from(vec![unit(0.2), unit(1.1), unit(2.9)]);
    // Clip 1 has tokens 1 and 2: token 0 draws the first of them, token 3 the second.
    let drawn = [1, 3, 0, 3, 0, 3, 0, 2].map(i64::from);
    let named = [rows("x", &x), rows("y", &y), whole("clip_of", &[0, 1, 1, 2])];
    let found = Case::new(&named).found("--loss crd --n-data 10 --temperature 0.2");
    let drawn = Given("drawn", Dtype::I64, vec![4, 2], whole("", &drawn).3);
    let given = Case::new(&[rows("x", &x), rows("y", &y), whole("clip_of", &[0, 1, 1, 2]), drawn]);
    assert_eq!(found.0, given.found("--loss crd --n-data 10 --temperature 0.2").0);
    assert_eq!(found.names(), ["grad_x", "grad_y", "value"]);
    let usual = Case::new(&named).found("--loss crd").value();
    let spelt = Case::new(&named).found("--loss crd --n-data 3 --temperature 0.07").value();
    assert!(usual == spelt && usual != found.value());

    let few = Case::new(&[rows("x", &x), rows("y", &y)]).fault("--loss crd");
    assert!(
        few.starts_with("crd: no tensor clip_of, expected the clip of each of 4 tokens"),
        "{few}"
    );
    let hollow = Case::new(&[rows("x", &x), rows("y", &y), whole("clip_of", &[0, 1, 1, 1])]);
    let hollow = hollow.fault("--loss crd");
    assert_eq!(hollow, "crd: clip 2 has no token to draw, expected one or more (hint: give drawn)");
    let beyond = Case::new(&[rows("x", &x), rows("y", &y), whole("clip_of", &[0, 1, 3, 1])]);
    assert_eq!(beyond.fault("--loss crd"), "crd: clip_of[2] is 3, expected below the 3 clips of y");
}

#[test]
fn options_that_do_not_fit_are_named() {
    let (x, y) = three_and_two();
    let case = Case::new(&[rows("x", &x), rows("y", &y)]);
    let implied = "(hint: --blur, --scaling and --diameter imply geomloss)";
    for (options, text) in [
        ("--loss mmd --blur 1", "--blur: an option of sinkhorn, wasserstein_info_nce, got --loss mmd (hint: leave it out)".to_owned()),
        ("--loss info_nce --acceleration plain", "--acceleration: an option of sinkhorn, wasserstein_info_nce, got --loss info_nce (hint: leave it out)".to_owned()),
        ("--loss sinkhorn --temperature 1", "--temperature: an option of info_nce, wasserstein_info_nce, crd, got --loss sinkhorn (hint: leave it out)".to_owned()),
        ("--loss wasserstein_info_nce --similarity dot", "--similarity: an option of info_nce, got --loss wasserstein_info_nce (hint: leave it out)".to_owned()),
        ("--loss sinkhorn --mode fixed --blur 1", format!("--blur: an option of --mode geomloss, got --mode fixed {implied}")),
        ("--loss sinkhorn --blur 1 --eps 1", format!("--eps: an option of --mode fixed, got --mode geomloss {implied}")),
        ("--loss mmd --degree 3", "--degree: an option of --kernel poly, got --kernel linear".to_owned()),
        ("--loss mmd --kernel poly --bandwidth 3", "--bandwidth: an option of --kernel gaussian, got --kernel poly".to_owned()),
        ("--loss mmd --kernel gaussian", "--kernel gaussian: no --bandwidth, expected one or more (hint: a typical distance between points)".to_owned()),
        ("--loss mmd --kernel poly --degree 99", "mmd: degree is 99, expected 1 to 16 (hint: 2 compares second moments)".to_owned()),
        ("--loss sinkhorn --eps -1", "sinkhorn: eps is -1, expected finite and > 0 (hint: start from 0.05 times the mean cost)".to_owned()),
        ("--loss sinkhorn --blur NaN", "sinkhorn: blur is NaN, expected finite and > 0 (hint: start from 0.05 times the diameter)".to_owned()),
        ("--loss info_nce --temperature 0", "info_nce: temperature is 0, expected > 0 and finite (hint: 0.05 to 0.1 is usual for cosine)".to_owned()),
    ] {
        assert_eq!(case.fault(options), text);
    }
    for (options, texts) in [
        (
            "--loss sinkhorn --blurr 1",
            ["unexpected argument '--blurr'", "a similar argument exists: '--blur'"],
        ),
        ("--loss sinkhor", ["invalid value 'sinkhor'", "a similar value exists: 'sinkhorn'"]),
        ("--loss mmd --biased --unbiased", ["'--biased' cannot be used with", "'--unbiased'"]),
        ("--loss sinkhorn --eps small", ["invalid value 'small'", "'--eps <F>'"]),
        ("", ["required arguments were not provided", "--loss <LOSS>"]),
    ] {
        let error = case.run(options).unwrap_err();
        let usage = error.downcast_ref::<clap::Error>().unwrap();
        assert!(usage.use_stderr());
        let text = usage.to_string();
        assert!(texts.iter().all(|part| text.contains(part)), "{text}");
    }
}

#[test]
fn help_is_no_failure_and_names_every_tensor() {
    let error = run(["divergence", "--help"].map(OsString::from)).unwrap_err();
    let help = error.downcast_ref::<clap::Error>().unwrap();
    assert!(!help.use_stderr());
    let text = help.to_string();
    for part in ["--loss", "--n-data", "x_offsets", "clip_of", "grad_temperature", "contr-wasser"] {
        assert!(text.contains(part), "{part}");
    }
}

#[test]
fn tensors_that_do_not_fit_are_named() {
    let (x, y) = three_and_two();
    let both = || vec![rows("x", &x), rows("y", &y)];
    let with = |more: Given| {
        let mut all = both();
        all.retain(|tensor| tensor.0 != more.0);
        all.push(more);
        all
    };
    let doubles = Given("y", Dtype::F64, vec![1, 1], vec![0; 8]);
    for (loss, tensors, text) in [
        ("mmd", vec![rows("x", &x)], "in.safetensors: no tensor y, expected x and y, got [x]"),
        ("mmd", with(doubles), "in.safetensors: y is F64, expected F32, BF16 or F16"),
        (
            "mmd",
            with(floats("x", &[6], &[0.0; 6])),
            "in.safetensors: x has shape [6], expected (points, width)",
        ),
        ("mmd", with(floats("x", &[2, 3], &[0.0; 6])), "mmd: y has width 2, expected the 3 of x"),
        (
            "mmd",
            with(floats("a", &[3], &[1.0; 3])),
            "in.safetensors: mmd takes no tensor a, expected some of x, y, x_offsets, y_offsets",
        ),
        (
            "info_nce",
            with(whole("x_offsets", &[0, 3])),
            "in.safetensors: info_nce, of one cloud a side, takes no tensor x_offsets, \
             expected some of x, y",
        ),
        (
            "sinkhorn",
            with(whole("x_offset", &[0, 3])),
            "in.safetensors: sinkhorn takes no tensor x_offset, \
             expected some of x, y, x_offsets, y_offsets, a, b",
        ),
        (
            "sinkhorn",
            with(whole("y_offsets", &[0, 3])),
            "in.safetensors: y_offsets: ragged: offsets end with Some(3), expected the 2 points",
        ),
        (
            "sinkhorn",
            with(whole("x_offsets", &[0, 1, 3])),
            "sinkhorn: y has 1 items, expected those of x, 2",
        ),
        (
            "sinkhorn",
            with(whole("x_offsets", &[0, -1, 3])),
            "in.safetensors: x_offsets[1] is -1, expected at least 0",
        ),
        (
            "sinkhorn",
            with(floats("x_offsets", &[2], &[0.0, 3.0])),
            "in.safetensors: x_offsets is F32, expected I64",
        ),
        (
            "sinkhorn",
            with(floats("a", &[3, 1], &[1.0; 3])),
            "in.safetensors: a has shape [3, 1], expected one weight a point",
        ),
        ("sinkhorn", with(whole("a", &[1, 1, 1])), "in.safetensors: a is I64, expected F32"),
        (
            "sinkhorn",
            with(floats("a", &[2], &[0.5; 2])),
            "sinkhorn: x has 2 weights, expected its 3 points",
        ),
        (
            "sinkhorn",
            with(floats("b", &[2], &[1.5, -0.5])),
            "sinkhorn: weight 1 of y is -0.5, expected finite and >= 0",
        ),
    ] {
        assert_eq!(Case::new(&tensors).fault(&format!("--loss {loss}")), text);
    }
}

#[test]
fn files_that_cannot_be_read_or_written_are_named() {
    let (x, y) = three_and_two();
    let case = Case::new(&[rows("x", &x), rows("y", &y)]);
    let (input, output) = (case.at("in.safetensors"), case.at("out.safetensors"));
    let text = |input: &Path, output: &Path| {
        let error = program("--loss mmd", input, output).unwrap_err();
        format!("{error:#}").replace(&format!("{}/", case.folder.path().display()), "")
    };
    let missing = text(&case.at("none.safetensors"), &output);
    let want = "--input: cannot read none.safetensors (hint: is the path right?): No such file";
    assert!(missing.starts_with(want), "{missing}");
    let nowhere = text(&input, &case.at("none/out.safetensors"));
    let want = "--output: cannot write none/out.safetensors (hint: its folder must exist";
    assert!(nowhere.starts_with(want), "{nowhere}");
    fs::create_dir(case.at("folder")).unwrap();
    let folder = text(&input, &case.at("folder"));
    assert!(folder.starts_with("--output: cannot write folder (hint: its folder"), "{folder}");
    assert_eq!(fs::read_dir(case.folder.path()).unwrap().count(), 2, "a draft was left behind");
    let same = text(&input, &input);
    assert_eq!(same, "--output: in.safetensors is the input, expected another file");
    fs::write(case.at("text"), "no tensors here").unwrap();
    let text = text(&case.at("text"), &output);
    assert!(text.starts_with("text: not a safetensors file (hint: safetensors.numpy"), "{text}");
    assert!(!output.exists());
}

#[test]
fn an_output_is_replaced_whole_and_no_draft_stays() {
    let (x, y) = three_and_two();
    let case = Case::new(&[rows("x", &x), rows("y", &y)]);
    fs::write(case.at("out.safetensors"), "old").unwrap();
    let summary = case.run("--loss mmd").unwrap();
    let to = case.at("out.safetensors");
    // Means (1/3, 1/3) and (3/2, 1/2).
    assert!(summary.starts_with("mmd: value 1.388"), "{summary}");
    assert!(summary.ends_with(&format!("wrote {}", to.display())), "{summary}");
    assert!(SafeTensors::deserialize(&fs::read(to).unwrap()).is_ok());
    assert_eq!(fs::read_dir(case.folder.path()).unwrap().count(), 2);
}
