"""From the repetitions that Google Benchmark wrote to one row per cell."""

import re
import statistics
from collections import defaultdict

# A virtual machine's cores are moved. Repetitions are comparable whose floor, taken just before, is about the usual one.
FLOOR_FACTOR = 1.5
# Others use the cores, too. Repetitions count in which both sides had theirs almost all the time.
LEAST_CPU = 0.97
COUNTERS = ("p99", "p99.9", "rate", "rate_wanted")


def quartiles(values: list[float]) -> tuple[float, float, float]:
    if len(values) < 2:
        return values[0], values[0], values[0]
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, middle, high


def usual_floor(runs: list[dict]) -> float:
    return statistics.median(
        entry["floor"]
        for run in runs
        for entry in run["benchmarks"]
        if entry["run_type"] == "iteration" and "floor" in entry
    )


def row_of(scenario: str, name: str, entries: list[dict], floor: float) -> dict:
    case, contender = name.rsplit("/", 1)
    good = [entry for entry in entries if not entry.get("error_occurred")]
    near = [entry for entry in good if floor / FLOOR_FACTOR <= entry["floor"] <= floor * FLOOR_FACTOR]
    calm = [entry for entry in near if entry.get("cpu", 1.0) >= LEAST_CPU]
    row = {
        "scenario": scenario,
        "case": case,
        "name": contender,
        "unit": "ns",
        "ours": contender.startswith("rk "),
        "samples": len(calm),
        "moved": len(good) - len(near),
        "disturbed": len(near) - len(calm),
        "errors": sorted({entry["error_message"] for entry in entries if entry.get("error_occurred")}),
        "reordered": sum(1 for entry in good if entry.get("reordered")),
        "usual_floor": floor,
    }
    if calm:
        low, middle, high = quartiles([entry["real_time"] for entry in calm])
        row |= {"median": middle, "q25": low, "q75": high, "iqr": high - low}
        for counter in COUNTERS:
            if counter in calm[0]:
                low, middle, high = quartiles([entry[counter] for entry in calm])
                row |= {counter: middle, f"{counter}_iqr": high - low}
    return row


def rows_of(scenario: str, runs: list[dict]) -> list[dict]:
    cells = defaultdict(list)
    for run in runs:
        for entry in run["benchmarks"]:
            if entry["run_type"] == "iteration":
                cells[re.sub(r"/iterations:\d+.*", "", entry["name"])].append(entry)
    floor = usual_floor(runs)
    return sorted((row_of(scenario, name, entries, floor) for name, entries in cells.items()), key=place)


def place(row: dict) -> tuple:
    """Cases in the order of their names, numbers as numbers; in a case the fastest first."""
    case = [(not part.isdigit(), int(part) if part.isdigit() else part) for part in re.split(r"(\d+)", row["case"])]
    return case, row.get("median", float("inf"))


def conditions(rows: list[dict]) -> dict[str, dict]:
    """For each scenario the line floor, and the shares of the repetitions that were left out."""
    found = {}
    for scenario in dict.fromkeys(row["scenario"] for row in rows):
        of_it = [row for row in rows if row["scenario"] == scenario]
        total = max(1, sum(row["samples"] + row["moved"] + row["disturbed"] for row in of_it))
        found[scenario] = {
            "floor_ns": of_it[0]["usual_floor"],
            "moved": sum(row["moved"] for row in of_it) / total,
            "disturbed": sum(row["disturbed"] for row in of_it) / total,
        }
    return found
