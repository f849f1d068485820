"""From the figures of peers.py to a table in Markdown and plots in SVG."""
import os
import re
import statistics

SHOWN = ("mb_per_s", "broker_cpu_s_per_gib", "broker_cores", "p50_ms", "p99_ms", "worst_ms", "behind_s", "requests_per_s")


def values(runs, key):
    return [run[key] for run in runs]


def median(runs, key):
    return statistics.median(values(runs, key))


def cell(runs, key, digits, unit=""):
    """Median and range."""
    found = sorted(values(runs, key))
    text = f"{statistics.median(found):,.{digits}f}"
    if len(found) > 1:
        text += f" ({found[0]:,.{digits}f}–{found[-1]:,.{digits}f})"
    return text + unit


def of(*parts):
    """A cell of several figures: (key, digits, unit)."""
    return lambda runs: ", ".join(cell(runs, *part) for part in parts)


THROUGHPUT = of(("mb_per_s", 0, " MB/s"), ("broker_cpu_s_per_gib", 2, " CPU-s/GiB"))
RATE = of(("p50_ms", 2, ""), ("p99_ms", 1, " ms at p50, p99"), ("broker_cpu_s_per_gib", 1, " CPU-s/GiB"))
DURABLE = of(("mb_per_s", 1, " MB/s"), ("p99_ms", 1, " ms at p99"), ("broker_cpu_s_per_gib", 1, " CPU-s/GiB"))
TO_END = of(("p50_ms", 2, ""), ("p99_ms", 1, " ms at p50, p99"), ("broker_cores", 2, " core"))
START = of(("idle_rss_mb", 0, " MB"), ("start_s", 2, ""), ("stop_s", 2, " s to start, stop"))
FIRST = of(("create_s", 2, " s to create"), ("first_second_p99_ms", 0, ""), ("p99_ms", 0, " ms at p99 of the first second, of all"), ("restart_s", 2, " s to restart"))
def replayed(runs):
    parts = (f"{cell(runs, f'cold{n}', 0)} of {cell(runs, f'warm{n}', 0)} MB/s ({median(runs, f'ratio{n}'):.0%})" for n in (1, 16, 50))
    return ", ".join(parts)


# Kafka's tiered storage needs a plugin that Maven does not have; these are of the same machine type at another time.
TIERED = "Aiven plugin 1.0.0, not of this run: 47 and 48 of 289 and 318 MB/s, 1 and 16 partitions"
ALONE = {"partitions-100000": "–", "cold-replay": TIERED}

MANY = of(("create_s", 1, " s to create"), ("p99_ms", 0, " ms at p99"), ("stop_s", 2, ""), ("restart_s", 2, " s to stop, restart"), ("kib_per_partition", 2, " KiB a partition"))



def at_least(factor, key):
    return lambda k, f, disk: (f"{factor} × MB/s", median(f, key) >= factor * median(k, key))


def share_of(share, text, key):
    return lambda k, f, disk: (text, median(f, key) <= share * median(k, key))


def below(limit, text, key):
    return lambda k, f, disk: (text, median(f, key) <= limit)


def durable_throughput(k, f, disk):
    return "0.8 × Kafka's unsynced MB/s or the disk's", median(f, "mb_per_s") >= 0.8 * min(median(k, "mb_per_s"), disk["1 MiB"])


def sustained(k, f, disk):
    return "sustained", all(run["missing"] == 0 and run["failed"] == 0 and run["behind_s"] < 1 for run in f)


# title, what a broker's cell says, the marks
ROWS = {
    "produce-page-cache": ("produce as fast as it goes, 16 partitions, acks=all; Forelog `durability=page-cache`", THROUGHPUT,
                           [at_least(1.3, "mb_per_s"), share_of(1 / 3, "1/3 of the CPU", "broker_cpu_s_per_gib")]),
    "produce-wal": ("the same; Forelog `durability=wal`, Kafka unsynced", THROUGHPUT, [durable_throughput]),
    "produce-20": ("produce at 20 MB/s, linger 5 ms; Forelog `wal`, Kafka unsynced", RATE,
                   [below(10, "p99 ≤ 10 ms", "p99_ms"), share_of(1 / 3, "1/3 of the CPU", "broker_cpu_s_per_gib")]),
    "durable-1": ("each batch durable, 64 partitions, 16 KiB batches, one connection", DURABLE,
                  [at_least(5, "mb_per_s"), share_of(0.1, "1/10 of p99", "p99_ms"), share_of(1 / 6, "1/6 of the CPU", "broker_cpu_s_per_gib")]),
    "durable-4": ("the same, four connections", DURABLE,
                  [at_least(5, "mb_per_s"), share_of(0.1, "1/10 of p99", "p99_ms"), share_of(1 / 6, "1/6 of the CPU", "broker_cpu_s_per_gib")]),
    "durable-rate": ("each batch durable, 64 partitions, 5,000 records/s, linger 2 ms", TO_END, [sustained, below(8, "p99 ≤ 8 ms", "p99_ms")]),
    "consume": ("consume warm, 16 partitions", THROUGHPUT,
                [at_least(1, "mb_per_s"), share_of(1, "≤ the CPU", "broker_cpu_s_per_gib")]),
    "end-to-end": ("end to end at 5,000 records/s, linger 0; Forelog `wal`, Kafka unsynced", TO_END,
                   [below(1, "p50 ≤ 1 ms", "p50_ms"), below(8, "p99 ≤ 8 ms", "p99_ms"), share_of(1 / 3, "1/3 of the core", "broker_cores")]),
    "start-stop": ("idle memory, start, stop", START,
                   [below(60, "≤ 60 MB", "idle_rss_mb"), below(0.3, "start ≤ 0.3 s", "start_s"), below(0.3, "stop ≤ 0.3 s", "stop_s")]),
    "partitions-2000": ("2,000 partitions: first writes to all at 5,000 records/s; clean restart", FIRST,
                        [sustained, below(1000, "first second", "first_second_p99_ms"), below(1, "restart ≤ 1 s", "restart_s")]),
    "cold-replay": ("cold replay at 50 ms from the archive, read-ahead alone, 1, 16, 50 partitions", replayed,
                    [lambda k, f, disk: ("80 % of warm", all(median(f, f"ratio{n}") >= 0.8 for n in (1, 16, 50)))]),
    "partitions-100000": ("100,000 partitions on one broker, 2,000 of them written to at 5,000 records/s", MANY,
                          [sustained, below(10, "creates ≤ 10 s", "create_s"), below(10, "restarts ≤ 10 s", "restart_s")]),
}


def marks(row, result):
    title, _, wanted = ROWS[row]
    peers = result["peers"]
    return [mark(peers.get("Kafka"), peers["Forelog"], result["disk"]) for mark in wanted]


def table(results, order):
    found = [row for row in order if row in results and (row in ALONE or len(results[row]["peers"]) == 2)]
    if not found:
        return "nothing measured yet"
    versions = sorted({version for row in found if (version := results[row]["kafka"])})
    lines = [f"| load (1 KiB records) | Kafka {', '.join(versions)} | Forelog | mark: reached? |", "|---|---|---|---|"]
    for row in found:
        title, say, _ = ROWS[row]
        peers = results[row]["peers"]
        kafka = say(peers["Kafka"]) if "Kafka" in peers else ALONE[row]
        reached = "; ".join(f"{text}: {'yes' if ok else '**no**'}" for text, ok in marks(row, results[row]))
        lines.append(f"| {title} | {kafka} | {say(peers['Forelog'])} | {reached} |")
    disks = [results[row]["disk"] for row in found]
    spans = ", ".join(f"{min(d[s] for d in disks):.0f}–{max(d[s] for d in disks):.0f} MB/s in {s}" for s in ("1 MiB", "16 KiB"))
    most = max(results[row]["repeats"] for row in found)
    fewer = "".join(f"; of {results[row]['repeats']}: {row}" for row in found if results[row]["repeats"] < most)
    took = sum(results[row].get("took_s", 0) for row in found)
    lines += ["", f"Median of {most} (range){fewer}. Forelog at {', '.join(sorted({results[row]['forelog'] for row in found}))}; all rows took "
              f"{took / 60:.0f} minutes. The disk by itself, before each row, in synced pieces: {spans}."]
    return "\n".join(lines)


# --- plots -------------------------------------------------------------------------------------------------------------
COLOURS = {"Kafka": "#b0b0b0", "Forelog": "#1f6fb2"}
STYLE = '<style>text{font:12px sans-serif;fill:#222}.axis{stroke:#888;stroke-width:1}.grid{stroke:#ddd;stroke-width:1}</style>'


def text(x, y, what, anchor="start"):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{what}</text>'


def bars(title, unit, rows):
    """Horizontal bars with their range. `rows`: (label, {broker: values})."""
    most = max(max(v) for _, by in rows for v in by.values())
    left, width, bar = 330, 400, 16
    out, y = [text(10, 20, title)], 44
    for label, by in rows:
        out.append(text(10, y + bar * len(by) / 2 + 4, label))
        for broker, found in by.items():
            middle, scale = statistics.median(found), width / most
            out.append(f'<rect x="{left}" y="{y}" width="{middle * scale:.1f}" height="{bar - 3}" fill="{COLOURS[broker]}"/>')
            low, high = left + min(found) * scale, left + max(found) * scale
            out.append(f'<line x1="{low:.1f}" y1="{y + 6.5}" x2="{high:.1f}" y2="{y + 6.5}" stroke="#222"/>')
            out.append(text(high + 6, y + 11, f"{middle:,.3g} {unit}  {broker}"))
            y += bar
        y += 12
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {left + width + 190} {y}" width="{left + width + 190}">{STYLE}{"".join(out)}</svg>\n'


def curves(title, rows):
    """Latency by percentile, logarithmic in both; `rows`: (label, {broker: [[share, ms]…]}), one panel each."""
    import math

    shares = [0.5, 0.9, 0.99, 0.999, 0.9999]
    left, width, height, gap = 60, 260, 200, 70
    low, high = 0.1, 10000.0
    x_of = lambda share: width * math.log10(0.5 / max(1 - share, 1e-4)) / math.log10(0.5 / 1e-4) if share > 0.5 else 0
    y_of = lambda ms: height - height * math.log10(max(ms, low) / low) / math.log10(high / low)
    out = [text(10, 20, title)]
    for i, (label, by) in enumerate(rows):
        ox, oy = left + i % 2 * (width + gap), 60 + i // 2 * (height + gap)
        out.append(text(ox, oy - 8, label))
        for ms in (0.1, 1, 10, 100, 1000, 10000):
            out.append(f'<line class="grid" x1="{ox}" x2="{ox + width}" y1="{oy + y_of(ms):.1f}" y2="{oy + y_of(ms):.1f}"/>')
            out.append(text(ox - 4, oy + y_of(ms) + 4, f"{ms:g}", "end"))
        for share in shares:
            out.append(text(ox + x_of(share), oy + height + 16, f"{share * 100:g}%", "middle"))
        for broker, curve in by.items():
            points = " ".join(f"{ox + x_of(s):.1f},{oy + y_of(ms):.1f}" for s, ms in curve if s >= 0.5)
            out.append(f'<polyline fill="none" stroke="{COLOURS[broker]}" stroke-width="2" points="{points}"/>')
            out.append(text(ox + width, oy + y_of(curve[-1][1]) - 4, broker, "end"))
    tall = 60 + (len(rows) + 1) // 2 * (height + gap)
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 720 {tall}" width="720">{STYLE}{"".join(out)}</svg>\n'


def middle_run(runs):
    return sorted(runs, key=lambda run: run["p99_ms"])[len(runs) // 2]


def plots(results):
    """{file name: SVG}"""
    loads = [row for row in ("produce-page-cache", "produce-wal", "durable-1", "durable-4", "consume") if row in results]
    rates = [row for row in ("produce-20", "durable-rate", "end-to-end", "partitions-2000") if row in results]
    short = lambda row: row.replace("-", " ")
    by = lambda row, key: {name: values(runs, key) for name, runs in results[row]["peers"].items()}
    out = {}
    if loads:
        out["throughput.svg"] = bars("Throughput, MB/s: median, range", "MB/s", [(short(row), by(row, "mb_per_s")) for row in loads])
        out["cpu.svg"] = bars("CPU of the broker, seconds per GiB: median, range", "s", [(short(row), by(row, "broker_cpu_s_per_gib")) for row in loads])
    if rates:
        rows = [(short(row), {name: middle_run(runs)["curve"] for name, runs in results[row]["peers"].items()}) for row in rates]
        out["latency.svg"] = curves("Latency from when a record was due, ms (the run of the median p99)", rows)
    return out


BEGIN, END = "<!-- bench-kafka: begin -->", "<!-- bench-kafka: end -->"


def write(results, order, document):
    folder = os.path.join(os.path.dirname(document), "figures")
    os.makedirs(folder, exist_ok=True)
    body = [BEGIN, table(results, order), ""]
    for name, svg in plots(results).items():
        with open(os.path.join(folder, name), "w", encoding="utf-8") as f:
            f.write(svg)
        body += [f"![{name}](figures/{name})", ""]
    with open(document, encoding="utf-8") as f:
        old = f.read()
    new = re.sub(re.escape(BEGIN) + ".*" + re.escape(END), lambda _: "\n".join([*body, END]), old, flags=re.S)
    if BEGIN not in old:
        new = old.rstrip("\n") + "\n\n" + "\n".join([*body, END]) + "\n"
    with open(document, "w", encoding="utf-8") as f:
        f.write(new)
