//! Every hand-written kernel of this crate: one list for launches, checks, tests and benches.
//!
//! The files are in `kernels/matmul/`, with a page that tells their formula and their ladder. They
//! are embedded here and nowhere else, and assembled by the driver when they are first used.

/// One PTX file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Variant {
    /// Folder below `kernels/`.
    pub operation: &'static str,
    /// File stem and entry name, such as `matmul_v1_tile_f32`.
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

        /// All of them.
        pub const KERNELS: &[Variant] = &[$($id),*];
    };
}

registry! {
    TILE_F32 = "matmul", "matmul_v1_tile_f32";
    TILE_BF16 = "matmul", "matmul_v1_mma_bf16";
    WIDE_F32 = "matmul", "matmul_v2_tile_f32";
    MMA_TF32 = "matmul", "matmul_v2_mma_tf32";
    MMA_BF16 = "matmul", "matmul_v2_mma_bf16";
    WGMMA_BF16 = "matmul", "matmul_v3_wgmma_bf16";
    SUM = "matmul", "matmul_sum_v1_f32";
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
    fn every_kernel_of_the_folder_is_listed_once() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../kernels/matmul");
        let paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let is_kernel = |path: &std::path::PathBuf| path.extension().is_some_and(|e| e == "ptx");
        let stem =
            |path: std::path::PathBuf| path.file_stem().unwrap().to_str().unwrap().to_owned();
        let mut files: Vec<String> = paths.filter(is_kernel).map(stem).collect();
        let mut listed: Vec<&str> = KERNELS.iter().map(|kernel| kernel.name).collect();
        files.sort();
        listed.sort_unstable();
        assert_eq!(listed, files);
    }
}
