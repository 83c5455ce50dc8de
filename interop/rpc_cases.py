"""The group `rpc`: the same chain in go-ethereum and in our node, and the same questions to both."""

import json
import re
import socket

from harness import ChainmeshNode, Failure, GethNode, Workplace, run_tool
from rpc_chain import CHAIN_ID, Answering, Maker
from rpc_questions import EXACT, questions


def rpc_cases(directory, report):
    """Makes a chain with go-ethereum, and compares what both say about it."""
    maker = Maker(directory / "chain")
    made = []
    if not report.case("rpc: go-ethereum makes a chain",
                       lambda: made.append(maker.make()) or f"{len(maker.hashes)} transactions"):
        return
    with Workplace(directory / "nodes", ChainmeshNode, maker.genesis) as place:
        ours = place.node("chainmesh")
        theirs = Answering(maker, place.directory)
        place.nodes.append(theirs)

        def start():
            ours.import_chain(maker.chain)
            ours.arguments = ["--http", "127.0.0.1:0", "--ws", "127.0.0.1:0"]
            for node in (ours, theirs):
                node.start()
            if ours.head() != theirs.head():
                raise Failure(f"ours is at {ours.head()}, go-ethereum at {theirs.head()}")
            return f"both at #{ours.number()}"

        if not report.case("rpc: both import it and have one head", start):
            print(f"      {place.logs()}", flush=True)
            return
        compare(maker, ours, theirs, report)
        for way in ("ipc", "http", "ws"):
            report.case(f"rpc: geth attach over {way}", lambda w=way: attach(w, ours))


def attach(way, ours):
    """go-ethereum's console has our node as its own: what it asks at its start, a block, a call."""
    place = ours.data / ours.ipc_name
    if way != "ipc":
        found = re.search(rf"^{way}://127\.0\.0\.1:\d+$", ours.log.read_text(), re.MULTILINE)
        if not found:
            raise Failure(f"our node has not printed where {way} is: {ours.log_tail()}")
        place = found.group(0)
    script = "JSON.stringify([eth.blockNumber, eth.getBlock(1).hash, web3.version.node, eth.syncing, net.version])"
    status, output = run_tool([GethNode.program, "attach", "--exec", script, place], 30)
    number, hash_of_first, client, syncing, network = json.loads(json.loads(output.strip())) if status == 0 else [None] * 5
    first = ours.call("eth_getBlockByNumber", "0x1", False)["hash"]
    if (number, hash_of_first, syncing, network) != (ours.number(), first, False, str(CHAIN_ID)):
        raise Failure(f"exit {status}: {output.strip()[-300:]}")
    return client


def compare(maker, ours, theirs, report):
    head = theirs.number()
    hashes = [theirs.call("eth_getBlockByNumber", hex(number), False)["hash"] for number in range(head + 1)]
    by_group = {}
    for method, params, errors in questions(maker, head, hashes.__getitem__):
        by_group.setdefault(method, []).append((params, errors))
    connections = Ask(ours), Ask(theirs)
    for method, asked in by_group.items():
        report.case(f"rpc: {method}", lambda m=method, a=asked: same(m, a, *connections))


def same(method, asked, ours, theirs):
    """Asks both, and says where they differ."""
    differences = []
    for params, errors in asked:
        mine, yours = ours(method, params), theirs(method, params)
        for where, one, other in differ(mine, yours, errors):
            differences.append(f"{json.dumps(params)[:160]} {where}: ours {shown(one)}, go-ethereum {shown(other)}")
    if differences:
        raise Failure("\n".join([f"{len(differences)} differences", *differences[:8]]))
    return f"{len(asked)} questions"


def differ(mine, yours, errors):
    if "error" in mine or "error" in yours:
        one, other = mine.get("error"), yours.get("error")
        if one is None or other is None:
            yield "", one or mine.get("result"), other or yours.get("result")
            return
        for field in ("code", "message", "data") if errors == EXACT else ("code",):
            if one.get(field) != other.get(field):
                yield field, one, other
                return
        return
    yield from fields("result", mine["result"], yours["result"])


def fields(where, one, other):
    """Every place where two values differ."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in sorted({*one, *other}):
            if key not in one or key not in other:
                yield f"{where}.{key}", one.get(key, "(not there)"), other.get(key, "(not there)")
            else:
                yield from fields(f"{where}.{key}", one[key], other[key])
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for place, (a, b) in enumerate(zip(one, other)):
            yield from fields(f"{where}[{place}]", a, b)
    elif one != other or isinstance(one, bool) != isinstance(other, bool):
        yield where, one, other


def shown(value):
    text = json.dumps(value)
    return text if len(text) < 200 else text[:200] + "…"


class Ask:
    """Asks a node over its Unix socket, and returns the whole answer."""

    def __init__(self, node):
        self.node = node
        self.connection = None

    def __call__(self, method, params):
        if self.connection is None:
            self.connection = socket.socket(socket.AF_UNIX)
            self.connection.settimeout(20)
            self.connection.connect(str(self.node.data / self.node.ipc_name))
        request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        self.connection.sendall(json.dumps(request).encode() + b"\n")
        answer = b""
        while True:
            part = self.connection.recv(1 << 16)
            if not part:
                raise Failure(f"{self.node.name} closed its connection at {method}")
            answer += part
            try:
                return json.loads(answer)
            except ValueError:
                continue
