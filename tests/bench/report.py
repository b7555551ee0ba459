"""Rounds in, words out: medians with spreads, ratios of rounds with an interval, targets, a table, a drawing."""
import math
import statistics

# Two-sided 95 % of Student's t, by degrees of freedom.
T95 = [None, 12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131]


def spread(values):
    values = list(values)
    return {"median": statistics.median(values), "min": min(values), "max": max(values), "all": values} if values else None


def ratio(ours, theirs, key):
    """Of the rounds that both sides ran: median, extremes, and where the mean ratio lies with 95 % (t over the logarithms of
    each round's ratio); None when one side has no round. One round has no interval."""
    pairs = [a[key] / b[key] for a, b in zip(ours, theirs)]
    if not pairs:
        return None
    out = spread(pairs) | {"low": None, "high": None}
    if len(pairs) > 1:
        logs = [math.log(x) for x in pairs]
        t = T95[min(len(logs) - 1, len(T95) - 1)]
        off = t * statistics.stdev(logs) / math.sqrt(len(logs))
        out["low"], out["high"] = math.exp(statistics.mean(logs) - off), math.exp(statistics.mean(logs) + off)
    return out


def cell(s, scale=1.0, digits=1):
    if s is None:
        return "-"
    return f"{s['median'] / scale:.{digits}f} ({s['min'] / scale:.{digits}f}-{s['max'] / scale:.{digits}f})"


def interval(r):
    if r is None:
        return "-"
    return f"{r['median']:.3f}" + (f" [{r['low']:.3f}, {r['high']:.3f}]" if r["low"] is not None else " [one round]")


def target(name, value, limit, shown, scale=1.0, unit=""):
    return {"name": name, "value": value, "limit": limit, "met": value <= limit, "text": f"{shown} of at most {limit * scale:g}{unit}"}


def targets_of(report):
    """What the project wants of itself, each met or missed by the median."""
    out = []
    sides, ratios = report["summary"], report["ratios"]
    for name, key, part, limit in (("CPU, of the ffmpeg command", "cpu_s", "ffmpeg", 0.82), ("CPU, of the split way at the same settings", "cpu_s", "split", 0.54),
                                   ("CPU, of the split way as shipped", "cpu_s", "split shipped", 0.33), ("wall on the long clip, of the ffmpeg command", "wall_s", "ffmpeg, long", 0.92)):
        r = ratios.get(part, {}).get(key)
        if r:
            out.append(target(name, r["median"], limit, interval(r)))
    for part in ("latham", "latham, long"):
        if part in sides:
            idle = sides[part]["idle_share"]["median"]
            out.append(target(f"idle slots ({part})", idle, 0.03, f"{100 * idle:.1f} %", 100, " %"))
    if "limit" in report:
        out.append(target("CPU, of x264 alone", report["limit"]["ratio"], 1.22, f"{report['limit']['ratio']:.3f}"))
    for part in ("latham", "latham, long"):
        if part in sides:
            per_slot = sides[part]["slot_bytes"]["median"]
            out.append(target(f"memory per slot ({part})", per_slot, 450e6, f"{per_slot / 1e6:.0f} MB", 1e-6, " MB"))
    for row in report.get("quality", []):
        out.append({"name": f"quality of {row['rung']}", "met": row["met"], "value": row["bytes"] / row["their_bytes"], "limit": 1.01,
                    "text": f"{row['bytes'] / row['their_bytes'] - 1:+.1%} bytes of at most +1 %, {row['psnr_db'] - row['their_psnr_db']:+.2f} dB of at least -0.05"})
    sim = report.get("simulation")
    if sim:
        for name, key, least, scale, unit in (("simulation, steps a second", "steps_per_s", 0.4e6, 1e-6, " M"), ("simulation, virtual seconds a second", "virtual_s_per_s", 200, 1, "")):
            out.append({"name": name, "met": sim[key] >= least, "value": sim[key], "limit": least, "text": f"{sim[key] * scale:.2f}{unit} of at least {least * scale:g}{unit}"})
    return out


def table(report):
    lines = [f"{'median (min-max)':<16} {'rounds':>6} {'CPU s':>22} {'wall s':>22} {'memory MB':>16}   CPU of latham's, with its 95 % interval; wall"]
    for name, side in report["summary"].items():
        r = report["ratios"].get(name, {})
        ratios = f"{interval(r['cpu_s'])}; {interval(r['wall_s'])}" if r.get("cpu_s") else ""
        lines.append(f"{name:<16} {len(side['cpu_s']['all']):>6} {cell(side['cpu_s']):>22} {cell(side['wall_s']):>22} {cell(side['peak_bytes'], 1e6, 0):>16}   {ratios}")
    for name in ("served", "ffmpeg"):
        if report["summary"].get(name, {}).get("first_picture_s"):
            lines.append(f"first picture, s, {name}: {cell(report['summary'][name]['first_picture_s'], 1, 2)}")
    lines.append("")
    stages = report["summary"]["latham"]["stages_s"]
    whole = report["summary"]["latham"]["cpu_s"]["median"]
    lines.append("where latham's processor time goes, s (medians): " + ", ".join(f"{n} {v:.2f} ({v / whole:.1%})" for n, v in stages.items() if n != "wait"))
    lines.append(f"slots waiting for bytes: {stages['wait']:.2f} s by the clock; idle {report['summary']['latham']['idle_share']['median']:.1%}")
    if "limit" in report:
        limit = report["limit"]
        lines.append(f"x264 alone: {limit['cpu_s']:.1f} s (" + ", ".join(f"{size} {s:.1f}" for size, s in limit["rungs_s"].items()) + f"); latham takes {limit['ratio']:.3f} of it")
    if report.get("quality"):
        lines += ["", f"{'rung':<12} {'latham bytes':>13} {'ffmpeg bytes':>13} {'ratio':>6} {'latham dB':>10} {'ffmpeg dB':>10}   (PSNR of luma, the source scaled by bicubic)"]
        for row in report["quality"]:
            lines.append(f"{row['rung']:<12} {row['bytes']:>13} {row['their_bytes']:>13} {row['bytes'] / row['their_bytes']:>6.3f} {row['psnr_db']:>10.2f} {row['their_psnr_db']:>10.2f}   {'pass' if row['met'] else 'FAIL'}")
    lines += ["", "targets"]
    lines += [f"  {'met   ' if t['met'] else 'MISSED'} {t['name']}: {t['text']}" for t in report["targets"]]
    return "\n".join(lines)


def drawing(report):
    """CPU seconds by side as an SVG: a bar to the median, a line from the least to the most."""
    sides = [(name, side["cpu_s"]) for name, side in report["summary"].items() if not name.endswith("long")]
    most = max(s["max"] for _, s in sides)
    left, width, row = 130, 480, 30
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + width + 70}" height="{row * len(sides) + 40}" font-family="sans-serif" font-size="13">',
           '<rect width="100%" height="100%" fill="white"/>', f'<text x="10" y="20">CPU seconds for {report["clip"]["seconds"]:.0f} s of 1080p, six rungs: median, least and most</text>']
    for i, (name, s) in enumerate(sides):
        y = 32 + i * row
        at = lambda v: left + width * v / most
        colour = "#2b6cb0" if name in ("latham", "served") else "#a0aec0"
        out.append(f'<text x="{left - 8}" y="{y + 16}" text-anchor="end">{name}</text><rect x="{left}" y="{y}" width="{at(s["median"]) - left:.1f}" height="22" fill="{colour}"/>'
                   f'<path d="M{at(s["min"]):.1f} {y + 11}H{at(s["max"]):.1f}" stroke="black" stroke-width="2"/><text x="{at(s["max"]) + 6:.1f}" y="{y + 16}">{s["median"]:.1f}</text>')
    return "\n".join(out + ["</svg>"]) + "\n"
