#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# swift-backpressure
"""Draws the pictures of the documentation: each twice, for a light and for a dark page.

    pictures.py            writes them into Sources/Backpressure/Backpressure.docc
    pictures.py --check    fails when those there are not what it would write

NAME.svg is for light pages and NAME~dark.svg for dark ones, as DocC expects.
"""

import pathlib
import sys

FOLDER = pathlib.Path(__file__).parent.parent / "Sources/Backpressure/Backpressure.docc"
FONT = "-apple-system, 'Helvetica Neue', Helvetica, Arial, sans-serif"

# text, faint text, lines, faint lines, surface, surface of answers, good, bad, accent
LIGHT = dict(text="#1d1d1f", faint="#5c5c61", line="#86868b", grid="#e4e4e8", box="#f5f5f7", answer="#e3f0ff",
             good="#1a7f37", bad="#c4281c", accent="#0066cc", band="#dcecfb")
DARK = dict(text="#f5f5f7", faint="#a8a8ad", line="#8a8a8f", grid="#3a3a3d", box="#2a2a2c", answer="#12335a",
            good="#4cc36a", bad="#ff6b60", accent="#4ba3ff", band="#173049")


def text(x, y, words, color, size=15, anchor="middle", weight="normal", slant="normal"):
    return (f'<text x="{x:g}" y="{y:g}" fill="{color}" font-size="{size}" text-anchor="{anchor}" '
            f'font-weight="{weight}" font-style="{slant}">{words}</text>')


def svg(width, height, parts):
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
            f'height="{height}" font-family="{FONT}">\n' + "\n".join(parts) + "\n</svg>\n")


# MARK: - Which primitive


def choosing(c):
    parts = []

    def box(x, y, lines, is_answer=False, width=218, height=54):
        fill, stroke = (c["answer"], c["accent"]) if is_answer else (c["box"], c["line"])
        radius = 27 if not is_answer else 8
        parts.append(f'<rect x="{x - width / 2:g}" y="{y - height / 2:g}" width="{width}" height="{height}" '
                     f'rx="{radius}" fill="{fill}" stroke="{stroke}"/>')
        for index, line in enumerate(lines):
            first = y + 5 - (len(lines) - 1) * 9.5
            weight = "600" if is_answer and index == 0 else "normal"
            color = c["text"] if index == 0 or not is_answer else c["faint"]
            size = 15 if index == 0 or not is_answer else 13
            parts.append(text(x, first + index * 19, line, color, size, weight=weight))

    def arrow(x1, y1, x2, y2, word="", dx=0, dy=0):
        parts.append(f'<path d="M{x1:g} {y1:g} L{x2:g} {y2:g}" stroke="{c["line"]}" fill="none" '
                     f'stroke-width="1.5" marker-end="url(#arrow)"/>')
        if word:
            parts.append(text((x1 + x2) / 2 + dx, (y1 + y2) / 2 + dy, word, c["faint"], 13, slant="italic"))

    parts.append(f'<defs><marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" '
                 f'orient="auto-start-reverse"><path d="M0 0 L8 4 L0 8 z" fill="{c["line"]}"/></marker></defs>')

    # The questions go down the middle; answers to the left are "yes", to the right what a second question tells apart.
    rows = [50, 160, 270, 380]
    middle, left, right = 440, 135, 745
    box(middle, rows[0], ["Is something handed over,", "task to task?"])
    box(middle, rows[1], ["Does a broker hand it over,", "and want it confirmed?"])
    box(middle, rows[2], ["Is the bound a number", "per time?"])
    box(middle, rows[3], ["Is it a number at once", "that you know?"])
    for above, below in zip(rows, rows[1:]):
        arrow(middle, above + 27, middle, below - 28, "no", dx=16, dy=4)
    box(left, rows[0], ["A channel", "Bounded, Buffered, Priority"], True)
    box(right, rows[0], ["Flow", "publishers and subscribers"], True)
    box(left, rows[1], ["CreditWindow", "takes a number"], True)
    box(right, rows[1], ["WatermarkGate", "only pause and resume"], True)
    box(left, rows[2], ["A rate limiter", "TokenBucket, Pacer, Keyed"], True)
    box(left, rows[3], ["A semaphore", "or Bulkhead, WorkerPool"], True)
    box(right, rows[3], ["ConcurrencyLimiter", "finds the number"], True)
    edge = 110
    arrow(middle - edge, rows[0], left + edge + 1, rows[0], "yes", dy=-8)
    arrow(middle + edge, rows[0], right - edge - 1, rows[0], "as asked for", dy=-8)
    arrow(middle - edge, rows[1], left + edge + 1, rows[1], "by number", dy=-8)
    arrow(middle + edge, rows[1], right - edge - 1, rows[1], "by signal", dy=-8)
    arrow(middle - edge, rows[2], left + edge + 1, rows[2], "yes", dy=-8)
    arrow(middle - edge, rows[3], left + edge + 1, rows[3], "yes", dy=-8)
    arrow(middle + edge, rows[3], right - edge - 1, rows[3], "no", dy=-8)
    return svg(880, 430, parts)


# MARK: - The generic cell rate algorithm


def gcra(c):
    """The worked numbers of RateLimiting.md: 10 per second, a burst of 3."""
    interval, burst = 100, 3
    requests = [(0, 2), (0, 2), (100, 2), (150, 1), (200, 1), (900, 3)]
    left, top, width, height, span, reach = 74, 20, 760, 360, 1000, 1300

    def x(time):
        return left + time / span * width

    def y(instant):
        return top + height - instant / reach * height

    parts = []
    # The band in which TAT may be: from now to now + burst * interval.
    parts.append(f'<path d="M{x(0):g} {y(0):g} L{x(0):g} {y(burst * interval):g} L{x(span):g} '
                 f'{y(span + burst * interval):g} L{x(span):g} {y(span):g} z" fill="{c["band"]}"/>')
    for instant in range(0, reach + 1, 200):
        parts.append(f'<path d="M{left} {y(instant):g} H{left + width}" stroke="{c["grid"]}"/>')
        parts.append(text(left - 10, y(instant) + 5, f"{instant}", c["faint"], 13, "end"))
    for time in range(0, span + 1, 100):
        parts.append(text(x(time), top + height + 22, f"{time}", c["faint"], 13))
    parts.append(text(left + width / 2, top + height + 46, "now, in ms", c["faint"], 14))
    parts.append(f'<g transform="translate(20 {top + height / 2:g}) rotate(-90)">'
                 + text(0, 0, "instant, in ms", c["faint"], 14) + "</g>")
    parts.append(f'<path d="M{x(0):g} {y(0):g} L{x(span):g} {y(span):g}" stroke="{c["line"]}" stroke-width="1.5"/>')
    parts.append(f'<path d="M{x(0):g} {y(burst * interval):g} L{x(span):g} {y(span + burst * interval):g}" '
                 f'stroke="{c["line"]}" stroke-width="1.5" stroke-dasharray="6 5"/>')
    slope = "rotate(-20"
    parts.append(f'<g transform="{slope} {x(330):g} {y(330) + 22:g})">'
                 + text(x(330), y(330) + 22, "now: the bucket is full", c["faint"], 14) + "</g>")
    parts.append(f'<g transform="{slope} {x(560):g} {y(860) - 12:g})">'
                 + text(x(560), y(860) - 12, "now + 3 · 100 ms: the bucket is empty", c["faint"], 14) + "</g>")

    # TAT: a step up with each request that is allowed.
    arrival, path, marks = 0, [f"M{x(0):g} {y(0):g}"], []
    for number, (now, count) in enumerate(requests, start=1):
        after = max(arrival, now) + count * interval
        if after <= now + burst * interval:
            path.append(f"H{x(now):g} V{y(after):g}")
            arrival = after
            marks.append(f'<circle cx="{x(now):g}" cy="{y(after):g}" r="6" fill="{c["good"]}"/>')
            marks.append(text(x(now) + 11, y(after) + 17, f"{count}", c["good"], 14, "start", "600"))
        else:
            marks.append(f'<path d="M{x(now) - 5:g} {y(after) - 5:g} l10 10 m0 -10 l-10 10" stroke="{c["bad"]}" '
                         f'stroke-width="2.5"/>')
            words = f"{count}: in {after - now - burst * interval} ms"
            marks.append(text(x(now) + 11, y(after) - 8, words, c["bad"], 14, "start", "600"))
    path.append(f"H{x(span):g}")
    parts.append(f'<path d="{" ".join(path)}" fill="none" stroke="{c["accent"]}" stroke-width="2.5"/>')
    parts.append(text(x(640), y(500) - 10, "TAT", c["accent"], 15, weight="600"))
    parts += marks
    return svg(860, 440, parts)


# MARK: - The tutorial: a queue of eight places in front of a store


def queue(c, places, beyond):
    """`places` holds the number of alarms among eight; `beyond` says how many events pile up in front."""
    parts, size, top = [], 44, 80
    parts.append(f'<defs><marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" '
                 f'orient="auto"><path d="M0 0 L8 4 L0 8 z" fill="{c["line"]}"/></marker></defs>')
    bound = 150 + 8 * size
    if places is not None:
        parts.append(f'<rect x="140" y="{top - 10}" width="{8 * size + 20}" height="{size + 20}" rx="10" '
                     f'fill="{c["box"]}" stroke="{c["accent"]}" stroke-width="2"/>')
        for place in range(8):
            is_alarm = place >= 8 - places
            color = c["bad"] if is_alarm else c["accent"]
            parts.append(f'<rect x="{150 + place * size + 4}" y="{top + 4}" width="{size - 8}" height="{size - 8}" rx="8" '
                         f'fill="{color}"/>')
        parts.append(text(150 + 4 * size, top + size + 36, "8 at any instant", c["faint"], 22))
    for number in range(beyond):
        column, row = number % 8, number // 8
        left = 150 + (7 - column) * size if places is None else 84 - column * size
        parts.append(f'<rect x="{left + 4}" y="{top + 4 - (row - 1 if places is None else 0) * size}" '
                     f'width="{size - 8}" height="{size - 8}" rx="8" fill="none" stroke="{c["accent"]}" stroke-width="2"/>')
    if places is None:
        parts.append(text(150 + 4 * size, top + 2 * size + 36, "no bound", c["faint"], 22))
    parts.append(f'<path d="M{bound + 18} {top + size / 2} H{bound + 62}" stroke="{c["line"]}" stroke-width="2" '
                 f'marker-end="url(#arrow)"/>')
    parts.append(f'<rect x="{bound + 70}" y="{top - 16}" width="110" height="{size + 32}" rx="8" fill="{c["answer"]}" '
                 f'stroke="{c["line"]}"/>')
    parts.append(text(bound + 125, top + size / 2 + 6, "store", c["text"], 24, weight="600"))
    return svg(720, 220, parts)


def measured(c):
    """A depth over time, with the thresholds of fullness."""
    left, top, width, height = 70, 20, 600, 150
    levels = [0.1, 0.2, 0.35, 0.6, 0.9, 1, 1, 0.95, 0.8, 0.75, 0.85, 0.65, 0.4, 0.3, 0.2, 0.15]

    def y(level):
        return top + height * (1 - level)

    parts = []
    for level, color, word in ((0.85, c["bad"], "fires"), (0.7, c["good"], "clears")):
        parts.append(f'<path d="M{left} {y(level):g} H{left + width}" stroke="{color}" stroke-dasharray="6 5" '
                     f'stroke-width="1.5"/>')
        parts.append(text(left - 8, y(level) + 5, f"{level}", c["faint"], 18, "end"))
        parts.append(text(left + width, y(level) - 6, word, color, 20, "end"))
    step = width / (len(levels) - 1)
    line = " ".join(f"{left + index * step:g},{y(level):g}" for index, level in enumerate(levels))
    parts.append(f'<polyline points="{line}" fill="none" stroke="{c["accent"]}" stroke-width="3"/>')
    parts.append(f'<path d="M{left} {top} V{top + height} H{left + width}" fill="none" stroke="{c["line"]}"/>')
    parts.append(text(left + width / 2, top + height + 26, "time", c["faint"], 20))
    return svg(720, 220, parts)


def card(c):
    """A queue, small and without words, for the list of tutorials: a page that is dark in either theme."""
    parts = [f'<rect x="20" y="20" width="300" height="120" rx="16" fill="none" stroke="{c["accent"]}" '
             f'stroke-width="4"/>']
    for place in range(3):
        color = c["bad"] if place == 2 else c["accent"]
        parts.append(f'<rect x="{38 + place * 92}" y="40" width="80" height="80" rx="14" fill="{color}"/>')
    return svg(340, 160, parts)


PICTURES = {
    "tutorial-card": card,
    "choosing": choosing,
    "gcra": gcra,
    "tutorial-unbounded": lambda colors: queue(colors, None, 24),
    "tutorial-bounded": lambda colors: queue(colors, 0, 1),
    "tutorial-chapter": lambda colors: queue(colors, 2, 0),
    "tutorial-measured": measured,
}


def main(arguments):
    stale = []
    for name, draw in PICTURES.items():
        for suffix, colors in (("", LIGHT), ("~dark", DARK)):
            file, wanted = FOLDER / f"{name}{suffix}.svg", draw(colors)
            if arguments == ["--check"]:
                if not file.exists() or file.read_text() != wanted:
                    stale.append(file.name)
            else:
                file.write_text(wanted)
    if stale:
        sys.exit("not as .ci/pictures.py draws them: " + ", ".join(stale))


if sys.argv[1:] not in ([], ["--check"]):
    sys.exit(__doc__)
main(sys.argv[1:])
