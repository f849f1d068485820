"""Pictures as SVG text, without a library: distributions of waits on a logarithmic axis."""
import math

COLOURS = ["#8a8f98", "#d9822b", "#137752"]
FLOOR = 0.05  # ms; what did not wait at all is drawn here


def waits_svg(results, delay_ms):
    """For each result, the share of fetches (y) that waited longer than x."""
    left, top, width, height = 64, 40, 640, 300
    low, high = math.log10(FLOOR), math.log10(max([delay_ms * 10] + [r["waits"][-1] for r in results if r["waits"]]))

    def x(ms):
        return left + width * (math.log10(max(ms, FLOOR)) - low) / (high - low)

    def y(share):
        # 100 % at the top, 0.1 % at the bottom, by orders of magnitude: what users feel is the tail.
        return top + height * (-math.log10(max(share, 0.001)) / 3)

    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {left + width + 150} {top + height + 60}" '
        'font-family="sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="white"/>',
        f'<text x="{left}" y="20" font-size="14">Fetches of archived data that waited longer than x, archive at {delay_ms} ms</text>',
    ]
    for share in (1, 0.1, 0.01, 0.001):
        out.append(f'<line x1="{left}" x2="{left + width}" y1="{y(share):.1f}" y2="{y(share):.1f}" stroke="#ddd"/>')
        out.append(f'<text x="{left - 8}" y="{y(share) + 4:.1f}" text-anchor="end">{100 * share:g} %</text>')
    ms = 0.1
    while math.log10(ms) <= high:
        out.append(f'<line x1="{x(ms):.1f}" x2="{x(ms):.1f}" y1="{top}" y2="{top + height}" stroke="#eee"/>')
        out.append(f'<text x="{x(ms):.1f}" y="{top + height + 18}" text-anchor="middle">{ms:g}</text>')
        ms *= 10
    out.append(f'<text x="{left + width / 2}" y="{top + height + 40}" text-anchor="middle">wait, ms</text>')
    for i, result in enumerate(results):
        waits = result["waits"]
        colour = COLOURS[i % len(COLOURS)]
        points = [(x(FLOOR), y(1))]
        for n, wait in enumerate(waits):
            points.append((x(wait), y(1 - n / len(waits))))
            points.append((x(wait), y(1 - (n + 1) / len(waits))))
        path = " ".join(f"{px:.1f},{py:.1f}" for px, py in points)
        out.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        out.append(f'<rect x="{left + width + 16}" y="{top + 22 * i}" width="14" height="4" fill="{colour}"/>')
        out.append(f'<text x="{left + width + 36}" y="{top + 22 * i + 7}">{result["name"]}</text>')
    out.append("</svg>")
    return "\n".join(out) + "\n"
