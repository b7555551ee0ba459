#!/usr/bin/python3
"""Changes core/'s rules in small ways and expects the tests to notice each change.

Every operator, constant, condition and statement of core/**/*.cpp is a place where somebody may slip. A copy of the tree gets
all those slips at once, each behind a switch (switch.hpp), is compiled once, and then the unit tests, the property tests and
the simulation run once for each slip, until one of them fails. What none of them notices has survived: either a test is
missing, or the change means nothing. Those of the second kind are listed in judged.txt, each under the reason why.

All mutants go through the tests first and only those that are left through the simulation. Verdicts are kept in
build/core-mutants/results.jsonl, each with a digest of the executable that gave it: a run that was interrupted goes on, and
after a change only what it may have changed runs again.

Usage: core_mutants.py [--sample N] [--seed S] [--file PART] [--sim-seeds N] [--jobs N] [--only ID]... [--keep-killed]
       core_mutants.py --list      the places, without building anything

Exit code: 0 at least --least percent were noticed, 1 fewer were, judged.txt is wrong, or it could not be built; 2 wrong words.
Needs python3-clang, whose parser finds the places: Debian's python, not another one.
"""
import argparse
import collections
import concurrent.futures
import hashlib
import json
import os
import pathlib
import random
import re
import subprocess
import sys
import threading
import time

from clang import cindex
from clang.cindex import CursorKind as Kind

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "sim"))
import mutants  # noqa: E402
SCRATCH = ROOT / "build" / "core-mutants"
TREE = SCRATCH / "tree"
UNFIT = SCRATCH / "unfit.txt"  # places that do not compile
RESULTS = SCRATCH / "results.jsonl"
JUDGED = ROOT / "tests" / "mutation" / "judged.txt"
TESTS = ("unit_core", "property_core", "unit_store", "unit_actors")  # by what they cost
ROUNDS_MAX = 12  # of compiling without the places that do not compile
SEEDS_AT_ONCE = 10  # of the simulation, which runs all it was asked for
MEMORY_BYTES_MAX = 8 << 30  # a slip may take all there is

RELATIONS = {"<": "less", "<=": "less_equal", ">": "greater", ">=": "greater_equal", "==": "equal", "!=": "unequal"}
ARITHMETIC = {"+": "plus", "-": "minus", "*": "times", "/": "over"}
COMPOUND = {"+=": "add", "-=": "take"}
OPPOSITE = {"<": "<=", "<=": "<", ">": ">=", ">=": ">", "==": "!=", "!=": "==", "&&": "||", "||": "&&", "+": "-", "-": "+", "*": "/", "/": "*", "+=": "-=", "-=": "+="}
SCOPES_OF_CONSTANTS = {Kind.CASE_STMT, Kind.STATIC_ASSERT, Kind.ENUM_CONSTANT_DECL, Kind.TEMPLATE_REF, Kind.CXX_BASE_SPECIFIER}


FUNCTIONS = {Kind.FUNCTION_DECL, Kind.CXX_METHOD, Kind.CONSTRUCTOR, Kind.DESTRUCTOR, Kind.FUNCTION_TEMPLATE}


class Place:
    """One slip: bytes [begin, end) of a file become `head`, the parts rendered in their turn, and what joins them."""

    def __init__(self, file, begin, end, what, head, parts, tail, joints=()):
        self.file, self.begin, self.end, self.what = file, begin, end, what
        self.head, self.parts, self.tail, self.joints = head, parts, tail, joints
        self.id = -1
        self.line = 0
        self.function = ""  # the nearest one with a name
        self.text = ""
        self.nth = 1  # of its like in the function

    @property
    def key(self):
        """Stays the same while other places of the file change."""
        name = f"{self.file} @ {self.function} @ {self.what} @ {self.text}"
        return name if self.nth == 1 else f"{name} @ {self.nth}"


def span(cursor):
    return cursor.extent.start.offset, cursor.extent.end.offset


class Finder:
    def __init__(self, path, text):
        self.path, self.text = path, text
        self.places = []
        self.macros = []
        self.functions = []

    def inside_macro(self, begin, end):
        return any(a < end and begin < b for a, b in self.macros)

    def add(self, begin, end, what, head, parts, tail, joints=()):
        if begin < end and not self.inside_macro(begin, end):
            place = Place(self.path, begin, end, what, head, parts, tail, joints)
            place.function = self.functions[-1] if self.functions else ""
            place.text = " ".join(self.text[begin:end].decode(errors="replace").split())
            self.places.append(place)

    def find(self, arguments):
        unit = cindex.Index.create().parse(str(ROOT / self.path), arguments, options=cindex.TranslationUnit.PARSE_DETAILED_PROCESSING_RECORD)
        errors = [d for d in unit.diagnostics if d.severity >= cindex.Diagnostic.Error]
        if errors:
            raise SystemExit(f"{self.path}: clang's parser says: {errors[0]}")
        mine = str(ROOT / self.path)
        here = lambda c: c.location.file is not None and c.location.file.name == mine
        tops = [c for c in unit.cursor.get_children() if here(c)]
        self.macros = [span(c) for c in tops if c.kind == Kind.MACRO_INSTANTIATION]
        for c in tops:
            if not c.kind.is_preprocessing():
                self.visit(c, None)
        return self.places

    def operands(self, c):
        """(left, operator, right) of a binary operator, built in or overloaded; None when it is something else."""
        children = list(c.get_children())
        if c.kind == Kind.CALL_EXPR:
            if not c.spelling.startswith("operator") or len(children) != 3:
                return None
            left, right = children[0], children[2]
        elif len(children) == 2:
            left, right = children
        else:
            return None
        operator = self.text[span(left)[1]:span(right)[0]].decode(errors="replace").strip()
        return (left, operator, right) if operator in OPPOSITE else None

    def visit(self, c, parent):
        named = c.kind in FUNCTIONS
        if named:
            self.functions.append(c.spelling)
        self.look(c)
        if named:
            self.functions.pop()

    def look(self, c):
        if c.kind in SCOPES_OF_CONSTANTS:
            # A case's body is code like any other; its label is a constant.
            for child in list(c.get_children())[1:] if c.kind == Kind.CASE_STMT else ():
                self.statement(child)
                self.visit(child, c)
            return
        if c.kind == Kind.VAR_DECL and re.match(rb"(inline |static )*constexpr\b|(static )?const .*\[\]", self.text[slice(*span(c))]):
            # A table or a bound: only its numbers, if they can be another; the compiler says so.
            return
        if c.kind in (Kind.BINARY_OPERATOR, Kind.COMPOUND_ASSIGNMENT_OPERATOR, Kind.CALL_EXPR):
            self.binary(c)
        elif c.kind == Kind.UNARY_OPERATOR and self.text[c.extent.start.offset:c.extent.start.offset + 1] == b"!":
            operand = next(c.get_children())
            self.add(*span(c), "! left out", "latham::mutant::no(#, ", [span(operand)], ")")
        elif c.kind == Kind.INTEGER_LITERAL:
            word = self.text[slice(*span(c))].decode()
            if word[:1].isdigit():  # the nought that <=> is compared with is nowhere in the text
                self.add(*span(c), f"{word} becomes one more", "latham::mutant::next(#, ", [span(c)], ")")
        elif c.kind == Kind.CXX_BOOL_LITERAL_EXPR:
            self.add(*span(c), "the opposite", "latham::mutant::flip(#, ", [span(c)], ")")
        elif c.kind in (Kind.IF_STMT, Kind.WHILE_STMT):
            self.condition(c)
        children = list(c.get_children())
        if c.kind == Kind.COMPOUND_STMT:
            for child in children:
                self.statement(child)
        elif c.kind in (Kind.IF_STMT, Kind.FOR_STMT, Kind.WHILE_STMT, Kind.CXX_FOR_RANGE_STMT) and len(children) > 1:
            for child in children[1:]:
                # The last ones are bodies; a `for` has expressions of its own before, which are no statements.
                if c.kind == Kind.IF_STMT or child == children[-1]:
                    self.statement(child)
        for child in children:
            if c.kind == Kind.VAR_DECL and child.extent.end.offset <= c.location.offset:
                continue  # in its type
            self.visit(child, c)

    def binary(self, c):
        found = self.operands(c)
        if found is None:
            return
        left, operator, right = found
        parts = [span(left), span(right)]
        what = f"{operator} becomes {OPPOSITE[operator]}"
        kind_of = left.type.get_canonical().spelling
        if operator in RELATIONS:
            self.add(*span(c), what, f"latham::mutant::{RELATIONS[operator]}(#, ", parts, ")", (", ",))
        elif operator in ("&&", "||"):
            self.add(*span(c), what, f"latham::mutant::{'both' if operator == '&&' else 'either'}(#, ", parts, "); })", (", [&] { return static_cast<bool>(",))
        elif "string" in kind_of or "iterator" in kind_of or "*" in kind_of or "[" in kind_of:
            return  # there is no opposite
        elif operator in ARITHMETIC:
            self.add(*span(c), what, f"latham::mutant::{ARITHMETIC[operator]}(#, ", parts, ")", (", ",))
        elif operator in COMPOUND:
            self.add(*span(c), what, f"latham::mutant::{COMPOUND[operator]}(#, ", parts, ")", (", ",))

    def condition(self, c):
        children = list(c.get_children())
        if len(children) < 2 or not children[0].kind.is_expression():
            return
        first = children[0]
        while first.kind in (Kind.UNEXPOSED_EXPR, Kind.PAREN_EXPR) and len(list(first.get_children())) == 1:
            first = next(first.get_children())
        if first.kind in (Kind.BINARY_OPERATOR, Kind.UNARY_OPERATOR) or (first.kind == Kind.CALL_EXPR and self.operands(first)):
            return  # has a slip of its own that turns it round
        self.add(*span(children[0]), "condition turned round", "latham::mutant::flip(#, ", [span(children[0])], ")")

    def statement(self, c):
        begin, end = span(c)
        text = self.text[begin:end]
        plain = c.kind in (Kind.CALL_EXPR, Kind.COMPOUND_ASSIGNMENT_OPERATOR, Kind.UNARY_OPERATOR, Kind.BINARY_OPERATOR, Kind.UNEXPOSED_EXPR, Kind.CONTINUE_STMT, Kind.BREAK_STMT)
        if not plain and not (c.kind == Kind.RETURN_STMT and not list(c.get_children())):
            return
        if text.startswith(b"(void)"):
            return
        semicolon = re.match(rb"\s*;", self.text[end:])
        if semicolon is None:
            return
        self.add(begin, end + semicolon.end(), "left out", "{ if (!latham::mutant::on(#)) ", [(begin, end)], "; }")


def render(text, begin, end, places):
    """`text[begin:end]` with all `places` (those that lie inside) behind their switches."""
    out = []
    at = begin
    # The outermost first; of two with the same extent the first found is the outer one.
    todo = sorted((p for p in places if begin <= p.begin and p.end <= end), key=lambda p: (p.begin, -p.end))
    while todo:
        p = todo.pop(0)
        out.append(text[at:p.begin])
        inner = [q for q in todo if q.end <= p.end and q.begin < p.end]
        todo = [q for q in todo if q.begin >= p.end]
        out.append(p.head.replace("#", str(p.id)).encode())
        lost = 0
        for i, (a, b) in enumerate(p.parts):
            out.append(render(text, a, b, [q for q in inner if a <= q.begin and q.end <= b]))
            if i < len(p.joints):
                out.append(p.joints[i].encode())
                lost += text[b:p.parts[i + 1][0]].count(b"\n")
        out.append(p.tail.encode() + b"\n" * lost)  # the compiler's lines stay those of the source
        at = p.end
    out.append(text[at:end])
    return b"".join(out)


def switched(body):
    """The ids of the switches in a rendered file."""
    return {int(number) for number in re.findall(rb"latham::mutant::\w+\((\d+)[,)]", body)}


def arguments_of(path):
    commands = json.loads((ROOT / "build" / "compile_commands.json").read_text())
    for entry in commands:
        if pathlib.Path(entry["file"]) == ROOT / path:
            words = entry["command"].split()
            kept = [w for w in words if w.startswith(("-I", "-D", "-std="))]
            for i, word in enumerate(words):
                if word == "-isystem":
                    kept += [word, words[i + 1]]
            return kept
    raise SystemExit(f"build/compile_commands.json does not know {path}: build first (make test)")


def places_of():
    found, texts = [], {}
    for path in sorted((ROOT / "core").rglob("*.cpp")):
        name = path.relative_to(ROOT)
        text = path.read_bytes()
        texts[name] = text
        found += Finder(name, text).find(arguments_of(name))
    for i, p in enumerate(found):
        p.id = i
        p.line = texts[p.file][:p.begin].count(b"\n") + 1
    likes = collections.Counter()
    for p in sorted(found, key=lambda p: (str(p.file), p.begin)):
        like = (p.file, p.function, p.what, p.text)
        likes[like] += 1
        p.nth = likes[like]
    return found, texts


def copy_tree():
    mutants.make_like_root(TREE)
    write_if_other(TREE / "core" / "mutant_switch.hpp", (ROOT / "tests" / "mutation" / "switch.hpp").read_bytes())


def write_if_other(path, content):
    if not path.exists() or path.read_bytes() != content:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def unfit_at(places, texts, bodies, file, line, column):
    """The ids of what the compiler complains of: the switch it points to, or, when it points elsewhere, all on that line."""
    body = bodies[file][line - 1] if line <= len(bodies.get(file, ())) else b""
    for call in re.finditer(rb"latham::mutant::(\w+)\((\d+)[,)]", body):
        if column - 1 in (call.start(), call.start(1), call.end(1)):
            return {int(call[2])}
    return {p.id for p in places if p.file == file and p.line <= line <= p.line + texts[file][p.begin:p.end].count(b"\n")}


def build(places, texts, targets, jobs):
    """Leaves out what does not compile. The places that are left."""
    if not (TREE / "build" / "CMakeCache.txt").exists():
        for name, text in texts.items():
            write_if_other(TREE / name, text)
        done = subprocess.run(["cmake", "-G", "Ninja", "-B", "build", "-D", "CMAKE_BUILD_TYPE=RelWithDebInfo", "-D", "CMAKE_CXX_FLAGS_RELWITHDEBINFO=-O1 -g0 -w -fpermissive",
                               "-D", "LATHAM_TESTS=ON", "-D", "LATHAM_WEB=OFF", "-D", "LATHAM_WARNINGS_AS_ERRORS=OFF"], cwd=TREE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode != 0:
            raise SystemExit("the copy cannot be configured:\n" + done.stdout[-3000:])
    unfit = set(UNFIT.read_text().splitlines()) if UNFIT.exists() else set()
    left = [p for p in places if p.key not in unfit]
    bodies = {}
    for _ in range(ROUNDS_MAX):
        for name, text in texts.items():
            mine = [p for p in left if p.file == name]
            body = render(text, 0, len(text), mine)
            lost = {p.id for p in mine} - switched(body)
            left = [p for p in left if p.id not in lost]  # between the parts of another place
            mine = [p for p in mine if p.id not in lost]
            bodies[name] = body.split(b"\n")
            # A switch is chosen when the test runs.
            body = re.sub(rb"(?m)^constexpr (?=[\w:]+ \w+\([^;=]*\{$)", b"", body)
            write_if_other(TREE / name, b'#include "core/mutant_switch.hpp"\n#line 1\n' + body if mine else body)
        done = subprocess.run(["ninja", "-C", "build", f"-j{jobs}", "-k", "0", *targets], cwd=TREE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode == 0:
            return left
        bad = set()
        for file, line, column in re.findall(r"^\S*?(core/\S+\.cpp):(\d+):(\d+):\s+(?:error:|required from here)", done.stdout, re.M):
            bad |= unfit_at(left, texts, bodies, pathlib.Path(file), int(line), int(column))
        fewer = [p for p in left if p.id not in bad]
        if len(fewer) == len(left):
            raise SystemExit("the copy does not build:\n" + done.stdout[-4000:])
        print(f"{len(left) - len(fewer)} places cannot be switched and are left out", file=sys.stderr)
        unfit |= {p.key for p in left} - {p.key for p in fewer}
        UNFIT.write_text("".join(f"{key}\n" for key in sorted(unfit)))
        left = fewer
        errors = done.stdout
    raise SystemExit(f"the copy does not build after {ROUNDS_MAX} rounds:\n" + errors[-4000:])


def suites(wanted, sim_seeds):
    """(name, command) by what they cost."""
    tests = TREE / "build" / "tests"
    quick = ["--gtest_brief=1", "--gtest_fail_fast"]
    out = [(name, [str(tests / name), *quick]) for name in wanted]
    for first in range(1, sim_seeds + 1, SEEDS_AT_ONCE):
        seeds = min(SEEDS_AT_ONCE, sim_seeds + 1 - first)
        out.append((f"latham-sim {first}-{first + seeds - 1}", [str(TREE / "build" / "latham-sim"), "--seed", str(first), "--seeds", str(seeds), "--jobs", "1"]))
    return out


def run(command, mutant, limit_s, under):
    """'' when it passed."""
    # A property's random numbers are the same for every mutant, so that a verdict can be repeated. The clock runs within
    # `under`, which may have to wait for its turn.
    environment = dict(os.environ, LATHAM_MUTANT=str(mutant), RC_PARAMS="seed=1")
    command = [*under, "timeout", "-k", "5", f"{limit_s:.1f}", "prlimit", f"--as={MEMORY_BYTES_MAX}", "--core=0", *command]
    done = subprocess.run(command, cwd=SCRATCH, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    if done.returncode in (124, 137):
        return "never ended"
    return "" if done.returncode == 0 else f"signal {done.returncode - 128}" if done.returncode > 128 else "failed"


class Results:
    """What each executable said of each mutant: key -> executable's digest -> how it failed, '' when it passed."""

    def __init__(self):
        self.said = collections.defaultdict(dict)
        self.killed = {}  # key -> (suite, how), whenever that was
        if RESULTS.exists():
            for line in RESULTS.read_text().splitlines():
                self.take(json.loads(line))
        self.file = RESULTS.open("a")

    def take(self, row):
        self.said[row["key"]][row["by"]] = row["how"]
        if row["how"]:
            self.killed[row["key"]] = (row["suite"], row["how"])

    def add(self, key, suite, by, how):
        row = {"key": key, "suite": suite, "by": by, "how": how}
        self.take(row)
        self.file.write(json.dumps(row) + "\n")
        self.file.flush()


def judged():
    """key -> why it is no fault that nobody notices. A reason is a line that begins with '= ', its mutants follow."""
    out, why = {}, ""
    for line in JUDGED.read_text().splitlines() if JUDGED.exists() else ():
        if line.startswith("= "):
            why = line[2:]
        elif line and not line.startswith("#"):
            if not why:
                raise SystemExit(f"{JUDGED}: no reason before: {line}")
            out[line] = why
    return out


def main():
    words = argparse.ArgumentParser(description=__doc__.split("\n\n")[0], epilog="See the head of this file.")
    words.add_argument("--sample", type=int, default=0, help="only so many of them, drawn by --seed (default: all)")
    words.add_argument("--seed", type=int, default=1, help="of the sample (default 1)")
    words.add_argument("--file", default="", metavar="PART", help="only in files whose name has this part")
    words.add_argument("--only", type=int, action="append", default=[], metavar="ID", help="only this one; may be said again")
    words.add_argument("--sim-seeds", type=int, default=40, help="worlds that each must outlive; 0 leaves the simulation out (default 40)")
    words.add_argument("--tests", default=",".join(TESTS), metavar="NAMES", help="only these of the tests, with commas (default: all)")
    words.add_argument("--least", type=float, default=90.0, help="percent that must be noticed (default 90)")
    words.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="at work at once (default: all cores)")
    words.add_argument("--keep-killed", action="store_true", help="what was noticed once is not run again, whatever has changed since")
    words.add_argument("--fresh", action="store_true", help="forget what earlier runs found")
    words.add_argument("--for", type=float, default=0, dest="for_s", metavar="S", help="stop after so many seconds; the next run goes on (default: never)")
    words.add_argument("--under", default="", metavar="WORDS", help="put before each command that is run, like 'nice -n 19'")
    words.add_argument("--list", action="store_true", help="only the places")
    o = words.parse_args()

    wanted = [name for name in TESTS if name in o.tests.split(",")]

    places, texts = places_of()
    if o.list:
        for p in places:
            if o.file in str(p.file):
                print(f"{p.id:5} {p.file}:{p.line} {p.what}: {p.text[:100]}")
        return 0
    copy_tree()
    if o.fresh:
        RESULTS.unlink(missing_ok=True)
        UNFIT.unlink(missing_ok=True)
    places = build(places, texts, [*wanted, *(["latham-sim"] if o.sim_seeds > 0 else [])], o.jobs)
    all_suites = suites(wanted, o.sim_seeds)
    results = Results()
    reasons = judged()

    under = o.under.split()
    digests = {name: hashlib.sha256(pathlib.Path(command[0]).read_bytes() + " ".join(command[1:]).encode()).hexdigest()[:16] for name, command in all_suites}
    limits = {}
    for name, command in all_suites:
        began = time.monotonic()
        said = run(command, -1, 1800, under)
        if said:
            raise SystemExit(f"{name} fails without any mutant: {said}")
        limits[name] = 5 + 10 * (time.monotonic() - began)

    chosen = [p for p in places if p.id in o.only] if o.only else [p for p in places if o.file in str(p.file)]
    if o.sample and o.sample < len(chosen):
        chosen = sorted(random.Random(o.seed).sample(chosen, o.sample), key=lambda p: p.id)
    lock, began = threading.Lock(), time.monotonic()
    bar = sys.stderr.isatty()

    def death(p):
        """(suite, how), or None: as far as is known."""
        if o.keep_killed and p.key in results.killed:
            return results.killed[p.key]
        return next(((name, results.said[p.key][digest]) for name, digest in digests.items() if results.said[p.key].get(digest)), None)

    def left(p, these):
        return [(name, command) for name, command in these if digests[name] not in results.said[p.key]]

    def late():
        return o.for_s > 0 and time.monotonic() - began > o.for_s

    def phase(title, these, wanted):
        todo = [p for p in wanted if left(p, these)]
        ended = survived = 0

        def one(p):
            nonlocal ended, survived
            how = ""
            for name, command in left(p, these):
                if late():
                    return
                how = run(command, p.id, limits[name], under)
                with lock:
                    results.add(p.key, name, digests[name], how)
                if how:
                    break
            with lock:
                ended += 1
                survived += not how
                if bar:
                    print(f"\r{title} [{'#' * (30 * ended // len(todo)):<30}] {ended} of {len(todo)} mutants, {survived} survived, {time.monotonic() - began:.0f} s ", end="", file=sys.stderr, flush=True)

        with concurrent.futures.ThreadPoolExecutor(o.jobs) as pool:
            list(pool.map(one, todo))
        if bar and todo:
            print(file=sys.stderr)

    quick = [s for s in all_suites if not s[0].startswith("latham-sim")]
    phase("tests     ", quick, [p for p in chosen if not death(p)])
    phase("simulation", all_suites[len(quick):], [p for p in chosen if not death(p) and p.key not in reasons])

    unknown = [p for p in chosen if not death(p) and left(p, quick if p.key in reasons else all_suites)]
    if unknown:
        print(f"{len(unknown)} of {len(chosen)} are still to be run; the next run goes on with them")
    chosen = [p for p in chosen if p not in set(unknown)]
    dead = {p.key: death(p) for p in chosen if death(p)}
    equal = [p for p in chosen if p.key not in dead and p.key in reasons]
    survivors = [p for p in chosen if p.key not in dead and p.key not in reasons]
    by_file = collections.defaultdict(list)
    for p in chosen:
        by_file[p.file].append(p)
    for p in survivors:
        print(f"survived: {p.id} {p.file}:{p.line} {p.what}: {p.text[:110]}\n  {p.key}")
    for file, these in by_file.items():
        killed = sum(p.key in dead for p in these)
        same = sum(p in equal for p in these)
        print(f"{str(file):<40} {killed:>5} of {len(these):>5} {100 * killed / len(these):6.1f} %, {same} judged, {len(these) - killed - same} survived")
    by = collections.Counter(suite.split()[0] for suite, _ in dead.values())
    share = 100 * len(dead) / max(1, len(chosen))
    rest = 100 * len(dead) / max(1, len(chosen) - len(equal))
    print(f"killed {len(dead)} of {len(chosen)}, judged equivalent {len(equal)}, survivors {len(survivors)}: {share:.1f} % of all, {rest:.1f} % without the judged; "
          + ", ".join(f"{n} by {name}" for name, n in by.most_common()))
    wrong = False
    if not o.only and not o.sample and not o.file:
        for key in reasons.keys() - {p.key for p in places}:
            wrong = True
            print(f"judged.txt has what is no place any more: {key}")
    for p in chosen:
        if p.key in reasons and p.key in dead:
            wrong = True
            print(f"judged.txt has what {dead[p.key][0]} notices: {p.key}")
    return 0 if share >= o.least and not wrong and not unknown else 1


if __name__ == "__main__":
    sys.exit(main())
