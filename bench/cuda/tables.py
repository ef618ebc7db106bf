"""From the results of a run on a GPU, or on a double, to Markdown."""

from __future__ import annotations

from typing import Any

from figures import NOT_ON_DOUBLE, RAN, faults

DOUBLE = "DOUBLE: CPU threads, not a GPU; timings mean nothing"


def number(value: float | None) -> str:
    if value is None:
        return ""
    if value == int(value) and abs(value) < 1e6:
        return str(int(value))
    return f"{value:.3g}" if abs(value) < 100 else f"{value:,.0f}"


def cell(text: str) -> str:
    """Nothing that a table would take for its own."""
    return " ".join(str(text).replace("|", "\\|").split())


def row(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |"


def head(*names: str) -> list[str]:
    return [row(*names), "|" + "---|" * len(names)]


def wanted(figure: dict[str, Any]) -> str:
    if figure["limit"] is None:
        return ""
    sign = "≤" if figure["sense"] == "<=" else "≥"
    return f"{sign} {number(figure['limit'])} {figure['unit']}"


def outcome(figure: dict[str, Any]) -> str:
    if figure["verdict"] == "wrong":
        found = ", ".join(f"{count} {name}" for name, count in faults(figure).items())
        return f"**wrong**: {found}"
    if figure["verdict"] == "not measured":
        why = figure["why"] or "no reason given"
        return why if why in (NOT_ON_DOUBLE, RAN) else f"not measured: {cell(why)}"
    return "**missed**" if figure["verdict"] == "missed" else str(figure["verdict"])


def verdict_of(figure: dict[str, Any]) -> str:
    """For counting: what ran on a double is not the same as what did not."""
    return RAN if figure.get("why") == RAN and figure["verdict"] == "not measured" else str(figure["verdict"])


def figure_lines(figures: list[dict[str, Any]]) -> list[str]:
    lines = head("", "what", "measured", "wanted", "floor", "x floor", "")
    for one in figures:
        measured = "" if one["value"] is None else f"{number(one['value'])} {one['unit']}"
        cells = [one["id"], cell(one["what"]), measured, wanted(one)]
        floor = f"{number(one['floor_value'])} ({one['floor']})" if one["floor_value"] is not None else ""
        lines.append(row(*cells, floor, number(one["floor_ratio"]), outcome(one)))
    return lines


def tail_lines(figures: list[dict[str, Any]]) -> list[str]:
    """Ours and what was measured in turn with it."""
    lines = head("", "contender", "p50", "p99", "p99.9", "max", "unit")
    for one in figures:
        sides = {"ours": one["tails"], **one["against"]} if one["tails"] else one["against"]
        for name, tails in sides.items():
            values = [number(tails.get(key)) for key in ("p50", "p99", "p99.9", "max")]
            lines.append(row(one["id"], cell(name), *values, one["unit"]))
    return lines if len(lines) > 2 else []


def count_lines(figures: list[dict[str, Any]]) -> list[str]:
    lines = head("", "counted and checked", "note")
    for one in figures:
        if one["counts"] or one["note"]:
            counted = ", ".join(f"{name} {count:,}" for name, count in one["counts"].items())
            lines.append(row(one["id"], counted, cell(one["note"])))
    return lines


def floor_lines(floors: list[dict[str, Any]], double: bool) -> list[str]:
    lines = head("floor", "value", "how")
    for one in floors:
        value = f"{number(one['value'])} {one['unit']}" if one["value"] is not None else f"not measured: {one['why']}"
        lines.append(row(one["name"], NOT_ON_DOUBLE if double else cell(value), cell(one["how"])))
    return lines


def litmus_lines(litmus: list[dict[str, Any]]) -> list[str]:
    lines = head("litmus test", "scope", "edges", "rounds", "seen in time", "forbidden", "", "planted: noticed")
    for one in litmus:
        state = f"not run: {cell(one['why'])}" if one.get("why") else "**forbidden**" if one["forbidden"] else "none"
        counts = [f"{one[key]:,}" if key in one else "" for key in ("rounds", "seen", "forbidden")]
        planted = ", ".join(f"{name} {count:,}" for name, count in one.get("plants", {}).items())
        blind = "".join(f" **{name} not noticed**" for name in one.get("blind", []))
        edges = " ".join(one.get("edges", []))
        lines.append(row(one["name"], one.get("scope", ""), edges, *counts, state, planted + blind))
    return lines


def step_lines(steps: list[dict[str, Any]]) -> list[str]:
    lines = head("step", "", "seconds", "limit", "")
    for one in steps:
        state = one["status"] if one["status"] in ("passed", "skipped") else f"**{one['status']}**"
        lines.append(row(one["name"], state, f"{one['seconds']:.0f}", f"{one['limit_s']:.0f}", cell(one["detail"])))
    return lines


def section(title: str, lines: list[str]) -> list[str]:
    return ["", f"## {title}", "", *lines] if len(lines) > 2 else []


def machine_lines(about: dict[str, Any]) -> list[str]:
    return [f"* {name}: {cell(value)}" for name, value in about.items() if value not in ("", None, [])]


def markdown(results: dict[str, Any]) -> str:
    """The whole report. Every part of it says so when no GPU was measured."""
    double = results["double"]
    label = [f"**{DOUBLE}**", ""] if double else []
    title = "# CUDA: what was checked and measured" if not double else f"# CUDA backend on the doubles\n\n**{DOUBLE}**"
    lines = [title, "", *machine_lines(results["machine"])]
    parts = (
        ("Steps", step_lines(results["steps"])),
        ("Goals", figure_lines(results["figures"])),
        ("Against what", [] if double else tail_lines(results["figures"])),
        ("Counted and checked", count_lines(results["figures"])),
        ("Floors of this run", floor_lines(results["floors"], double)),
        ("Litmus tests", litmus_lines(results["litmus"])),
    )
    for name, table in parts:
        lines += section(name, [*label, *table]) if len(table) > 2 else []
    return "\n".join(lines) + "\n"
