"""Two nodes of ours that are neighbours, each with its ports for SDKs, and SDKs at them."""

import contextlib
import json
import pathlib
import random
import re
import socket

from harness import ChainmeshNode, Failure, run_tool
from sdk_clients import NATIVE_OPTIONS, JavaClient
from tls_cases import Program
from tls_certificates import SdkChain


# What the ports are called in a configuration file, by the client that uses them.
PORTS = {"java-2": "channel", "java-3": "websocket"}

# Ports that a node of this run has.
GIVEN = set()


class SdkNode:
    """`chainmesh run --consortium` with fixed ports for SDKs, to be found again after a restart."""

    def __init__(self, name, directory, certificates, sdk_certificates, neighbours):
        """Without `sdk_certificates`, the ports for SDKs speak no TLS."""
        self.name, self.directory = name, directory
        self.certificates, self.sdk_certificates = certificates, sdk_certificates
        self.neighbours = neighbours
        self.p2p = free_port()
        # Ports for SDKs, by the client that uses them.
        self.ports = {kind: free_port() for kind in PORTS}
        self.program = None

    def address(self, kind):
        return f"127.0.0.1:{self.ports[kind]}"

    def start(self):
        data = self.directory / f"{self.name}-data"
        command = [ChainmeshNode.program, "run", "--consortium", "--data-dir", data,
                   "--cert-dir", self.certificates, "--listen", "127.0.0.1", "--port", self.p2p,
                   "--config", self.configuration(), "--no-pex"]
        for neighbour in self.neighbours:
            command += ["--node", f"127.0.0.1:{neighbour.p2p}"]
        self.program = Program(command)
        self.program.__enter__()
        self.program.wait(f"{self.name} listens for SDKs",
                          lambda: self.program.ended() or all(map(accepts, self.ports.values())))
        if self.program.ended():
            raise Failure(f"{self.name} ended with {self.program.process.returncode}: {self.tail()}")

    def configuration(self):
        """A file that opens the ports; json.dumps writes strings as TOML reads them."""
        path = self.directory / f"{self.name}.toml"
        shown = self.sdk_certificates
        lines = ["[sdk]", f"cert-dir = {json.dumps(str(shown))}" if shown else "tls = false"]
        lines += [f"{PORTS[kind]} = {json.dumps(self.address(kind))}" for kind in self.ports]
        path.write_text("\n".join(lines) + "\n")
        return path

    def kill(self):
        self.program.process.kill()
        self.program.process.wait()

    def stop(self):
        if self.program is not None:
            self.program.__exit__()

    def tail(self):
        return "" if self.program is None else self.program.text()[-900:]


def free_port():
    """A port that is free, and that the kernel gives to nobody: a node that starts again has to have the same one."""
    first = int(pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    while True:
        port = random.randrange(first - 10_000, first)
        if port in GIVEN:
            continue
        GIVEN.add(port)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


def accepts(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    except OSError:
        return False


def has_ports():
    """Whether our program has ports for SDKs at all."""
    _, text = run_tool([ChainmeshNode.program, "run", "--help"], 20)
    return re.search(r"\bsdk\b", text) is not None


class Net:
    """Two nodes that are neighbours, and certificates for SDKs of one kind of key (`None`: no TLS for them)."""

    def __init__(self, directory, key_kind):
        self.directory, self.key_kind = pathlib.Path(directory), key_kind
        self.directory.mkdir(parents=True)
        self.chain = key_kind and SdkChain(self.directory / "sdk-chain", "sdk-chain", key_kind)
        self.nodes, self.clients = [], []
        authority = self.directory / "ca"
        our_ca("init", "--ca", authority, "--name", "interop")
        for name in ("n0", "n1"):
            own = self.directory / name
            our_ca("issue", "--ca", authority, "--name", name, "--out", own)
            port = self.chain and self.chain.node(f"{name}-port").directory
            self.nodes.append(SdkNode(name, self.directory, own, port, list(self.nodes)))

    def __enter__(self):
        try:
            for node in self.nodes:
                node.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        for end in [*self.clients, *reversed(self.nodes)]:
            with contextlib.suppress(OSError):
                end.close() if isinstance(end, JavaClient) else end.stop()

    def client(self, name, kind, node, certificates=None, options=None):
        """A client of an SDK with a certificate of its own, at this node."""
        certificates = certificates or (self.chain.sdk(name) if self.chain else "plain")
        if options is None:
            options = NATIVE_OPTIONS if self.key_kind == "secp256k1" else []
        made = JavaClient(name, kind, certificates, [self.nodes[node].address(kind)], self.directory, options)
        self.clients.append(made)
        return made

    def tails(self):
        return "\n".join(f"{node.name}: {node.tail()}" for node in self.nodes)


def our_ca(*arguments):
    status, output = run_tool([ChainmeshNode.program, "ca", *arguments], 20)
    if status:
        raise Failure(f"chainmesh ca {arguments[0]}: {output}")
