"""How many parameters a run trains, by building its networks without any training."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

from amid.methods import METHODS
from amid.methods.base import Sizes

if TYPE_CHECKING:
    from torch.nn import Parameter

    from amid.core.types import RunSpec
    from amid.methods.base import Method
    from amid.networks.crossmodal import CrossModal


class Trained(NamedTuple):
    """Numbers of parameters.

    student: the encoder of the target and the classifier. teacher: the fusion network and the
    projection of several auxiliary modalities; of a fixed teacher, which is trained before, all of
    its networks. method: what the method trains beside them, such as projections, proxies and
    discriminators. memory: numbers that its memory banks keep of each training clip, which are no
    parameters.
    """

    student: int
    teacher: int
    method: int
    memory: int

    @property
    def total(self) -> int:
        """All parameters that are trained, the fixed teacher's among them."""
        return self.student + self.teacher + self.method


def trained_parameters(
    spec: RunSpec,
    *,
    classes: int,
    shape: tuple[int, ...],
    widths: Mapping[str, int],
    fusion: Mapping[str, Any],
) -> Trained:
    """The parameters that a run trains. Frozen encoders of auxiliary modalities, which all runs of
    a data set share, are not counted.

    Args:
        spec: specification of the run.
        shape: of the target's features of one clip.
        widths: width of the embeddings of each of its auxiliary modalities.
        fusion: numbers of the fusion network, for a fixed teacher.
    """
    method, more = (_method(spec, classes, widths, samples) for samples in (1, 2))
    networks = _networks(spec, method.trains, classes, shape, widths, spec.network)
    teacher = _count(module.parameters() for module in (networks.join, networks.teacher) if module)
    if spec.teacher is not None:
        with_fusion = {**spec.network, "fusion": dict(fusion)}
        before = _networks(spec, ("student", "teacher"), classes, shape, widths, with_fusion)
        teacher += _count([before.parameters()])
    return Trained(
        student=_count([networks.student.parameters(), networks.classifier.parameters()]),
        teacher=teacher,
        method=_count([method.parameters()]),
        memory=_count([more.buffers()]) - _count([method.buffers()]),
    )


def _method(spec: RunSpec, classes: int, widths: Mapping[str, int], samples: int) -> Method:
    sizes = Sizes(
        dim=spec.network["dim"],
        slope=spec.network["slope"],
        classes=classes,
        samples=samples,
        auxiliary=dict(widths),
        seed=spec.seed,
    )
    return import_module(METHODS[spec.method]).build(spec.options, sizes)


def _networks(
    spec: RunSpec,
    trains: tuple[str, ...],
    classes: int,
    shape: tuple[int, ...],
    widths: Mapping[str, int],
    network: dict[str, Any],
) -> CrossModal:
    from amid.networks.crossmodal import CrossModal

    return CrossModal(
        trains=trains,
        classes=classes,
        target_shape=shape,
        auxiliary_dims=dict(widths),
        network=network,
        seed=spec.seed,
    )


def _count(groups: Iterable[Iterable[Parameter]]) -> int:
    return sum(tensor.numel() for group in groups for tensor in group)
