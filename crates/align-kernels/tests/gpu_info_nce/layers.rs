//! Several layers at once.

use align_kernels::GradientSides;
use align_kernels::device::Gpu;
use align_kernels::info_nce::{Layer, Options, info_nce, info_nce_layers};

use crate::case::{Case, Form, Got, send};
use crate::device::stream;

#[test]
fn layers_are_what_each_is_alone() {
    let Some(stream) = stream() else { return };
    // Forms and extents differ; one layer has no column, one no weight.
    let shapes = [(33, 40, 9), (130, 130, 64), (4, 4, 1), (140, 150, 30), (2, 0, 5), (1, 1, 3)];
    let forms = [Form::Half, Form::Tight, Form::Half, Form::Half, Form::Tight, Form::Gaps];
    let cases: Vec<_> =
        shapes.iter().zip(forms).map(|(&shape, form)| Case::new(shape, form, shape.0)).collect();
    let clouds: Vec<_> = cases
        .iter()
        .map(|case| (send(&stream, &case.x, case.form), send(&stream, &case.y, case.form)))
        .collect();
    let options = Options { symmetric: true, ..Options::default() };
    let layers: Vec<Layer<'_, Gpu>> = clouds
        .iter()
        .enumerate()
        .filter(|(l, _)| *l != 4)
        .map(|(l, (x, y))| {
            let (temperature, weight) = (0.1 + 0.2 * l as f64, l as f64 - 2.0);
            Layer { x: x.points(), y: y.points(), temperature, weight }
        })
        .collect();
    let all = info_nce_layers(&layers, &options).unwrap();
    assert_eq!(all.layers.len(), layers.len());
    let mut sum = 0.0;
    for (layer, got) in layers.iter().zip(&all.layers) {
        let options = Options { temperature: layer.temperature, ..options };
        let alone = Got::of(&info_nce(layer.x, layer.y, &options).unwrap());
        let got = Got::of(got);
        sum += layer.weight * alone.value;
        assert!((got.value - layer.weight * alone.value).abs() < 1e-6, "{got:?} {alone:?}");
        let near = |a: f32, b: f32| (f64::from(a) - layer.weight * f64::from(b)).abs() < 1e-3;
        assert!(got.grad_x.iter().zip(&alone.grad_x).all(|(&a, &b)| near(a, b)));
        assert!(got.grad_y.iter().zip(&alone.grad_y).all(|(&a, &b)| near(a, b)));
        let temperature = layer.weight * alone.grad_temperature;
        assert!((got.grad_temperature - temperature).abs() < 1e-4);
        assert_eq!(got.row_lse, alone.row_lse);
    }
    assert!((all.value - sum).abs() < 1e-5);
    assert_eq!(info_nce_layers::<Gpu>(&[], &options).unwrap().value, 0.0);
}

#[test]
fn gradients_of_one_side_are_its_half_of_both() {
    let Some(stream) = stream() else { return };
    for (form, symmetric) in [(Form::Half, true), (Form::Tight, false)] {
        let case = Case::new((140, 150, 30), form, 3).with_masks();
        let (x, y) = (send(&stream, &case.x, form), send(&stream, &case.y, form));
        let of = |gradients| {
            let options = Options { symmetric, gradients, ..case.options() };
            Got::of(&info_nce(x.points(), y.points(), &options).unwrap())
        };
        let both = of(GradientSides::Both);
        let (of_x, of_y) = (of(GradientSides::X), of(GradientSides::Y));
        assert_eq!((&of_x.grad_x, &of_y.grad_y), (&both.grad_x, &both.grad_y));
        assert!(of_x.grad_y.is_empty() && of_y.grad_x.is_empty());
        assert_eq!((of_x.value, of_y.grad_temperature), (both.value, both.grad_temperature));
    }
}
