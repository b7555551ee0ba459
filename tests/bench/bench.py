#!/usr/bin/env python3
"""Measures latham beside two baselines: same clip, same run, taking turns.

The sides, each from an empty directory:
  latham          latham encode CLIP DIRECTORY
  ffmpeg          one ffmpeg that makes the whole ladder (ffmpeg_ladder.sh)
  ffmpeg 1        the same with -threads 1 for its encoders
  split           split, one ffmpeg for each chunk of 10 s and rung, join, package (split_ladder.sh), at the same settings
  split shipped   the same with ffmpeg's own settings of x264
  served          latham serve: an upload over HTTP until the video is ready
Times are read off this machine while it does whatever else it does; the ratios are what to compare, because all sides met
the same neighbours. Who goes first changes each round. The long clip is the clip nine times over.
  CPU            user and system time of the command and all that it started
  wall           from start to end; for `served` from the first byte of the upload until the video is ready
  memory         the most that the process tree held at one time (sum of proportional set sizes, looked at four times a second)
  memory a slot  that, of `latham`, divided by its slots: the parent's share included
  first picture  until master.m3u8 and the first segment of its lowest rung are served, or complete on disk
Bytes and likeness of the rungs, and what x264 alone takes: quality.py.
"""
import argparse
import fractions
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import time

import quality
import report as reports
from host import machine, run
from playlists import joined_rungs
from served import run_served

HERE = pathlib.Path(__file__).resolve().parent
LOOPS = 9
CHUNK_SECONDS = 10  # of the split way
# What does not decide anything takes the time that is left of half an hour.
ROUNDS_MAX = {"split": 4, "split shipped": 3, "ffmpeg 1": 2, "served": 2}


def clip_facts(clip):
    out = subprocess.run(["ffprobe", "-v", "error", "-select_streams", "v:0", "-show_entries", "stream=codec_name,width,height,r_frame_rate:format=duration",
                          "-of", "json", str(clip)], capture_output=True, text=True, check=True)
    found = json.loads(out.stdout)
    stream = found["streams"][0]
    return {"name": clip.name, "bytes": clip.stat().st_size, "seconds": float(found["format"]["duration"]), "codec": stream["codec_name"],
            "width": stream["width"], "height": stream["height"], "rate": stream["r_frame_rate"], "fps": float(fractions.Fraction(stream["r_frame_rate"]))}


class Bench:
    def __init__(self, options):
        self.options = options
        self.work = options.work
        self.begin = time.monotonic()
        self.rounds = {}  # side -> results, in the order of the rounds
        self.kept = {}    # side -> {rung: file}, of the first round

    def say(self, text):
        print(text, flush=True)

    def minutes(self):
        return (time.monotonic() - self.begin) / 60

    def side(self, name, clip, number):
        out = self.work / "out"
        shutil.rmtree(out, ignore_errors=True)
        kind = name.split(",")[0]
        gop = self.gop
        if kind == "latham":
            result = run([self.options.latham, "encode", clip, out, "--json"])
            told = json.loads(result["out"])
            result |= {key: told[key] for key in ("idle_share", "stages_s", "slots", "digest")}
            result["slot_bytes"] = result["peak_bytes"] / told["slots"]
        elif kind == "served":
            result = run_served(self.options.latham, clip, self.work)
        elif kind in ("ffmpeg", "ffmpeg 1"):
            seen = {}

            def look(at):
                # The muxer writes to a name that ends in .tmp, so a file that is there is complete.
                if not seen and (out / "master.m3u8").exists() and (out / "chunk-stream0-00001.m4s").exists():
                    seen["first_picture_s"] = at

            result = run([HERE / "ffmpeg_ladder.sh", clip, out, gop, *(["-threads", "1"] if kind == "ffmpeg 1" else [])], look=look) | seen
        else:
            result = run([HERE / "split_ladder.sh", clip, out, gop, CHUNK_SECONDS, "shipped" if kind.endswith("shipped") else "same"])
        if number == 1 and name in ("latham", "ffmpeg") and not self.options.no_quality:
            self.kept[name] = joined_rungs(out, self.work, name)
        shutil.rmtree(out, ignore_errors=True)
        result.pop("out", None)
        self.rounds.setdefault(name, []).append(result)
        self.say(f"  {self.minutes():5.1f} min, round {number}, {name}: CPU {result['cpu_s']:.1f} s, wall {result['wall_s']:.1f} s, {result['peak_bytes'] / 1e6:.0f} MB")

    def turns(self, counts, clip, fits=lambda number: True):
        """`counts` says how many rounds each side runs; all of them are in the first."""
        names = list(counts)
        for number in range(1, max(counts.values()) + 1):
            if not fits(number):
                return
            for name in names[(number - 1) % len(names):] + names[:(number - 1) % len(names)]:
                if number <= counts[name]:
                    self.side(name, clip, number)

    def make_loop(self, clip, times):
        long = self.work / "long.mp4"
        subprocess.run(["ffmpeg", "-hide_banner", "-nostdin", "-loglevel", "error", "-y", "-stream_loop", str(times - 1), "-i", str(clip), "-map", "0", "-c", "copy", "-movflags", "+faststart", str(long)], check=True)
        return long

    def simulation(self):
        """What the simulation makes of one core: no ratio, so the middle one of five."""
        runs = [json.loads(subprocess.run([self.options.latham_sim, "--bench", "--json"], capture_output=True, text=True, check=True).stdout) for _ in range(5)]
        middle = sorted(runs, key=lambda r: r["steps_per_s"])[2]
        self.say(f"  {self.minutes():5.1f} min, simulation of {middle['storages']} storage, {middle['schedulers']} scheduler, {middle['workers']} worker nodes: {middle['steps_per_s'] / 1e6:.2f} M steps and "
                 f"{middle['virtual_s_per_s']:.0f} virtual seconds a second, {middle['steps_per_virtual_s']:.0f} steps a virtual second")
        return middle

    def summary(self):
        out = {}
        for name, results in self.rounds.items():
            keys = ("cpu_s", "wall_s", "peak_bytes", "first_picture_s", "idle_share", "slot_bytes")
            out[name] = {key: reports.spread(r[key] for r in results if key in r) for key in keys}
            if "stages_s" in results[0]:
                out[name]["stages_s"] = {stage: statistics.median(r["stages_s"][stage] for r in results) for stage in results[0]["stages_s"]}
        return out

    def ratios(self):
        out = {}
        for name, results in self.rounds.items():
            ours = "latham, long" if name.endswith("long") else "latham"
            if name != ours:
                out[name] = {key: reports.ratio(self.rounds[ours], results, key) for key in ("cpu_s", "wall_s", "peak_bytes")}
        return out


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--latham", default="build/latham")
    parser.add_argument("--latham-sim", default="build/latham-sim")
    parser.add_argument("--clip", type=pathlib.Path, required=True, help="a 1920x1080 video (default: Big Buck Bunny, fetched)")
    parser.add_argument("--seconds", type=float, help="only the first so many seconds of it")
    parser.add_argument("--work", type=pathlib.Path, required=True, help="scratch directory")
    parser.add_argument("--rounds", type=int, default=7, help="of latham and ffmpeg on the clip; the slower sides have fewer, see ROUNDS_MAX")
    parser.add_argument("--long-rounds", type=int, default=3, help="of latham and ffmpeg on the long clip")
    parser.add_argument("--minutes", type=float, default=30, help="no round of the long clip begins that would probably end later than this")
    parser.add_argument("--quick", action="store_true", help="8 seconds of the clip, two rounds, twice over for long: whether it works, in three minutes; its targets say nothing")
    parser.add_argument("--no-quality", action="store_true", help="leave out bytes, PSNR and x264 alone")
    parser.add_argument("--json", type=pathlib.Path, help="default: report.json beside the scratch directory; report.txt and report.svg go there, too")
    options = parser.parse_args()
    loops = LOOPS
    if options.quick:
        options.rounds, options.long_rounds, options.seconds, loops = 2, 1, options.seconds or 8, 2
    if options.rounds < 1 or options.long_rounds < 0:
        parser.error("--rounds is at least 1, --long-rounds at least 0")
    options.work.mkdir(parents=True, exist_ok=True)
    if options.seconds:
        cut = options.work / f"cut-{options.seconds:g}.mp4"
        subprocess.run(["ffmpeg", "-hide_banner", "-nostdin", "-loglevel", "error", "-y", "-i", str(options.clip), "-t", str(options.seconds), "-c", "copy", str(cut)], check=True)
        options.clip = cut
    clip = clip_facts(options.clip)
    if (clip["width"], clip["height"]) != (1920, 1080):
        raise SystemExit("bench: the baselines' ladder is for 1920x1080")
    bench = Bench(options)
    bench.gop = round(2 * clip["fps"])
    host = machine()
    bench.say(f"{host['processor']}, {host['cores']} cores, {host['memory_bytes'] / 2**30:.0f} GiB, {host['system']}, load {host['load_before']:.1f} before; {host['ffmpeg']}")
    bench.say(f"{clip['name']}: {clip['seconds']:.1f} s of {clip['width']}x{clip['height']} {clip['codec']} at {clip['fps']:g} fps, {clip['bytes']} bytes")

    others = {name: 1 if options.quick else min(most, options.rounds) for name, most in ROUNDS_MAX.items()}
    bench.turns({"latham": options.rounds, "ffmpeg": options.rounds} | others, options.clip)
    report = {"machine": host, "clip": clip, "gop": bench.gop, "rounds": bench.rounds}
    if not options.no_quality:
        report["quality"] = quality.compare(bench.kept["latham"], bench.kept["ffmpeg"], options.clip)
        alone = quality.encode_only_s(options.clip, bench.kept["latham"], clip["rate"], bench.gop, options.work)
        took = statistics.median(r["cpu_s"] for r in bench.rounds["latham"])
        report["limit"] = {"rungs_s": alone, "cpu_s": sum(alone.values()), "ratio": took / sum(alone.values())}
    if options.long_rounds:
        long = bench.make_loop(options.clip, loops)
        report["long_clip"] = clip_facts(long)
        a_round_minutes = loops * sum(statistics.median(r["wall_s"] for r in bench.rounds[name]) for name in ("latham", "ffmpeg")) / 60

        def fits(number):
            if number == 1 or bench.minutes() + a_round_minutes <= options.minutes:
                return True
            bench.say(f"  round {number} on the long clip is left out: it would end after {options.minutes:g} minutes")
            return False

        bench.turns({"latham, long": options.long_rounds, "ffmpeg, long": options.long_rounds}, long, fits)
        long.unlink()
    report["simulation"] = bench.simulation()
    report["summary"] = bench.summary()
    report["ratios"] = bench.ratios()
    report["targets"] = reports.targets_of(report)
    host |= {"load_after": os.getloadavg()[0], "minutes": bench.minutes()}
    for rungs in bench.kept.values():
        for path in rungs.values():
            path.unlink()
    text = reports.table(report)
    bench.say("\n" + text)
    where = options.json or options.work.parent / "report.json"
    where.write_text(json.dumps(report, indent=2) + "\n")
    where.with_suffix(".txt").write_text(text + "\n")
    where.with_suffix(".svg").write_text(reports.drawing(report))
    bench.say(f"\n{bench.minutes():.1f} minutes; written: {where}, and beside it .txt and .svg")


if __name__ == "__main__":
    main()
