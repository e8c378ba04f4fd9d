//! A PTX file, parsed and checked.

use std::sync::Arc;

use crate::compile::lower_function;
use crate::error::PtxError;
use crate::param::Param;
use crate::program::Code;
use crate::syntax::ast::{File, Function, Item, Space, Variable};

/// A parsed and checked PTX file. Cloning it is cheap.
#[derive(Debug, Clone)]
pub struct Module {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    name: String,
    version: (u32, u32),
    target: String,
    kernels: Vec<Kernel>,
    variables: Vec<Variable>,
}

/// An `.entry` of a module.
#[derive(Debug)]
pub struct Kernel {
    name: String,
    params: Vec<Param>,
    max_threads: Option<u32>,
    required_threads: Option<[u32; 3]>,
    cluster: Option<[u32; 3]>,
    pub(crate) code: Code,
}

impl Module {
    /// Parses and checks a file; `file_name` is what messages call it.
    ///
    /// # Errors
    /// Text that is not PTX, or a form that this crate does not execute, with its line.
    pub fn parse(file_name: &str, source: &str) -> Result<Module, PtxError> {
        let file = crate::syntax::parse(file_name, source)?;
        let mut kernels = Vec::new();
        for item in &file.items {
            if let Item::Function(function) = item
                && function.entry
                && function.body.is_some()
            {
                kernels.push(kernel(file_name, &file, function)?);
            }
        }
        let variables = file.items.iter().filter_map(|item| match item {
            Item::Variable(variable) if variable.space != Space::Shared => Some(variable.clone()),
            _ => None,
        });
        let inner = Inner {
            name: file_name.to_owned(),
            version: file.version,
            target: file.target.clone(),
            kernels,
            variables: variables.collect(),
        };
        Ok(Module { inner: Arc::new(inner) })
    }

    /// What messages call the file.
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// `.version`: major and minor.
    pub fn version(&self) -> (u32, u32) {
        self.inner.version
    }

    /// `.target`, such as `sm_80`.
    pub fn target(&self) -> &str {
        &self.inner.target
    }

    /// The kernels in the order of the file.
    pub fn kernels(&self) -> impl Iterator<Item = &Kernel> {
        self.inner.kernels.iter()
    }

    /// The kernel of this name.
    pub fn kernel(&self, name: &str) -> Option<&Kernel> {
        self.kernels().find(|kernel| kernel.name == name)
    }

    /// The `.global` and `.const` variables.
    pub(crate) fn variables(&self) -> &[Variable] {
        &self.inner.variables
    }
}

impl Kernel {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its parameters in order.
    pub fn params(&self) -> &[Param] {
        &self.params
    }

    /// Bytes of the parameter block.
    pub fn param_bytes(&self) -> u32 {
        self.params.last().map_or(0, |last| last.offset + last.bytes)
    }

    /// Bytes of shared memory with a fixed size.
    pub fn shared_bytes(&self) -> u32 {
        self.code.shared_bytes
    }

    /// Bytes of local memory of a thread.
    pub fn local_bytes(&self) -> u32 {
        self.code.local_bytes
    }

    /// 32-bit registers as written, without constants; the assembler needs fewer.
    pub fn planes(&self) -> usize {
        self.code.planes
    }

    /// Most threads of a CTA, from `.maxntid` or `.reqntid`.
    pub fn max_threads(&self) -> Option<u32> {
        self.max_threads
    }

    /// The exact block that `.reqntid` asks for.
    pub fn required_threads(&self) -> Option<[u32; 3]> {
        self.required_threads
    }

    /// CTAs of a cluster, from `.reqnctapercluster`.
    pub fn cluster(&self) -> Option<[u32; 3]> {
        self.cluster
    }
}

fn kernel(file_name: &str, file: &File, function: &Function) -> Result<Kernel, PtxError> {
    let mut params = Vec::new();
    let mut offset = 0u32;
    for param in &function.params {
        let (bytes, align) = (param.bytes() as u32, param.alignment());
        offset = offset.next_multiple_of(align);
        params.push(Param { name: param.name.clone(), bytes, align, offset });
        offset += bytes;
    }
    let extents = |name: &str| {
        function.directives.iter().find(|directive| directive.name == name).map(|directive| {
            let value = |axis: usize| directive.values.get(axis).copied().unwrap_or(1);
            [value(0), value(1), value(2)]
        })
    };
    let required_threads = extents("reqntid");
    Ok(Kernel {
        name: function.name.clone(),
        max_threads: required_threads.or(extents("maxntid")).map(|[x, y, z]| x * y * z),
        required_threads,
        cluster: extents("reqnctapercluster"),
        code: lower_function(file_name, file, function, &params)?,
        params,
    })
}
