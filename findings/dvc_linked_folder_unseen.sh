#!/usr/bin/env bash
# With DVC 3.67.1, a link to a folder inside a dependency is not followed: the stage stays "up to date" on other data.
set -euo pipefail

folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq --disable-pip-version-check dvc==3.67.1
export PATH="$folder/venv/bin:$PATH" DVC_NO_ANALYTICS=1
mkdir -p "$folder/project/data/v1" "$folder/project/data/v2" && cd "$folder/project"
git init -q
dvc init -q
echo one > data/v1/clips.csv
echo two > data/v2/clips.csv
state() { if dvc status -q "$1"; then echo "up to date"; else echo changed; fi; }
stage() {  # a stage $1 that depends on the folder $2 and copies the file $3
  dvc stage add -q -n "$1" -d "$2" -o "$1.csv" "cp $3 $1.csv"
  dvc repro -q "$1"
}
mkdir inside file && ln -s ../data/v1 inside/current && ln -s ../data/v1/clips.csv file/clips.csv && ln -s data/v1 itself
stage of_file file file/clips.csv
stage of_itself itself itself/clips.csv
stage of_inside inside inside/current/clips.csv
ln -sfn ../data/v2 inside/current
ln -sfn ../data/v2/clips.csv file/clips.csv
ln -sfn data/v2 itself
file="$(state of_file)" itself="$(state of_itself)" inside="$(state of_inside)"
echo "DVC 3.67.1: three stages read one file by a symbolic link, which then names another version of it"
echo "Behaviour: where the link is a file in a dependency, or the dependency itself, the stage is changed. Where it is a folder"
echo "inside the dependency, DVC neither follows it nor reads where it leads: the stage is up to date, with the old result."
echo "One would have sworn: whatever a dependency's folder leads to is summed, or refused."
echo
echo "a linked file inside: $file; the dependency is a link: $itself; a linked folder inside: $inside"
echo "its result: $(cat of_inside.csv), what it reads: $(cat inside/current/clips.csv)"
[ "$file/$itself/$inside" = "changed/changed/up to date" ] && [ "$(cat of_inside.csv)" = one ] \
  || { echo "No longer as described."; exit 1; }
