"""A gateway of FISCO BCOS 3.x as the specification has it, in Python over `openssl s_client`, talks to our node.

It has RSA certificates as FISCO's tools make them, speaks packets V0 to V3, announces a status with one front
node, asks for ours, exchanges routes and topics, sends a message and gets one. Every packet is read by
`mesh_decoder/decoder.py`, which knows nothing of our code.

`gateway.py --explain` prints the conversation packet by packet; `docs/src/wire-capture.md` is made of it.
"""

import argparse
import contextlib
import os
import pathlib
import select
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE / "mesh_decoder")]

import decoder  # noqa: E402
from harness import ROOT, ChainmeshNode, Failure, wait_until  # noqa: E402
from tls_cases import Listening, Place, Program  # noqa: E402
from tls_certificates import Fisco2, Fisco3  # noqa: E402

NAMES = {0: "Response", 1: "Heartbeat", 2: "Handshake", 3: "RequestNodeStatus", 4: "ResponseNodeStatus",
         5: "PeerToPeerMessage", 6: "BroadcastMessage", 7: "AMOPMessage", 9: "SyncNodeSeq",
         10: "RouterTableSyncSeq", 11: "RouterTableResponse", 12: "RouterTableRequest"}
RESPONSE = 1
GROUP = b"group0".hex()
SEND = 9000
FRONT = bytes(range(64)).hex()
OUR_TOPIC = "weather"


class Gateway:
    """The gateway, and what was said so far."""

    def __init__(self, process, explain):
        self.process, self.explain = process, explain
        self.buffer, self.packets = b"", []
        self.seq, self.version = 1, 0
        self.own = self.peer = ""

    def read(self, seconds):
        """The next packet, or None when none comes in time."""
        end = time.monotonic() + seconds
        stream = self.process.stdout
        while True:
            if len(self.buffer) >= 4:
                length = int.from_bytes(self.buffer[:4], "big")
                if len(self.buffer) >= length:
                    raw, self.buffer = self.buffer[:length], self.buffer[length:]
                    packet = decoder.decode_packet(raw)
                    if packet["version"] == 3:
                        # Short IDs are keccak256, which Python lacks: we are told ours.
                        self.peer, self.own = packet["src"] or self.peer, packet["dst"] or self.own
                    self.show("node -> gateway", raw, packet)
                    return packet
            left = end - time.monotonic()
            if left <= 0 or not select.select([stream], [], [], left)[0]:
                return None
            part = os.read(stream.fileno(), 65536)
            if not part:
                raise Failure("our node closed the session")
            self.buffer += part

    def send(self, kind, payload=b"", seq=None, ext=0, options=None, version=None):
        """Sends a packet; its seq."""
        if seq is None:
            self.seq += 1
            seq = self.seq
        version = self.version if version is None else version
        packet = {"version": version, "type": kind, "seq": seq, "ext": ext, "payload": payload.hex()}
        if version:
            packet |= {"ttl": 10, "src": self.own, "dst": self.peer}
        if options:
            packet["options"] = options
        raw = decoder.encode_packet(packet)
        self.show("gateway -> node", raw, packet)
        self.process.stdin.write(raw)
        self.process.stdin.flush()
        return seq

    def wait(self, what, kind, seconds=15, ext=0, **wanted):
        """The next packet of this type; what comes before it is answered as a gateway does."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            packet = self.read(left)
            if packet is None:
                break
            if packet["type"] == kind and packet["ext"] & RESPONSE == ext and all(
                    packet[name] == value for name, value in wanted.items()):
                return packet
            self.answer(packet)
        raise Failure(f"no {what} within {seconds} s")

    def answer(self, packet):
        """What a gateway says by itself."""
        if packet["type"] == 3:
            group = {"group": GROUP, "nodes": [FRONT.encode().hex()], "type": 0,
                     "protocols": [{"module": 0, "min": 0, "max": 1}], "node_types": [2]}
            status = {"uuid": b"a-gateway".hex(), "seq": 1, "groups": [group], "extension": None}
            self.send(4, decoder.encode_node_status(status))
        elif packet["type"] == 12:
            self.send(11, decoder.encode_router_table([]))
        elif packet["type"] == 7:
            message = bytes.fromhex(packet["payload"])
            if message[2:4] == b"\0\2":
                self.send(7, b"\0\0\0\3\0\0" + b'{"topicItems":["weather"],"topicSeq":2}\n')

    def show(self, direction, raw, packet):
        self.packets.append((direction, raw, packet))
        if self.explain:
            explain(direction, raw, packet)


def explain(direction, raw, packet):
    """Prints a packet, field by field."""
    head = raw[:14].hex()
    print(f"### {direction}: {NAMES.get(packet['type'], packet['type'])}, V{packet['version']}\n\n```")
    print(f"{head[:8]}      length {len(raw)}")
    print(f"{head[8:12]}          version {packet['version']}")
    print(f"{head[12:16]}          type {packet['type']:#x}, {NAMES.get(packet['type'], '?')}")
    print(f"{head[16:24]}      seq {packet['seq']}")
    ext = ["RESPONSE"] * (packet["ext"] & 1) + ["COMPRESS"] * (packet["ext"] >> 4 & 1)
    print(f"{head[24:28]}          ext {' | '.join(ext) or 'no bits'}")
    if packet["version"]:
        print(f"{packet['ttl']:04x}          ttl {packet['ttl']}")
        for name, what in (("src", "from"), ("dst", "to")):
            identity = packet[name]
            print(f"{len(identity) // 2:04x} {identity[:8]}…  {what}: {len(identity) // 2} bytes, "
                  f"{'a short ID' if len(identity) == 64 else 'a long ID'}")
    if options := packet.get("options"):
        print(f"options       group {bytes.fromhex(options['group']).decode()}, module {options['module']}, from "
              f"{options['src'][:8]}…, to {', '.join(one[:8] + '…' for one in options['dst']) or 'all'}")
    for line in meaning(packet):
        print(f"payload       {line}")
    print("```\n")


def meaning(packet):
    payload = bytes.fromhex(packet["payload"])
    kind = packet["type"]
    if packet["ext"] & 16:
        payload = bytes.fromhex(decoder.decode_zstd(payload)["data"])
    if kind == 2:
        info = decoder.decode_protocol_info(payload)
        return [f"{payload.hex()}: versions {info['min']} to {info['max']}, module {info['module']}"]
    if kind in (9, 10):
        return [f"{payload.hex()}: number {int.from_bytes(payload[:4], 'big')}"]
    if kind == 4:
        status = decoder.decode_node_status(payload)
        groups = [f"group {bytes.fromhex(g['group']).decode()}: {len(g['nodes'])} front node(s)"
                  for g in status["groups"]]
        ours = status["extension"]
        more = [f"our own addition, tag 200: role {ours['role']}, height {ours['height']}"] if ours else []
        return [f"Tars: status number {status['seq']}, uuid {cut(bytes.fromhex(status['uuid']))}", *groups, *more]
    if kind == 11:
        routes = decoder.decode_router_table(payload)
        return [f"Tars: {len(routes)} route(s)"] + [
            f"{cut(bytes.fromhex(r['dst']))} at distance {r['distance']}" for r in routes]
    if kind == 7:
        names = {1: "TopicSeq", 2: "RequestTopic", 3: "ResponseTopic", 4: "Request", 5: "Broadcast"}
        what = int.from_bytes(payload[2:4], "big")
        return [f"AMOP {names.get(what, what)}: {cut(payload[6:], 60)}"]
    if kind in (5, 6):
        front = decoder.decode_front(payload)
        return [f"front message: module {front['module']}, uuid {bytes.fromhex(front['uuid']).decode()}, "
                f"ext {front['ext']}", f"what it says: {cut(bytes.fromhex(front['payload']))}"]
    return [cut(payload)] if payload else []


def cut(data, most=24):
    text = data.decode("ascii", "replace").rstrip("\n")
    return repr(text[:most] + ("…" if len(text) > most else ""))


@contextlib.contextmanager
def connected(place, listening, explain=False):
    """(gateway, node's program, its data directory)."""
    with listening.listen(place.chain, place.server) as (address, node):
        arguments = ["openssl", "s_client", "-quiet", "-connect", address, "-tls1_2", "-verify_return_error",
                     "-CAfile", place.chain.ca, *place.groups, "-cert_chain", place.client.certificate, "-cert", place.client.certificate, "-key", place.client.key]
        process = subprocess.Popen([str(a) for a in arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                   stderr=subprocess.DEVNULL)
        try:
            yield Gateway(process, explain), node
        finally:
            process.kill()
            process.wait()


def conversation(place, listening, explain=False):
    """All of it; raises Failure at the first thing that is not as a gateway needs it."""
    with connected(place, listening, explain) as (gateway, node):
        # Both speak at once; nobody waits.
        gateway.send(1, seq=0)
        gateway.send(2, bytes.fromhex("10012c3003"), version=0)
        heartbeat = gateway.wait("heartbeat", 1)
        if (heartbeat["version"], heartbeat["seq"], heartbeat["payload"]) != (0, 0, ""):
            raise Failure(f"our heartbeat is not FISCO's: {heartbeat}")
        handshake = gateway.wait("Handshake", 2, version=0)
        info = decoder.decode_protocol_info(bytes.fromhex(handshake["payload"]))
        if (info["min"], info["max"], info["module"]) != (0, 3, 1):
            raise Failure(f"our handshake says {info}")
        gateway.wait("SyncNodeSeq in V3", 9, version=3)
        gateway.version = 3
        # We learn of the node's status, topics and routes...
        gateway.send(3)
        status = decoder.decode_node_status(unpacked(gateway.wait("ResponseNodeStatus", 4)))
        fronts = [bytes.fromhex(one).decode() for group in status["groups"] for one in group["nodes"]]
        if len(fronts) != 1:
            raise Failure(f"our node announces {fronts}")
        gateway.send(12)
        gateway.wait("RouterTableResponse", 11)
        gateway.send(7, b"\0\0\0\2\0\0")
        amop_answer(gateway)
        # ...and it of ours: it asks by itself.
        gateway.send(9, (1).to_bytes(4, "big"))
        gateway.send(10, (1).to_bytes(4, "big"))
        gateway.send(7, b"\0\0\0\1\0\0" + b"2")
        gateway.answer(gateway.wait("RequestNodeStatus", 3))
        # A message to the node, which confirms it with the text of a number.
        front = {"module": SEND, "uuid": b"01234567-89ab-cdef-0123-456789abcdef".hex(), "ext": 0,
                 "payload": b"good day".hex()}
        options = {"group": GROUP, "src": FRONT, "dst": [fronts[0]], "module": SEND}
        seq = gateway.send(5, decoder.encode_front(front), options=options)
        answer = gateway.wait("answer to our message", 0, ext=RESPONSE, seq=seq)
        if bytes.fromhex(answer["payload"]) != b"0":
            raise Failure(f"our message was answered with {answer['payload']}")
        # And one from it, once it knows our front node.
        return message_from_node(gateway, node)


def conversation_2x(place, listening):
    """A node of FISCO BCOS 2.x: RC2 packets, and its topics by number."""
    with connected(place, listening) as (gateway, node):
        told = read_rc2(gateway, "our topic number", lambda p: (p["protocol"], p["type"]) == (2, 1))
        if told["seq"] != 0 or not bytes.fromhex(told["payload"]).isdigit():
            raise Failure(f"our heartbeat is not that of 2.x: {told}")
        send_rc2(gateway, protocol=2, type=1, seq=0, payload=b"1")
        asked = read_rc2(gateway, "a question for our topics", lambda p: (p["protocol"], p["type"]) == (2, 2))
        topics = decoder.encode_topics({"seq": 1, "topics": [b"harvest".hex(), b"weather".hex()]})
        send_rc2(gateway, protocol=-2, type=3, seq=asked["seq"], payload=topics)
        data = data_dir(node)
        known = [str(ChainmeshNode.program), "mesh", "--data-dir", data]
        wait_until("the node knows our topics", 20, lambda: b"harvest weather" in subprocess.run(
            known, stdout=subprocess.PIPE, check=False).stdout)
        # It asks for ours when somebody follows something there.
        send_rc2(gateway, protocol=2, type=2, seq=77, payload=b"")
        answer = read_rc2(gateway, "our topics", lambda p: p["response"] and p["seq"] == 77)
        if (answer["protocol"], answer["type"]) != (-2, 3):
            raise Failure(f"our topics came as {answer}")
        decoder.decode_topics(bytes.fromhex(answer["payload"]))
        return "topics both ways"


def read_rc2(gateway, what, wanted, seconds=15):
    """The next RC2 packet that is wanted; heartbeats are passed over."""
    end = time.monotonic() + seconds
    stream = gateway.process.stdout
    while True:
        while len(gateway.buffer) >= 4 and len(gateway.buffer) >= (
                length := int.from_bytes(gateway.buffer[:4], "big")):
            raw, gateway.buffer = gateway.buffer[:length], gateway.buffer[length:]
            packet = decoder.decode_rc2(raw)
            if wanted(packet):
                return packet
        left = end - time.monotonic()
        if left <= 0 or not select.select([stream], [], [], left)[0]:
            raise Failure(f"no {what} within {seconds} s")
        part = os.read(stream.fileno(), 65536)
        if not part:
            raise Failure("our node closed the session")
        gateway.buffer += part


def send_rc2(gateway, payload, **fields):
    gateway.process.stdin.write(decoder.encode_rc2({"version": 0, "payload": payload.hex(), **fields}))
    gateway.process.stdin.flush()


def amop_answer(gateway):
    """Reads on until the list of topics comes."""
    end = time.monotonic() + 15
    while time.monotonic() < end:
        packet = gateway.wait("AMOP ResponseTopic", 7)
        message = bytes.fromhex(packet["payload"])
        if message[2:4] == b"\0\3":
            if b'"topicItems"' not in message:
                raise Failure(f"no list of topics: {message}")
            return
        gateway.answer(packet)
    raise Failure("no list of topics")


def unpacked(packet):
    payload = bytes.fromhex(packet["payload"])
    return bytes.fromhex(decoder.decode_zstd(payload)["data"]) if packet["ext"] & 16 else payload


def data_dir(node):
    arguments = node.process.args
    return arguments[arguments.index("--data-dir") + 1]


def message_from_node(gateway, node):
    data = data_dir(node)
    known = [str(ChainmeshNode.program), "mesh", "--json", "--data-dir", data]

    def knows_our_front():
        while (packet := gateway.read(0.2)) is not None:
            gateway.answer(packet)
        return subprocess.run(known, stdout=subprocess.PIPE, check=False).stdout.count(b'"frontNodes":1')

    wait_until("the node knows our front node", 20, knows_our_front)
    with Program([ChainmeshNode.program, "send", "--data-dir", data, "--to", FRONT, "and to you"]) as send:
        packet = gateway.wait("message from our node", 5)
        front = decoder.decode_front(unpacked(packet))
        if bytes.fromhex(front["payload"]) != b"and to you" or packet["options"]["dst"] != [FRONT]:
            raise Failure(f"the message is {front} to {packet['options']}")
        gateway.send(0, b"0", seq=packet["seq"], ext=RESPONSE)
        send.wait("the end of send", send.ended)
        if send.process.returncode or "delivered" not in send.text():
            raise Failure(f"chainmesh send: {send.text()}")
    return f"{len(gateway.packets)} packets"


def gateway_cases(directory, report):
    """Needs openssl, our program, and a node that can be of a consortium."""
    listening = Listening(directory)
    place = []
    made = report.case("gateway: certificates", lambda: place.extend(
        [Place(directory / "gateway", Fisco3), Place(directory / "node2x", Fisco2)]) or "RSA-2048, secp256k1")
    if made:
        report.case("gateway: a FISCO BCOS 2.x node in Python talks to us",
                    lambda: conversation_2x(place[1], listening))
        report.case("gateway: a FISCO BCOS 3.x gateway in Python talks to us",
                    lambda: conversation(place[0], listening))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--explain", action="store_true", help="print the conversation, field by field")
    arguments = parser.parse_args()
    ChainmeshNode.program = os.environ.get("CHAINMESH_BIN") or ROOT / "target/release/chainmesh"
    with tempfile.TemporaryDirectory() as directory:
        directory = pathlib.Path(directory)
        place = Place(directory / "gateway", Fisco3)
        note = conversation(place, Listening(directory), arguments.explain)
        print(note, file=sys.stderr)


if __name__ == "__main__":
    main()
