"""A mesh of its own for each script: `baton dev` on a free port, workers, and an end that leaves nothing running."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time

LONGEST = 120  # seconds that a script may take


class Wrong(Exception):
    """What was seen instead of what is right."""


def until(what, seconds, look):
    """Waits until `look` gives something true, and gives that."""
    end = time.monotonic() + seconds
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > end:
            raise Wrong(f"not within {seconds} s: {what}")
        time.sleep(0.05)


def lives(pid):
    """Whether a process is there; one that is dead and not collected yet is not."""
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


def read(path):
    try:
        with open(path, "rb") as file:
            return file.read().decode(errors="replace")
    except OSError:
        return ""


class Nats:
    """The JetStream API, spoken plainly: what an operator does with the `nats` CLI."""

    def __init__(self, url):
        host, port = url.split("//", 1)[1].split(":")
        self.socket = socket.create_connection((host, int(port)), timeout=10)
        self.lines = self.socket.makefile("rb")
        self.lines.readline()
        self.asked = 0
        self.socket.sendall(b'CONNECT {"verbose":false,"headers":true,"no_responders":true}\r\nSUB _INBOX.faults.* 1\r\n')

    def request(self, subject, body=b"", headers=None):
        """The JSON answer; `None` when nobody answers."""
        self.asked += 1
        inbox = f"_INBOX.faults.{self.asked}"
        if headers:
            head = "NATS/1.0\r\n" + "".join(f"{name}: {value}\r\n" for name, value in headers.items()) + "\r\n"
            head = head.encode()
            first = f"HPUB {subject} {inbox} {len(head)} {len(head) + len(body)}\r\n"
            self.socket.sendall(first.encode() + head + body + b"\r\n")
        else:
            self.socket.sendall(f"PUB {subject} {inbox} {len(body)}\r\n".encode() + body + b"\r\n")
        while True:
            words = self.lines.readline().decode().split()
            if not words:
                raise Wrong("the server closed the connection")
            if words[0] == "PING":
                self.socket.sendall(b"PONG\r\n")
            if words[0] in ("MSG", "HMSG"):
                payload = self.lines.read(int(words[-1]) + 2)[:-2]
                if words[1] != inbox:
                    continue
                if words[0] == "HMSG":
                    payload = payload[int(words[-2]) :]
                return json.loads(payload) if payload else None

    def publish(self, subject, body, head=b""):
        """Bytes that no client library would write; no answer."""
        sizes = f" {len(head)} {len(head) + len(body)}" if head else f" {len(body)}"
        verb = b"HPUB " if head else b"PUB "
        self.socket.sendall(verb + subject + sizes.encode() + b"\r\n" + head + body + b"\r\n")

    def flush(self):
        """Waits until the server has read what was published."""
        self.socket.sendall(b"PING\r\n")
        while True:
            line = self.lines.readline()
            if line.startswith(b"PONG"):
                return
            if not line or line.startswith(b"-ERR"):
                raise Wrong(f"the server refused a frame: {line!r}")

    def api(self, what, body=None):
        answer = self.request(f"$JS.API.{what}", json.dumps(body or {}).encode())
        if answer is None or "error" in answer:
            raise Wrong(f"{what}: {answer}")
        return answer

    def has(self, stream):
        answer = self.request(f"$JS.API.STREAM.INFO.{stream}", b"{}")
        return "error" not in answer

    def remove(self, stream):
        self.api(f"STREAM.DELETE.{stream}")


class Mesh:
    def __init__(self, baton, dev=True):
        """With `dev` switched off the script starts its own server, and sets `url`."""
        self.binary = os.path.abspath(baton)
        self.folder = tempfile.TemporaryDirectory(prefix="baton-faults-")
        self.dir = self.folder.name
        self.started = []
        if not dev:
            return
        self.dev = self.start("dev", "dev", "--port", "0", "--dir", f"{self.dir}/data", "--output", "json")
        try:
            said = until("baton dev says its address", 60, lambda: read(f"{self.dir}/dev.out").split("\n")[:-1])
            self.url = json.loads(said[0])["url"]
        except Wrong as wrong:
            errors = read(f"{self.dir}/dev.err").strip()
            self.close()
            raise Wrong(f"{wrong}: {errors}") from None

    def start(self, name, *arguments):
        out, err = open(f"{self.dir}/{name}.out", "wb"), open(f"{self.dir}/{name}.err", "wb")
        environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        # The programs find the folder of this script by a variable.
        environment["DIR"] = self.dir
        if hasattr(self, "url"):
            environment["BATON_SERVER"] = self.url
        process = subprocess.Popen(
            [self.binary, *arguments], env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=err
        )
        self.started.append(process)
        return process

    def run(self, *arguments, stdin=b"", seconds=60):
        environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        environment["BATON_SERVER"] = self.url
        return subprocess.run(
            [self.binary, *arguments], env=environment, input=stdin, capture_output=True, timeout=seconds
        )

    def json(self, *arguments, **more):
        done = self.run(*arguments, "--output", "json", **more)
        return json.loads(done.stdout or done.stderr)

    def nats(self):
        return Nats(self.url)

    def finding(self, check):
        """What `baton doctor` says of a check; `None` when it says nothing."""
        findings = self.json("doctor")["findings"]
        return next((finding for finding in findings if finding["check"] == check), None)

    def version(self, agent, version, program):
        """A worker of one version among several."""
        return self.start(f"{agent}-{version}", "worker", "--agent", agent, "--version", version, "--exec", program)

    def worker(self, agent, program, *flags):
        worker = self.start(agent, "worker", "--agent", agent, "--version", "1.0.0", "--exec", program, *flags)
        known = lambda: any(route["agent"] == agent for route in self.json("route", "list").get("routes", []))
        until(f"a route to {agent}", 30, known)
        return worker

    def send(self, agent, *flags, payload=b"x"):
        """Submits, and gives the id."""
        return self.json("send", agent, "-", *flags, stdin=payload)["intent"]

    def snapshot(self, intent):
        return self.json("intents", "get", intent)["snapshot"]

    def state(self, intent):
        """How an intent stands, with the code of its error where it has one."""
        document = self.json("intents", "get", intent)
        if "snapshot" not in document:
            return str(document)
        code = document["snapshot"].get("error", {}).get("code", "")
        return f"{document['snapshot']['status']['state']} {code}".strip()

    def end(self, intent, seconds=60):
        """The snapshot of the end, and after how many seconds it was there."""
        began = time.monotonic()
        open_states = ("pending", "accepted", "in_progress")

        def look():
            snapshot = self.snapshot(intent)
            return snapshot["status"]["state"] not in open_states and snapshot

        return until(f"{intent} ends", seconds, look), time.monotonic() - began

    def close(self):
        for process in reversed(self.started):
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(30)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
        self.folder.cleanup()


def main(check, dev=True):
    """Runs a check on a mesh, of `baton dev` unless the script starts a server itself. Exit 0: right; 1: wrong, and a line says what was seen."""
    if len(sys.argv) != 2:
        sys.exit(f"usage: {sys.argv[0]} PATH-OF-BATON")

    def late(*_):
        raise Wrong(f"it took more than {LONGEST} s")

    signal.signal(signal.SIGALRM, late)
    signal.signal(signal.SIGTERM, late)
    signal.alarm(LONGEST)
    mesh = None
    try:
        mesh = Mesh(sys.argv[1], dev)
        check(mesh)
    except (Wrong, subprocess.TimeoutExpired) as seen:
        print(seen)
        sys.exit(1)
    finally:
        signal.alarm(0)
        if mesh:
            mesh.close()


def right(holds, seen):
    if not holds:
        raise Wrong(seen)
