"""One picture: the ratios against their targets, and every SPSC ring over the load shapes. Plain SVG, no library."""

import math
from html import escape

from report import shape_slowdowns

WIDTH, LABEL, ROW, TOP = 1000, 430, 20, 34
OURS, PEER, MISSED, GRID = "#1f77b4", "#999999", "#d62728", "#dddddd"


def text(x: float, y: float, words: str, anchor: str = "start", weight: str = "normal") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-weight="{weight}">{escape(words)}</text>'


class LogAxis:
    def __init__(self, low: float, high: float):
        self.low, self.span = math.log(low), math.log(high) - math.log(low)

    def x(self, value: float) -> float:
        share = (math.log(value) - self.low) / self.span
        return LABEL + 10 + min(max(share, 0.0), 1.0) * (WIDTH - LABEL - 70)

    def grid(self, values: list[float], top: float, bottom: float) -> list[str]:
        lines = []
        for value in values:
            x = self.x(value)
            lines.append(f'<line x1="{x:.1f}" y1="{top}" x2="{x:.1f}" y2="{bottom}" stroke="{GRID}"/>')
            lines.append(text(x, bottom + 13, f"{value:g}", "middle"))
        return lines


def targets(results: list[dict], top: float) -> tuple[list[str], float]:
    shown = [result for result in results if result["verdict"] != "no data" and result["unit"] == "ratio"]
    axis, bottom = LogAxis(0.02, 4), top + TOP + ROW * len(shown)
    parts = [text(10, top + 16, "Time, ours / best peer (bar), and the target (tick)", weight="bold")]
    parts += axis.grid([0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 4], top + TOP - 8, bottom)
    for index, result in enumerate(shown):
        y = top + TOP + ROW * index
        end, mark = axis.x(result["ratio"]), axis.x(result["limit"])
        colour = OURS if result["verdict"] == "met" else MISSED
        parts.append(text(LABEL, y + 11, result["what"], "end"))
        parts.append(
            f'<rect x="{axis.x(0.02):.1f}" y="{y}" width="{end - axis.x(0.02):.1f}" height="13" fill="{colour}"/>'
        )
        parts.append(
            f'<line x1="{mark:.1f}" y1="{y - 3}" x2="{mark:.1f}" y2="{y + 16}" stroke="black" stroke-width="2"/>'
        )
        parts.append(text(max(end, mark) + 6, y + 11, f"{result['ratio']:.2f}"))
    return parts, bottom + 30


def shapes(rows: list[dict], top: float) -> tuple[list[str], float]:
    rings = shape_slowdowns(rows)
    axis, bottom = LogAxis(1, 64), top + TOP + ROW * len(rings)
    parts = [text(10, top + 16, "SPSC: slowdown against the best ring in each of 16 load shapes", weight="bold")]
    parts += axis.grid([1, 2, 4, 8, 16, 32, 64], top + TOP - 8, bottom)
    for index, (name, slowdowns) in enumerate(rings.items()):
        y = top + TOP + ROW * index + 7
        parts.append(text(LABEL, y + 4, name, "end"))
        colour = OURS if name.startswith("rk ") else PEER
        parts += [
            f'<circle cx="{axis.x(value):.1f}" cy="{y}" r="4" fill="{colour}" fill-opacity="0.6"/>'
            for value in slowdowns
        ]
    return parts, bottom + 30


def svg(results: dict) -> str:
    first, middle = targets(results["targets"], 0)
    second, bottom = shapes(results["rows"], middle)
    about = results["machine"]
    foot = text(10, bottom + 4, f"{about['cpu']}, {about['cores']} cores, commit {about['commit']}, {about['date']}")
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{bottom + 14:.0f}" font-family="sans-serif"'
    )
    return (
        "\n".join(
            [
                head + ' font-size="12">',
                '<rect width="100%" height="100%" fill="white"/>',
                *first,
                *second,
                foot,
                "</svg>",
            ]
        )
        + "\n"
    )
