#!/usr/bin/env python3
"""Plants bugs in copies of the tree and expects the simulation to find each of them.

A simulation that has always passed proves nothing until it has failed for a reason that we chose. Every sim/mutants/*.patch
is one bug of a kind that real systems ship; its first line says in a sentence which, and a second one, "# Scenario: NAME",
where it shows when that is not everywhere. Each is applied to a copy of the tree, latham-sim is built there and run over
seeds until a checker speaks. The tree as it is runs over the same seeds and must be silent: a checker that shouts at
everything would find every mutant, too.

Usage: mutants.py [--seeds N] [--first N] [--jobs N] [--only NAME]... [--json]
       mutants.py --apply-only    only whether every patch applies to the tree as it is; builds nothing

Exit code: 0 all were found, 1 a mutant survived, does not build or does not apply, or the tree itself failed; 2 wrong words.
"""
import argparse
import concurrent.futures
import filecmp
import json
import os
import pathlib
import queue
import shutil
import signal
import subprocess
import sys
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
MUTANTS = ROOT / "sim" / "mutants"
SCRATCH = ROOT / "build" / "mutants"
NOT_COPIED = {"build", ".git", "data", "node_modules", ".cache", "compile_commands.json"}
CALM = "(the tree as it is)"
# Optimised little and without debug information: what a mutant costs is mostly its compilation.
FLAGS = "-O1 -g0"


class Trouble(Exception):
    """What stands in the table instead of a checker, and fails the run."""


def environment(tree):
    env = dict(os.environ)
    # The copies lie inside a work tree; git apply would take the paths of a patch to be relative to that one, and skip them all.
    env["GIT_CEILING_DIRECTORIES"] = str(tree.parent)
    # The copies share what they compile alike: relative paths, and the directory is no part of the key.
    env["CCACHE_BASEDIR"] = str(tree)
    env["CCACHE_NOHASHDIR"] = "1"
    return env


def command(words, tree, what):
    done = subprocess.run(words, cwd=tree, env=environment(tree), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    if done.returncode != 0:
        raise Trouble(f"{what}: {done.stdout.strip()[-2000:]}")
    return done.stdout


def files_of(top):
    out = set()
    for here, directories, names in os.walk(top):
        directories[:] = [d for d in directories if d not in NOT_COPIED]
        out.update(pathlib.Path(here, name).relative_to(top) for name in names if name not in NOT_COPIED)
    return out


def make_like_root(tree):
    """Only what differs is written, so that only what differs is built again."""
    wanted = files_of(ROOT)
    for gone in files_of(tree) - wanted if tree.exists() else ():
        (tree / gone).unlink()
    for name in wanted:
        at = tree / name
        if at.is_file() and not at.is_symlink() and filecmp.cmp(ROOT / name, at, shallow=False):
            continue
        at.parent.mkdir(parents=True, exist_ok=True)
        # Its time is now: an original that comes back after its mutant must be newer than the mutant's object.
        shutil.copyfile(ROOT / name, at)
        shutil.copymode(ROOT / name, at)


def applies(patch, tree):
    command(["git", "apply", "-p1", "--check", str(patch)], tree, "does not apply")


def sentence_of(patch):
    first = patch.read_text().splitlines()[0]
    if not first.startswith("# "):
        raise Trouble("its first line does not say what it is (\"# ...\")")
    return first[2:]


def scenario_of(patch):
    """Where its bug shows: a second line "# Scenario: NAME" names a file of sim/scenarios; without it, anything is drawn."""
    second = patch.read_text().splitlines()[1]
    return second.removeprefix("# Scenario: ") if second.startswith("# Scenario: ") else None


def build(tree):
    if not (tree / "build" / "CMakeCache.txt").exists():
        command(["cmake", "-G", "Ninja", "-B", "build", "-D", "CMAKE_BUILD_TYPE=RelWithDebInfo", "-D", f"CMAKE_CXX_FLAGS_RELWITHDEBINFO={FLAGS}",
                 "-D", "LATHAM_TESTS=OFF", "-D", "LATHAM_WEB=OFF", "-D", "LATHAM_WARNINGS_AS_ERRORS=OFF"], tree, "cannot be configured")
    # A copy uses one core; as many copies as cores are at work.
    command(["ninja", "-C", "build", "-j1", "latham-sim"], tree, "does not build")


def hunt(tree, scenario, first, seeds, tell):
    """(seeds run, checker, what it said); checker is None when all were silent. Stops at the first violation."""
    where = ["--scenario", str(tree / "sim" / "scenarios" / f"{scenario}.json")] if scenario else []
    sim = subprocess.Popen([str(tree / "build" / "latham-sim"), *where, "--seed", str(first), "--seeds", str(seeds), "--jobs", "1", "--json"],
                           stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, start_new_session=True)
    ran = 0
    try:
        for line in sim.stdout:
            ran += 1
            tell()
            verdict = json.loads(line)
            if not verdict["passed"]:
                return ran, verdict["checker"], f"seed {verdict['seed']}: {verdict['what']}"
        sim.wait()
        if ran != seeds:
            raise Trouble(f"latham-sim ended after {ran} of {seeds} seeds")
        return ran, None, ""
    finally:
        # Its children are of its group; the one that runs the next seed must not go on alone.
        if sim.poll() is None:
            os.killpg(sim.pid, signal.SIGKILL)
        sim.wait()


class Progress:
    def __init__(self, mutants):
        self.lock = threading.Lock()
        self.mutants, self.ended, self.seeds, self.began = mutants, 0, 0, time.monotonic()
        self.bar = sys.stderr.isatty()

    def seed(self):
        with self.lock:
            self.seeds += 1
            self.draw()

    def end(self, line):
        with self.lock:
            self.ended += 1
            print(("\r\033[K" if self.bar else "") + line, file=sys.stderr)
            self.draw()

    def draw(self):
        if not self.bar:
            return
        full = 30 * self.ended // self.mutants
        print(f"\r[{'#' * full}{' ' * (30 - full)}] {self.ended} of {self.mutants} mutants, {self.seeds} seeds, {time.monotonic() - self.began:.0f} s ", end="", file=sys.stderr, flush=True)


def main():
    words = argparse.ArgumentParser(description=__doc__.split("\n\n")[0], epilog="See the head of this file.")
    words.add_argument("--seeds", type=int, default=2000, help="a mutant that outlives so many has survived (default 2000)")
    words.add_argument("--first", type=int, default=1, help="the first seed (default 1)")
    words.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="copies of the tree at work at once (default: all cores)")
    words.add_argument("--only", action="append", default=[], metavar="NAME", help="only this mutant, without the tree as it is; may be said again")
    words.add_argument("--json", action="store_true", help="one JSON object a line instead of the table")
    words.add_argument("--apply-only", action="store_true", help="only whether every patch applies")
    o = words.parse_args()
    if o.seeds < 1 or o.jobs < 1:
        words.error("--seeds and --jobs are at least 1")

    patches = {p.stem: p for p in sorted(MUTANTS.glob("*.patch"))}
    for name in o.only:
        if name not in patches:
            words.error(f"there is no mutant {name}; there are: {' '.join(patches)}")
    if not patches:
        words.error(f"there is no mutant in {MUTANTS}")

    if o.apply_only:
        failed = 0
        for name, patch in patches.items():
            try:
                sentence_of(patch)
                applies(patch, ROOT)
            except Trouble as e:
                failed += 1
                print(f"{name}: {e}")
        print(f"{len(patches)} mutants, {failed} do not apply")
        return 1 if failed else 0

    # The tree as it is takes longest, so it begins first.
    scenarios = {None, *map(scenario_of, patches.values())}
    names = o.only or [*(CALM if s is None else f"{CALM} {s}" for s in sorted(scenarios, key=str)), *patches]
    trees = queue.SimpleQueue()
    for i in range(min(o.jobs, len(names))):
        trees.put(SCRATCH / f"tree-{i}")
    progress = Progress(len(names))

    def one(name):
        tree = trees.get()
        result = {"mutant": name, "sentence": "", "checker": None, "seeds": 0, "what": "", "fine": False}
        try:
            make_like_root(tree)
            calm = name.startswith(CALM)
            if calm:
                scenario = name.removeprefix(CALM).strip() or None
            else:
                scenario = scenario_of(patches[name])
                result["sentence"] = sentence_of(patches[name])
                applies(patches[name], tree)
                command(["git", "apply", "-p1", str(patches[name])], tree, "does not apply")
            build(tree)
            result["seeds"], result["checker"], result["what"] = hunt(tree, scenario, o.first, o.seeds, progress.seed)
            result["fine"] = (result["checker"] is None) == calm
        except Trouble as e:
            result["what"] = str(e)
        finally:
            trees.put(tree)
        said = result["checker"] or ("silent" if result["fine"] else "SURVIVED" if not result["what"] else result["what"])
        progress.end(f"{name}: {said}" + (f", {result['seeds']} seeds" if result["seeds"] else ""))
        return result

    with concurrent.futures.ThreadPoolExecutor(len(names) if len(names) < o.jobs else o.jobs) as pool:
        results = list(pool.map(one, names))
    if progress.bar:
        print(file=sys.stderr)

    if o.json:
        for r in results:
            print(json.dumps(r))
    else:
        width = max(len(r["mutant"]) for r in results)
        for r in results:
            verdict = r["checker"] or ("silent" if r["fine"] else "SURVIVED" if not r["what"] else "FAILED")
            print(f"{r['mutant']:<{width}} | {verdict:<30} | {r['seeds']:>5}" + ("" if r["fine"] else f" | {r['what'] or r['sentence']}"))
    bad = sum(not r["fine"] for r in results)
    if not o.json:
        print(f"{len(results)} rows, {bad} not as they should be")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
