"""Real SDKs of FISCO BCOS as processes: `interop/sdk/*`, which print a line of JSON for whatever happens."""

import hashlib
import json
import pathlib
import shutil
import signal
import subprocess
import threading
import time

from harness import ROOT, Failure, run_tool

SDK = ROOT / "interop" / ".cache" / "sdk"
# JDK 17 has no secp256k1 of its own (java-sdk#692): Bouncy Castle, which the SDK brings, and this group.
CURVE_OPTIONS = ["-Dbouncycastle=true", "-Djdk.tls.namedGroups=secp256k1,secp256r1"]
# The SDK's own way to TASSL, which it brings as a native library. Its signatures are with SHA-512.
NATIVE_OPTIONS = [*CURVE_OPTIONS, "-Dfisco.netty.enable.openssl.provider=true"]


def setup(name):
    """Brings the SDK and compiles the client: why it cannot be used, or None."""
    for program in ("java", "javac", "mvn"):
        if not shutil.which(program):
            return f"the program {program} is not there: apt-get install openjdk-17-jdk-headless maven"
    try:
        status, output = run_tool([ROOT / "interop" / "sdk" / "setup.sh", name], 300)
    except Failure as failure:
        return str(failure)
    return None if status == 0 else f"interop/sdk/setup.sh {name} ended with {status}: {output[-600:]}"


def padded(text, size):
    """The content that the clients send for `--bytes`."""
    return text.encode() + b"x" * (size - len(text))


def digest(content):
    return hashlib.sha256(content).hexdigest()


class JavaClient:
    """One SDK in its own JVM, connected to some nodes."""

    def __init__(self, name, kind, certificates, addresses, directory, options=()):
        self.name, self.kind = name, kind
        self.log = pathlib.Path(directory) / f"{name}.log"
        self.events, self.changed = [], threading.Condition()
        classes = f"{SDK / kind / 'classes'}:{SDK / kind / 'lib'}/*"
        command = ["java", "-XX:TieredStopAtLevel=1", "-Xmx256m", *options, "-cp", classes, "AmopClient",
                   str(certificates), ",".join(addresses)]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
                                            text=True, errors="replace", cwd=directory)
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        for line in self.process.stdout:
            # The SDK itself prints to stdout in places: what is not ours is no event.
            if line.startswith('{"event":'):
                with self.changed:
                    self.events.append(json.loads(line))
                    self.changed.notify_all()
        with self.changed:
            self.events.append({"event": "gone"})
            self.changed.notify_all()

    def say(self, command):
        """Gives the SDK a command."""
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()

    def position(self):
        """Where the events are now, for `after`."""
        with self.changed:
            return len(self.events)

    def find(self, event, after=0, **fields):
        """The events of that name with these fields."""
        with self.changed:
            return [one for one in self.events[after:] if one["event"] == event
                    and all(one.get(name) == value for name, value in fields.items())]

    def wait(self, what, event, seconds=20, after=0, count=1, **fields):
        """The first `count` such events (one: itself), as soon as they are there."""
        end = time.monotonic() + seconds
        with self.changed:
            while True:
                found = self.find(event, after, **fields)
                if len(found) >= count:
                    return found[0] if count == 1 else found[:count]
                left = end - time.monotonic()
                over = event != "gone" and any(one["event"] == "gone" for one in self.events)
                if left <= 0 or over:
                    raise Failure(f"{self.name}: not within {seconds} s: {what} ({len(found)} of {count}); "
                                  f"last: {self.events[-3:]}\n{self.log_tail()}")
                self.changed.wait(left)

    def started(self, seconds=45):
        """Waits until it has a connection."""
        with self.changed:
            self.changed.wait_for(lambda: self.events, seconds)
        failed = self.find("failed")
        if failed:
            raise Failure(f"{self.name}: {failed[0]['error'][:1500]}\n{self.log_tail()}")
        if not self.find("started"):
            raise Failure(f"{self.name} has not started within {seconds} s: {self.events}\n{self.log_tail()}")

    def subscribe(self, topic, echo=True):
        self.say(f"subscribe {topic}" + (" --echo" if echo else ""))
        self.wait("subscribe", "subscribed", topic=topic)

    def publish(self, topic, text, *more, seconds=15):
        """Publishes by unicast; the response."""
        after = self.position()
        self.say(" ".join(["publish", topic, text, *map(str, more)]))
        return self.wait(f"response of {text}", "response", seconds, after=after, of=text)

    def multicast(self, topic, text, *more):
        after = self.position()
        self.say(" ".join(["publish", topic, text, "--multicast", *map(str, more)]))
        self.wait(f"{text} is sent", "sent", after=after)

    def stop_reading(self):
        """It is silent and keeps its connection, until it is continued or killed."""
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self):
        self.process.send_signal(signal.SIGCONT)

    def kill(self):
        """SIGKILL: no goodbye."""
        self.process.kill()
        self.process.wait()

    def log_text(self):
        return self.log.read_text(errors="replace")

    def log_tail(self):
        """What its log says last of what went wrong."""
        lines = self.log_text().splitlines()
        wrong = [line for line in lines if "ERROR" in line or "WARN" in line or "Exception" in line]
        return "\n".join(line[:300] for line in wrong[-6:])

    def close(self):
        if self.process.poll() is None:
            self.kill()
        self.reader.join(5)
        for end in (self.process.stdin, self.process.stdout):
            try:
                end.close()
            except OSError:
                pass
