"""The README.md of a released student, a model card as Hugging Face reads it.

YAML front matter (licence, tags, metrics as a `model-index`) and the text, both from `card.json`,
so that the folder can be pushed as it is:

    hf upload NAME/amid-avlips-student student/avlips
"""

from __future__ import annotations

import io
from typing import Any

from amid.io.redact import escape_control

MODEL_CARD = "README.md"
# What an extractor reads, in the hub's words; features made elsewhere may be anything.
TASKS = {
    **dict.fromkeys(("frame_dct", "frames", "densenet"), "video-classification"),
    **dict.fromkeys(("log_mel", "cnn14", "wav2vec2"), "audio-classification"),
    **dict.fromkeys(("ngrams", "bert"), "text-classification"),
}
# Data sets that this project makes itself. The weights of others may be bound by their data.
LICENCES = {"avlips": "mit"}
METRICS = {
    "test_top1": ("accuracy", "Top-1"),
    "test_r@1": ("recall_at_1", "R@1"),
    "test_r@5": ("recall_at_5", "R@5"),
    "test_map": ("mean_average_precision", "mAP"),
}


def model_card(card: dict[str, Any]) -> str:
    """The model card of a student, from the content of its card.json."""
    from ruamel.yaml import YAML

    yaml, text = YAML(), io.StringIO()
    yaml.width = 1000
    yaml.dump(front_matter(card), text)
    return f"---\n{text.getvalue()}---\n\n{_body(card)}"


def front_matter(card: dict[str, Any]) -> dict[str, Any]:
    """What the hub reads. Metrics are in per cent; the deviation over seeds is in `args`, and in
    the name that the hub shows."""
    dataset, method = card["dataset"], card["training"]["method"]
    found: dict[str, Any] = {"license": LICENCES.get(dataset, "other")}
    if found["license"] == "other":
        found |= {"license_name": "see-the-data-set", "license_link": "README.md#licence"}
    task = TASKS.get(card["input"]["extractor"])
    found["library_name"] = "amid"
    if task is not None:
        found["pipeline_tag"] = task
    found["tags"] = ["knowledge-distillation", "cross-modal", method, "safetensors"]
    if "onnx" in card["load"]:
        found["tags"].append("onnx")
    metrics = [_metric(name, spread) for name, spread in _measured(card).items()]
    if metrics:
        result = {
            "task": {"type": task or "other"},
            "dataset": {"name": dataset, "type": dataset, "split": "test"},
            "metrics": metrics,
        }
        found["model-index"] = [{"name": f"amid-{dataset}-student", "results": [result]}]
    return found


def _measured(card: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Name -> mean, std and seeds of the test metrics that there are."""
    spreads = card["metrics"]["configuration"]
    found = {name: spreads[name] for name in METRICS if name in spreads}
    return {name: spread for name, spread in found.items() if spread["mean"] is not None}


def _metric(name: str, spread: dict[str, Any]) -> dict[str, Any]:
    kind, title = METRICS[name]
    return {
        "type": kind,
        "name": f"{title}, {_spread(spread)}",
        "value": spread["mean"],
        "args": {"standard_deviation": spread["std"], "seeds": spread["seeds"], "unit": "per cent"},
    }


def _spread(spread: dict[str, Any]) -> str:
    if spread["std"] is None:
        return "one seed"
    return f"mean of {spread['seeds']} seeds ± {spread['std']:.1f}"


def _body(card: dict[str, Any]) -> str:
    training, given, run = card["training"], card["input"], card["metrics"]["run"]
    shape = " x ".join("any" if n is None else str(n) for n in given["shape"])
    rows = []
    for name, spread in _measured(card).items():
        deviation = "-" if spread["std"] is None else f"{spread['std']:.1f}"
        of_run = "-" if run[name] is None else f"{run[name]:.1f}"
        rows.append(f"| {METRICS[name][1]} | {spread['mean']:.1f} | {deviation} | {of_run} |")
    auxiliary = ", ".join(training["auxiliary"]) or "none"
    chosen = (
        "This run was not selected, as there were no validation clips: it is the first one."
        if card["chosen"]["by"] == "none"
        else "This run was selected by validation Top-1 among several. To report the method,\n"
        "  quote the mean over seeds, not this run's number."
    )
    licence = (
        "MIT: the data set is synthetic and made by the project that trained this model."
        if card["dataset"] in LICENCES
        else "The code is under the MIT licence. What holds for these weights depends on the data "
        f"set {card['dataset']}: state it here before you pass them on."
    )
    exported = ""
    if "onnx" in card["load"]:
        sizes = ["steps" if size is None else str(size) for size in given["shape"]]
        exported = EXPORTED.format(shape=", ".join(["clips", *sizes]))
    classes = card["classes"]
    shown = ", ".join(map(_code, classes[:SHOWN]))
    if len(classes) > SHOWN:
        shown += f" and {len(classes) - SHOWN} more (`classes` in card.json)"
    return BODY.format(
        dataset=card["dataset"],
        target=card["target"],
        count=len(classes),
        shown=shown,
        extractor=given["extractor"],
        shape=shape,
        dtype=given["dtype"],
        configuration=training["configuration"],
        method=training["method"],
        auxiliary=auxiliary,
        seed=training["seed"],
        epoch=training["epoch"],
        run=training["run"],
        seeds=next(iter(_measured(card).values()), {"seeds": 1})["seeds"],
        rows="\n".join(rows) or "| - | - | - | - |",
        chosen=chosen,
        licence=licence,
        exported=exported,
    )


def _code(label: str) -> str:
    """A class as code; a label may hold anything."""
    return f"`{escape_control(label).replace('`', '')}`"


SHOWN = 30  # classes in the text
EXPORTED = """
Without this project, from the features:

```python
import onnxruntime

session = onnxruntime.InferenceSession("student.onnx")
probabilities, representations = session.run(None, {{"features": features}})  # ({shape})
```

```python
import torch

probabilities, representations = torch.export.load("program.pt2").module()(features)
```
"""
BODY = """# Student of {dataset}

A classifier of {count} classes that needs {target} alone, trained by cross-modal knowledge
distillation. Used in training besides: {auxiliary}. Method: {method} (configuration
`{configuration}`).

## Intended use

Classifying clips like those of {dataset}, retrieving similar ones by the cosine of their
representations, comparing methods of distillation. Classes: {shown}.

## Limits

- Every input gets one of these classes, also one that belongs to none of them. The probabilities
  are the softmax's and were not calibrated.
- The numbers below hold for {dataset}. Nothing was measured of other recordings, speakers or
  cameras, nor of differences between groups of people. Do not use it to decide about people.
- {chosen}

## Use

Input: {target} by the extractor `{extractor}` (its options are in card.json), {shape} {dtype}.

In a checkout of the project:

```sh
pip install ".[student]"
python -m amid.predict CLIP --model FOLDER
```
{exported}
## Metrics

Per cent on the test split: mean and standard deviation over {seeds} seeds of the configuration,
and this run.

| metric | mean | standard deviation | this run |
|---|---:|---:|---:|
{rows}

## Training

Seed {seed}, epoch {epoch}, run `{run}`. card.json has the accuracies of all candidates,
training.parquet the training clips.

## Licence

{licence}
"""
