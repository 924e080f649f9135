"""Several processes that train one run: each encodes a share of every batch, all see the whole.

What is dear is the encoder of videos, so it alone is split. Each process reads and encodes every
`size`-th sample of a batch; the representations are gathered, with gradients, and everything after
them (teacher, losses, adversary, memory banks, optimisers) is computed by every process from the
same numbers, in the same bits. A mean or a count over the gathered batch hence is the one over all
processes. The encoder's gradients are those of the own samples, and are summed before a step.

torch's DistributedDataParallel does not fit: it wants one forward pass a backward pass, where parts
of a batch (amid.networks.recompute) and incomplete samples make several.
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
from amid.types import canonical_json

# That a process waits for the others: the slowest wait is for a first batch from a cold disk.
PATIENCE = timedelta(minutes=10)
State = tuple[dict[str, Tensor], dict[str, Any]]  # of a checkpoint


@dataclass(frozen=True)
class Share:
    """Of a batch of `length` samples those that this process has: `own` (b, ...), which have the
    `places` (b,) int64, ascending, on the CPU."""

    own: Tensor
    places: Tensor
    length: int

    def __len__(self) -> int:
        return self.length

    def to(self, device: torch.device, *, non_blocking: bool = False) -> Share:
        return replace(self, own=self.own.to(device, non_blocking=non_blocking))

    def index_select(self, axis: int, rows: Tensor) -> Share:
        """The share of the samples at `rows` (K,) int64, as a tensor's method along axis 0."""
        rows = rows.cpu()
        at = torch.full((self.length,), -1)
        at[self.places] = torch.arange(len(self.places))
        found = at[rows]  # (K,)
        mine = found >= 0
        own = self.own.index_select(0, found[mine].to(self.own.device))
        return Share(own, mine.nonzero().flatten(), len(rows))

    def split(self, size: int) -> list[Tensor]:
        """Of each `size` samples of the batch the own ones: as many tensors in every process,
        though some may be empty."""
        ends = torch.arange(0, self.length, size)[1:]
        return list(self.own.tensor_split(torch.searchsorted(self.places, ends).tolist()))

    def gathered(self, encoded: Tensor) -> Tensor:
        """(b, D) of the own samples -> (B, D) of all, the same in every process. A gradient goes
        back to the own rows: that of a loss which every process computes."""
        return _Gathered.apply(encoded, self.places.to(encoded.device), self.length)


class _Gathered(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, own: Tensor, places: Tensor, length: int) -> Tensor:
        ctx.save_for_backward(places)
        rows = own.new_zeros(length, own.shape[1])  # (B, D)
        # Every row is one process's and 0 in the others: the sum moves it and changes no bit.
        return summed(rows.index_copy_(0, places, own))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, None, None]:
        (places,) = ctx.saved_tensors
        return slope.index_select(0, places), None, None


@dataclass(frozen=True)
class World:
    """The processes of a run, `size` of them, of which this one is number `rank`. With one, every
    method is what a program without others does."""

    rank: int = 0
    size: int = 1

    def share(self, samples: Any, read: Callable[[Any], Tensor]) -> Tensor | Share:
        """read(samples), of this process's samples alone: every `size`-th of the batch, so that any
        part of it is spread over the processes as evenly."""
        if self.size == 1:
            return read(samples)
        places = torch.arange(self.rank, len(samples), self.size)
        return Share(read(samples.index_select(0, places)), places, len(samples))

    def any(self, flag: bool) -> bool:
        """Whether one of the processes says so."""
        return bool(flag) if self.size == 1 else bool(summed(torch.tensor(int(flag))))

    def sum_gradients(self, parameters: Iterable[Tensor]) -> None:
        """The gradients of all samples of the batch, from those of every process's own."""
        if self.size == 1:
            return
        slopes = [p.grad for p in parameters if p.grad is not None]
        if not slopes:
            return
        joined = summed(torch.cat([slope.flatten() for slope in slopes]))
        for slope, total in zip(slopes, joined.split([s.numel() for s in slopes]), strict=True):
            slope.copy_(total.view_as(slope))

    def spread(self, tensors: Iterable[Tensor]) -> None:
        """Gives every process the first one's values, in place."""
        if self.size > 1:
            for tensor in tensors:
                with _answering():
                    distributed.broadcast(tensor, 0)

    def agreed(self, read: Callable[[], State | None]) -> State | None:
        """What `read` finds in the first process, whose files the others need not have."""
        if self.size == 1:
            return read()
        from safetensors.torch import load, save

        data = b""
        if self.rank == 0 and (found := read()) is not None:
            head = canonical_json(found[1]).encode()
            data = len(head).to_bytes(8, "big") + head + save(found[0])
        length = torch.tensor(len(data))
        self.spread([length])
        if not length:
            return None
        buffer = torch.empty(int(length), dtype=torch.uint8)
        if self.rank == 0:
            buffer = torch.frombuffer(bytearray(data), dtype=torch.uint8)
        self.spread([buffer])
        data = buffer.numpy().tobytes()
        end = 8 + int.from_bytes(data[:8], "big")
        tensors = load(data[end:])  # in an order of each process's own
        return {name: tensors[name] for name in sorted(tensors)}, json.loads(data[8:end])

    def check_alike(self, tensors: dict[str, Tensor], facts: Any, place: str) -> None:
        """Raises AmidError when the processes hold other bits than one another.

        facts: more than tensors that has to be the same, JSON-able. place: named in the message.
        """
        if self.size == 1:
            return
        digest = hashlib.sha256(canonical_json(facts).encode())
        for name, value in sorted(tensors.items()):
            digest.update(name.encode())
            flat = value.detach().cpu().contiguous().reshape(-1)
            digest.update(flat.view(torch.uint8).numpy() if flat.numel() else b"")
        number = int.from_bytes(digest.digest()[:8], "big", signed=True)
        numbers = everyones(torch.tensor([number]), self.size).flatten()  # (W,)
        if len(numbers.unique()) > 1:
            raise AmidError(
                f"{place}: the {self.size} processes no longer hold the same weights, so devices "
                "or libraries of one differ from the others'; train on machines that are alike."
            )


ALONE = World()


def summed(values: Tensor) -> Tensor:
    """The sum over all processes, in place."""
    with _answering():
        distributed.all_reduce(values)
    return values


def everyones(values: Tensor, size: int) -> Tensor:
    """Of all processes, one row each: (N,) -> (W, N)."""
    rows = [torch.empty_like(values) for _ in range(size)]
    with _answering():
        distributed.all_gather(rows, values)
    return torch.stack(rows)


def world_of(devices: int) -> World:
    """The processes that a run on so many `devices` needs; AmidError where they are not here."""
    if devices == 1:
        return ALONE
    found = distributed.get_world_size() if started() else 1
    if found != devices:
        raise AmidError(
            f"a run with 'training.devices' {devices} was given {found} processes: start as many "
            "(torchrun's --nnodes times --nproc-per-node), or change the parameter."
        )
    return World(distributed.get_rank(), devices)


def started() -> bool:
    """Whether this process is one of several that train together."""
    return distributed.is_available() and distributed.is_initialized()


@contextmanager
def joined(
    device: str, *, place: str = "env://", rank: int = -1, size: int = -1, local: int = 0
) -> Iterator[None]:
    """Meets the other processes at `place` ("env://": as torchrun says), of which this one is
    number `rank`, on its machine number `local`. device: "cpu", or "cuda", a GPU a process."""
    if device == "cuda":
        if local >= torch.cuda.device_count():
            raise AmidError(
                f"process {local} of this machine has no GPU of its own, as there are "
                f"{torch.cuda.device_count()}: start fewer ('training.devices'), or set "
                "'training.device' to cpu."
            )
        torch.cuda.set_device(local)
    # Numbers that lie in the processor's memory go by gloo beside a GPU's as well.
    backend = "cpu:gloo,cuda:nccl" if device == "cuda" else "gloo"
    with _answering():
        distributed.init_process_group(backend, place, PATIENCE, rank=rank, world_size=size)
    try:
        yield
    finally:
        distributed.destroy_process_group()


class Unanswered(AmidError):
    """Another process has ended, or does not answer: what happened is told by that one."""


@contextmanager
def _answering() -> Iterator[None]:
    """Turns what torch says of a lost process into a sentence."""
    try:
        yield
    except RuntimeError as error:
        words = str(error).strip().split("\n")[0]
        raise Unanswered(
            "another process of this training has ended or does not answer, so this one ends too "
            f"(the state last saved is kept; run the same command again): {words[:200]}"
        ) from None
