"""A nats-server of the script's own, for what `baton dev` does not have: users, a small disk, several servers."""

import glob
import os
import shutil
import socket
import subprocess

from mesh import Wrong, until


def binary():
    """The pinned nats-server: named, on the PATH, or in the cache that `baton dev` fills."""
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    found = [os.environ.get("BATON_NATS_SERVER"), *glob.glob(f"{cache}/baton/nats-server-*/nats-server")]
    found.append(shutil.which("nats-server"))
    for path in found:
        if path and os.path.exists(path):
            return path
    raise Wrong("there is no nats-server: `baton dev` fetches it, or name one in BATON_NATS_SERVER")


def free_ports(count):
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in held]
    for one in held:
        one.close()
    return ports


def answers(port):
    try:
        with socket.create_connection(("127.0.0.1", port), 1) as made:
            return made.recv(4) == b"INFO"
    except OSError:
        return False


class Server:
    def __init__(self, mesh, name, more="", port=None, disk=None):
        """With `disk`, the store is on a file system of so many megabytes, which only this server sees."""
        self.port = port or free_ports(1)[0]
        self.url = f"nats://127.0.0.1:{self.port}"
        self.mesh, self.name, self.disk = mesh, name, disk
        self.store = f"{mesh.dir}/{name}"
        self.config = f"{mesh.dir}/{name}.conf"
        os.makedirs(self.store, exist_ok=True)
        with open(self.config, "w") as file:
            file.write(f'server_name: "{name}"\nlisten: "127.0.0.1:{self.port}"\n')
            file.write(f'jetstream {{ store_dir: "{self.store}", sync_interval: "1s" }}\n{more}\n')
        self.holder = self.hold() if disk else None
        self.start()

    def hold(self):
        script = 'mount -t tmpfs -o size="$1"m tmpfs "$2" && : > "$3" && exec sleep infinity'
        up = f"{self.store}.up"
        command = ["unshare", "-Urm", "sh", "-c", script, "sh", str(self.disk), self.store, up]
        holder = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.mesh.started.append(holder)
        until("a small disk is mounted", 10, lambda: os.path.exists(up))
        return holder

    def start(self, wait=True):
        command = [binary(), "-c", self.config]
        if self.holder:
            enter = ["nsenter", "-t", str(self.holder.pid), "-U", "-m", "--preserve-credentials"]
            command = enter + command
        with open(f"{self.store}.log", "ab") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.mesh.started.append(self.process)
        if wait:
            until(f"{self.name} answers", 30, lambda: answers(self.port))

    def kill(self):
        self.process.kill()
        self.process.wait()

    def inside(self, script):
        """Runs a shell where the small disk is seen."""
        enter = ["nsenter", "-t", str(self.holder.pid), "-U", "-m", "--preserve-credentials", "sh", "-c", script]
        subprocess.run(enter, stderr=subprocess.DEVNULL, check=False)

    def fill(self):
        fill = f"for size in 64k 1k 1; do dd if=/dev/zero of={self.store}/filler.$size bs=$size; done"
        self.inside(fill)

    def free(self):
        self.inside(f"rm -f {self.store}/filler.*")
