//! Every hand-written kernel of this crate: one list for launches, checks, tests and benches.
//!
//! The files are in `kernels/`, an operation a folder, each with a page that tells its formula and its
//! ladder. They are embedded here and nowhere else, and assembled by the driver when they are first used.

/// One PTX file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Variant {
    /// Folder below `kernels/`.
    pub operation: &'static str,
    /// File stem and entry name, such as `sinkhorn_row_v1_warp_f32`.
    pub name: &'static str,
    /// The whole file.
    pub ptx: &'static str,
}

macro_rules! registry {
    ($($id:ident = $operation:literal, $name:literal;)*) => {
        $(pub(crate) const $id: Variant = Variant {
            operation: $operation,
            name: $name,
            ptx: include_str!(concat!("../../../kernels/", $operation, "/", $name, ".ptx")),
        };)*

        /// All of them, operation after operation.
        pub const KERNELS: &[Variant] = &[$($id),*];
    };
}

registry! {
    INFO_NCE_PACK_F32 = "info_nce", "info_nce_pack_v1_f32";
    INFO_NCE_PACK_BF16 = "info_nce", "info_nce_pack_v1_bf16";
    INFO_NCE_LSE_F32 = "info_nce", "info_nce_lse_v1_tile_f32";
    INFO_NCE_LSE_BF16 = "info_nce", "info_nce_lse_v2_mma_bf16";
    INFO_NCE_LSE_WGMMA = "info_nce", "info_nce_lse_v3_wgmma_bf16";
    INFO_NCE_COMBINE = "info_nce", "info_nce_combine_v1_f32";
    INFO_NCE_SLOPES_F32 = "info_nce", "info_nce_slopes_v1_tile_f32";
    INFO_NCE_SLOPES_BF16 = "info_nce", "info_nce_slopes_v2_mma_bf16";
    INFO_NCE_SLOPES_WGMMA = "info_nce", "info_nce_slopes_v3_wgmma_bf16";
    INFO_NCE_TOTAL = "info_nce", "info_nce_total_v1_f32";
    INFO_NCE_FINISH = "info_nce", "info_nce_finish_v1_f32";
    COST_F32 = "pairwise_cost", "pairwise_cost_v1_tile_f32";
    COST_BF16 = "pairwise_cost", "pairwise_cost_v2_mma_bf16";
    COST_TF32 = "pairwise_cost", "pairwise_cost_v3_mma_tf32";
    COST_WGMMA = "pairwise_cost", "pairwise_cost_v4_wgmma_bf16";
    COST_SPLIT = "pairwise_cost", "pairwise_cost_v5_split_bf16";
    COST_CLOUDS = "pairwise_cost", "pairwise_cost_v6_clouds_bf16";
    NORMS_F32 = "pairwise_cost", "row_norms_v1_f32";
    NORMS_BF16 = "pairwise_cost", "row_norms_v1_bf16";
    WIDEN_BF16 = "pairwise_cost", "widen_rows_v1_bf16";
    ROUND_TF32 = "pairwise_cost", "round_rows_v1_tf32";
    MMD_COLUMN_SUMS = "mmd", "mmd_column_sums_v1_f32";
    MMD_DISTANCES = "mmd", "mmd_distances_v1_f32";
    MMD_FINISH = "mmd", "mmd_finish_v1_f32";
    MMD_GAP = "mmd", "mmd_gap_v1_f32";
    MMD_LINEAR_TIME = "mmd", "mmd_linear_time_v1_f32";
    MMD_MEANS = "mmd", "mmd_means_v1_f64";
    MMD_STACK = "mmd", "mmd_stack_v1_f32";
    MMD_WEIGHTS = "mmd", "mmd_weights_v1_f32";
    NST_CLIP_SUMS = "nst", "nst_clip_sums_v1_f32";
    NST_GAUSS = "nst", "nst_gauss_v1_f32";
    NST_MEAN_SQUARES = "nst", "nst_mean_squares_v1_f64";
    NST_POLY = "nst", "nst_poly_v1_f64";
    NST_THROUGH_NORM = "nst", "nst_through_norm_v1_f32";
    NST_TURN = "nst", "nst_turn_v1_f32";
    NST_UNIT_ROWS = "nst", "nst_unit_rows_v1_f32";
    RESIDENT = "sinkhorn", "sinkhorn_resident_v2_f32";
    RESIDENT_CLUSTER = "sinkhorn", "sinkhorn_resident_v3_cluster_f32";
    ROWS = "sinkhorn", "sinkhorn_row_v1_warp_f32";
    COLUMNS = "sinkhorn", "sinkhorn_column_v1_block_f32";
    MARGINAL = "sinkhorn", "sinkhorn_marginal_v1_f32";
    PLAN = "sinkhorn", "sinkhorn_plan_v1_f32";
    COLUMN_SUMS = "sinkhorn", "plan_column_sums_v1_f32";
    ABSORB = "sinkhorn", "sinkhorn_absorb_v2_f32";
    STREAM = "sinkhorn", "sinkhorn_stream_v2_f32";
    FOLD = "sinkhorn", "sinkhorn_fold_v2_f32";
    VALUE = "sinkhorn", "sinkhorn_value_v1_f32";
    GRADIENT = "sinkhorn", "plan_gradient_v1_f32";
    NARROW = "sinkhorn", "plan_narrow_v1_bf16";
    GRADIENT_BF16 = "sinkhorn", "plan_gradient_v2_mma_bf16";
    PULL = "sinkhorn", "plan_pull_v1_f32";
    OWN_PULL = "sinkhorn", "own_pull_v1_f32";
    FINISH = "sinkhorn", "gradient_finish_v1_f32";
    DIVIDE = "sinkhorn", "divide_rows_v1_f32";
    AVERAGE = "sinkhorn", "sinkhorn_average_v1_f32";
    WEIGH = "sinkhorn", "weigh_plans_v1_f32";
    GEOMLOSS = "sinkhorn", "sinkhorn_geomloss_v2_resident_f32";
    BOXES = "sinkhorn", "cloud_boxes_v1";
    DIAMETERS = "sinkhorn", "pair_diameters_v1_f64";
    CRD_SLOPES = "crd", "crd_slopes_v1_f32";
    CRD_COUNT = "crd", "crd_count_v1_u32";
    CRD_SUMS = "crd", "crd_sums_v1_f32";
    CRD_ROWS = "crd", "crd_rows_v1_f32";
    CRD_ADD_PARTS = "crd", "crd_add_parts_v1_f32";
    BANK_UPDATE = "crd", "bank_update_v1_f32";
}

#[cfg(test)]
mod tests {
    use gpu_runtime::PtxText;

    use super::KERNELS;

    #[test]
    fn every_file_holds_an_entry_of_its_name() {
        for kernel in KERNELS {
            let text = PtxText::parse(kernel.name, kernel.ptx).unwrap();
            assert!(text.entry(kernel.name).is_some(), "{}", kernel.name);
        }
    }

    #[test]
    fn every_kernel_of_its_folders_is_listed_once() {
        let root = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../kernels"));
        let operations: std::collections::BTreeSet<_> =
            KERNELS.iter().map(|kernel| kernel.operation).collect();
        let mut files = Vec::new();
        for operation in operations {
            let entries = std::fs::read_dir(root.join(operation)).unwrap();
            for path in entries.map(|entry| entry.unwrap().path()) {
                if path.extension().is_some_and(|ending| ending == "ptx") {
                    files.push(path.strip_prefix(root).unwrap().with_extension(""));
                }
            }
        }
        let mut listed: Vec<_> =
            KERNELS.iter().map(|k| std::path::Path::new(k.operation).join(k.name)).collect();
        files.sort();
        listed.sort();
        assert_eq!(listed, files);
    }
}
