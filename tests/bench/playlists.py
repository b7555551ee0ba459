"""The little of HLS that the bench reads."""
import re


def variants_of(master):
    """[(name, uri)] of a master playlist, lowest first; a name is "256x144"."""
    found = re.findall(r"#EXT-X-STREAM-INF:[^\n]*RESOLUTION=(\d+)x(\d+)[^\n]*\n([^\n]+)", master)
    unique = {(int(w), int(h)): uri.strip() for w, h, uri in found}
    return [(f"{w}x{h}", uri) for (w, h), uri in sorted(unique.items())]


def parts_of(playlist):
    """The init segment, then all others."""
    first = re.findall(r'#EXT-X-MAP:[^\n]*URI="([^"]+)"', playlist)
    return first + [line.strip() for line in playlist.splitlines() if line and not line.startswith("#")]


def joined_rungs(ladder, target, prefix):
    """{rung: file} in `target`: each rung of the ladder in the directory `ladder` as one file."""
    rungs = {}
    for name, uri in variants_of((ladder / "master.m3u8").read_text()):
        playlist = (ladder / uri).resolve()
        path = target / f"{prefix}-{name}.mp4"
        with open(path, "wb") as file:
            for part in dict.fromkeys(parts_of(playlist.read_text())):
                file.write((playlist.parent / part).read_bytes())
        rungs[name] = path
    return rungs
