//! The driver's form of a launch.

use cudarc::driver::sys;

use crate::launch::Launch;

/// The attributes of an extended launch: at most "cooperative" and "cluster".
pub(super) struct Attributes {
    list: [sys::CUlaunchAttribute; 2],
    len: u32,
}

impl Attributes {
    pub(super) fn of(launch: &Launch) -> Attributes {
        use sys::CUlaunchAttributeID as Id;
        let entry = |id, value| sys::CUlaunchAttribute { id, pad: [0; 4], value };
        let none = sys::CUlaunchAttributeValue { pad: [0; 64] };
        let mut attributes =
            Attributes { list: [entry(Id::CU_LAUNCH_ATTRIBUTE_IGNORE, none); 2], len: 0 };
        let mut push = |attribute| {
            attributes.list[attributes.len as usize] = attribute;
            attributes.len += 1;
        };
        if launch.cooperative {
            let value = sys::CUlaunchAttributeValue { cooperative: 1 };
            push(entry(Id::CU_LAUNCH_ATTRIBUTE_COOPERATIVE, value));
        }
        if let Some([x, y, z]) = launch.cluster {
            let extent = sys::CUlaunchAttributeValue_union__bindgen_ty_1 { x, y, z };
            let value = sys::CUlaunchAttributeValue { clusterDim: extent };
            push(entry(Id::CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION, value));
        }
        attributes
    }
}

/// The driver's form of a launch. It points into `attributes`.
pub(super) fn config(
    launch: &Launch,
    stream: sys::CUstream,
    attributes: &mut Attributes,
) -> sys::CUlaunchConfig {
    let ([gx, gy, gz], [bx, by, bz]) = (launch.grid, launch.block);
    sys::CUlaunchConfig {
        gridDimX: gx,
        gridDimY: gy,
        gridDimZ: gz,
        blockDimX: bx,
        blockDimY: by,
        blockDimZ: bz,
        sharedMemBytes: launch.dynamic_shared,
        hStream: stream,
        attrs: attributes.list.as_mut_ptr(),
        numAttrs: attributes.len,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_become_attributes() {
        let plain = Launch::linear(2, 32);
        for (launch, expected) in [
            (plain, vec![]),
            (plain.cooperative(), vec![2]),
            (plain.cluster([2, 1, 1]), vec![4]),
            (plain.cooperative().cluster([2, 1, 1]), vec![2, 4]),
        ] {
            let attributes = Attributes::of(&launch);
            let ids: Vec<u32> =
                attributes.list[..attributes.len as usize].iter().map(|a| a.id as u32).collect();
            assert_eq!(ids, expected, "{launch:?}");
        }
    }
}
