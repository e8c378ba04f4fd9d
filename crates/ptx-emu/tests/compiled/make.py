"""Compiles every .cu file of this folder to PTX beside it, with a pinned NVRTC.

    python make.py [--check] [NAME ...]

The compiler and its headers are fetched with pip into the workspace's target/nvrtc, by the hashes
in requirements.txt; no GPU and no driver are needed. With --check nothing is written: the exit
status is 1 if a PTX file differs from what the compiler makes, or has no source. x86-64 Linux only.
"""

import ctypes
import pathlib
import shutil
import subprocess
import sys
import zipfile

HERE = pathlib.Path(__file__).resolve().parent
CACHE = HERE.parents[3] / "target" / "nvrtc"

SM_80 = ("sm_80", ["--gpu-architecture=compute_80"])
SM_90 = ("sm_90", ["--gpu-architecture=compute_90"])
FAST = ("sm_80.fast", ["--gpu-architecture=compute_80", "--use_fast_math"])

# What to build besides compute_80: where the newer target or the flag changes the instructions.
EXTRA = {
    "async_copy": [SM_90],
    "bf16_math": [SM_90],
    "block_reduce": [SM_90],
    "compact": [SM_90],
    "float_special": [FAST],
    "half_math": [FAST],
    "histogram": [SM_90],
    "layer_norm": [FAST],
    "softmax_rows": [FAST],
}


def fetch():
    """Downloads and unpacks the pinned wheels once; returns the folder they lie in."""
    pins = (HERE / "requirements.txt").read_text()
    stamp = CACHE / "pins.txt"
    if stamp.is_file() and stamp.read_text() == pins:
        return CACHE / "wheels"
    shutil.rmtree(CACHE, ignore_errors=True)
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"]
    command += ["--only-binary=:all:", "--dest", str(CACHE / "download")]
    subprocess.run(command + ["--requirement", str(HERE / "requirements.txt")], check=True)
    for wheel in sorted((CACHE / "download").glob("*.whl")):
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(CACHE / "wheels")
    stamp.write_text(pins)
    return CACHE / "wheels"


class Compiler:
    """The few NVRTC calls that take one source file to PTX."""

    def __init__(self, wheels):
        folder = wheels / "nvidia" / "cu13"
        self.include = folder / "include"
        # Loaded first by path, since NVRTC looks for it by bare name.
        ctypes.CDLL(str(folder / "lib" / "libnvrtc-builtins.so.13.0"))
        self.library = ctypes.CDLL(str(folder / "lib" / "libnvrtc.so.13"))

    def version(self):
        major, minor = ctypes.c_int(), ctypes.c_int()
        self.call("nvrtcVersion", ctypes.byref(major), ctypes.byref(minor))
        return f"{major.value}.{minor.value}"

    def call(self, name, *arguments):
        status = getattr(self.library, name)(*arguments)
        if status != 0:
            self.library.nvrtcGetErrorString.restype = ctypes.c_char_p
            raise RuntimeError(f"{name}: {self.library.nvrtcGetErrorString(status).decode()}")

    def text(self, program, what):
        size = ctypes.c_size_t()
        self.call(f"nvrtcGet{what}Size", program, ctypes.byref(size))
        buffer = ctypes.create_string_buffer(size.value)
        self.call(f"nvrtcGet{what}", program, buffer)
        return buffer.value.decode()

    def ptx(self, source, flags):
        """The PTX of one file; a warning is an error."""
        program = ctypes.c_void_p()
        text = source.read_bytes()
        created = ctypes.byref(program), text, source.name.encode(), 0, None, None
        self.call("nvrtcCreateProgram", *created)
        options = [*flags, "--std=c++17", f"--include-path={self.include}"]
        array = (ctypes.c_char_p * len(options))(*(option.encode() for option in options))
        try:
            self.call("nvrtcCompileProgram", program, len(options), array)
        except RuntimeError as error:
            log = self.text(program, "ProgramLog")
            raise SystemExit(f"{source.name}: {error}\n{log}") from None
        if log := self.text(program, "ProgramLog").strip():
            raise SystemExit(f"{source.name}: {log}")
        return self.text(program, "PTX")


def main():
    check = "--check" in sys.argv[1:]
    names = [name for name in sys.argv[1:] if name != "--check"]
    compiler = Compiler(fetch())
    stale, known = [], set()
    for source in sorted(HERE.glob("*.cu")):
        for variant, flags in [SM_80, *EXTRA.get(source.stem, [])]:
            path = source.with_suffix(f".{variant}.ptx")
            known.add(path)
            if names and source.stem not in names:
                continue
            made = compiler.ptx(source, flags)
            if not check:
                path.write_text(made)
            elif not path.is_file() or path.read_text() != made:
                stale.append(path.name)
    stale += [path.name for path in sorted(HERE.glob("*.ptx")) if path not in known]
    state = f"stale: {', '.join(stale)}" if stale else "up to date" if check else "written"
    print(f"NVRTC {compiler.version()}: {state}")
    sys.exit(1 if stale else 0)


main()
