#!/usr/bin/env bash
# With DVC 3.67.1, `dvc exp show` has no value of a parameter that is called as a dependency is.
set -euo pipefail

folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq --disable-pip-version-check dvc==3.67.1
export PATH="$folder/venv/bin:$PATH" DVC_NO_ANALYTICS=1
show() {  # the parameters' value, as `exp show` tells it, if the stage depends on the folder $1
  mkdir -p "$folder/$1.project/$1"
  cd "$folder/$1.project"
  git init -q
  dvc init -q
  echo 1,2 > "$1/numbers.csv"
  printf 'datasets: both\nseed: 7\n' > params.yaml
  cat > dvc.yaml <<YAML
stages:
  train:
    cmd: date > model
    deps: [$1]
    params: [datasets, seed]
    outs: [model]
YAML
  dvc repro -q
  git add -A
  git -c user.name=name -c user.email=name@example.org commit -qm start
  dvc exp show --csv > shown.csv
  python3 -c '
import csv
head, first = list(csv.reader(open("shown.csv")))[:2]
print("/".join(value or "(empty)" for name, value in zip(head, first) if name in ("datasets", "seed")))
'
}
other="$(show source)"
same="$(show datasets)"
echo "DVC 3.67.1: a stage with the parameters 'datasets' (both) and 'seed' (7), and one folder as dependency"
echo "Behaviour: when the folder is called 'datasets' too, the table has two columns of that name, both with its hash, and"
echo "the parameter's value is in neither: one dict, keyed by the heading, holds the cells of a row. Nothing warns."
echo "One would have sworn: the parameter's column shows its value, the dependency's its hash."
echo
echo "datasets and seed, the folder is called 'source':   $other"
echo "datasets and seed, the folder is called 'datasets': $same"
[ "$other" = both/7 ] && [ "$same" != both/7 ] && [[ "$same" != *both* ]] \
  || { echo "No longer as described."; exit 1; }
