#!/usr/bin/env bash
# With statsmodels 0.15.0 on SciPy 1.17.1, the power of a t test of few samples is NaN for effects here and there.
set -euo pipefail

folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq --disable-pip-version-check statsmodels==0.15.0 scipy==1.17.1 numpy==2.4.6 pandas==3.1.1
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import sys

from scipy.stats import nct
from statsmodels.stats.power import TTestPower

effects = (3, 4, 5, 6, 7, 8, 9, 10, 11)
power = {n: [float(TTestPower().power(effect, n, 0.05)) for effect in effects] for n in (3, 4, 5)}
print("statsmodels 0.15.0, SciPy 1.17.1: TTestPower().power(effect, nobs, alpha=0.05), two-sided")
print("Behaviour: NaN for some effects, between others whose power is right: SciPy's cumulative distribution of the noncentral")
print("t, which gives the probability of the far side, is NaN there. solve_power then fails to converge, and says NaN.")
print("One would have sworn: power grows with the effect and is a number; the far side is practically 0.")
print()
print("effect  " + " ".join(f"{effect:5d}" for effect in effects))
for n, values in power.items():
    print(f"nobs {n:2d} " + " ".join(f"{value:5.2f}" for value in values))
print("scipy.stats.nct.cdf(-4.30265, 2, nc), nc 10, 12, 14:", [float(nct.cdf(-4.30265, 2, nc)) for nc in (10, 12, 14)])
gaps = sum(value != value for values in power.values() for value in values)
sure = sum(value > 0.9 for values in power.values() for value in values)
sys.exit(0 if gaps and sure else "No longer as described.")
PYTHON
