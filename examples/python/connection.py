"""A connection to NATS over a socket, and what JetStream has stored. Plain `nats://`, without TLS."""

import itertools
import json
import os
import queue
import secrets
import socket
import threading
import time
from urllib.parse import urlparse

from wire import to_json


class Message:
    def __init__(self, subject, reply, status, headers, body):
        self.subject, self.reply, self.status, self.headers, self.body = subject, reply, status, headers, body


class Nats:
    """A connection: publish, and request with one answer or a stream of them."""

    def __init__(self, url):
        parts = urlparse(url)
        self.socket = socket.create_connection((parts.hostname, parts.port or 4222), timeout=10)
        self.socket.settimeout(None)
        self.file = self.socket.makefile("rb")
        self.lock, self.waiting, self.numbers = threading.Lock(), {}, itertools.count(1)
        self.inbox = f"_INBOX.{secrets.token_hex(11)}"
        info = json.loads(self.file.readline().split(b" ", 1)[1])
        self.max_payload = info["max_payload"]  # the most bytes of a message
        options = {"verbose": False, "pedantic": False, "headers": True, "no_responders": True, "lang": "python"}
        if parts.username:
            options.update({"user": parts.username, "pass": parts.password or ""})
        self.send(f"CONNECT {json.dumps(options)}\r\nPING\r\n".encode())
        while True:  # The server answers PONG once it has taken that, or says why not.
            line = self.file.readline()
            if line.startswith(b"PONG"):
                break
            if not line or line.startswith(b"-ERR"):
                raise ConnectionError(line.decode() or "the server closed the connection")
        threading.Thread(target=self.read, daemon=True).start()

    def send(self, data):
        with self.lock:
            self.socket.sendall(data)

    def read(self):
        try:
            self.read_messages()
        except (OSError, ValueError):
            pass
        print("the connection is gone", flush=True)
        os._exit(1)

    def read_messages(self):
        while line := self.file.readline():
            words = line.split()
            if words[0] == b"PING":
                self.send(b"PONG\r\n")
            elif words[0] in (b"MSG", b"HMSG"):
                with_headers = words[0] == b"HMSG"
                size, head_size = int(words[-1]), int(words[-2]) if with_headers else 0
                data = self.file.read(size + 2)[:-2]
                names = words[1 : -2 if with_headers else -1]
                number, reply = int(names[1]), names[2].decode() if len(names) == 3 else None
                status, headers = parse_head(data[:head_size])
                message = Message(names[0].decode(), reply, status, headers, data[head_size:])
                # By the number of the subscription: a ticket that was pulled keeps the subject that it was stored on.
                waiting = self.waiting.get(number)
                if waiting is not None:
                    waiting.put(message)
            elif words[0] == b"-ERR":
                print(line.decode().strip(), flush=True)

    def publish(self, subject, body=b"", headers=None, reply=""):
        body = body.encode() if isinstance(body, str) else body
        if headers:
            head = "NATS/1.0\r\n" + "".join(f"{name}: {value}\r\n" for name, value in headers.items()) + "\r\n"
            head = head.encode()
            first = f"HPUB {subject} {reply} {len(head)} {len(head) + len(body)}\r\n".encode()
            self.send(first + head + body + b"\r\n")
        else:
            self.send(f"PUB {subject} {reply} {len(body)}\r\n".encode() + body + b"\r\n")

    def listen(self, subject):
        """A queue of what comes on a subject."""
        number, heard = next(self.numbers), queue.Queue()
        self.waiting[number] = heard
        self.send(f"SUB {subject} {number}\r\n".encode())
        return heard

    def answers(self, subject, body=b"", headers=None, timeout=5.0):
        """The answers to a request, as they come, until none came for the time."""
        number = next(self.numbers)
        inbox = f"{self.inbox}.{number}"
        self.waiting[number] = waiting = queue.Queue()
        try:
            self.send(f"SUB {inbox} {number}\r\n".encode())
            self.publish(subject, body, headers, inbox)
            while True:
                yield waiting.get(timeout=timeout)
        except queue.Empty:
            return
        finally:
            self.send(f"UNSUB {number}\r\n".encode())
            del self.waiting[number]

    def request(self, subject, body=b"", headers=None, timeout=5.0):
        """The answer; None when there is none, or nobody listens."""
        for answer in self.answers(subject, body, headers, timeout):
            return None if answer.status == 503 else answer
        return None


def parse_head(data):
    lines = data.decode("utf-8", "replace").split("\r\n")
    first, headers = lines[0].split(" "), {}
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if colon:
            headers.setdefault(name, value.strip())  # The first counts.
    return (int(first[1]) if len(first) > 1 and first[1] else None), headers


def stored_message(nats, stream, question):
    """A message by the word of the leader of its stream, so that it is right with any number of replicas; or None."""
    for _ in range(30):
        answer = nats.request(f"$JS.API.STREAM.MSG.GET.{stream}", to_json(question))
        if answer is not None:
            document = json.loads(answer.body)
            if "message" in document:
                return document["message"]
            if document["error"].get("err_code") == 10037:
                return None
        time.sleep(1)
    raise ConnectionError(f"no answer from {stream}")
