#!/usr/bin/env python3
"""Measures latham beside the plain ffmpeg command line: same clip, same run, taking turns.

Times are read off this machine while it does whatever else it does; the ratios are what to compare, because both sides
met the same neighbours. Each round starts a new server on an empty data directory.
  first picture  from the first byte of the upload until master.m3u8 and the first segment of its lowest rung are served;
                 for ffmpeg from its start until both files are complete on disk
  ready          from the first byte of the upload until the video is ready; for ffmpeg until it ends
  CPU            user and system time of the whole process tree, finished children included, from start until ready
  memory         the most that the tree held at one time (sum of proportional set sizes, looked at four times a second)
"""
import argparse
import http.client
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time
import urllib.parse

HERE = pathlib.Path(__file__).resolve().parent
TICKS = os.sysconf("SC_CLK_TCK")
POLL_S = 0.02
READY_S_MAX = 1800
PLAYABLE_S_MAX = 10  # after ready


class Tree:
    """CPU time and memory of a process and all it started. Children that ended are in their parents' counts."""

    def __init__(self, pid):
        self.pid = pid
        self.peak_bytes = 0
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.watch, daemon=True)
        self.thread.start()

    def members(self):
        children = {}
        stats = {}
        for entry in os.listdir("/proc"):
            if not entry.isdigit():
                continue
            try:
                text = pathlib.Path("/proc", entry, "stat").read_text()
            except OSError:
                continue
            fields = text[text.rindex(")") + 2:].split()
            stats[int(entry)] = fields
            children.setdefault(int(fields[1]), []).append(int(entry))
        found, todo = [], [self.pid]
        while todo:
            pid = todo.pop()
            if pid in stats:
                found.append((pid, stats[pid]))
                todo += children.get(pid, [])
        return found

    def cpu_s(self):
        return sum(sum(int(x) for x in fields[11:15]) for _, fields in self.members()) / TICKS

    def watch(self):
        while not self.over.wait(0.25):
            total = 0
            for pid, _ in self.members():
                try:
                    text = pathlib.Path("/proc", str(pid), "smaps_rollup").read_text()
                except OSError:
                    continue
                found = re.search(r"^Pss:\s+(\d+) kB", text, re.M)
                total += int(found.group(1)) * 1024 if found else 0
            self.peak_bytes = max(self.peak_bytes, total)

    def stop(self):
        self.over.set()
        self.thread.join()


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Server:
    def __init__(self, latham, data, log):
        self.port, admin = free_port(), free_port()
        self.log = open(log, "w")
        self.process = subprocess.Popen([latham, "serve", "--data", str(data), "--listen", f"127.0.0.1:{self.port}", "--admin", f"127.0.0.1:{admin}"],
                                        stdout=self.log, stderr=self.log)
        self.tree = Tree(self.process.pid)
        until = time.monotonic() + 30
        while True:
            try:
                if self.get("/version")[0] == 200:
                    return
            except OSError:
                pass
            if self.process.poll() is not None or time.monotonic() > until:
                raise SystemExit(f"bench: latham does not serve; see {log}")
            time.sleep(POLL_S)

    def get(self, path):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def upload(self, clip):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=300)
        with open(clip, "rb") as body:
            connection.request("POST", "/api/v1/videos?filename=" + urllib.parse.quote(os.path.basename(clip)), body=body,
                               headers={"Content-Type": "video/mp4", "Content-Length": str(os.path.getsize(clip))})
            answer = connection.getresponse()
            text = answer.read()
        connection.close()
        if answer.status != 201:
            raise SystemExit(f"bench: upload refused: {answer.status} {text[:300]!r}")
        return json.loads(text)["id"]

    def stop(self):
        self.tree.stop()
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise SystemExit("bench: latham did not end within 60 s of SIGTERM")
        finally:
            self.log.close()


def variants(master):
    """[(width, height, uri)] of a master playlist, lowest first."""
    found = re.findall(r"#EXT-X-STREAM-INF:[^\n]*RESOLUTION=(\d+)x(\d+)[^\n]*\n([^\n]+)", master)
    unique = {(int(w), int(h)): uri.strip() for w, h, uri in found}
    return [(w, h, uri) for (w, h), uri in sorted(unique.items())]


def segments(playlist):
    first = re.findall(r'#EXT-X-MAP:[^\n]*URI="([^"]+)"', playlist)
    return first + [line.strip() for line in playlist.splitlines() if line and not line.startswith("#")]


def first_picture_served(server, base, memory):
    """Whether master, the lowest rung's playlist, its init segment and first segment are all served."""
    if "uri" not in memory:
        status, master = server.get(f"{base}/master.m3u8")
        if status != 200 or not variants(master.decode()):
            return False
        memory["uri"] = urllib.parse.urljoin(f"{base}/master.m3u8", variants(master.decode())[0][2])
    status, playlist = server.get(memory["uri"])
    parts = segments(playlist.decode()) if status == 200 else []
    if len(parts) < 2:
        return False
    return all(server.get(urllib.parse.urljoin(memory["uri"], part))[0] == 200 for part in parts[:2])


def fetch_rungs(server, base, out):
    """{rung: file with init and all segments}"""
    rungs = {}
    master = server.get(f"{base}/master.m3u8")[1].decode()
    for width, height, uri in variants(master):
        playlist_uri = urllib.parse.urljoin(f"{base}/master.m3u8", uri)
        path = out / f"latham-{width}x{height}.mp4"
        with open(path, "wb") as file:
            done = set()
            for part in segments(server.get(playlist_uri)[1].decode()):
                if part in done:
                    continue
                done.add(part)
                status, body = server.get(urllib.parse.urljoin(playlist_uri, part))
                if status != 200:
                    raise SystemExit(f"bench: {part} is not served: {status}")
                file.write(body)
        rungs[f"{width}x{height}"] = path
    return rungs


def join_rungs(out, target):
    master = (out / "master.m3u8").read_text()
    rungs = {}
    for width, height, uri in variants(master):
        path = target / f"ffmpeg-{width}x{height}.mp4"
        with open(path, "wb") as file:
            for part in segments((out / uri).read_text()):
                file.write((out / part).read_bytes())
        rungs[f"{width}x{height}"] = path
    return rungs


def psnr_db(coded, source, size):
    width, height = size.split("x")
    out = subprocess.run(["ffmpeg", "-hide_banner", "-nostdin", "-i", str(coded), "-i", str(source), "-filter_complex",
                          f"[1:v]scale={width}:{height}:flags=bicubic,settb=AVTB,setpts=N[b];[0:v]settb=AVTB,setpts=N[a];[a][b]psnr", "-an", "-f", "null", "-"],
                         capture_output=True, text=True)
    found = re.search(r"PSNR y:([\d.]+)", out.stderr)
    return float(found.group(1)) if found else None


def run_latham(options, number, keep):
    data = options.work / f"data-{number}"
    shutil.rmtree(data, ignore_errors=True)
    server = Server(options.latham, data, options.work / f"latham-{number}.log")
    begin = time.monotonic()
    result = {}
    answer = {}
    sender = threading.Thread(target=lambda: answer.update(id=server.upload(options.clip)))
    sender.start()
    sender.join()
    if "id" not in answer:
        raise SystemExit("bench: the upload failed")
    result["upload_s"] = time.monotonic() - begin
    video, base, memory = answer["id"], f"/media/{answer['id']}", {}
    while True:
        if "first_picture_s" not in result and first_picture_served(server, base, memory):
            result["first_picture_s"] = time.monotonic() - begin
        state = json.loads(server.get(f"/api/v1/videos/{video}")[1])
        if state["state"] == "ready":
            result["ready_s"] = time.monotonic() - begin
            break
        if state["state"] == "failed" or time.monotonic() - begin > READY_S_MAX:
            raise SystemExit(f"bench: the video is {state['state']}: {state.get('error')}")
        time.sleep(POLL_S if "first_picture_s" not in result else 0.1)
    result["cpu_s"] = server.tree.cpu_s()
    while "first_picture_s" not in result:
        if first_picture_served(server, base, memory):
            result["first_picture_s"] = time.monotonic() - begin
        elif time.monotonic() - begin > result["ready_s"] + PLAYABLE_S_MAX:
            raise SystemExit("bench: the video is ready but its first segment is not served")
        else:
            time.sleep(POLL_S)
    result["peak_bytes"] = server.tree.peak_bytes
    rungs = fetch_rungs(server, base, options.work) if keep else {}
    server.stop()
    shutil.rmtree(data, ignore_errors=True)
    return result, rungs


def run_ffmpeg(options, number, keep):
    out = options.work / f"ffmpeg-{number}"
    shutil.rmtree(out, ignore_errors=True)
    before = os.times()
    begin = time.monotonic()
    process = subprocess.Popen([str(HERE / "ffmpeg_ladder.sh"), str(options.clip), str(out), str(options.gop)])
    tree = Tree(process.pid)
    result = {}
    while process.poll() is None:
        # The muxer writes to a name that ends in .tmp, so a file that is there is complete.
        if "first_picture_s" not in result and (out / "master.m3u8").exists() and (out / "chunk-stream0-00001.m4s").exists():
            result["first_picture_s"] = time.monotonic() - begin
        time.sleep(POLL_S)
    result["ready_s"] = time.monotonic() - begin
    tree.stop()
    if process.returncode != 0:
        raise SystemExit("bench: ffmpeg failed")
    after = os.times()
    result["cpu_s"] = after.children_user + after.children_system - before.children_user - before.children_system
    result["peak_bytes"] = tree.peak_bytes
    rungs = join_rungs(out, options.work) if keep else {}
    shutil.rmtree(out, ignore_errors=True)
    return result, rungs


def summary(values):
    values = [v for v in values if v is not None]
    return {"median": statistics.median(values), "min": min(values), "max": max(values), "all": values} if values else None


def cell(s, scale=1.0, digits=1):
    if s is None:
        return "-"
    return f"{s['median'] / scale:.{digits}f} ({s['min'] / scale:.{digits}f}-{s['max'] / scale:.{digits}f})"


def machine():
    model = re.search(r"model name\s*:\s*(.+)", pathlib.Path("/proc/cpuinfo").read_text())
    memory = int(re.search(r"MemTotal:\s+(\d+)", pathlib.Path("/proc/meminfo").read_text()).group(1))
    release = re.search(r'PRETTY_NAME="([^"]+)"', pathlib.Path("/etc/os-release").read_text())
    ffmpeg = subprocess.run(["ffmpeg", "-version"], capture_output=True, text=True).stdout.split("\n")[0].split(" Copyright")[0]
    return {"processor": model.group(1) if model else "unknown", "cores": len(os.sched_getaffinity(0)), "memory_bytes": memory * 1024,
            "system": release.group(1) if release else "unknown", "kernel": os.uname().release, "ffmpeg": ffmpeg, "load_before": os.getloadavg()[0]}


def clip_facts(clip):
    out = subprocess.run(["ffprobe", "-v", "error", "-select_streams", "v:0", "-show_entries", "stream=codec_name,width,height,r_frame_rate:format=duration",
                          "-of", "json", str(clip)], capture_output=True, text=True, check=True)
    found = json.loads(out.stdout)
    stream = found["streams"][0]
    num, den = stream["r_frame_rate"].split("/")
    return {"name": clip.name, "bytes": clip.stat().st_size, "seconds": float(found["format"]["duration"]), "codec": stream["codec_name"],
            "width": stream["width"], "height": stream["height"], "fps": int(num) / int(den)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--latham", default="build/latham")
    parser.add_argument("--clip", type=pathlib.Path, required=True, help="a 1920x1080 video (default: Big Buck Bunny, fetched)")
    parser.add_argument("--seconds", type=float, help="only the first so many seconds of it")
    parser.add_argument("--work", type=pathlib.Path, required=True, help="scratch directory")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--no-quality", action="store_true", help="leave out bytes and PSNR per rung")
    parser.add_argument("--json", type=pathlib.Path, help="write everything there, too")
    options = parser.parse_args()
    if options.rounds < 1:
        parser.error("--rounds is at least 1")
    options.work.mkdir(parents=True, exist_ok=True)
    if options.seconds:
        cut = options.work / f"cut-{options.seconds:g}.mp4"
        subprocess.run(["ffmpeg", "-hide_banner", "-nostdin", "-loglevel", "error", "-y", "-i", str(options.clip), "-t", str(options.seconds), "-c", "copy", str(cut)], check=True)
        options.clip = cut
    clip = clip_facts(options.clip)
    if (clip["width"], clip["height"]) != (1920, 1080):
        raise SystemExit("bench: the baseline's ladder is for 1920x1080")
    options.gop = round(2 * clip["fps"])
    host = machine()

    def say(text):
        print(text, flush=True)

    say(f"{host['processor']}, {host['cores']} cores, {host['memory_bytes'] / 2**30:.0f} GiB, {host['system']}, load {host['load_before']:.1f} before; {host['ffmpeg']}")
    say(f"{clip['name']}: {clip['seconds']:.1f} s of {clip['width']}x{clip['height']} {clip['codec']} at {clip['fps']:g} fps, {clip['bytes']} bytes; {options.rounds} rounds")
    sides = {"latham": [], "ffmpeg": []}
    rungs = {}
    for number in range(1, options.rounds + 1):
        last = number == options.rounds and not options.no_quality
        # Who goes first changes each round.
        for side in ("latham", "ffmpeg") if number % 2 else ("ffmpeg", "latham"):
            result, files = (run_latham if side == "latham" else run_ffmpeg)(options, number, last)
            sides[side].append(result)
            rungs[side] = files
            say(f"  round {number} {side}: first picture {result.get('first_picture_s', float('nan')):.2f} s, ready {result['ready_s']:.1f} s, "
                f"CPU {result['cpu_s']:.1f} s, {result['peak_bytes'] / 1e6:.0f} MB")
    report = {"machine": host | {"load_after": os.getloadavg()[0]}, "clip": clip, "rounds": sides, "summary": {}, "rungs": []}
    rows = [("first picture s", "first_picture_s", 1, 2), ("ready s", "ready_s", 1, 1), ("CPU s", "cpu_s", 1, 1), ("memory MB", "peak_bytes", 1e6, 0)]
    say(f"\n{'median (min-max)':<18} {'latham':>22} {'ffmpeg':>22} {'ratio (min-max)':>20}")
    for title, key, scale, digits in rows:
        ours, theirs = (summary([r.get(key) for r in sides[s]]) for s in ("latham", "ffmpeg"))
        ratio = summary([a[key] / b[key] for a, b in zip(sides["latham"], sides["ffmpeg"]) if a.get(key) and b.get(key)])
        report["summary"][key] = {"latham": ours, "ffmpeg": theirs, "ratio": ratio}
        say(f"{title:<18} {cell(ours, scale, digits):>22} {cell(theirs, scale, digits):>22} {cell(ratio, 1, 2):>20}")
    if rungs.get("latham"):
        say(f"\n{'rung':<12} {'latham bytes':>13} {'ffmpeg bytes':>13} {'ratio':>6} {'latham dB':>10} {'ffmpeg dB':>10}   (luma PSNR against the scaled source)")
        for size, path in rungs["latham"].items():
            other = rungs.get("ffmpeg", {}).get(size)
            row = {"rung": size, "latham_bytes": path.stat().st_size, "latham_psnr_db": psnr_db(path, options.clip, size),
                   "ffmpeg_bytes": other.stat().st_size if other else None, "ffmpeg_psnr_db": psnr_db(other, options.clip, size) if other else None}
            report["rungs"].append(row)
            if other:
                say(f"{size:<12} {row['latham_bytes']:>13} {row['ffmpeg_bytes']:>13} {row['latham_bytes'] / row['ffmpeg_bytes']:>6.2f} "
                    f"{row['latham_psnr_db'] or 0:>10.2f} {row['ffmpeg_psnr_db'] or 0:>10.2f}")
            else:
                say(f"{size:<12} {row['latham_bytes']:>13} {'-':>13}")
        for path in [*rungs["latham"].values(), *rungs["ffmpeg"].values()]:
            path.unlink(missing_ok=True)
    if options.json:
        options.json.write_text(json.dumps(report, indent=2) + "\n")
        say(f"\nwritten: {options.json}")


if __name__ == "__main__":
    main()
