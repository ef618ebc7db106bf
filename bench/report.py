"""The targets, what became of them, and the tables."""

import math
from collections.abc import Callable, Iterable

from targets import TARGETS, Target


class Rows:
    """Rows by scenario and case."""

    def __init__(self, rows: Iterable[dict]):
        self.rows = [row for row in rows if "median" in row]

    def cases(self, scenario: str, prefix: str | tuple[str, ...]) -> list[str]:
        of_it = (row["case"] for row in self.rows if row["scenario"] == scenario)
        return [case for case in dict.fromkeys(of_it) if case.startswith(prefix)]

    def best(self, scenario: str, case: str, wanted: Callable[[dict], bool], key: str) -> dict | None:
        found = [row for row in self.rows if row["scenario"] == scenario and row["case"] == case and wanted(row)]
        return min(found, key=lambda row: row[key], default=None)


def sustained(row: dict) -> bool:
    return row.get("rate", 1.0) >= 0.98 * row.get("rate_wanted", 1.0)


def pairs_of(target: Target, rows: Rows) -> list[tuple[dict, dict]]:
    """Ours and theirs in each case of the target."""
    found = []
    for case in rows.cases(target.scenario, target.case):
        ours = rows.best(target.scenario, case, lambda row: row["name"] == target.ours, target.key)
        against = target.against_case or case
        theirs = rows.best(target.scenario, against, target.is_peer, target.key)
        if ours and (theirs or target.limit_ns):
            found.append((ours, theirs or ours))
    return found


def geometric_mean(values: Iterable[float]) -> float:
    values = list(values)
    return math.exp(sum(map(math.log, values)) / len(values))


def side(rows: list[dict], key: str) -> dict:
    """One row as it is; several as their geometric mean."""
    iqr = {"median": "iqr"}.get(key, f"{key}_iqr")
    names = list(dict.fromkeys(row["name"] for row in rows))
    return {
        "name": ", ".join(names),
        "median": geometric_mean(row[key] for row in rows),
        "iqr": rows[0][iqr] if len(rows) == 1 else None,
    }


def judge_one(target: Target, rows: Rows) -> dict:
    result = {
        "what": target.what,
        "limit": target.limit_ns or target.limit,
        "unit": "ns" if target.limit_ns else "ratio",
    }
    pairs = pairs_of(target, rows)
    if not pairs:
        return result | {"verdict": "no data"}
    if target.worst:
        pairs = [max(pairs, key=lambda pair: pair[0][target.key] / pair[1][target.key])]
        result["case"] = pairs[0][0]["case"]
    ours = side([pair[0] for pair in pairs], target.key)
    theirs = side([pair[1] for pair in pairs], target.key)
    ratio = ours["median"] if target.limit_ns else ours["median"] / theirs["median"]
    verdict = "met" if ratio <= result["limit"] else "missed"
    return result | {"ours": ours, "theirs": None if target.limit_ns else theirs, "ratio": ratio, "verdict": verdict}


def judge(rows: list[dict]) -> list[dict]:
    by_case = Rows(rows)
    return [judge_one(target, by_case) for target in TARGETS]


def number(value: float) -> str:
    return f"{value:.2f}" if value < 100 else f"{value:,.0f}"


def spread(found: dict) -> str:
    return number(found["median"]) + ("" if found["iqr"] is None else f" ({number(found['iqr'])})")


def target_line(result: dict) -> str:
    what = result["what"] + (f", {result['case']} B" if "case" in result else "")
    limit = f"≤ {result['limit']:.4g} ns" if result["unit"] == "ns" else f"≤ {result['limit']:.4g}"
    if result["verdict"] == "no data":
        return f"| {what} | | | | | {limit} | no data |"
    theirs = result["theirs"]
    peer = f"{theirs['name']} | {spread(theirs)}" if theirs else "|"
    ratio = "" if result["unit"] == "ns" else number(result["ratio"])
    verdict = "met" if result["verdict"] == "met" else "**missed**"
    return f"| {what} | {result['ours']['name']}: {spread(result['ours'])} | {peer} | {ratio} | {limit} | {verdict} |"


def shape_lines(rows: list[dict]) -> list[str]:
    lines = ["| ring | geometric mean | worst |", "|---|---|---|"]
    for name, slowdowns in shape_slowdowns(rows).items():
        lines.append(f"| {name} | {geometric_mean(slowdowns):.2f} | {max(slowdowns):.1f} |")
    return lines


def shape_slowdowns(rows: list[dict]) -> dict[str, list[float]]:
    """For every ring its time over the best ring's, in each of the load shapes; best ring first."""
    cells = [row for row in rows if row["scenario"] == "spsc_shapes" and row["case"] != "floor" and "median" in row]
    best: dict[str, float] = {}
    for row in cells:
        best[row["case"]] = min(row["median"], best.get(row["case"], math.inf))
    found: dict[str, list[float]] = {}
    for row in cells:
        found.setdefault(row["name"], []).append(row["median"] / best[row["case"]])
    complete = {name: values for name, values in found.items() if len(values) == len(best)}
    return dict(sorted(complete.items(), key=lambda item: geometric_mean(item[1])))


def row_lines(rows: list[dict]) -> list[str]:
    lines = ["| scenario | case | contender | median | IQR | p99 | note |", "|---|---|---|---|---|---|---|"]
    for row in rows:
        if "median" not in row:
            continue
        notes = ["reorders"] * bool(row.get("reordered")) + ["rate not sustained"] * (not sustained(row))
        p99 = number(row["p99"]) if "p99" in row else ""
        values = f"{number(row['median'])} {row['unit']} | {number(row['iqr'])} | {p99}"
        lines.append(f"| {row['scenario']} | {row['case']} | {row['name']} | {values} | {', '.join(notes)} |")
    return lines


def condition_lines(conditions: dict[str, dict]) -> list[str]:
    lines = ["Left out: repetitions while the cores were elsewhere (another floor), or used by others.", ""]
    lines += ["| scenario | floor: one line there and back | elsewhere | disturbed |", "|---|---|---|---|"]
    for name, found in conditions.items():
        lines.append(f"| {name} | {found['floor_ns']:.0f} ns | {found['moved']:.0%} | {found['disturbed']:.0%} |")
    return lines


def table(results: dict) -> str:
    about, rows = results["machine"], results["rows"]
    lines = ["# Benchmark results", ""]
    lines += [f"* **{warning}**" for warning in about["warnings"]]
    lines += [f"* left out: {text}" for text in about["left_out"]]
    lines += [
        f"* {about['cpu']}, {about['cores']} cores{', virtual' if about['virtual'] else ''}, Linux {about['kernel']}",
        f"* {about['compiler']}, commit {about['commit']}",
        f"* {about['date']}, load at start {about['load_at_start']}, {about['seconds']} s",
        "* times in ns, medians of interleaved repetitions, interquartile range in brackets; ratio = ours / theirs",
        "",
        "| target | ours | best peer | its median | ratio | wanted | |",
        "|---|---|---|---|---|---|---|",
        *[target_line(result) for result in results["targets"]],
        "",
        "## Conditions",
        "",
        *condition_lines(about["conditions"]),
        "",
        "## SPSC: slowdown against the best ring of each load shape",
        "",
        *shape_lines(rows),
        "",
        "## All cells",
        "",
        *row_lines(rows),
    ]
    return "\n".join(lines) + "\n"
