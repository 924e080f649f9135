"""How the library's packages depend on each other, in the working directory or in OTHER checkouts:

    python -m benchmarks.imports [OTHER ...]

A room is a file or folder of amid/. Columns: rooms; imports from one room to another (arrows);
floors, the longest chain of rooms that import each other; circles, groups of rooms that import each
other in a ring; upward, imports against the layers of pyproject.toml (where there are any). Imports
inside functions count, those for type checkers alone do not.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path


def measure(place: Path) -> dict[str, int | str]:
    """The numbers of one checkout, computed in a process of its own."""
    code = (
        f"import json; from benchmarks.imports import here; print(json.dumps(here({str(place)!r})))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def here(place: str) -> dict[str, int | str]:
    import grimp
    import networkx

    sys.path.insert(0, place)
    graph = grimp.build_graph("amid", exclude_type_checking_imports=True, cache_dir=None)
    rooms = networkx.DiGraph()
    for module in graph.modules:
        if module == "amid":
            continue
        rooms.add_node(_room(module))
        for other in graph.find_modules_directly_imported_by(module):
            if other != "amid" and _room(other) != _room(module):
                rooms.add_edge(_room(module), _room(other))
    circles = [c for c in networkx.strongly_connected_components(rooms) if len(c) > 1]
    floors = networkx.dag_longest_path_length(networkx.condensation(rooms)) + 1
    layers = _layers(Path(place) / "pyproject.toml")
    upward = sum(
        layers[a] > layers[b] for a, b in rooms.edges if a in layers and b in layers
    )  # the first layer is the highest
    return {
        "rooms": rooms.number_of_nodes(),
        "arrows": rooms.number_of_edges(),
        "floors": floors,
        "circles": len(circles),
        "upward": upward if layers else "-",
        "in circles": " ".join(sorted(name for circle in circles for name in circle)),
    }


def _room(module: str) -> str:
    return module.split(".")[1]


def _layers(path: Path) -> dict[str, int]:
    contracts = tomllib.loads(path.read_text()).get("tool", {}).get("importlinter", {})
    found = {}
    for contract in contracts.get("contracts", []):
        for height, layer in enumerate(contract.get("layers", [])):
            for name in layer.replace("|", ":").split(":"):
                if name.strip().startswith("amid."):
                    found[_room(name.strip())] = height
    return found


def main() -> None:
    for place in [Path.cwd(), *map(Path, sys.argv[1:])]:
        numbers = measure(place.resolve())
        print(", ".join(f"{name} {value}" for name, value in numbers.items()))


if __name__ == "__main__":
    main()
