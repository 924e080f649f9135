"""docs/scale: the Indexed Job is what Kubernetes' schema allows, and what its pods need is there.

No cluster and no Docker are needed, so none has run these files: what they say is checked, and that
what the image would hold is enough to start with.
"""

from __future__ import annotations

import copy
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.small import ROOT

SCALE = ROOT / "docs" / "scale"
kubernetes_validate = pytest.importorskip(
    "kubernetes_validate",
    reason="kubernetes-validate is not installed: pip install kubernetes-validate==1.37.0",
)


@pytest.fixture
def job() -> dict[str, Any]:
    return YAML(typ="safe").load(SCALE / "extract-job.yaml")


def check(job: dict[str, Any]) -> None:
    """Against the newest schema that the package brings; unknown keys are errors."""
    kubernetes_validate.validate(job, kubernetes_validate.latest_version(), strict=True)


def container(job: dict[str, Any]) -> dict[str, Any]:
    (only,) = job["spec"]["template"]["spec"]["containers"]
    return only


def test_the_job_is_what_the_schema_allows(job) -> None:
    check(job)
    assert (job["apiVersion"], job["kind"]) == ("batch/v1", "Job")
    broken = copy.deepcopy(job)
    broken["spec"]["completionmode"] = "Indexed"
    with pytest.raises(kubernetes_validate.ValidationError):
        check(broken)
    broken = copy.deepcopy(job)
    broken["spec"]["podFailurePolicy"]["rules"][0].pop("action")
    with pytest.raises(kubernetes_validate.ValidationError):
        check(broken)


def test_what_the_schema_does_not_say_holds_too(job) -> None:
    spec, pod = job["spec"], job["spec"]["template"]["spec"]
    assert spec["completionMode"] == "Indexed"
    environment = {entry["name"]: entry for entry in container(job)["env"]}
    assert int(environment["AMID_SHARDS"]["value"]) == spec["completions"]
    assert 1 <= spec["parallelism"] <= spec["completions"]
    # demanded by the API: backoffLimitPerIndex goes with Indexed, podFailurePolicy with Never
    assert spec["backoffLimitPerIndex"] >= 1
    assert pod["restartPolicy"] == "Never"
    assert spec["podReplacementPolicy"] == "Failed"
    ignored, failed = spec["podFailurePolicy"]["rules"]
    assert ignored["onPodConditions"] == [{"type": "DisruptionTarget", "status": "True"}]
    assert failed["onExitCodes"]["containerName"] == container(job)["name"]
    assert failed["onExitCodes"]["values"] == [2]  # of ConfigError
    mounts = {mount["name"] for mount in container(job)["volumeMounts"]}
    assert mounts == {volume["name"] for volume in pod["volumes"]}


def test_a_pod_may_do_no_more_than_it_has_to(job) -> None:
    pod, inside = job["spec"]["template"]["spec"], container(job)["securityContext"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] > 0
    assert pod["automountServiceAccountToken"] is False
    assert inside["readOnlyRootFilesystem"] is True
    assert inside["allowPrivilegeEscalation"] is False
    assert inside["capabilities"] == {"drop": ["ALL"]}
    mounts = {mount["mountPath"]: mount.get("readOnly", False) for mount in mounts_of(job)}
    assert [path for path, read_only in mounts.items() if not read_only] == ["/tmp"]
    for entry in container(job)["env"]:
        if re.search("KEY|SECRET|TOKEN|PASSWORD", entry["name"]):
            assert "secretKeyRef" in entry["valueFrom"]
    resources = container(job)["resources"]
    assert {"cpu", "memory"} <= set(resources["requests"]) & set(resources["limits"])


def mounts_of(job: dict[str, Any]) -> list[dict[str, Any]]:
    return container(job)["volumeMounts"]


def test_the_command_is_one_that_the_image_holds(job, tmp_path: Path, warm: Path) -> None:
    """What the Dockerfile copies, in a folder of its own: the stage starts, and asks for more."""
    lines = (SCALE / "Dockerfile").read_text().splitlines()
    copies = [line.split()[1:] for line in lines if line.startswith("COPY")]
    for *sources, target in copies:
        for name in sources:
            if name.startswith("requirements") or name == "constraints.txt":
                continue  # for pip alone
            place = tmp_path / target
            place.parent.mkdir(parents=True, exist_ok=True)
            copied = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
            copied(ROOT / name, place)
    kept = (SCALE / "Dockerfile.dockerignore").read_text()
    assert all(f"!{name}\n" in kept for *sources, _ in copies for name in sources)
    command = [warm / "python", *container(job)["command"][1:]]
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("AMID", "PYTHON"))}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("error: AMID_STORE is not set")
    assert container(job)["command"][0] == "python"


def test_the_image_is_pinned_and_not_roots() -> None:
    text = (SCALE / "Dockerfile").read_text()
    (base,) = re.findall("^FROM (.*)$", text, re.M)
    assert re.fullmatch(r"python:3\.\d+\.\d+-slim-\w+(@sha256:[0-9a-f]{64})?", base)
    assert re.findall("^USER (.*)$", text, re.M) == ["10001:10001"]
    assert "-c constraints.txt" in text
    torch = re.search(r"^torch==\S+$", (ROOT / "requirements.txt").read_text(), re.M)[0]
    assert torch in text
