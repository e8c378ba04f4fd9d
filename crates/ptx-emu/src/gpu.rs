//! A simulated device: memory, loaded modules, launches.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use crate::counters::Counters;
use crate::exec::grid;
use crate::fault::{Fault, FaultKind};
use crate::launch::{Arg, LaunchConfig, Plain};
use crate::machine::device::Device;
use crate::memory::global::GlobalMemory;
use crate::memory::global_race::{Fences, LAUNCHES};
use crate::module::{Kernel, Module};
use crate::options::Options;
use crate::syntax::ast::{Init, Operand, Space, Type, Variable};

/// A simulated device.
///
/// Host calls may come from any thread; a launch returns when it has ended.
#[derive(Debug)]
pub struct Gpu {
    options: Options,
    memory: GlobalMemory,
    launches: AtomicU32,
}

/// A module on a device, its variables in memory.
#[derive(Debug, Clone)]
pub struct Program {
    module: Module,
    variables: HashMap<String, (u64, u64)>,
}

impl Program {
    /// The module.
    pub fn module(&self) -> &Module {
        &self.module
    }

    /// Address and size of a `.global` or `.const` variable.
    pub fn variable(&self, name: &str) -> Option<(u64, u64)> {
        self.variables.get(name).copied()
    }
}

impl Default for Gpu {
    fn default() -> Gpu {
        Gpu::new(Options::default())
    }
}

impl Gpu {
    /// A device with nothing in its memory.
    pub fn new(options: Options) -> Gpu {
        let memory = GlobalMemory::new(options.spec.memory_bytes);
        Gpu { options, memory, launches: AtomicU32::new(0) }
    }

    /// What was chosen about it.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Places the module's variables in memory and writes their initial values.
    ///
    /// # Errors
    /// No memory left, an `.extern` variable, or an initial value of an unknown name.
    pub fn load(&self, module: &Module) -> Result<Program, Fault> {
        let mut variables = HashMap::new();
        for variable in module.variables() {
            if variable.external {
                let detail =
                    format!("{}: `{}` is .extern, expected one file", module.name(), variable.name);
                return Err(Fault::host(FaultKind::Launch, detail));
            }
            let bytes = variable.bytes();
            let read_only = variable.space == Space::Const;
            let base = self.memory.alloc(bytes, Some(variable.name.clone()), read_only)?;
            variables.insert(variable.name.clone(), (base, bytes));
        }
        for variable in module.variables() {
            let (base, bytes) = variables[&variable.name];
            let values = initial_bytes(variable, bytes, &variables).ok_or_else(|| {
                let detail = format!(
                    "{}: initial value of `{}` names no variable",
                    module.name(),
                    variable.name
                );
                Fault::host(FaultKind::Launch, detail)
            })?;
            self.write(base, &values)?;
        }
        Ok(Program { module: module.clone(), variables })
    }

    /// Takes the memory of a program's variables back.
    ///
    /// # Errors
    /// They were freed before.
    pub fn unload(&self, program: &Program) -> Result<(), Fault> {
        program.variables.values().try_for_each(|(base, _)| self.free(*base))
    }

    /// Allocates bytes, whose values are not defined until written; 256-byte aligned.
    ///
    /// # Errors
    /// No memory left.
    pub fn alloc(&self, bytes: usize) -> Result<u64, Fault> {
        self.memory.alloc(bytes as u64, None, false)
    }

    /// Frees an allocation.
    ///
    /// # Errors
    /// `ptr` does not begin one, or it was freed before.
    pub fn free(&self, ptr: u64) -> Result<(), Fault> {
        self.memory.free(ptr)
    }

    /// Bytes in use, and bytes in all.
    pub fn memory_usage(&self) -> (u64, u64) {
        self.memory.usage()
    }

    /// Start and size of the allocation that holds `ptr`.
    pub fn allocation(&self, ptr: u64) -> Option<(u64, u64)> {
        self.memory.around(ptr)
    }

    /// Copies bytes from the host.
    ///
    /// # Errors
    /// The range is not inside one allocation.
    pub fn write(&self, ptr: u64, bytes: &[u8]) -> Result<(), Fault> {
        if !bytes.is_empty() {
            let (allocation, offset) = self.memory.range("write", ptr, bytes.len() as u64)?;
            allocation.write_bytes(offset, bytes);
        }
        Ok(())
    }

    /// Copies bytes to the host, written or not.
    ///
    /// # Errors
    /// The range is not inside one allocation.
    pub fn read(&self, ptr: u64, bytes: &mut [u8]) -> Result<(), Fault> {
        if !bytes.is_empty() {
            let (allocation, offset) = self.memory.range("read", ptr, bytes.len() as u64)?;
            allocation.read_bytes(offset, bytes);
        }
        Ok(())
    }

    /// Sets bytes to a value.
    ///
    /// # Errors
    /// The range is not inside one allocation.
    pub fn fill(&self, ptr: u64, value: u8, bytes: usize) -> Result<(), Fault> {
        self.write(ptr, &vec![value; bytes])
    }

    /// Copies bytes on the device; those that were never written stay so.
    ///
    /// # Errors
    /// A range is not inside one allocation.
    pub fn copy(&self, to: u64, from: u64, bytes: usize) -> Result<(), Fault> {
        if bytes != 0 {
            let (source, at) = self.memory.range("copy from", from, bytes as u64)?;
            let (target, offset) = self.memory.range("copy to", to, bytes as u64)?;
            target.copy_from(offset, &source, at, bytes as u64);
        }
        Ok(())
    }

    /// Allocates room for `values` and copies them there.
    ///
    /// # Errors
    /// No memory left.
    pub fn upload<T: Plain>(&self, values: &[T]) -> Result<u64, Fault> {
        let mut bytes = Vec::with_capacity(size_of_val(values));
        values.iter().for_each(|value| value.put(&mut bytes));
        let ptr = self.alloc(bytes.len())?;
        self.write(ptr, &bytes)?;
        Ok(ptr)
    }

    /// Copies `count` values to the host.
    ///
    /// # Errors
    /// The range is not inside one allocation.
    pub fn download<T: Plain>(&self, ptr: u64, count: usize) -> Result<Vec<T>, Fault> {
        let mut bytes = vec![0; count * size_of::<T>()];
        self.read(ptr, &mut bytes)?;
        Ok(bytes.chunks_exact(size_of::<T>()).map(T::take).collect())
    }

    /// Runs a kernel to its end.
    ///
    /// # Errors
    /// Arguments that do not fit the parameters, a launch that the device refuses, or whatever the
    /// kernel does wrong.
    pub fn launch(
        &self,
        program: &Program,
        kernel: &str,
        config: &LaunchConfig,
        args: &[Arg],
    ) -> Result<Counters, Fault> {
        let found = find(program, kernel)?;
        let params = found.params();
        if args.len() != params.len() {
            let detail =
                format!("{kernel}: expected {} arguments, got {}", params.len(), args.len());
            return Err(Fault::host(FaultKind::Launch, detail));
        }
        let mut block = vec![0; found.param_bytes() as usize];
        for (param, arg) in params.iter().zip(args) {
            let bytes = arg.bytes();
            if bytes.len() != param.bytes as usize {
                let detail = format!(
                    "{kernel}: argument {}: expected {} bytes, got {}",
                    param.name,
                    param.bytes,
                    bytes.len()
                );
                return Err(Fault::host(FaultKind::Launch, detail));
            }
            block[param.offset as usize..][..bytes.len()].copy_from_slice(&bytes);
        }
        self.launch_bytes(program, kernel, config, &block)
    }

    /// Runs a kernel whose parameter block is given as the driver lays it out.
    ///
    /// # Errors
    /// As [`Gpu::launch`].
    pub fn launch_bytes(
        &self,
        program: &Program,
        kernel: &str,
        config: &LaunchConfig,
        params: &[u8],
    ) -> Result<Counters, Fault> {
        let found = find(program, kernel)?;
        if params.len() < found.param_bytes() as usize {
            let detail = format!(
                "{kernel}: expected {} bytes of parameters, got {}",
                found.param_bytes(),
                params.len()
            );
            return Err(Fault::host(FaultKind::Launch, detail));
        }
        let cluster = config.cluster.or(found.cluster());
        self.check(found, config, cluster)?;
        let launch = self.launches.fetch_add(1, Relaxed);
        if launch % LAUNCHES == LAUNCHES - 1 {
            self.memory.clear_shadows();
        }
        let ctas = config.grid.iter().map(|&count| count as usize).product();
        let device = Device {
            view: self.memory.view(),
            fences: Fences::new(launch, ctas),
            options: self.options.clone(),
            params: params.to_vec(),
            grid: config.grid,
            variables: program.variables.clone(),
        };
        grid::run(&found.code, config, cluster, &device).map_err(|fault| Fault {
            file: Some(program.module.name().to_owned()),
            kernel: Some(kernel.to_owned()),
            ..fault
        })
    }

    fn check(
        &self,
        kernel: &Kernel,
        config: &LaunchConfig,
        cluster: Option<[u32; 3]>,
    ) -> Result<(), Fault> {
        let spec = &self.options.spec;
        let fail = |detail: String| {
            Err(Fault::host(FaultKind::Launch, format!("{}: {detail}", kernel.name())))
        };
        let threads = config.block.iter().map(|&extent| u64::from(extent)).product::<u64>();
        if threads == 0 || threads > 1024 || config.block[2] > 64 {
            return fail(format!("block {:?}, expected 1 to 1024 threads", config.block));
        }
        if config.grid.contains(&0) || config.grid[1] > 65_535 || config.grid[2] > 65_535 {
            return fail(format!("grid {:?}, expected 1 to 65535 along y and z", config.grid));
        }
        if let Some(most) = kernel.max_threads()
            && threads > u64::from(most)
        {
            return fail(format!("{threads} threads, the file allows {most}"));
        }
        if let Some(required) = kernel.required_threads()
            && required != config.block
        {
            return fail(format!("block {:?}, the file requires {required:?}", config.block));
        }
        let shared = kernel.shared_bytes() + config.dynamic_shared;
        if shared > spec.shared_per_block {
            return fail(format!(
                "{shared} bytes of shared memory, {} has {}",
                spec.name, spec.shared_per_block
            ));
        }
        if let Some(shape) = cluster {
            let count = shape.iter().product::<u32>();
            let fits = (0..3)
                .all(|axis| shape[axis] != 0 && config.grid[axis].is_multiple_of(shape[axis]));
            if spec.compute_capability.0 < 9 || count > 16 || !fits {
                return fail(format!(
                    "cluster {shape:?} of grid {:?}, expected a divisor of it, at most 16 CTAs, and \
                     compute capability 9.0",
                    config.grid
                ));
            }
        }
        Ok(())
    }
}

fn find<'a>(program: &'a Program, kernel: &str) -> Result<&'a Kernel, Fault> {
    program.module.kernel(kernel).ok_or_else(|| {
        let names: Vec<_> = program.module.kernels().map(Kernel::name).collect();
        Fault::host(
            FaultKind::Launch,
            format!(
                "{}: no kernel `{kernel}`, the file has {}",
                program.module.name(),
                names.join(", ")
            ),
        )
    })
}

/// The bytes that a variable starts with; `None` where an initial value names nothing.
fn initial_bytes(
    variable: &Variable,
    bytes: u64,
    places: &HashMap<String, (u64, u64)>,
) -> Option<Vec<u8>> {
    let mut flat = Vec::new();
    if let Some(init) = &variable.init {
        flatten(init, variable.ty, places, &mut flat)?;
    }
    flat.resize(bytes as usize, 0);
    Some(flat)
}

fn flatten(
    init: &Init,
    ty: Type,
    places: &HashMap<String, (u64, u64)>,
    out: &mut Vec<u8>,
) -> Option<()> {
    let bits = match init {
        Init::List(list) => {
            return list.iter().try_for_each(|part| flatten(part, ty, places, out));
        }
        Init::Address { name, offset, .. } => places.get(name)?.0.wrapping_add_signed(*offset),
        Init::Value(Operand::Integer(value)) => match ty {
            Type::F32 => u64::from((*value as f32).to_bits()),
            Type::F64 => (*value as f64).to_bits(),
            _ => *value as u64,
        },
        Init::Value(Operand::F32(bits)) => u64::from(*bits),
        Init::Value(Operand::F64(bits)) if ty == Type::F32 => {
            u64::from((f64::from_bits(*bits) as f32).to_bits())
        }
        Init::Value(Operand::F64(bits)) => *bits,
        Init::Value(_) => return None,
    };
    out.extend_from_slice(&bits.to_le_bytes()[..ty.bytes().min(8) as usize]);
    Some(())
}
