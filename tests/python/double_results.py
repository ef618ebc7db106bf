"""What a run of scripts/gpu-check on the double has written: all of it ran, and no timing of a double is in it.

python tests/python/double_results.py build/gpu-check-double/out/results.json
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any


def problems(found: dict[str, Any]) -> list[str]:
    said = []
    if not found["label"].startswith("DOUBLE"):
        said.append(f"label: {found['label']}")
    said += [f"{one['name']}: {one['status']}" for one in found["steps"] if one["status"] not in ("passed", "skipped")]
    if [one["name"] for one in found["steps"] if one["status"] == "skipped"] != ["memcheck"]:
        said.append("not only memcheck was skipped")
    timed = [one for one in found["figures"] if one["value"] is not None or one["tails"]]
    said += [f"{one['id']}: a timing of a double" for one in timed]
    said += [f"{one}: a timing of a double" for one in found["floors"] if one["value"] is not None]
    said += [f"{one['id']}: wrong" for one in found["figures"] if one["verdict"] == "wrong"]
    ran = sum(one["why"] == "ran (double: no figure)" for one in found["figures"])
    if ran < 24:
        said.append(f"{ran} figures ran")
    litmus = [one for one in found["litmus"] if not one["seen"] or one["forbidden"] or one["blind"]]
    return said + [f"litmus: {one}" for one in litmus]


if __name__ == "__main__":
    wrong = problems(json.loads(Path(sys.argv[1]).read_text()))
    print("\n".join(wrong))
    sys.exit(bool(wrong))
