"""Chooses the device and its precision, with reasons: MUSA, then CUDA, then CPU."""

import importlib.util
import os
import re
from functools import cache

import torch

from deployments.contract.device import Device
from deployments.contract.errors import ConfigError

_HALF_WORDS = {"true": True, "1": True, "false": False, "0": False}
_PREFERENCE = re.compile(r"auto|cpu|(?:cuda|musa)(?::\d+)?")
_FULL = {
    "musa": "fp32: muDNN has no half-precision convolution",
    "cpu": "fp32: on a CPU, only a family that supports it uses half precision, and only with half: true",
}
Half = bool | str
Found = tuple[str | None, str]  # the device's name, None if it cannot be used, and what was found


def choose_device(
    preference: str = "auto", half: Half = "auto", threads: int | None = None, *, half_on_cpu: bool = False
) -> Device:
    """The first usable one of MUSA, CUDA and CPU, or the requested one.

    preference: "auto", "cpu", "cuda", "musa", or with an index, as "cuda:1".
    half: "auto" reads the environment variable `is_half`, and if unset is true for CUDA cards of compute capability
        7.0 and more; never on MUSA. On a CPU, true is bf16 if `half_on_cpu` and the CPU has instructions for it.
    threads: of a device thread; by default OMP_NUM_THREADS, else what torch found.

    Raises ConfigError for an unknown preference or `half`, and for a requested device that cannot be used.
    """
    if not _PREFERENCE.fullmatch(preference):
        raise ConfigError(
            f"device {preference!r}: one of auto, cpu, cuda, cuda:N, musa, musa:N", param="device"
        )
    if threads is not None and threads < 1:
        raise ConfigError(f"threads {threads}: at least 1", param="threads")
    wanted, half_reason = _wanted_half(half)
    asked, _, index = preference.partition(":")
    number, reasons = int(index or 0), []
    kind, name, found = "cpu", _cpu_name(), torch.device("cpu")
    for candidate, usable in (("musa", _usable_musa), ("cuda", _usable_cuda)):
        if asked in ("auto", candidate):
            card, reason = usable(number)
            reasons.append(reason)
            if card is not None:
                kind, name, found = candidate, card, torch.device(candidate, number)
                break
            if asked == candidate:
                raise ConfigError(f"device {preference!r} cannot be used: {reason}", param="device")
    first = "no usable accelerator" if kind == "cpu" else "first of MUSA, CUDA, CPU"
    reasons.append(f"chosen: {found} ({first if asked == 'auto' else 'asked for'})")

    dtype, precision = torch.float32, _FULL.get(kind, "fp32")
    if kind == "cuda":
        capability = torch.cuda.get_device_capability(number)
        reasons.append(_architecture_list(_dotted(capability)))
        if wanted is not False:
            dtype, precision = half_dtype(name, capability)
    elif kind == "cpu" and half_on_cpu and wanted:
        dtype, precision = _cpu_half()
    reasons.append(f"{precision} ({half_reason})")
    half, threads = dtype != torch.float32, threads or _default_threads()
    return Device(found, kind, name, dtype, half, threads, tuple(reasons))


def _wanted_half(half: Half) -> tuple[bool | None, str]:
    if isinstance(half, bool):
        return half, f"half: {str(half).lower()} in the configuration"
    if half != "auto":
        raise ConfigError(f"half {half!r}: one of auto, true, false", param="half")
    word = os.environ.get("is_half", "").strip()  # noqa: SIM112 (the name that users of GPT-SoVITS know)
    if not word:
        return None, "half: auto"
    if word.lower() not in _HALF_WORDS:
        raise ConfigError(f"environment variable is_half={word!r}: one of true, false, 1, 0", param="is_half")
    return _HALF_WORDS[word.lower()], f"is_half={word} in the environment"


def _default_threads() -> int:
    named = os.environ.get("OMP_NUM_THREADS", "")
    return int(named) if named.isdigit() and int(named) > 0 else torch.get_num_threads()


def _cpu_name() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return "CPU"


def _usable_musa(index: int) -> Found:
    if importlib.util.find_spec("torch_musa") is None:
        return None, "MUSA: torch_musa is not installed"
    try:
        importlib.import_module("torch_musa")
        musa = torch.musa  # pyright: ignore[reportAttributeAccessIssue]
        count = musa.device_count() if musa.is_available() else 0
        name = musa.get_device_name(index) if index < count else None
    except Exception as error:  # drivers that do not match fail in many ways
        return None, f"MUSA: torch_musa failed to import ({type(error).__name__}: {error})"
    return name, f"MUSA: {count} device(s) found"


def _usable_cuda(index: int) -> Found:
    if not torch.cuda.is_available():
        hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
        if hidden is not None and hidden.strip() in ("", "-1"):
            return None, f"CUDA: hidden by CUDA_VISIBLE_DEVICES={hidden!r}"
        return None, f"CUDA: no device found (torch {torch.__version__})"
    count = torch.cuda.device_count()
    if index >= count:
        return None, f"CUDA: {count} device(s) found, no index {index}"
    name, capability = torch.cuda.get_device_name(index), torch.cuda.get_device_capability(index)
    card = f"CUDA: {name}, compute capability {_dotted(capability)}"
    built = torch.cuda.get_arch_list()
    if not has_kernels(capability, built):
        return None, f"{card}: this torch has no kernels for it, only {', '.join(built)}"
    return name, card


def has_kernels(capability: tuple[int, int], built: list[str]) -> bool:
    """Whether code built for `built` ("sm_80", "compute_90") runs: the same major version, or any older PTX."""
    for arch in built:
        match = re.fullmatch(r"(sm|compute)_(\d+)(\d)[a-z]?", arch)
        if match is None:
            continue
        version = (int(match[2]), int(match[3]))
        same_major = version[0] == capability[0] and version[1] <= capability[1]
        if same_major or (match[1] == "compute" and version <= capability):
            return True
    return False


def _architecture_list(architecture: str) -> str:
    """Sets the variable by which extensions choose what to compile for, unless the user has."""
    if user := os.environ.get("TORCH_CUDA_ARCH_LIST"):
        return f"TORCH_CUDA_ARCH_LIST={user} kept as the user set it; this card is {architecture}"
    os.environ["TORCH_CUDA_ARCH_LIST"] = architecture
    return f"TORCH_CUDA_ARCH_LIST={architecture} set from the card"


def half_dtype(name: str, capability: tuple[int, int]) -> tuple[torch.dtype, str]:
    """bf16 from compute capability 8.0, fp16 from 7.0; fp32 below and on the GTX 16 series (fp16 gives NaN)."""
    if re.search(r"\bGTX 16\d\d", name):
        return torch.float32, "fp32: the GTX 16 series has no reliable half precision"
    if capability >= (8, 0):
        return torch.bfloat16, "half precision: bf16 from compute capability 8.0"
    if capability >= (7, 0):
        return torch.float16, "half precision: fp16 from compute capability 7.0"
    return torch.float32, f"fp32: compute capability {_dotted(capability)} has no fast half precision"


def _cpu_half() -> tuple[torch.dtype, str]:
    if not torch.backends.mkldnn.is_available():
        return torch.float32, "fp32: this torch has no oneDNN, which multiplies bf16"
    if torch.cpu._is_avx512_bf16_supported():  # CPUs with AMX have it too
        return torch.bfloat16, "half precision: bf16, for which this CPU has instructions"
    return torch.float32, "fp32: this CPU has no instructions for bf16"


def _dotted(capability: tuple[int, int]) -> str:
    return f"{capability[0]}.{capability[1]}"


@cache
def has_fft(device: torch.device) -> bool:
    """Whether the device computes a real FFT (MUSA has no `aten::_fft_r2c`). Probed once per device."""
    try:
        torch.fft.irfft(torch.fft.rfft(torch.ones(8, device=device))).cpu()
    except (RuntimeError, NotImplementedError):
        return False
    return True
