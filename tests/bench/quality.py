"""What the time bought: bytes and likeness of each rung, and what x264 alone would have taken.

Likeness is the PSNR of luma against the source scaled by one fixed scaler, swscale's bicubic: the one that the ffmpeg
command uses itself, so that side is favoured.

The limit is what the same x264 takes for each rung alone, on one thread, from a file of raw pictures of the rung's size:
decoding and scaling are done before. Reading the file is not counted either: the same reader without x264 is subtracted.
Two rungs are encoded at a time, as two slots do, since cores that share memory slow each other down; all of it twice, and the
smaller time of each rung counts, since neighbours only add. Half a minute of pictures takes 4 GB of disk for as long.
"""
import concurrent.futures
import re
import subprocess

from host import run

# The same as media/av/rung_encoder.cpp and core/recipes.cpp have it.
X264 = ["-c:v", "libx264", "-preset", "veryfast", "-threads", "1",
        "-x264-params", "open-gop=0:cpu-independent=1:me=dia:scenecut=0:aq-strength=0.8:partitions=i8x8,i4x4:b-adapt=0"]
CRF = {"256x144": 22.5, "426x240": 23.0, "640x360": 23.5, "854x480": 23.5, "1280x720": 23.5, "1920x1080": 23.0}
MAXRATE_KBIT = {"256x144": 200, "426x240": 400, "640x360": 800, "854x480": 1400, "1280x720": 2800, "1920x1080": 5000}
PSNR_LOSS_DB_MAX = 0.05
BYTES_RATIO_MAX = 1.01


def psnr_db(coded, source, size):
    width, height = size.split("x")
    graph = f"[1:v]scale={width}:{height}:flags=bicubic,settb=AVTB,setpts=N[b];[0:v]settb=AVTB,setpts=N[a];[a][b]psnr"
    out = subprocess.run(["ffmpeg", "-hide_banner", "-nostdin", "-i", str(coded), "-i", str(source), "-filter_complex", graph, "-an", "-f", "null", "-"],
                         capture_output=True, text=True, check=True)
    return float(re.search(r"PSNR y:([\d.]+|inf)", out.stderr).group(1))


def compare(ours, theirs, source):
    """[{rung, bytes, psnr_db, their_bytes, their_psnr_db, met}] of two {rung: file}."""
    if ours.keys() != theirs.keys():
        raise SystemExit(f"bench: the ladders differ: {sorted(ours)} and {sorted(theirs)}")

    def row(size):
        a, b = ours[size], theirs[size]
        out = {"rung": size, "bytes": a.stat().st_size, "psnr_db": psnr_db(a, source, size), "their_bytes": b.stat().st_size, "their_psnr_db": psnr_db(b, source, size)}
        out["met"] = out["psnr_db"] >= out["their_psnr_db"] - PSNR_LOSS_DB_MAX and out["bytes"] <= BYTES_RATIO_MAX * out["their_bytes"]
        return out

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        return list(pool.map(row, ours))


def make_raw(source, size, raw):
    width, height = size.split("x")
    run(["ffmpeg", "-hide_banner", "-nostdin", "-loglevel", "error", "-y", "-i", source, "-an", "-vf", f"scale={width}:{height}:flags=lanczos,format=yuv420p", "-f", "rawvideo", raw])


def read_raw_s(raw, size, rate, options):
    """CPU seconds of a process that reads the pictures and does with them what `options` say."""
    return run(["ffmpeg", "-hide_banner", "-nostdin", "-loglevel", "error", "-f", "rawvideo", "-pix_fmt", "yuv420p", "-s", size, "-r", rate, "-i", raw, *options, "-f", "null", "-"])["cpu_s"]


def encode_only_s(source, rungs, rate, gop, work):
    """{rung: CPU seconds of x264 alone}"""
    raws = {size: work / f"raw-{size}.yuv" for size in rungs}

    def one(size):
        kbit = MAXRATE_KBIT[size]
        whole = read_raw_s(raws[size], size, rate, [*X264, "-crf", str(CRF[size]), "-g", str(gop),
                                                    "-maxrate", f"{kbit}k", "-bufsize", f"{2 * kbit}k"])
        return size, whole - read_raw_s(raws[size], size, rate, ["-c:v", "wrapped_avframe"])

    try:
        for size, raw in raws.items():
            make_raw(source, size, raw)
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            # The largest takes as long as all others together.
            largest_first = sorted(rungs, key=lambda size: -int(size.split("x")[0]))
            passes = [dict(pool.map(one, largest_first)) for _ in range(2)]
            return {size: min(each[size] for each in passes) for size in largest_first}
    finally:
        for raw in raws.values():
            raw.unlink(missing_ok=True)
