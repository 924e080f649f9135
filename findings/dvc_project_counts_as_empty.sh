#!/usr/bin/env bash
# With DVC 3.67.1, a DVC project inside a dependency counts as empty: its files may change unseen.
set -euo pipefail

folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq --disable-pip-version-check dvc==3.67.1
export PATH="$folder/venv/bin:$PATH" DVC_NO_ANALYTICS=1
mkdir "$folder/project" && cd "$folder/project"
git init -q
dvc init -q
for kind in plain git dvc; do
  mkdir -p "$kind/corpus"
  echo one > "$kind/corpus/clips.csv"
done
(cd git/corpus && git init -q)
(cd dvc/corpus && git init -q && dvc init -q)
for kind in plain git dvc; do
  dvc stage add -q -n "of_$kind" -d "$kind" -o "$kind.csv" "cp $kind/corpus/clips.csv $kind.csv"
done
dvc repro -q
files() { python3 - "$1" <<'PYTHON'
import re, sys
lock = open("dvc.lock").read()
print(re.search(rf"path: {sys.argv[1]}\n.*?nfiles: (\d+)", lock, re.S)[1])
PYTHON
}
for kind in plain git dvc; do echo two > "$kind/corpus/clips.csv"; done
state() { if dvc status -q "$1"; then echo "up to date"; else echo changed; fi; }
found="plain: $(state of_plain); git: $(state of_git); dvc: $(state of_dvc)"
echo "DVC 3.67.1: three stages, each with a folder as dependency that holds corpus/clips.csv, which is then written anew"
echo "Behaviour: where corpus/ is a DVC project of its own, as somebody's released data often is, the dependency has no file:"
echo "its size in dvc.lock is 0, and the stage stays up to date. A git repository in its place is read."
echo "One would have sworn: all three are changed, or the third is refused."
echo
echo "corpus/ is plain, a git repository, a DVC project. Files in dvc.lock: $(files plain), $(files git), $(files dvc)"
echo "$found"
[ "$found" = "plain: changed; git: changed; dvc: up to date" ] && [ "$(files dvc)" = 0 ] \
  || { echo "No longer as described."; exit 1; }
