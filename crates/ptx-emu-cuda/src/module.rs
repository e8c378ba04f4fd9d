//! Modules: PTX files on a device.

use std::collections::HashMap;
use std::ffi::{c_char, c_int, c_uint};
use std::sync::Arc;

use ptx_emu::{Fault, FaultKind};

use crate::error::{Error, Result, code};
use crate::image;
use crate::object::function::Function;
use crate::object::module::Module;
use crate::state::{started, state};
use crate::types::{CUdeviceptr, CUfunction, CUmodule, In, Out, put_text};

/// The buffers that the caller gives for the compiler's words.
#[derive(Debug, Clone, Copy)]
struct Logs<'a> {
    count: usize,
    options: In<'a, c_uint>,
    values: Out<'a, usize>,
}

/// Options that name the log of what went well, and of what did not: buffer, then its size.
const INFO_LOG: (c_uint, c_uint) = (3, 4);
const ERROR_LOG: (c_uint, c_uint) = (5, 6);
/// The option that receives the time of the compilation.
const WALL_TIME: c_uint = 2;

impl Logs<'_> {
    const NONE: Logs<'static> = Logs { count: 0, options: In::null(), values: Out::null() };

    fn value(&self, wanted: c_uint) -> Result<Option<Out<'_, usize>>> {
        let options = self.options.list(self.count)?;
        let place = options.iter().position(|option| *option == wanted);
        Ok(place.map(|index| self.values.element(index)))
    }

    /// Writes a text into a log; the size becomes that of the text.
    fn write(&self, (buffer, size): (c_uint, c_uint), text: &[u8]) -> Result {
        let (Some(buffer), Some(size)) = (self.value(buffer)?, self.value(size)?) else {
            return Ok(());
        };
        // SAFETY: the caller from C gives a buffer of the size that it says, which is 32 bits.
        let place = unsafe { Out::<c_char>::at(buffer.get()? as *mut c_char) };
        let written = put_text(place, size.get()? as u32 as usize, text);
        size.set(written)
    }
}

/// Loads a module from PTX.
fn load(
    out: Out<'_, CUmodule>,
    name: Option<&str>,
    text: Result<String>,
    logs: Logs<'_>,
) -> Result {
    let (context, settings, name) = {
        let mut state = state()?;
        let number = state.number();
        let name = name.map_or_else(|| format!("image-{number}.ptx"), str::to_owned);
        (state.current()?, state.settings, name)
    };
    if out.is_null() {
        return Err(code::INVALID_VALUE.into());
    }
    let parsed = text.and_then(|text| image::read(&name, &text, settings));
    let loaded = parsed.and_then(|parsed| context.gpu.load(&parsed).map_err(unplaced));
    let story = loaded.as_ref().err().and_then(|error| error.story);
    logs.write(ERROR_LOG, story.map_or(&[], |story| story.to_bytes()))?;
    logs.write(INFO_LOG, b"")?;
    if let Some(time) = logs.value(WALL_TIME)? {
        time.set(0)?;
    }
    let program = Arc::new(loaded?);
    let module = Module { context, program, functions: HashMap::new() };
    out.set(state()?.modules.insert(module))
}

/// The error for a file whose variables cannot be placed.
fn unplaced(fault: Fault) -> Error {
    let status = match fault.kind {
        FaultKind::Memory => code::OUT_OF_MEMORY,
        _ => code::INVALID_PTX,
    };
    Error::with(status, fault)
}

/// The text of an image in memory.
fn image_text(image: In<'_, c_char>) -> Result<String> {
    if image.is_null() {
        return Err(code::INVALID_VALUE.into());
    }
    // A short text ends before its fourth byte.
    let mut start = [0; 4];
    for (index, byte) in start.iter_mut().enumerate() {
        *byte = image.element(index).get()?.cast_unsigned();
        if *byte == 0 {
            break;
        }
    }
    if image::is_binary(start) {
        let story = "the image is compiled, the interpreter reads PTX";
        return Err(Error::with(code::NO_BINARY_FOR_GPU, story));
    }
    image.text().map_err(|_| Error::with(code::INVALID_PTX, "the image is not UTF-8 text"))
}

/// The text of a file.
fn file_text(path: &str) -> Result<String> {
    let bytes = std::fs::read(path)
        .map_err(|fault| Error::with(code::FILE_NOT_FOUND, format!("{path}: {fault}")))?;
    if bytes.first_chunk().is_some_and(|start| image::is_binary(*start)) {
        let story = format!("{path}: the file is compiled, the interpreter reads PTX");
        return Err(Error::with(code::NO_BINARY_FOR_GPU, story));
    }
    String::from_utf8(bytes)
        .map_err(|fault| Error::with(code::INVALID_PTX, format!("{path}: {fault}")))
}

exports! {
    fn cuModuleLoadData(out: Out<'_, CUmodule>, image: In<'_, c_char>) {
        load(out, None, image_text(image), Logs::NONE)
    }

    /// Of the options the logs and the wall time count; the others have no meaning here.
    fn cuModuleLoadDataEx(
        out: Out<'_, CUmodule>,
        image: In<'_, c_char>,
        count: c_uint,
        options: In<'_, c_uint>,
        values: Out<'_, usize>,
    ) {
        let logs = Logs { count: count as usize, options, values };
        load(out, None, image_text(image), logs)
    }

    /// Compiled kernels in the binary are not looked for; the image must be PTX.
    fn cuModuleLoadFatBinary(out: Out<'_, CUmodule>, image: In<'_, c_char>) {
        load(out, None, image_text(image), Logs::NONE)
    }

    fn cuModuleLoad(out: Out<'_, CUmodule>, path: In<'_, c_char>) {
        let path = path.text()?;
        let text = file_text(&path);
        load(out, Some(&path), text, Logs::NONE)
    }

    /// Its variables are freed and its functions mean nothing any more.
    fn cuModuleUnload(module: CUmodule) {
        let mut state = state()?;
        let removed = state.modules.remove(module)?;
        state.functions.retain(|function| function.module != module);
        drop(state);
        removed.context.gpu.unload(&removed.program).map_err(|fault| Error::memory(&fault))
    }

    fn cuModuleGetFunction(out: Out<'_, CUfunction>, module: CUmodule, name: In<'_, c_char>) {
        let name = name.text()?;
        let mut state = state()?;
        let found = state.modules.get(module)?;
        found.context.check()?;
        if let Some(&known) = found.functions.get(&name) {
            return out.set(known);
        }
        if found.program.module().kernel(&name).is_none() {
            let names: Vec<_> = found.program.module().kernels().map(|k| k.name()).collect();
            let story = format!("no kernel `{name}`, the file has {}", names.join(", "));
            return Err(Error::with(code::NOT_FOUND, story));
        }
        let (context, program) = (Arc::clone(&found.context), Arc::clone(&found.program));
        let function = Arc::new(Function::new(context, module, program, &name));
        let handle = state.functions.insert(function);
        state.modules.get_mut(module)?.functions.insert(name, handle);
        out.set(handle)
    }

    fn cuModuleGetFunctionCount(out: Out<'_, c_uint>, module: CUmodule) {
        out.set(state()?.modules.get(module)?.program.module().kernels().count() as c_uint)
    }

    fn cuModuleGetGlobal_v2(
        address: Out<'_, CUdeviceptr>,
        bytes: Out<'_, usize>,
        module: CUmodule,
        name: In<'_, c_char>,
    ) {
        let name = name.text()?;
        let state = state()?;
        let found = state.modules.get(module)?;
        found.context.check()?;
        let missing = || Error::with(code::NOT_FOUND, format!("no variable `{name}`"));
        let (base, size) = found.program.variable(&name).ok_or_else(missing)?;
        address.offer(base);
        bytes.offer(size as usize);
        Ok(())
    }

    /// 1: everything is loaded at once.
    fn cuModuleGetLoadingMode(out: Out<'_, c_int>) {
        started()?;
        out.set(1)
    }
}
