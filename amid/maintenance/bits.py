"""The bits of all that computes a result here, as sha256 sums of small made-up work.

What is summed: the training of every method and encoder with what it writes, contrastive
pre-training, a frozen extractor's embeddings, features, nearest neighbours, statistics, t-SNE and a
figure. The sums of a portable platform (amid.core.reproducible) are the same on every processor,
and GOLDEN holds them.
"""

from __future__ import annotations

import amid.core.reproducible  # isort: skip  # noqa: F401  pins kernels before torch and numpy load

import json
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from amid.contrastive.train import train as train_pairs
from amid.core.reproducible import platform_fingerprint, use_deterministic_kernels
from amid.core.types import RunRecord, RunSpec
from amid.data.feature_store import FeatureStore
from amid.errors import AmidError
from amid.extractors import Span, cnn14, frame_dct, log_mel, ngrams
from amid.io.atomic import write_atomic
from amid.io.checksums import record_checksums, sha256_bytes
from amid.networks.cnn14 import Block
from amid.report.exhibits import tsne_layout
from amid.runs.embeddings import freeze
from amid.serving.encoding import clip_features, encode_clips, load_with_teacher
from amid.studies import plotting, statistics
from amid.training.evaluation import retrieval_metrics
from amid.training.job import CHECKPOINT, MODEL, TrainingJob
from amid.training.retrieval import nearest
from amid.training.train import train

GOLDEN = Path("tests/golden/bits.json")
ALL = "all of them"

# ---------------------------------------------------------------- what is trained
# Written out, not read from params.yaml: the sums are not to change with a user's numbers.
CLASSES = ("blue", "green", "red", "white")
COUNTS = {"train": 44, "validation": 12, "test": 14, "auxiliary": 30}
NETWORK = {"dim": 20, "slope": 0.2, "encoder": "gru", "gru": {"hidden": [24, 12], "state": 20}}
TEACHER = {"fusion": {"hidden": 28}}
CNN = {"encoder": "cnn", "cnn": {"channels": [12, 20], "kernel": 3, "dropout": 0.2}}
RESNET = {"encoder": "resnet", "resnet": {"channels": [12, 20], "kernel": 3, "dropout": 0.2}}
TRANSFORMER = {
    "encoder": "transformer",
    "transformer": {"width": 12, "layers": 2, "heads": 3, "knots": 4, "kernel": 3, "dropout": 0.2},
}
MLP = {"encoder": "mlp", "mlp": {"hidden": 36, "dropout": 0.2}}
FILM = {"encoder": "r2plus1d", "r2plus1d": {"blocks": 1, "width": 4, "window": 3, "size": 16}}
TRAINING = {
    **{"epochs": 2, "batch_size": 16, "optimiser": "adam", "learning_rate": 0.01},
    **{"weight_decay": 0.001, "milestones": [1], "decay": 0.1},
}
STRONG = {
    **{"epochs": 2, "batch_size": 16, "optimiser": "adamw", "learning_rate": 0.01},
    **{"weight_decay": 0.1, "schedule": {"epochs": 3, "warmup": 0.3}, "label_smoothing": 0.1},
    **{"ema": 1.0, "choose": "last"},
    "augmentation": {
        "crop": {"share": 0.4},
        "time_warp": {"speed": 0.3, "local": 0.4, "knots": 2},
        "frame_dropout": {"share": 0.2},
        "scaling": {"clip": 0.1, "feature": 0.1},
        "jitter": {"noise": 0.1},
        "channel_dropout": {"share": 0.1},
        "spec_augment": {"bands": 0.2, "band_masks": 1, "steps": 0.3, "step_masks": 1},
    },
}
MIXED = {"mixup": {"share": 0.5, "probability": 0.8}, "scaling": {"clip": 0.1, "feature": 0.1}}
BOXES = {
    "picture_crop": {
        **{"shift": 0.1, "zoom": 0.2, "mirror": 0.5},
        **{"size": [4, 6], "coefficients": 13, "differences": True},
    },
}
CUT = {"cutmix": {"share": 0.5, "probability": 0.8}, "jitter": {"noise": 0.1}}
SGD = {"optimiser": "sgd", "momentum": 0.9}
CONTRASTIVE = {"temperature": 0.07, "negatives": 64, "dim": 18, "momentum": 0.5}
AMID = {
    **{"alpha": 4.0, "beta": 1.5, "gamma": 1.0, "contrastive": "nce", "temperature": 0.1},
    **{"smoothing": 0.9, "jensen_shannon": 1.0, "teacher": "joint", "enhanced": True},
    **{"dynamic": True, "adversarial": "non_saturating", "gamma_ramp": 0, "warmup_epochs": 1},
    **{"discriminator_hidden": 24, "discriminator_sees": "direction"},
    **{"discriminator_enhanced_sees": "direction", "discriminator_optimiser": "sgd"},
    **{"discriminator_learning_rate": 0.01, "discriminator_momentum": 0.0},
    **{"discriminator_steps": 1, "discriminator_penalty": 0.0, "discriminator_spectral": False},
}
OTHER_AMID = {
    **{"contrastive": "ccl", "discriminator_sees": "class", "discriminator_optimiser": "adam"},
    **{"discriminator_penalty": 1.0, "discriminator_spectral": True, "warmup_epochs": 0},
}
SOFTENED = {"teacher": "fixed", "classification_weight": 0.1, "weight": 0.9, "temperature": 4.0}
DKD = {
    **{"teacher": "fixed", "target_weight": 1.0, "non_target_weight": 8.0},
    **{"temperature": 4.0, "ramp_epochs": 2},
}
DIST = {"teacher": "fixed", "inter_weight": 2.0, "intra_weight": 2.0, "temperature": 4.0}
RKD = {"teacher": "fixed", "distance_weight": 25.0, "angle_weight": 50.0}
C2KD = {"teacher": "joint", "proxy_weight": 1.0, "weight": 1.0, "threshold": 0.0}
OFAKD = {
    **{"teacher": "fixed", "weight": 1.0, "branch_weight": 1.0},
    **{"gamma": 1.5, "temperature": 1.0},
}
MFH = {"classification_weight": 0.5, "weight": 1.0, "temperature": 1.0, "ratio": 0.75}
DISSECT = {"name": "dissect", "ratio": 0.5, "version": "momentum", "between": "teacher"}
PAIRS = {
    **{"epochs": 3, "warmup_epochs": 1, "batch_size": 16, "learning_rate": 0.01},
    **{"weight_decay": 0.1, "schedule": "cosine", "gradient_clip": 1.0},
}
WIDE = {
    **NETWORK,
    "dim": 128,
    "gru": {"hidden": [128, 64], "state": 128},
    "fusion": {"hidden": 256},
}


def spec(method: str, options: dict[str, Any] | None = None, **fields: Any) -> RunSpec:
    """A run on the made-up data."""
    usual = {
        **{"dataset": "bits", "target": "video", "auxiliary": ("audio", "text"), "seed": 0},
        **{"network": {**NETWORK, **TEACHER}, "training": TRAINING, "fold": None},
        **{"corpus": "train", "features": "", "code": ""},
    }
    return RunSpec(method=method, options=options or {}, **{**usual, **fields})


def alone(network: dict[str, Any], target: str, corpus: str = "train", **training: Any) -> RunSpec:
    """A network of one modality."""
    network = {"dim": NETWORK["dim"], "slope": 0.2, **network}
    fields = {"target": target, "auxiliary": (), "corpus": corpus}
    return spec("baseline", network=network, training={**TRAINING, **training}, **fields)


def runs() -> dict[str, RunSpec]:
    """The runs by what they show; those of a fixed teacher come after the teacher's."""
    teacher = spec("teacher")
    fixed = {"network": NETWORK, "teacher": teacher.key}
    relations = {"relation_weight": 1.0, "gradient_weight": 10.0, "distillation_weight": 0.9}
    relations |= {"distillation_temperature": 4.0, "partners": 1}
    divergence = {"contrastive_weight": 4.0, "divergence_weight": 1.0, "temperature": 0.1}
    cotrained = spec("cotrained", {"weight": 1.0})
    return {
        "extractor of sound, cnn": alone(CNN, "audio", "auxiliary"),
        "extractor of text, mlp": alone(MLP, "text", "auxiliary"),
        "baseline, gru": alone(NETWORK, "video"),
        "baseline, gru, unequal lengths, sgd": alone(NETWORK, "speech", **SGD),
        "baseline, r2plus1d": alone(FILM, "film", batch_size=22, epochs=1, milestones=[]),
        "teacher": teacher,
        "crd": spec("crd", {"weight": 0.8, **CONTRASTIVE}, **fixed),
        "crcd": spec("crcd", {**relations, **CONTRASTIVE}, **fixed),
        "gmc": spec("gmc", {"weight": 1.0, "temperature": 0.3}),
        "ccl": spec("ccl", divergence, network=NETWORK),
        "kd": spec("kd", SOFTENED, **fixed),
        "kd, joint teacher": spec("kd", {**SOFTENED, "teacher": "joint"}),
        "lskd": spec("lskd", SOFTENED, **fixed),
        "dkd": spec("dkd", DKD, **fixed),
        "dist": spec("dist", DIST, **fixed),
        "fitnets": spec("fitnets", {"teacher": "fixed", "weight": 100.0}, **fixed),
        "rkd": spec("rkd", RKD, **fixed),
        "c2kd": spec("c2kd", C2KD),
        "ofakd": spec("ofakd", OFAKD, **fixed),
        "cotrained": cotrained,
        "mfh": spec("mfh", MFH, network=NETWORK, teacher=cotrained.key),
        "amid, both discriminators": spec("amid", AMID),
        "amid, another loss, R1, spectral": spec("amid", {**AMID, **OTHER_AMID}),
        "amid, dissect, a fold, mismatched": spec(
            "amid", {**AMID, "gamma": 0.0}, fold=1, mismatch_ratio=0.2,
            selection={**DISSECT, "momentum": 0.9},
        ),
        "amid, bfloat16": spec("amid", AMID, training={**TRAINING, "precision": "bfloat16"}),
        "amid, wide": spec(
            "amid", {**AMID, "warmup_epochs": 0}, network=WIDE,
            training={**TRAINING, "epochs": 1, "batch_size": 44, "milestones": []},
        ),
        "baseline, resnet, unequal lengths, strong": spec(
            "baseline", network={"dim": NETWORK["dim"], "slope": 0.2, **RESNET}, target="speech",
            auxiliary=(), training=STRONG,
        ),
        "baseline, transformer, unequal lengths, strong": spec(
            "baseline", network={"dim": NETWORK["dim"], "slope": 0.2, **TRANSFORMER},
            target="speech", auxiliary=(), training=STRONG,
        ),
        "amid, strong": spec("amid", AMID, training={**STRONG, "modality_dropout": 0.5}),
        "crd, strong": spec("crd", {"weight": 0.8, **CONTRASTIVE}, training=STRONG, **fixed),
        "amid, mixup": spec(
            "amid", AMID, training={**STRONG, "augmentation": MIXED, "modality_dropout": 0.5}
        ),
        "amid, cropped pictures": spec("amid", AMID, training={**STRONG, "augmentation": BOXES}),
        "baseline, resnet, unequal lengths, cutmix": spec(
            "baseline", network={"dim": NETWORK["dim"], "slope": 0.2, **RESNET}, target="speech",
            auxiliary=(), training={**STRONG, "augmentation": CUT},
        ),
    }  # fmt: skip


def pair_runs() -> dict[str, RunSpec]:
    """Contrastive pre-training of a CNN and an MLP, by what the runs show."""
    encoders = {"encoders": {"audio": "cnn", "text": "mlp"}, "cnn": CNN["cnn"], "mlp": MLP["mlp"]}
    fields = {
        **{"target": "audio", "auxiliary": ("text",), "training": PAIRS, "mismatch_ratio": 0.3},
        "network": {"dim": NETWORK["dim"], "slope": 0.2, **encoders},
    }
    rules = {
        "clip": None,
        "clip, clipscore": {"name": "clipscore", "ratio": 0.5},
        "clip, dissect": {"name": "dissect_warmup", "ratio": 0.5, "warmup_epochs": 1},
    }
    return {
        name: spec("clip", {"temperature": 0.07}, selection=selection, **fields)
        for name, selection in rules.items()
    }


def write_data(folder: Path) -> None:
    """A feature store and frozen embeddings of made-up clips: `video` and `audio` as sequences,
    `speech` as sequences of unequal length, `text` as vectors, `film` as frames."""
    rng = np.random.default_rng(0)
    split = [name for name, count in COUNTS.items() for _ in range(count)]
    labels = np.arange(len(split)) % len(CLASSES)

    def made(*shape: int) -> np.ndarray:
        signal = np.eye(shape[-1])[labels].reshape(-1, *(1,) * (len(shape) - 1), shape[-1])
        return (rng.normal(size=(len(split), *shape)) + signal).astype(np.float32)

    index = pd.DataFrame(
        {
            "id": [f"clip{number:03d}" for number in range(len(split))],
            "label": [CLASSES[label] for label in labels],
            "label_index": labels.astype(np.int64),
            "split": split,
            "fold": np.where(np.array(split) == "auxiliary", -1, np.arange(len(split)) % 4),
            "group": "one",
        }
    )
    arrays = {"video": made(8, 26), "audio": made(11, 10), "text": made(50)}
    lengths = {"speech": rng.integers(3, 9, len(split)), "film": np.full(len(split), 3)}
    arrays["speech"] = rng.normal(size=(lengths["speech"].sum(), 14)).astype(np.float32)
    arrays["film"] = rng.integers(0, 256, (lengths["film"].sum(), 18, 20, 3), np.uint8)
    for modality in arrays:
        index[f"has_{modality}"] = True
    for modality, values in lengths.items():
        index[f"{modality}_length"] = values.astype(np.int64)
        index[f"{modality}_start"] = np.cumsum(values) - values
    features, embeddings = folder / "features", folder / "embeddings"
    for place in (features, embeddings):
        place.mkdir(parents=True)
    index.to_parquet(features / "index.parquet", index=False)
    for modality, values in arrays.items():
        np.save(features / f"{modality}.npy", values)
    for modality, length in (("audio", 16), ("text", 22)):
        np.save(embeddings / f"{modality}.npy", made(length))
        write_atomic(embeddings / f"{modality}.json", b'{"corpus": "auxiliary"}\n')
    for place in (features, embeddings):
        record_checksums(place, *sorted(path.name for path in place.iterdir()))


# ---------------------------------------------------------------- the sums


def measure() -> Iterator[tuple[str, str]]:
    """Name and sha256 of each piece of work, as it is done, and of ALL at the end. Sets torch's
    kernels for the whole process."""
    use_deterministic_kernels()
    found: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as place:
        for name, data in _work(Path(place)):
            found[name] = sha256_bytes(data)
            yield name, found[name]
    yield ALL, sha256_bytes(json.dumps(found).encode())


def read_golden() -> dict[str, Any]:
    """What GOLDEN holds: `platform` and `sums` by name. Raises AmidError."""
    try:
        return json.loads(GOLDEN.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise AmidError(f"{GOLDEN} is missing: run this in the project's folder.") from None


def write_golden(sums: Mapping[str, str]) -> None:
    """Has these sums be the ones to be met."""
    content = {"platform": platform_fingerprint(), "sums": dict(sums)}
    write_atomic(GOLDEN, (json.dumps(content, indent=1) + "\n").encode())


def _work(place: Path) -> Iterator[tuple[str, bytes]]:
    data = place / "data"
    write_data(data)
    yield "made-up data", b"".join(path.read_bytes() for path in sorted(data.rglob("*.npy")))
    yield from _trained(data, place)
    for number, (name, run) in enumerate(pair_runs().items()):
        folder = place / f"pairs{number}"
        folder.mkdir()
        yield name, _files(train_pairs(TrainingJob(run, data, folder)), folder)
    yield from _features(place)
    yield "nearest neighbours", _neighbours()
    yield "statistics", _statistics()
    vectors = np.random.default_rng(1).normal(size=(40, 20))
    yield "t-SNE", tsne_layout(vectors, 9.0, 0).tobytes()
    yield "figure", _figure(place / "figure.png")


def _trained(data: Path, place: Path) -> Iterator[tuple[str, bytes]]:
    store, models = FeatureStore.open(data / "features"), {}
    for number, (name, run) in enumerate(runs().items()):
        folder = place / f"run{number}"
        folder.mkdir()
        record = train(TrainingJob(run, data, folder, teacher=models.get(run.teacher)))
        yield name, _files(record, folder)
        models[run.key] = folder / MODEL
        if name.startswith("extractor of sound"):
            freeze(record, folder / MODEL, store, place / "frozen")
            yield "embeddings of sound", (place / "frozen" / "audio.npy").read_bytes()
        if name == "amid, both discriminators":
            widths = {"audio": 16, "text": 22}
            networks = load_with_teacher(folder / MODEL, folder / CHECKPOINT, widths)
            rows = torch.from_numpy(clip_features(store, "video", np.arange(30)))
            paths = {modality: data / "embeddings" / f"{modality}.npy" for modality in widths}
            auxiliary = {
                modality: torch.from_numpy(np.load(path, allow_pickle=False)[:30])
                for modality, path in paths.items()
            }
            encoded = encode_clips(networks, rows, auxiliary)
            yield "representations", b"".join(t.numpy().tobytes() for t in encoded.values())


def _files(record: RunRecord, folder: Path) -> bytes:
    """The record of a run, whose specification and losses are in it, and its weights."""
    files = (folder / name for name in (MODEL, CHECKPOINT))
    return record.to_json().encode() + b"".join(path.read_bytes() for path in files)


def _features(place: Path) -> Iterator[tuple[str, bytes]]:
    """A few clips through the extractors, and through CNN14's parts."""
    import cv2
    import soundfile

    rng = np.random.default_rng(2)
    spans = [Span("all", np.nan, np.nan), Span("part", 0.1, 0.52)]
    sound, film, text = (place / name for name in ("said.wav", "seen.avi", "said.txt"))
    signal = (0.1 * rng.standard_normal(15000)).astype(np.float32)
    soundfile.write(sound, signal, 22050, subtype="PCM_16")
    writer = cv2.VideoWriter(str(film), cv2.VideoWriter_fourcc(*"MJPG"), 25.0, (80, 56))
    for picture in rng.integers(0, 256, (16, 7, 10, 3), np.uint8):
        writer.write(cv2.resize(picture, (80, 56), interpolation=cv2.INTER_CUBIC))
    writer.release()
    text.write_text("Place white by b two, now.\n", encoding="utf-8")
    noisy = log_mel.Options(snr_db=10.0)
    small = frame_dct.Options(size=(24, 32), box=(0.1, 0.9, 0.0, 0.8))
    for name, module, path, options in (
        ("log_mel", log_mel, sound, noisy),
        ("frame_dct", frame_dct, film, small),
        ("ngrams", ngrams, text, ngrams.Options(dims=97, scale="log")),
    ):
        values = module.extract(path, spans, options)
        yield f"features by {name}", b"".join(value.tobytes() for value in values)
    spectrogram = cnn14.decibels(signal)
    torch.manual_seed(0)
    layers = torch.nn.Sequential(Block(1, 6, 2), Block(6, 10, 2), torch.nn.Flatten(2)).eval()
    with torch.inference_mode():
        found = layers(torch.from_numpy(spectrogram)[None, None])  # (1, 10, T / 4 * 16)
        found = torch.relu(torch.nn.Linear(found.shape[2], 40)(found.amax(1) + found.mean(1)))
    yield "features by CNN14's parts", spectrogram.tobytes() + found.numpy().tobytes()


def _neighbours() -> bytes:
    rng = np.random.default_rng(3)
    queries, gallery = (
        torch.from_numpy(rng.normal(size=(count, 50)).astype(np.float32)) for count in (90, 2100)
    )
    cosines, rows = nearest(queries, gallery, 10)
    labels = [torch.from_numpy(rng.integers(0, 9, count)) for count in (90, 2100)]
    metrics = retrieval_metrics(queries, labels[0], gallery, labels[1])
    return cosines.numpy().tobytes() + rows.numpy().tobytes() + repr(metrics).encode()


def _statistics() -> bytes:
    rng = np.random.default_rng(4)
    right, other = ((rng.random((3, 60)) < share).astype(float) for share in (0.7, 0.6))
    values = rng.normal(60.0, 2.0, (4, 3))
    pooled = statistics.pooled_std(values.tolist())
    found = [
        *(statistics.mean_std(row) for row in values.tolist()),
        statistics.paired_over_seeds_and_clips(right, other),
        statistics.variance_test(values),
        pooled,
        [statistics.seeds_needed(2.0, pooled.std, paired=paired, power=0.8, level=0.05)
         for paired in (True, False)],
        statistics.holm([0.01, None, 0.04, 0.03, 0.3]),
    ]  # fmt: skip
    return repr(found).encode()


def _figure(path: Path) -> bytes:
    rng = np.random.default_rng(5)
    x, y = pd.Series(np.arange(12.0)), pd.Series(rng.normal(60.0, 3.0, 12))
    figure, axes = plotting.subplots(1, 2, (6.4, 2.8))
    for axis, (color, line, marker) in zip(axes[0], plotting.STYLES, strict=False):
        axis.plot(x, y, line, color=color, marker=marker, label="AMID, α = 4")
        plotting.draw_band(axis, x, y, pd.Series(np.full(12, 1.5)), color)
        axis.set(xlabel="epoch", ylabel="Top-1, %", title="avlips")
        axis.grid(alpha=0.4)
        axis.legend()
    axes[0, 1].scatter(y, y.sort_values(), c=x, cmap="viridis")
    plotting.save_png(figure, path)
    return path.read_bytes()
