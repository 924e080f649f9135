#!/usr/bin/env bash
# With torch 2.13.0, a program saved by torch.export holds the folder and the source lines that it was made from.
set -euo pipefail

folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq --disable-pip-version-check torch==2.13.0 numpy==2.4.6
mkdir -p "$folder/anna" "$folder/bert"
cat > "$folder/anna/network.py" <<'PYTHON'
import warnings
import zipfile

import torch

warnings.simplefilter("ignore")


class Classifier(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(3, 2)

    def forward(self, x):
        return self.linear(x).softmax(1)  # a remark that nobody meant to publish


torch.manual_seed(0)
program = torch.export.export(Classifier().eval(), (torch.zeros(4, 3),))
torch.export.save(program, "program.pt2")
held = b"".join(zipfile.ZipFile("program.pt2").read(name) for name in zipfile.ZipFile("program.pt2").namelist())
print(b"/anna/" in held or b"/bert/" in held, b"nobody meant to publish" in held)
PYTHON
cp "$folder/anna/network.py" "$folder/bert/"
said="$(cd "$folder/anna" && "$folder/venv/bin/python" network.py)"
(cd "$folder/bert" && "$folder/venv/bin/python" network.py > said)
sums="$(sha256sum "$folder"/*/program.pt2 | cut -c1-12 | tr '\n' ' ')"
echo "torch 2.13.0: torch.export.save of one network with the same weights, made by the same file in two folders"
echo "Behaviour: every node keeps the trace of its source, so that the file holds the folder's path and the lines of source"
echo "with their remarks; from another folder it has other bytes."
echo "One would have sworn: it holds graph and weights, and equal networks give equal files."
echo
echo "holds the path, holds a remark: $said"
echo "sha256 of the two: $sums"
[ "$said" = "True True" ] && [ "$(sort -u <(tr ' ' '\n' <<< "$sums" | grep .) | wc -l)" = 2 ] \
  || { echo "No longer as described."; exit 1; }
