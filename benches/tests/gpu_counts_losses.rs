//! What the kernels of losses other than transport ask of memory, by the interpreter's count.
//!
//! Runs with the other device tests, and only where the driver interprets: a GPU does not count.

mod support;

use consonance_benches::device::Counts;
use support::{counted, expect_thrift};

/// Counts of the kernels whose names begin so, added up.
fn of(kernels: &[(String, Counts)], start: &str) -> Counts {
    let mut sum = Counts::default();
    for (_, counts) in kernels.iter().filter(|(name, _)| name.starts_with(start)) {
        sum.launches += counts.launches;
        sum.bytes += counts.bytes;
        sum.stored_bytes += counts.stored_bytes;
        sum.special += counts.special;
    }
    assert!(sum.launches > 0.0, "{start} did not run");
    sum
}

/// At most a tenth more than the least.
fn expect_near(what: &str, counted: f64, least: f64) {
    assert!(counted <= 1.1 * least, "{what}: {counted}, expected about {least}");
}

/// Pairs of `small`, with bytes of a slope.
const CONTRASTS: [(&str, f64, f64); 2] = [("small", 512.0, 2.0), ("small-f32", 256.0, 4.0)];

#[test]
fn logits_of_info_nce_never_reach_memory() {
    for (shape, pairs, bytes_of_slope) in CONTRASTS {
        let Some(kernels) = counted("info-nce", shape) else { return };
        expect_thrift(&kernels);
        let logits = pairs * pairs * 4.0;
        // Two numbers for 128 logits of a row or of a column, and one for each pair.
        let sums = of(&kernels, "info_nce_lse").stored_bytes;
        assert!(sums <= logits / 28.0, "{shape}: {sums} bytes stored, logits would be {logits}");
        // The second pass leaves slopes, for a window at a time, and a number for each few tiles' rows.
        let slopes = of(&kernels, "info_nce_slopes").stored_bytes;
        expect_near(shape, slopes, pairs * pairs * bytes_of_slope);
        // A logit has one exponential in each pass, or two where tiles are square.
        for pass in ["info_nce_lse", "info_nce_slopes"] {
            let exponentials = of(&kernels, pass).special;
            assert!(exponentials <= 2.2 * pairs * pairs, "{shape} {pass}: {exponentials}");
        }
    }
}

#[test]
fn weights_of_all_pairs_move_a_window_once() {
    let Some(kernels) = counted("mmd", "small") else { return };
    expect_thrift(&kernels);
    let pairs = 512.0 * 512.0;
    let weights = of(&kernels, "mmd_weights");
    // A product read, a rounded weight written. A warp takes 128 pairs at a time, and reads the norms of
    // their 64 columns and of a row or two for them: nine sectors that stay in the first cache.
    expect_near("mmd_weights", weights.bytes, pairs * (4.0 + 2.0) + pairs / 128.0 * 9.0 * 32.0);
    expect_near("mmd_weights, stored", weights.stored_bytes, pairs * 2.0);
    // Five bandwidths.
    assert!(weights.special <= 2.01 * pairs, "{} exponentials", weights.special);
}

#[test]
fn means_read_the_points_once_and_quadruples_twice() {
    let Some(kernels) = counted("mmd", "linear") else { return };
    expect_thrift(&kernels);
    let points = 2.0 * 8192.0 * 128.0;
    expect_near("mmd_column_sums", of(&kernels, "mmd_column_sums").bytes, points * 2.0);
    // No point is read again; a warp reads two f64 means for eight rows, from the first cache but once.
    expect_near("mmd_finish", of(&kernels, "mmd_finish").bytes, points * (4.0 + 16.0 / 8.0));

    let kernels = counted("mmd", "linear-time").expect("the same device counts");
    expect_thrift(&kernels);
    let points = 2.0 * 1024.0 * 1024.0;
    let quadruples = of(&kernels, "mmd_linear_time");
    // For the kernel and for its slope, from the first cache then; and a gradient.
    expect_near("mmd_linear_time", quadruples.bytes, points * 4.0 * 3.0);
}

#[test]
fn distances_for_a_median_use_what_they_read() {
    let Some(kernels) = counted("mmd", "median") else { return };
    expect_thrift(&kernels);
    assert_eq!(of(&kernels, "mmd_distances").stored_bytes, 512.0 * 511.0 / 2.0 * 8.0);
}

#[test]
fn neurons_are_compared_without_a_gram_matrix() {
    let Some(kernels) = counted("nst", "small") else { return };
    expect_thrift(&kernels);
    let (count, width) = (512.0, 256.0);
    let stored: f64 = kernels.iter().map(|(_, counts)| counts.stored_bytes).sum();
    // Rounded rows and two gradients in place; moments of both sides and their matrices.
    let least = 2.0 * count * width * (2.0 + 4.0 + 4.0) + 2.0 * width * width * (4.0 + 2.0);
    expect_near("stored", stored, least);
    expect_near("mmd_gap", of(&kernels, "mmd_gap").bytes, 2.0 * width * width * (4.0 + 2.0));
}

#[test]
fn forms_on_tokens_use_what_they_read() {
    let (tokens, clips, width) = (256.0, 32.0, 768.0);
    let Some(kernels) = counted("nst", "gram") else { return };
    expect_thrift(&kernels);
    let turned = of(&kernels, "nst_turn").bytes;
    // bf16 states and vectors of their clips in and out, f32 gradients back.
    expect_near("nst_turn", turned, 2.0 * tokens * width * (2.0 + 2.0 + 4.0 + 4.0));
    let sums = of(&kernels, "nst_clip_sums").bytes;
    // Behind 32 numbers of a token or a clip is an index, which is a sector.
    expect_near("nst_clip_sums", sums, (tokens + clips) * width * (4.0 + 32.0 / 32.0));

    let kernels = counted("nst", "poly").expect("the same device counts");
    expect_thrift(&kernels);
    expect_near("nst_poly", of(&kernels, "nst_poly").bytes, (tokens + clips) * width * (2.0 + 4.0));

    let kernels = counted("nst", "gauss").expect("the same device counts");
    expect_thrift(&kernels);
    // Eight tokens and a clip with themselves, and with each other both ways.
    let pairs = (8.0 + 1.0 + 2.0 * 8.0) * width * width;
    expect_near("nst_gauss", of(&kernels, "nst_gauss").special, pairs);
}

#[test]
fn a_table_of_scores_is_passed_once_and_scattered_to_once() {
    let Some(mut kernels) = counted("crd", "first") else { return };
    let (directions, batch, slots, rows) = (2.0, 64.0, 1639.0, 5000.0);
    let drawn = directions * batch * slots;
    // Counts and single scores are wherever the draw says: an index, and a sector for 4 bytes of it.
    for kernel in ["crd_count", "crd_sums"] {
        expect_near(kernel, of(&kernels, kernel).bytes, drawn * (4.0 + 32.0));
    }
    kernels.retain(|(name, _)| !name.starts_with("crd_count") && !name.starts_with("crd_sums"));
    expect_thrift(&kernels);
    // A score and a count in, a slope out.
    let table = directions * batch * rows * (4.0 + 4.0 + 4.0);
    expect_near("crd_slopes", of(&kernels, "crd_slopes").bytes, table);
}

#[test]
fn rows_of_a_bank_are_read_for_scores_and_for_gradients() {
    let Some(kernels) = counted("crd", "few") else { return };
    expect_thrift(&kernels);
    let drawn = 2.0 * 16.0 * 1025.0;
    // The second time from the first cache.
    expect_near("crd_rows", of(&kernels, "crd_rows").bytes, drawn * (2.0 * 128.0 * 4.0 + 4.0));
    let parts = of(&kernels, "crd_rows").stored_bytes;
    expect_near("crd_add_parts", of(&kernels, "crd_add_parts").bytes, parts * 1.2);
}
