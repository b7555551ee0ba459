"""What the bench knows of the machine: what it is, what a process tree takes, and one measured run of a command."""
import os
import pathlib
import re
import signal
import subprocess
import threading
import time

TICKS = os.sysconf("SC_CLK_TCK")
RUN_S_MAX = 1800


class Tree:
    """CPU time and memory of a process and all it started. Children that ended are in their parents' counts."""

    def __init__(self, pid):
        self.pid = pid
        self.peak_bytes = 0  # of all at one time
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


def run(command, stdin=None, look=None):
    """Runs `command` to its end, which must be a good one: {wall_s, cpu_s, peak_bytes, out}. `look` is called now and then."""
    begin = time.monotonic()
    process = subprocess.Popen([str(word) for word in command], stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)
    tree = Tree(process.pid)
    said = {}
    readers = [threading.Thread(target=lambda name=name, pipe=pipe: said.update({name: pipe.read()})) for name, pipe in (("out", process.stdout), ("err", process.stderr))]
    for reader in readers:
        reader.start()
    ended = {}

    def wait():
        # Of the command and of all that it started and waited for; subprocess would not say.
        _, ended["status"], ended["usage"] = os.wait4(process.pid, 0)
        ended["at"] = time.monotonic()

    waiter = threading.Thread(target=wait)
    waiter.start()
    while waiter.is_alive():
        waiter.join(0.02 if look else 1.0)
        if look:
            look(time.monotonic() - begin)
        if time.monotonic() - begin > RUN_S_MAX and "status" not in ended:
            os.killpg(process.pid, signal.SIGKILL)
    tree.stop()
    for reader in readers:
        reader.join()
    process.returncode = os.waitstatus_to_exitcode(ended["status"])
    if process.returncode != 0:
        raise SystemExit(f"bench: {' '.join(str(word) for word in command)} ended with {process.returncode}: {said['err'].decode(errors='replace')[-500:]}")
    return {"wall_s": ended["at"] - begin, "cpu_s": ended["usage"].ru_utime + ended["usage"].ru_stime, "peak_bytes": tree.peak_bytes, "out": said["out"]}


def machine():
    model = re.search(r"model name\s*:\s*(.+)", pathlib.Path("/proc/cpuinfo").read_text())
    memory = int(re.search(r"MemTotal:\s+(\d+)", pathlib.Path("/proc/meminfo").read_text()).group(1))
    release = re.search(r'PRETTY_NAME="([^"]+)"', pathlib.Path("/etc/os-release").read_text())
    ffmpeg = subprocess.run(["ffmpeg", "-version"], capture_output=True, text=True).stdout.split("\n")[0].split(" Copyright")[0]
    return {"processor": model.group(1) if model else "unknown", "cores": len(os.sched_getaffinity(0)), "memory_bytes": memory * 1024,
            "system": release.group(1) if release else "unknown", "kernel": os.uname().release, "ffmpeg": ffmpeg, "load_before": os.getloadavg()[0]}
