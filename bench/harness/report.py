"""What was found: lines while it runs, a table to read, Markdown for the README, JSON for programs."""

import dataclasses
import json
import math
from pathlib import Path

from .samples import ratio

BEGIN, END = "<!-- figures: written by bench/run --markdown -->", "<!-- end of figures -->"


def number(value, digits=None):
    """Three significant digits, without an exponent."""
    if value is None or math.isnan(value):
        return "–"
    if digits is None:
        digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    return f"{value:,.{digits}f}"


def _cells(row, name, summary, best):
    ours, who = best
    compare = f"{ours:.2f} × {who}" if name == "seawall" and ours is not None and not row.pairs else ""
    if summary.against:
        compare = "; ".join(f"{change(found)} on {other}" for other, found in summary.against.items() if found)
    remarks = [row.note(summary.extra)] if summary.extra and not summary.faults else []
    remarks += [f"BAD: {'; '.join(summary.faults)}"] if summary.faults else []
    remarks += ["noisy"] if summary.noisy else []
    return (
        name,
        number(summary.figure),
        f"±{50 * summary.spread:.0f} %" if summary.spread is not None and summary.rounds > 1 else "",
        number(summary.rps, 0) if summary.rps else "",
        number(summary.p99_ms) if summary.p99_ms else "",
        compare,
        "; ".join(r for r in remarks if r),
    )


def change(found):
    """A ratio and the range it likely is in, as percent more or less."""
    ratio_, low, high = (100 * (x - 1) for x in found)
    return f"{ratio_:+.1f} % ({low:+.1f} to {high:+.1f})".replace("-", "−")


def text(row, summaries):
    """The row for a terminal."""
    best = ratio(summaries)
    lines = [f"{row.title} ({row.unit})"]
    wide = max(map(len, summaries), default=8)
    for name, summary in ordered(summaries):
        name, figure, spread, rps, p99, compare, remarks = _cells(row, name, summary, best)
        rps = f"{rps:>9}/s" if rps else " " * 11
        p99 = f"p99 {p99:>7} ms" if p99 else " " * 14
        lines.append(f"  {name:{wide}} {figure:>9} {spread:>6} {rps} {p99}  {compare:15} {remarks}".rstrip())
    return "\n".join(lines)


def ordered(summaries):
    """Lowest figure first; those without one last."""
    return sorted(summaries.items(), key=lambda item: item[1].figure if item[1].figure is not None else math.inf)


def head(facts):
    """The lines above a table: without them it means nothing."""
    machine, versions = facts["machine"], facts["versions"]
    guest = ", virtual" if machine["virtual"] else ""
    lines = [
        f"- Date: {machine['date']}; Seawall {versions.get('seawall')}, built {facts['built']}, sources at {facts['commit']}",
        f"- Machine: {machine['cpu']}, {machine['cores']} cores{guest}, {machine['memory_gib']} GiB; {machine['kernel']}; "
        f"{machine['open_files']} open files",
        "- Peers: " + ", ".join(f"{name} {version}" for name, version in versions.items() if name != "seawall"),
        f"- Load: {facts['tools']}",
        f"- Command: `{facts['command']}`; medians of {facts['rounds']} rounds",
    ]
    lines += [f"- TLS negotiated: {facts['tls']}"] if facts.get("tls") else []
    lines += [f"- **{facts['stale']}**"] if facts.get("stale") else []
    lines.append(f"- Quiet: {facts['quiet']}")
    return lines


def markdown(facts, results):
    """The block for bench/README.md: where it comes from, an overview, a table a row."""
    out = [BEGIN, "", *head(facts), "", "| row | unit | Seawall | best peer | ratio |", "|---|---|--:|--:|--:|"]
    for row, summaries in results:
        if row.pairs:
            continue  # among ourselves
        ours, who = ratio(summaries)
        best = f"{who} {number(summaries[who].figure)}" if who else "–"
        mine = number(summaries["seawall"].figure) if "seawall" in summaries else "–"
        verdict = "–" if ours is None else f"**{ours:.2f}**" if ours <= 1 else f"{ours:.2f}"
        out.append(f"| `{row.name}` | {row.unit} | {mine} | {best} | {verdict} |")
    for row, summaries in results:
        out += ["", f"### {row.title} (`{row.name}`)", "", *_table(row, summaries)]
    return "\n".join([*out, "", END])


def _table(row, summaries):
    best = ratio(summaries)
    lines = [_cells(row, name, summary, best) for name, summary in ordered(summaries)]
    lines = [(f"**{c[0]}**" if c[0] == "seawall" else c[0], *c[1:]) for c in lines]
    titles = ("", row.unit, "spread", "responses/s", "p99, ms", "likely difference" if row.pairs else "to the best peer", "remarks")
    shown = [n for n in range(len(titles)) if n < 2 or any(cells[n] for cells in lines)]
    pick = lambda cells: "| " + " | ".join(cells[n] for n in shown) + " |"  # noqa: E731
    return [pick(titles), pick(["---", *["--:"] * 5, "---"]), *map(pick, lines)]


def write_markdown(path, block):
    """Into `path`: in place of the block that is there, or as a file of its own."""
    path = Path(path)
    old = path.read_text() if path.exists() else ""
    if BEGIN in old and END in old:
        before, rest = old.split(BEGIN, 1)
        block = before + block + rest.split(END, 1)[1]
    path.write_text(block if block.endswith("\n") else block + "\n")


def overview(results):
    """One line a row: where Seawall stands."""
    lines = []
    for row, summaries in results:
        ours, who = ratio(summaries)
        mine = summaries.get("seawall")
        if row.pairs:
            verdict = _pairs(summaries)
        elif mine and mine.faults:
            verdict = "BAD"
        elif ours is None:
            verdict = "nothing to compare with"
        else:
            verdict = f"{ours:5.2f} × {who}" + ("  leads" if ours <= 1 else "")
        lines.append(f"  {row.name:18} {number(mine.figure if mine else None):>9} {row.unit:18} {verdict}")
    return "\n".join(lines)


def _pairs(summaries):
    out = []
    for name, summary in summaries.items():
        for other, found in summary.against.items():
            out += [f"{name.removeprefix('seawall-')} {change(found)} on {other}"] if found else []
    return "; ".join(out)


def write_json(path, facts, results, samples):
    """Everything, each round's sample included."""
    rows = {
        row.name: {
            "title": row.title,
            "unit": row.unit,
            "peers": {
                name: {**dataclasses.asdict(s), "samples": [dataclasses.asdict(x) for x in samples[row.name][name]]}
                for name, s in summaries.items()
            },
        }
        for row, summaries in results
    }
    # NaN is not JSON.
    text = json.dumps({**facts, "rows": rows}, indent=1, default=str).replace("NaN", "null")
    Path(path).write_text(text + "\n")
