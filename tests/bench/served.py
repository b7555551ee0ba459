"""One round through the service: a server with an empty data directory, an upload over HTTP, the first picture, ready."""
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.parse

from host import Tree
from playlists import parts_of, variants_of

POLL_S = 0.02
READY_S_MAX = 1800
PLAYABLE_S_MAX = 10  # after ready


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


def first_picture_served(server, base, memory):
    """Whether master, the lowest rung's playlist, its init segment and first segment are all served."""
    if "uri" not in memory:
        status, master = server.get(f"{base}/master.m3u8")
        if status != 200 or not variants_of(master.decode()):
            return False
        memory["uri"] = urllib.parse.urljoin(f"{base}/master.m3u8", variants_of(master.decode())[0][1])
    status, playlist = server.get(memory["uri"])
    parts = parts_of(playlist.decode()) if status == 200 else []
    if len(parts) < 2:
        return False
    return all(server.get(urllib.parse.urljoin(memory["uri"], part))[0] == 200 for part in parts[:2])


def run_served(latham, clip, work):
    data = work / "data"
    shutil.rmtree(data, ignore_errors=True)
    server = Server(latham, data, work / "served.log")
    begin = time.monotonic()
    result = {}
    video = server.upload(clip)
    base, memory = f"/media/{video}", {}
    while True:
        if "first_picture_s" not in result and first_picture_served(server, base, memory):
            result["first_picture_s"] = time.monotonic() - begin
        state = json.loads(server.get(f"/api/v1/videos/{video}")[1])
        if state["state"] == "ready":
            result["wall_s"] = time.monotonic() - begin
            break
        if state["state"] == "failed" or time.monotonic() - begin > READY_S_MAX:
            raise SystemExit(f"bench: the video is {state['state']}: {state.get('error')}")
        time.sleep(POLL_S if "first_picture_s" not in result else 0.1)
    result["cpu_s"] = server.tree.cpu_s()
    while "first_picture_s" not in result:
        if first_picture_served(server, base, memory):
            result["first_picture_s"] = time.monotonic() - begin
        elif time.monotonic() - begin > result["wall_s"] + PLAYABLE_S_MAX:
            raise SystemExit("bench: the video is ready but its first segment is not served")
        else:
            time.sleep(POLL_S)
    result["peak_bytes"] = server.tree.peak_bytes
    server.stop()
    shutil.rmtree(data, ignore_errors=True)
    return result
