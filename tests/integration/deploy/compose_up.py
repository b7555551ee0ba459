#!/usr/bin/env python3
"""Runs deploy/compose/compose.yaml with plain podman: compose_up.py PROJECT FILE up|health|down

Debian 12's podman-compose 1.0.3 does not know `network_mode: service:NAME` and takes health checks apart wrongly; later
ones and docker compose do both. This knows exactly the keys that our file uses and refuses any other, so that it cannot
pass by leaving something out.
"""
import os
import re
import subprocess
import sys

import yaml


def expand(value):
    """${NAME:-default}, ${NAME:?message} and $$, as compose does."""
    if isinstance(value, dict):
        return {k: expand(v) for k, v in value.items()}
    if isinstance(value, list):
        return [expand(v) for v in value]
    if not isinstance(value, str):
        return value

    def one(m):
        if m.group(0) == "$$":
            return "$"
        name, how, rest = m.group(1), m.group(2), m.group(3)
        if os.environ.get(name):
            return os.environ[name]
        if how == ":?":
            raise SystemExit(f"compose_up.py: {name}: {rest}")
        return rest or ""

    return re.sub(r"\$\$|\$\{(\w+)(?:(:-|:\?)([^}]*))?\}", one, value)


def order(services):
    done = []
    while len(done) < len(services):
        ready = [n for n, s in services.items() if n not in done and all(d in done for d in s.get("depends_on", []))]
        if not ready:
            raise SystemExit("compose_up.py: depends_on goes round in circles")
        done += ready
    return done


def options(project, name, service):
    out = ["--name", f"{project}_{name}", "--label", f"latham.project={project}"]
    for key, value in service.items():
        if key in ("image", "command", "depends_on"):
            continue
        elif key == "restart":
            out += ["--restart", value]
        elif key == "read_only":
            out += ["--read-only"] if value else []
        elif key == "cap_drop":
            out += [f"--cap-drop={c}" for c in value]
        elif key == "security_opt":
            out += [f"--security-opt={o.replace('no-new-privileges:true', 'no-new-privileges')}" for o in value]
        elif key == "stop_grace_period":
            out += ["--stop-timeout", value.removesuffix("s")]
        elif key == "ports":
            for port in value:
                out += ["-p", port]
        elif key == "volumes":
            for volume in value:
                out += ["-v", f"{project}_{volume}"]
        elif key == "tmpfs":
            # Compose's default mode, too: everybody may write.
            out += [f"--tmpfs={t}" for t in value]
        elif key == "environment":
            out += [f"--env={k}={v}" for k, v in value.items()]
        elif key == "network_mode":
            kind, _, other = value.partition(":")
            if kind != "service":
                raise SystemExit(f"compose_up.py: network_mode {value}")
            out += ["--network", f"container:{project}_{other}"]
        elif key == "healthcheck":
            # Run by "health": podman leaves the timing to systemd, which need not be there.
            if value["test"][0] != "CMD":
                raise SystemExit("compose_up.py: healthcheck test must begin with CMD")
        else:
            raise SystemExit(f"compose_up.py: {name} has {key}, which this does not know")
    return out


def main():
    project, path, what = sys.argv[1:]
    with open(path) as file:
        document = expand(yaml.safe_load(file))
    services = document["services"]
    if what == "up":
        for name in order(services):
            service = services[name]
            subprocess.run(["podman", "run", "-d", *options(project, name, service), service["image"], *service["command"].split()], check=True)
    elif what == "health":
        for name, service in services.items():
            subprocess.run(["podman", "exec", f"{project}_{name}", *service["healthcheck"]["test"][1:]], check=True)
    elif what == "down":
        for name in reversed(order(services)):
            subprocess.run(["podman", "stop", f"{project}_{name}"], check=True)
        for name in reversed(order(services)):
            subprocess.run(["podman", "rm", f"{project}_{name}"], check=True)
        subprocess.run(["podman", "volume", "rm", "-f", *[f"{project}_{v}" for v in document["volumes"]]], check=True)
    else:
        raise SystemExit(__doc__)


if __name__ == "__main__":
    main()
