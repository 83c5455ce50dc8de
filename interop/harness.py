"""What the interop cases stand on: processes, their IPC sockets, a slow link, waiting on conditions.

Everything is on loopback, in a temporary directory, on ports the kernel chose. Every process started
here is stopped here, by its own pid.
"""

import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
CACHE = ROOT / "interop" / ".cache" / "bin"
SHARED = pathlib.Path(os.environ.get("CHAINMESH_SHARED", ROOT.parent / "shared"))


class Failure(Exception):
    """A case did not hold; the text says what was expected and what was seen."""


# Set when the run is to end: cases that run aside leave through every `with`, too.
STOPPING = threading.Event()


def wait_until(what, seconds, condition):
    """Polls until `condition()` is truthy and returns its value; a Failure names `what` after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        if STOPPING.is_set():
            raise Failure(f"the run was stopped while it waited for: {what}")
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise Failure(f"not within {seconds} s: {what}")
        time.sleep(0.01)


def run_tool(arguments, seconds):
    """Runs a program to its end and returns (exit status, its output); past the limit it is killed."""
    process = subprocess.Popen(
        [str(a) for a in arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, errors="replace")
    try:
        output, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        output, _ = process.communicate()
        last = output.strip().splitlines()[-1:] or ["nothing printed"]
        raise Failure(f"{pathlib.Path(str(arguments[0])).name} not done in {seconds} s ({last[0]})")
    return process.returncode, output


class Node:
    """One node process on a data directory. Subclasses say how their program is called."""

    ipc_name = ""

    def __init__(self, name, directory, genesis):
        self.name = name
        self.data = directory / name
        self.log = directory / f"{name}.log"
        self.genesis = genesis
        self.arguments = []
        self.process = None

    def import_command(self, chain):
        raise NotImplementedError

    def run_command(self, bootnode):
        raise NotImplementedError

    def import_chain(self, chain):
        """Imports a chain file before the node runs."""
        for command in self.import_command(chain):
            status, output = run_tool(command, 120)
            if status != 0:
                raise Failure(f"{self.name}: import ended with {status}: {output.strip()[-400:]}")

    def start(self, bootnode=None):
        """Starts the process and waits until its IPC answers."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [str(a) for a in [*self.run_command(bootnode), *self.arguments]],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_until(f"{self.name} answers on {self.ipc_name}", 30, self.answers)

    def answers(self):
        """Whether the node's IPC is there; a Failure if the process has ended."""
        if self.process.poll() is not None:
            raise Failure(f"{self.name} ended with {self.process.returncode}: {self.log_tail()}")
        try:
            return self.call("admin_nodeInfo")
        except OSError:
            return None

    def call(self, method, *params):
        """One JSON-RPC 2.0 request over the node's Unix socket; OSError when the node is not there."""
        request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(10)
            connection.connect(str(self.data / self.ipc_name))
            connection.sendall(json.dumps(request).encode() + b"\n")
            answer = b""
            while True:
                part = connection.recv(65536)
                if not part:
                    raise ConnectionResetError(f"{self.name} closed its IPC connection")
                answer += part
                try:
                    answer_json = json.loads(answer)
                except ValueError:
                    continue
                break
        if "result" not in answer_json:
            raise Failure(f"{self.name}: {method} answered {answer_json.get('error')}")
        return answer_json["result"]

    def enode(self):
        """The URL other programs reach this node under, with the port it listens on."""
        url = re.sub(r"\?.*", "", self.call("admin_nodeInfo")["enode"])
        if re.search(r":0$", url):
            raise Failure(f"{self.name}: admin_nodeInfo does not say the port: {url}")
        return re.sub(r"@[^:]+|@\[[^]]*\]", "@127.0.0.1", url)

    def number(self):
        """The height of the head block."""
        return int(self.call("eth_blockNumber"), 16)

    def head(self):
        """Height and hash of the head block."""
        block = self.call("eth_getBlockByNumber", "latest", False)
        return int(block["number"], 16), block["hash"]

    def peer_count(self):
        return int(self.call("net_peerCount"), 16)

    def log_tail(self):
        """The last lines the node wrote."""
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return " | ".join(lines[-5:]) or "its log is empty"

    def kill(self):
        """SIGKILL: nothing is flushed, nothing is said to anybody."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self):
        """Asks the node to stop; one that does not within 15 s is killed and that is a Failure."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.kill()
            raise Failure(f"{self.name} was still there 15 s after SIGINT") from None


class ChainmeshNode(Node):
    """Our node."""

    ipc_name = "chainmesh.ipc"
    program = None
    # Off where a case says itself who is connected to whom.
    discovery = False

    def import_command(self, chain):
        return [[self.program, "import", "--data-dir", self.data, "--genesis", self.genesis, chain]]

    def run_command(self, bootnode):
        command = [self.program, "run", "--data-dir", self.data, "--genesis", self.genesis,
                   "--listen", "127.0.0.1", "--port", "0"]
        if not self.discovery:
            command.append("--no-discovery")
        return command + (["--bootnode", bootnode] if bootnode else [])


class GethNode(Node):
    """go-ethereum, as the control: what the cases say about a node that is known to be right."""

    ipc_name = "geth.ipc"
    program = CACHE / "geth"
    # With some it looks for other nodes; without, it does not.
    bootnodes = None

    def import_command(self, chain):
        return [[self.program, "init", "--datadir", self.data, self.genesis],
                [self.program, "import", "--datadir", self.data, chain]]

    def run_command(self, bootnode):
        network = json.loads(pathlib.Path(self.genesis).read_text())["config"]["chainId"]
        return [self.program, "--datadir", self.data, "--networkid", network, "--syncmode", "full",
                "--port", "0", "--authrpc.port", "0", "--nat", "none",
                *(["--bootnodes", self.bootnodes] if self.bootnodes else ["--nodiscover"]),
                "--netrestrict", "127.0.0.0/8"]


class SlowLink:
    """A TCP forwarder that passes at most `rate` bytes a second from the far node (None: no limit).

    RLPx names a node by its key and not by its address, so a node reached through the link is the same
    peer. The link makes "in the middle of a sync" a state that lasts long enough to be met. While it is
    not `open` it closes new connections at once.
    """

    def __init__(self, enode, rate):
        self.rate = rate
        self.open = True
        prefix, address = enode.rsplit("@", 1)
        host, port = address.rsplit(":", 1)
        self.far = (host, int(port))
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.enode = f"{prefix}@127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                near, _ = self.listener.accept()
                if not self.open:
                    near.close()
                    continue
                far = socket.create_connection(self.far)
            except OSError:
                return
            threading.Thread(target=self._pass, args=(near, far, False), daemon=True).start()
            threading.Thread(target=self._pass, args=(far, near, True), daemon=True).start()

    def _pass(self, source, sink, limited):
        try:
            while part := source.recv(4096):
                sink.sendall(part)
                if limited and self.rate:
                    time.sleep(len(part) / self.rate)
        except OSError:
            pass
        finally:
            for end in (source, sink):
                try:
                    end.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    def close(self):
        self.listener.close()


class Workplace:
    """A temporary directory and the nodes started in it; leaving it stops them all."""

    def __init__(self, directory, node_class, genesis):
        self.directory, self.node_class, self.genesis = directory, node_class, genesis
        self.nodes = []

    def __enter__(self):
        self.directory.mkdir(parents=True)
        return self

    def node(self, name):
        node = self.node_class(name, self.directory, self.genesis)
        self.nodes.append(node)
        return node

    def __exit__(self, kind, error, trace):
        failures = []
        for node in reversed(self.nodes):
            try:
                node.stop()
            except Failure as failure:
                failures.append(str(failure))
        if error is None and failures:
            raise Failure("; ".join(failures))
        if isinstance(error, Failure):
            raise Failure(f"{error}\n{self.logs()}") from None
        return False

    def logs(self):
        """The end of every node's log, one line a node."""
        return "\n".join(f"{node.name}: {node.log_tail()}" for node in self.nodes)
