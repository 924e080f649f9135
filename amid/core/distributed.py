"""Data parallelism of one run: every process encodes a slice of each batch.

Only the video encoder is expensive, so only it is split. Each process reads and encodes every
`size`-th sample of a batch. The representations are gathered, with gradients, and everything after
them (teacher, losses, adversary, memory banks, optimisers) is computed by every process from
identical values. Means and counts over the gathered batch are therefore those over all processes.
Each process has the encoder's gradients of its own samples; they are summed before a step.

torch's DistributedDataParallel does not fit: it expects one forward pass for each backward pass,
but parts of a batch (amid.networks.recompute) and incomplete samples need several.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor, distributed
from torch.autograd.function import once_differentiable

from amid.errors import AmidError
from amid.io.canonical_json import canonical_json

# How long a process waits for the others. The longest wait is for a first batch from a cold disk.
TIMEOUT = timedelta(minutes=10)
Checkpoint = tuple[dict[str, Tensor], dict[str, Any]]  # its tensors and its JSON


@dataclass(frozen=True)
class BatchSlice:
    """The samples of a batch that this process has.

    own: (b, ...) the samples. places: (b,) int64 their positions in the batch, ascending, on the
    CPU. length: number of samples in the batch.
    """

    own: Tensor
    places: Tensor
    length: int

    def __len__(self) -> int:
        return self.length

    def to(self, device: torch.device, *, non_blocking: bool = False) -> BatchSlice:
        return replace(self, own=self.own.to(device, non_blocking=non_blocking))

    def index_select(self, axis: int, rows: Tensor) -> BatchSlice:
        """The slice of the batch that consists of the samples at `rows` (K,) int64; `axis` is 0."""
        rows = rows.cpu()
        at = torch.full((self.length,), -1)
        at[self.places] = torch.arange(len(self.places))
        found = at[rows]  # (K,)
        mine = found >= 0
        own = self.own.index_select(0, found[mine].to(self.own.device))
        return BatchSlice(own, mine.nonzero().flatten(), len(rows))

    def split(self, size: int) -> list[Tensor]:
        """Splits the batch after every `size` samples and returns this process's samples of each
        part. Every process gets the same number of tensors; some may be empty."""
        ends = torch.arange(0, self.length, size)[1:]
        return list(self.own.tensor_split(torch.searchsorted(self.places, ends).tolist()))

    def gather(self, encoded: Tensor) -> Tensor:
        """Gathers rows (b, D) of each process's samples into those (B, D) of the whole batch.

        The result is identical in every process. If every process computes the same loss from it,
        the gradient that reaches `encoded` is that of the process's own rows.
        """
        return _Gather.apply(encoded, self.places.to(encoded.device), self.length)


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, own: Tensor, places: Tensor, length: int) -> Tensor:
        ctx.save_for_backward(places)
        rows = own.new_zeros(length, own.shape[1])  # (B, D)
        # A row is set in one process and 0 in the others, so the sum is exact.
        return all_reduce(rows.index_copy_(0, places, own))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor, None, None]:
        (places,) = ctx.saved_tensors
        return grad_output.index_select(0, places), None, None


@dataclass(frozen=True)
class World:
    """The `size` processes that train a run together; this one has number `rank`.

    With a single process the methods communicate with nobody.
    """

    rank: int = 0
    size: int = 1

    def slice_batch(self, samples: Any, read: Callable[[Any], Tensor]) -> Tensor | BatchSlice:
        """Calls `read` on this process's samples, every `size`-th of the batch, so that any part of
        the batch is distributed evenly. With a single process returns `read(samples)`."""
        if self.size == 1:
            return read(samples)
        places = torch.arange(self.rank, len(samples), self.size)
        return BatchSlice(read(samples.index_select(0, places)), places, len(samples))

    def any(self, flag: bool) -> bool:
        """Whether `flag` is True in any process."""
        return bool(flag) if self.size == 1 else bool(all_reduce(torch.tensor(int(flag))))

    def sum_gradients(self, parameters: Iterable[Tensor]) -> None:
        """Sums the gradients of `parameters` over all processes, in place."""
        if self.size == 1:
            return
        grads = [p.grad for p in parameters if p.grad is not None]
        if not grads:
            return
        joined = all_reduce(torch.cat([grad.flatten() for grad in grads]))
        for grad, total in zip(grads, joined.split([g.numel() for g in grads]), strict=True):
            grad.copy_(total.view_as(grad))

    def broadcast(self, tensors: Iterable[Tensor]) -> None:
        """Copies the first process's values to every process, in place."""
        if self.size > 1:
            for tensor in tensors:
                with _translate_errors():
                    distributed.broadcast(tensor, 0)

    def broadcast_object(self, read: Callable[[], Checkpoint | None]) -> Checkpoint | None:
        """Calls `read` in the first process and returns its result in every process.

        The result is the content of a checkpoint, or None. Only the first process needs the file.
        """
        if self.size == 1:
            return read()
        from safetensors.torch import load, save

        data = b""
        if self.rank == 0 and (found := read()) is not None:
            head = canonical_json(found[1]).encode()
            data = len(head).to_bytes(8, "big") + head + save(found[0])
        length = torch.tensor(len(data))
        self.broadcast([length])
        if not length:
            return None
        buffer = torch.empty(int(length), dtype=torch.uint8)
        if self.rank == 0:
            buffer = torch.frombuffer(bytearray(data), dtype=torch.uint8)
        self.broadcast([buffer])
        data = buffer.numpy().tobytes()
        end = 8 + int.from_bytes(data[:8], "big")
        tensors = load(data[end:])  # in no fixed order
        return {name: tensors[name] for name in sorted(tensors)}, json.loads(data[8:end])

    def check_identical(self, tensors: dict[str, Tensor], facts: Any, place: str) -> None:
        """Raises AmidError if `tensors` are not bitwise identical in all processes.

        facts: values other than tensors that must be identical, to be written as JSON.
        place: where training is, for the message.
        """
        if self.size == 1:
            return
        digest = hashlib.sha256(canonical_json(facts).encode())
        for name, value in sorted(tensors.items()):
            digest.update(name.encode())
            flat = value.detach().cpu().contiguous().reshape(-1)
            digest.update(flat.view(torch.uint8).numpy() if flat.numel() else b"")
        number = int.from_bytes(digest.digest()[:8], "big", signed=True)
        numbers = all_gather(torch.tensor([number]), self.size).flatten()  # (W,)
        if len(numbers.unique()) > 1:
            raise AmidError(
                f"{place}: the {self.size} processes no longer hold the same weights, so devices "
                "or libraries of one differ from the others'; train on machines that are alike."
            )


SINGLE_PROCESS = World()


def all_reduce(values: Tensor) -> Tensor:
    """Sums `values` over all processes, in place, and returns them."""
    with _translate_errors():
        distributed.all_reduce(values)
    return values


def all_gather(values: Tensor, size: int) -> Tensor:
    """Collects `values` (N,) of all `size` processes: (W, N)."""
    rows = [torch.empty_like(values) for _ in range(size)]
    with _translate_errors():
        distributed.all_gather(rows, values)
    return torch.stack(rows)


def world_of(devices: int) -> World:
    """The processes of a run with `training.processes` equal to `devices`.

    Raises:
        AmidError: the process group has another number of processes.
    """
    if devices == 1:
        return SINGLE_PROCESS
    found = distributed.get_world_size() if in_process_group() else 1
    if found != devices:
        raise AmidError(
            f"a run with 'training.processes' {devices} was given {found} processes: start as many "
            "(torchrun's --nnodes times --nproc-per-node), or change the parameter."
        )
    return World(distributed.get_rank(), devices)


def in_process_group() -> bool:
    """Whether this process has joined a process group."""
    return distributed.is_available() and distributed.is_initialized()


@contextmanager
def process_group(
    device: str, *, place: str = "env://", rank: int = -1, size: int = -1, local: int = 0
) -> Iterator[None]:
    """Joins the process group of a run and leaves it at the end of the `with`.

    Args:
        device: "cpu", or "cuda" for one GPU a process.
        place: where the processes find each other; "env://" takes the variables of torchrun.
        rank: number of this process. size: number of processes. Both are unused with "env://".
        local: number of this process on its machine.

    Raises:
        AmidError: there is no GPU for this process, or another process does not answer.
    """
    if device == "cuda":
        if local >= torch.cuda.device_count():
            raise AmidError(
                f"process {local} of this machine has no GPU of its own, as there are "
                f"{torch.cuda.device_count()}: start fewer ('training.processes'), or set "
                "'training.device' to cpu."
            )
        torch.cuda.set_device(local)
    # Tensors on the CPU use gloo, also next to those on a GPU.
    backend = "cpu:gloo,cuda:nccl" if device == "cuda" else "gloo"
    with _translate_errors():
        distributed.init_process_group(backend, place, TIMEOUT, rank=rank, world_size=size)
    try:
        yield
    finally:
        distributed.destroy_process_group()


class PeerLost(AmidError):
    """Another process ended or does not answer. That process reports the cause."""


@contextmanager
def _translate_errors() -> Iterator[None]:
    """Raises PeerLost instead of torch's RuntimeError about a lost process."""
    try:
        yield
    except RuntimeError as error:
        words = str(error).strip().split("\n")[0]
        raise PeerLost(
            "another process of this training has ended or does not answer, so this one ends too "
            f"(the state last saved is kept; run the same command again): {words[:200]}"
        ) from None
