#!/usr/bin/env python3
"""Holds the tree against its own rules: who may include whom, one outside library per room, what stands at top level.

Usage: check_rooms.py ROOT        exit 0 when all holds, 1 with one line per breach: file:line: what, and what to do.
       check_rooms.py --self-test  plants one breach of each rule in a scratch tree and expects each to be found.
"""
import pathlib
import re
import sys
import tempfile

TOP_LEVEL = {
    "CMakeLists.txt", "actors", "net", "store", "http", "deploy", "chaos", "sim", "tests", "docs", "core", "media", "app",
    # the usual root files
    ".ci", ".clang-format", ".gitignore", ".dockerignore", "CHANGELOG.md", "CMakePresets.json", "CONTRIBUTING.md", "LICENSE", "Makefile", "NOTICE.md",
    "README.md", "SECURITY.md",
    # not committed
    ".git", "build", "data", ".cache", "compile_commands.json",
}

# room -> folders of ours that it may include. "store" and "media" are their pure parts.
MAY_INCLUDE = {
    "core": {"core"},
    "store": {"core", "store"},
    "store/disk": {"core", "store", "store/disk"},
    "net": {"core", "net"},
    "media": {"core", "media"},
    "media/av": {"core", "media", "media/av"},
    "http": {"core", "net", "http"},
    "actors": {"core", "store", "actors"},
    "sim": {"core", "store", "media", "actors", "sim"},
    "chaos": {"core", "http", "chaos"},
    "app": {"core", "store", "store/disk", "net", "media", "media/av", "http", "actors", "app"},
}

# outside headers (by pattern) -> rooms that may see them
LIBRARIES = [
    (r"caf/", {"actors", "sim"}),
    (r"rocksdb/", {"store/disk"}),
    (r"(uv\.h|openssl/)", {"net"}),
    (r"(httplib\.h|http_parser\.h|prometheus/)", {"http"}),
    (r"(libav\w+|libsw\w+)/", {"media/av"}),
    (r"seccomp\.h", {"media/av"}),
    (r"CLI/", {"app"}),
    (r"yaml-cpp/|yaml\.h|libnetfilter_queue/", {"chaos"}),
    (r"nlohmann/", {"core", "http", "app", "sim", "chaos"}),
    (r"spdlog/", {"core", "app"}),
    (r"(gtest|gmock|rapidcheck|benchmark)/", set()),
]

SUFFIXES = {".hpp", ".cpp"}
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')
UNFINISHED = re.compile(r"\b(FIXME|XXX|TODO)\b")


def room_of(path):
    for deep in ("store/disk", "media/av"):
        if path.startswith(deep + "/"):
            return deep
    return path.split("/", 1)[0]


def check(root):
    breaches = []
    for entry in sorted(root.iterdir()):
        if entry.name not in TOP_LEVEL:
            breaches.append(f"{entry.name}: does not belong at top level; put it into the room that it serves")
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        if path.suffix not in SUFFIXES or name.startswith(("build/", "data/", ".cache/")) or "/node_modules/" in name:
            continue
        room = room_of(name)
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".hpp" and "#pragma once" not in text:
            breaches.append(f"{name}:1: a header without #pragma once")
        for number, line in enumerate(text.splitlines(), 1):
            if line != line.rstrip():
                breaches.append(f"{name}:{number}: trailing white space")
            if UNFINISHED.search(line):
                breaches.append(f"{name}:{number}: unfinished work; do it, or write an issue")
            if "std::views" in line or "std::ranges::views" in line:
                breaches.append(f"{name}:{number}: std::views does not compile with clang 14")
            found = INCLUDE.match(line)
            if not found or room == "tests":
                continue
            target = found.group(2)
            for pattern, rooms in LIBRARIES:
                if re.match(pattern, target) and room not in rooms:
                    breaches.append(f"{name}:{number}: <{target}> belongs to {', '.join(sorted(rooms)) or 'tests'}; use a port of core/ports")
            if found.group(1) == '"':
                inside = room_of(target)
                if "/" not in target:
                    breaches.append(f'{name}:{number}: "{target}" is not a path from the root of the tree')
                elif inside not in MAY_INCLUDE.get(room, set()):
                    breaches.append(f"{name}:{number}: {room} must not include {inside}; see docs/architecture.md")
    return breaches


def self_test():
    planted = {
        "core/a.cpp": '#include <uv.h>\n',
        "http/a.cpp": '#include "actors/node.hpp"\n',
        "actors/a.cpp": '#include "store/disk/rocks_kv.hpp"\n',
        "store/a.hpp": "int x;\n",
        "net/a.cpp": "int y; \n",
        "media/a.cpp": "// TO" + "DO\n",
        "app/a.cpp": '#include "local.hpp"\n',
        "lib/a.cpp": "int z;\n",
    }
    with tempfile.TemporaryDirectory() as scratch:
        root = pathlib.Path(scratch)
        for name, text in planted.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)
        found = "\n".join(check(root))
    missed = [name for name in planted if name.split("/")[0] not in found]
    for name in missed:
        print(f"self-test: the breach in {name} was not found")
    return not missed


def main():
    if sys.argv[1:] == ["--self-test"]:
        sys.exit(0 if self_test() else 1)
    breaches = check(pathlib.Path(sys.argv[1]))
    for breach in breaches:
        print(breach)
    sys.exit(1 if breaches else 0)


main()
