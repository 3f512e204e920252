"""Device and number format: what is chosen, what is refused, how much memory is free."""

from __future__ import annotations

import pytest
import torch

from lacache_core import devices
from lacache_core.devices import choose_device, choose_dtype, free_memory, is_out_of_memory
from lacache_core.errors import InvalidSettingError

CPU, CUDA, MPS = torch.device("cpu"), torch.device("cuda"), torch.device("mps")


@pytest.fixture(autouse=True)
def machine(monkeypatch):
    """A machine with a CPU alone; the function returned gives it a GPU."""

    def has(cuda=0, bfloat16=True, mps=False):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: cuda)
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: bfloat16)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)

    for name in ("LACACHE_DEVICE", "LACACHE_DTYPE"):
        monkeypatch.delenv(name, raising=False)
    has()
    return has


def test_a_cpu_runs_in_float32(machine):
    assert choose_device() == CPU
    assert choose_dtype(None, CPU) == torch.float32


@pytest.mark.parametrize("bfloat16, dtype", [(True, torch.bfloat16), (False, torch.float16)])
def test_a_gpu_runs_in_16_bits(machine, bfloat16, dtype):
    machine(cuda=2, bfloat16=bfloat16)
    assert choose_device() == CUDA
    assert choose_dtype(None, CUDA) == dtype
    assert choose_device("cuda:1") == torch.device("cuda:1")
    machine(mps=True)
    assert choose_device() == MPS


@pytest.mark.parametrize("works, dtype", [(True, torch.bfloat16), (False, torch.float16)])
def test_apple_gpus_are_tried(machine, monkeypatch, works, dtype):
    def zeros(*_, **__):
        if not works:
            raise TypeError("BFloat16 is not supported on MPS")

    monkeypatch.setattr(torch, "zeros", zeros)
    assert choose_dtype(None, MPS) == dtype


def test_arguments_come_before_the_environment_and_that_before_the_machine(machine, monkeypatch):
    machine(cuda=1)
    monkeypatch.setenv("LACACHE_DEVICE", "cpu")
    monkeypatch.setenv("LACACHE_DTYPE", "fp16")
    assert choose_device() == choose_device("auto") == CPU
    assert choose_device("cuda") == choose_device(CUDA) == CUDA
    assert choose_dtype(None, CPU) == torch.float16
    assert choose_dtype("bf16", CPU) == choose_dtype(torch.bfloat16, CPU) == torch.bfloat16


@pytest.mark.parametrize("asked", ["cuda", "cuda:7", "mps", "tpu", "cpu:0:0", 5])
def test_a_device_that_is_not_there_is_refused(machine, monkeypatch, asked):
    with pytest.raises(InvalidSettingError, match="device that this machine has: auto, cpu") as no:
        choose_device(asked)
    assert no.value.field == "device"
    monkeypatch.setenv("LACACHE_DEVICE", str(asked))
    with pytest.raises(InvalidSettingError, match="^LACACHE_DEVICE = "):
        choose_device()


def test_a_format_that_is_none_or_cannot_be_is_refused(machine, monkeypatch):
    with pytest.raises(InvalidSettingError, match="dtype = 'int8' .* one of auto, float32"):
        choose_dtype("int8", CPU)
    monkeypatch.setenv("LACACHE_DTYPE", "double")
    with pytest.raises(InvalidSettingError, match="^LACACHE_DTYPE = 'double'"):
        choose_dtype(None, CPU)
    machine(cuda=1, bfloat16=False)
    with pytest.raises(InvalidSettingError, match="cannot compute in bfloat16"):
        choose_dtype("bfloat16", CUDA)


def test_free_memory(machine, monkeypatch, tmp_path):
    monkeypatch.setattr(devices, "_CGROUP", tmp_path)
    on_machine = free_memory(CPU)
    assert on_machine > 1e6
    (tmp_path / "memory.max").write_text("max\n")
    assert free_memory(CPU) > 1e6
    # A container that may take 5,000 bytes, has 3,000, and could give 500 of those back.
    (tmp_path / "memory.max").write_text("5000\n")
    (tmp_path / "memory.current").write_text("3000\n")
    (tmp_path / "memory.stat").write_text("anon 7\ninactive_file 500\n")
    assert free_memory(CPU) == 2500
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (123, 456))
    assert free_memory(CUDA) == 123
    monkeypatch.setenv("SPACES_ZERO_GPU", "true")
    assert free_memory(CUDA) is None


def test_out_of_memory_is_known_however_it_is_raised():
    with pytest.raises(RuntimeError) as caught:
        torch.empty(10**15)
    assert is_out_of_memory(caught.value)
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory"))
    assert is_out_of_memory(RuntimeError("MPS backend out of memory"))
    assert is_out_of_memory(MemoryError())
    assert not is_out_of_memory(RuntimeError("shapes do not fit"))
