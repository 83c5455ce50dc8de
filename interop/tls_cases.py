"""TLS with OpenSSL (Debian's) at the other end, with certificates as FISCO BCOS makes them.

One direction: `chainmesh doctor tls` against `openssl s_server`. The other: `openssl s_client` against a
listening node or, while `chainmesh run` has no consortium, against the example program `tls_server`.
"""

import contextlib
import json
import pathlib
import re
import subprocess
import tempfile
import threading

from harness import ROOT, ChainmeshNode, Failure, run_tool, wait_until
from tls_certificates import DAY, Fisco2, Fisco3, Node, openssl, version

# The heartbeat of 3.x: version 0, type 1, seq 0.
HEARTBEAT = bytes.fromhex("0000000e00000001000000000000")
# SendTopicSeq, the first packet and the heartbeat of 2.x: protocolID 2, packetType 1, topic seq 0.
TOPIC_SEQ = bytes.fromhex("00000011" "0000" "00000002" "0001" "00000000" "30")
# The same up to the topic seq, whatever it is and however long.
TOPIC_SEQ_HEAD = rb"\0\0\0." + re.escape(TOPIC_SEQ[4:16])
# What TLS 1.2 servers of FISCO BCOS allow. 2.x has exactly this curve (SSL_CTX_set_tmp_ecdh).
GROUPS = {"RSA-2048": [], "secp256k1": ["-groups", "secp256k1"]}


class Program:
    """A program whose output is collected while it runs; stopped on the way out."""

    def __init__(self, arguments):
        self.output = b""
        self.process = subprocess.Popen([str(a) for a in arguments], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        while part := self.process.stdout.read1(4096):
            self.output += part

    def text(self):
        return self.output.decode(errors="replace")

    def line(self, start):
        """The rest of the line that begins so, or None."""
        found = re.search(rf"^{start}(.*)$", self.text(), re.MULTILINE)
        return found and found.group(1).strip()

    def say(self, data):
        """Sends through the session; the program may have gone."""
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(data)
            self.process.stdin.flush()

    def wait(self, what, condition):
        try:
            return wait_until(what, 20, condition)
        except Failure as failure:
            raise Failure(f"{failure}: {self.text()[-500:]}") from None

    def ended(self):
        return self.process.poll() is not None and not self.reader.is_alive()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.reader.join(5)
        self.process.stdout.close()


@contextlib.contextmanager
def s_server(node, *more, says=b"", client=("-Verify", "4", "-verify_return_error")):
    """`openssl s_server` with a node's files; gives (address, the program)."""
    command = ["openssl", "s_server", "-accept", "127.0.0.1:0", "-cert", node.certificate, "-key", node.key,
               "-cert_chain", node.certificate, "-CAfile", node.directory / "ca.crt", *client, *more]
    with Program(command) as server:
        port = server.wait("s_server listens", lambda: server.line(r"ACCEPT \S+:"))
        if says:
            server.say(says)
        yield f"127.0.0.1:{port}", server


def doctor(address, *arguments):
    """What `chainmesh doctor tls` says, and its exit status."""
    done = subprocess.run([ChainmeshNode.program, "doctor", "tls", address, "--json", *map(str, arguments)],
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          timeout=60, check=False)
    if not done.stdout:
        raise Failure(f"exit {done.returncode}: {done.stderr.strip()[-400:]}")
    said = json.loads(done.stdout)
    if said["ok"] != (done.returncode == 0):
        raise Failure(f"exit status {done.returncode} of the verdict {said['verdict']}")
    return said


def expect(said, **wanted):
    for name, value in wanted.items():
        if said[name] != value:
            raise Failure(f"{name} is {said[name]!r}, expected {value!r}: {said['text']} {said['notes']}")


class Place:
    """The certificates of one kind."""

    def __init__(self, directory, kind):
        self.chain, self.other = kind(directory / "chain", "one"), kind(directory / "other", "two")
        self.groups = GROUPS[kind.key_kind]
        self.server, self.client = self.chain.node("n0"), self.chain.node("n1")
        self.stranger = self.other.node("n2")
        self.old = self.chain.node("old", begins=-90 * DAY, ends=-9 * DAY)
        self.early = self.chain.node("early", begins=9 * DAY)
        self.both = directory / "both.crt"
        self.both.write_bytes(self.chain.ca.read_bytes() + self.other.ca.read_bytes())

    def tls12(self, node, *more, **options):
        return s_server(node, "-tls1_2", *self.groups, *more, **options)


def accepted(place, says, speaks):
    """All is well: TLS 1.2, the curve, who is who at both ends, and what is spoken inside."""
    with place.tls12(place.server, says=says) as (address, server):
        # What the server is told to say waits in its stdin until there is a session.
        said = doctor(address, "--data-dir", place.client.directory)
        expect(said, verdict="ok", speaks=speaks, longId=place.server.long_id())
        kind, tls = place.chain.key_kind, said["tls"]
        if said["itShows"][0]["key"] != kind or tls["version"] != "TLS 1.2":
            raise Failure(f"{said['itShows'][0]['key']}, {tls}")
        if kind == "secp256k1" and tls["curve"] != "secp256k1":
            raise Failure(f"the curve is {tls['curve']}")
        server.wait("the server names us", lambda: place.client.subject() in names(server.text()))
        return f"{kind}, {tls['cipher']}, {tls['curve']}"


def names(text):
    """The nodes that s_server or s_client has verified, in the order of RFC 2253."""
    found = re.findall(r"^depth=0 (.*)$", text, re.MULTILINE)
    return {",".join(reversed(name.replace(" = ", "=").split(", "))) for name in found}


def refused(place, verdict, node=None, arguments=None, server_options=(), client=None, **wanted):
    """One negative case: the verdict of the doctor."""
    options = {} if client is None else {"client": client}
    with place.tls12(node or place.server, *server_options, **options) as (address, _):
        said = doctor(address, *(arguments or ["--data-dir", place.client.directory]))
        expect(said, verdict=verdict, ok=False, **wanted)
        return said["text"].split(".")[0]


def files(node, ca):
    return ["--ca", ca, "--cert", node.certificate, "--key", node.key]


def client_cases(place):
    """(name, check) of the doctor as client."""
    chain_ca = place.chain.ca
    revoked = place.chain.node("revoked")
    crl = place.chain.issuer().revoke(revoked.certificate)
    yield "session", lambda: accepted(place, HEARTBEAT, "fisco3")
    yield "2.x packets inside", lambda: accepted(place, TOPIC_SEQ, "fisco2")
    yield "server of another CA", lambda: refused(
        place, "unknown_ca", place.stranger, refusedBy="us", peerSaysOfUs="peer_says_unknown_ca")
    yield "we are of another CA", lambda: refused(
        place, "peer_says_unknown_ca", arguments=files(place.stranger, place.both), refusedBy="peer")
    yield "server expired", lambda: refused(place, "expired", place.old)
    yield "server not yet valid", lambda: refused(place, "not_yet_valid", place.early)
    yield "we have expired", lambda: refused(
        place, "peer_says_expired", arguments=files(place.old, chain_ca), refusedBy="peer")
    yield "we are not yet valid", lambda: refused(
        # OpenSSL has no alert of its own for that.
        place, "peer_says_bad_certificate", arguments=files(place.early, chain_ca), refusedBy="peer")
    yield "we show nothing", lambda: refused(place, "certificate_wanted", arguments=["--ca", chain_ca])
    yield "nothing is asked of us", lambda: refused(place, "not_mutual", client=())
    yield "another node than meant", lambda: refused(
        place, "unexpected_identity",
        arguments=[*files(place.client, chain_ca), "--expect", place.old.long_id()])
    yield "server revoked", lambda: refused(
        place, "revoked", revoked, arguments=[*files(place.client, chain_ca), "--crl", crl])
    yield "we are revoked", lambda: refused(
        place, "peer_says_revoked", arguments=files(revoked, chain_ca),
        server_options=["-crl_check", "-CRL", crl])
    yield "no cipher in common", lambda: refused(
        place, "nothing_in_common", server_options=["-cipher", "AES128-SHA:ECDHE-ECDSA-AES128-SHA"])


def curve_refused(directory, rsa):
    """A FISCO 3.x node's OpenSSL has no secp256k1 among its groups: it refuses nodes with such keys."""
    ours = Fisco2(directory / "ours", "ours")
    node = ours.node("n0")
    both = directory / "ours-and-rsa.crt"
    both.write_bytes(rsa.chain.ca.read_bytes() + ours.ca.read_bytes())
    with s_server(rsa.server, "-tls1_2", "-CAfile", both) as (address, _):
        said = doctor(address, *files(node, both))
        expect(said, verdict="curve_refused", refusedBy="peer")
    with s_server(rsa.server, "-tls1_2", "-CAfile", both, "-groups", "X25519:secp256k1") as (address, _):
        expect(doctor(address, *files(node, both)), verdict="ok")
    return said["text"].split(".")[0]


def signature_unknown(place):
    """In TLS 1.3 OpenSSL has no signature with secp256k1."""
    rsa, both = place
    node, ca = both
    with s_server(rsa.server, "-tls1_3", "-CAfile", ca) as (address, _):
        said = doctor(address, *files(node, ca))
        expect(said, verdict="signature_unknown", refusedBy="peer")
        return said["text"].split(",")[0]


def our_authority(directory):
    """Certificates of `chainmesh ca` are good for OpenSSL, which checks them more strictly than we do."""
    ca, nodes = directory / "ca", [directory / name for name in ("n0", "n1")]
    issue = [["issue", "--ca", ca, "--name", node.name, "--out", node] for node in nodes]
    for command in [["init", "--ca", ca, "--name", "ours"], *issue]:
        status, output = run_tool([ChainmeshNode.program, "ca", *command], 20)
        if status:
            raise Failure(f"chainmesh ca {command[0]}: {output}")
    server = Node(nodes[0], nodes[0] / "node.crt", nodes[0] / "node.key")
    options = ["-tls1_2", "-groups", "X25519:secp256k1", "-x509_strict"]
    with s_server(server, *options, says=HEARTBEAT) as (address, _):
        said = doctor(address, "--data-dir", nodes[1])
        expect(said, verdict="ok", speaks="fisco3", longId=server.long_id())
        return said["itShows"][0]["subject"]


class Listening:
    """Whatever listens with our TLS: a node, if it has a consortium, or the example program."""

    def __init__(self, directory):
        self.directory = directory
        self.as_node = all(flag in run_tool([ChainmeshNode.program, "run", "--help"], 20)[1]
                           for flag in ("--consortium", "--cert-dir"))
        self.example = None if self.as_node else build_example()

    def what(self):
        return "chainmesh run --consortium" if self.as_node else "the example tls_server"

    @contextlib.contextmanager
    def listen(self, chain, node):
        """(address, program) of a listener with the files of `node`."""
        if self.as_node:
            with self._node(node) as found:
                yield found
            return
        with Program([self.example, chain.ca, node.certificate, node.key]) as server:
            yield server.wait("tls_server listens", lambda: server.line("listening ")), server

    @contextlib.contextmanager
    def _node(self, node):
        # The node looks for its own names of the files.
        for file, name in ((node.certificate, "node.crt"), (node.key, "node.key")):
            target = node.directory / name
            if not target.exists():
                target.write_bytes(file.read_bytes())
        with tempfile.TemporaryDirectory(dir=self.directory) as data, Program(
                [ChainmeshNode.program, "run", "--consortium", "--data-dir", data, "--cert-dir",
                 node.directory, "--listen", "127.0.0.1", "--port", "0"]) as program:
            # The first line is where it can be reached, on stdout before anything is logged.
            port = program.wait("the node listens", lambda: program.line(r"\S+[@/ ]127\.0\.0\.1:")
                                or program.line(r"127\.0\.0\.1:"))
            yield f"127.0.0.1:{port}", program


def build_example():
    """Path of the example program, built now: a stale one would judge old code."""
    done = subprocess.run(
        ["cargo", "build", "--quiet", "-p", "chainmesh-identity", "--example", "tls_server",
         "--message-format=json"], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    built = [json.loads(line).get("executable") for line in done.stdout.splitlines()]
    path = next((path for path in built if path and pathlib.Path(path).name.startswith("tls_server")), None)
    if done.returncode or path is None:
        raise Failure(f"cargo build: exit {done.returncode}")
    return path


def s_client(address, node, *more):
    shown = [] if node is None else ["-cert", node.certificate, "-key", node.key,
                                     "-cert_chain", node.certificate]
    return Program(["openssl", "s_client", "-connect", address, "-verify_return_error", *shown, *more])


def greeting(place, listening):
    """What our end says first, as a pattern: the heartbeat of 3.x or, from a node to the key kind of 2.x, its
    topic seq."""
    if listening.as_node and place.chain.key_kind == "secp256k1":
        return re.compile(TOPIC_SEQ_HEAD + rb"[0-9]+", re.DOTALL)
    return re.compile(re.escape(HEARTBEAT))


def client_accepted(place, listening, *more, protocol="TLSv1.2", curve=None):
    """`openssl s_client` has a session with us, gets our greeting, and we know who it is."""
    chain = place.chain
    with listening.listen(chain, place.server) as (address, server), \
            s_client(address, place.client, "-CAfile", chain.ca, *more) as client:
        pattern = greeting(place, listening)
        client.wait("our greeting", lambda: pattern.search(client.output) or client.ended())
        if not pattern.search(client.output):
            raise Failure(f"our end says nothing and closes: {server.text()[-500:]}")
        text = client.text()
        if "Verify return code: 0 (ok)" not in text or protocol not in text:
            raise Failure(text[-600:])
        temporary = client.line("Server Temp Key: ")
        if curve and (temporary is None or curve not in temporary):
            raise Failure(f"the key exchange was with {temporary}")
        if place.server.subject() not in names(text):
            raise Failure(f"s_client names {names(text)}")
        if not listening.as_node:
            have, want = server.line("long "), place.client.long_id()
            if have != want:
                raise Failure(f"our end says the peer is {have}, it is {want}")
        return f"{protocol}, {temporary}"


def client_refused(place, listening, node, alert, words, *more):
    """We refuse `openssl s_client`, with the alert, and our end says why."""
    chain = place.chain
    with listening.listen(chain, place.server) as (address, server), \
            s_client(address, node, "-CAfile", place.both, *more) as client:
        client.wait(f"the alert: {alert}", lambda: alert in client.text() or client.ended())
        if alert not in client.text() or HEARTBEAT in client.output:
            raise Failure(f"no alert {alert}: {alerts(client.text())}")
        if listening.as_node:
            return alert
        server.wait("our end gives up", server.ended)
        said = server.line("refused ")
        if said is None or words not in said:
            raise Failure(f"our end says: {server.text()[-500:]}")
        return said


def alerts(text):
    """The alerts that s_client tells of."""
    return re.findall(r"alert .*", text) or text[-500:]


def server_cases(place, listening):
    """(name, check) of openssl as client of ours."""
    is_curve = place.chain.key_kind == "secp256k1"
    tls12 = ("-tls1_2", *place.groups)
    yield "session", lambda: client_accepted(
        place, listening, *tls12, curve="secp256k1" if is_curve else None)
    if is_curve:
        # We have no signature in TLS 1.3 that OpenSSL knows, and go down to 1.2 by ourselves.
        yield "any version", lambda: client_accepted(place, listening, "-groups", "X25519:secp256k1")
    else:
        yield "any version", lambda: client_accepted(place, listening, protocol="TLSv1.3")
    yield "of another CA", lambda: client_refused(
        place, listening, place.stranger, "unknown ca", "which is not among the CAs", *tls12)
    yield "expired", lambda: client_refused(
        place, listening, place.old, "certificate expired", "expired at", *tls12)
    yield "not yet valid", lambda: client_refused(
        place, listening, place.early, "certificate expired", "is not valid before", *tls12)
    # rustls says it so in TLS 1.2 too, where OpenSSL says handshake_failure.
    yield "shows nothing", lambda: client_refused(
        place, listening, None, "certificate required", "it showed no certificate", *tls12)


def tls_cases(directory, report):
    """All of it; needs openssl, cargo and our program."""
    print(f"      {version()}", flush=True)
    places = {}
    for name, kind in (("RSA", Fisco3), ("secp256k1", Fisco2)):
        made = report.case(f"tls: {name}: certificates",
                           lambda n=name, k=kind: made_place(places, directory, n, k))
        if not made:
            return
        for what, check in client_cases(places[name]):
            report.case(f"tls: {name}: doctor: {what}", check)
    rsa, curve = places["RSA"], places["secp256k1"]
    report.case("tls: a 3.x node and a secp256k1 key", lambda: curve_refused(directory, rsa))
    mixed = directory / "mixed.crt"
    mixed.write_bytes(rsa.chain.ca.read_bytes() + curve.chain.ca.read_bytes())
    report.case("tls: a secp256k1 key in TLS 1.3",
                lambda: signature_unknown((rsa, (curve.client, mixed))))
    report.case("tls: certificates of chainmesh ca", lambda: our_authority(directory / "of-ours"))
    found = []
    if not report.case("tls: what listens", lambda: found.append(Listening(directory)) or found[0].what()):
        return
    for name, place in places.items():
        for what, check in server_cases(place, found[0]):
            report.case(f"tls: {name}: s_client: {what}", check)


def made_place(places, directory, name, kind):
    place = places[name] = Place(directory / name, kind)
    text = openssl("x509", "-in", place.chain.ca, "-noout", "-text").decode()
    if "Version: 1 (0x0)" not in text:
        raise Failure(f"the CA is not of X.509 version 1: {text[:200]}")
    return f"CA of X.509 v1, {place.server.subject()}"
