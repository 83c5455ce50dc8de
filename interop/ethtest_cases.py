"""go-ethereum's conformance suites for `eth`, whole, each against one node that goes on from case to case.

The one of v1.13.7 (eth/68, block gossip) runs on the half chain of pow-3000 and on a chain of proof of
authority that our own producer makes; the one of v1.17.5 (eth/69) on prague-600.
"""

import contextlib
import http.server
import json
import os
import re
import subprocess
import threading

import cases
from harness import CACHE, ROOT, Failure, Workplace, run_tool, wait_until

DEVP2P = CACHE / "devp2p"
DEVP2P_NEW = CACHE / "devp2p-1.17"

# All cases of v1.13.7.
OLD_TESTS = [
    "TestStatus", "TestGetBlockHeaders", "TestSimultaneousRequests", "TestSameRequestID",
    "TestZeroRequestID", "TestGetBlockBodies", "TestBroadcast", "TestLargeAnnounce", "TestOldAnnounce",
    "TestBlockHashAnnounce", "TestMaliciousHandshake", "TestMaliciousStatus", "TestTransaction",
    "TestMaliciousTx", "TestLargeTxRequest", "TestNewPooledTxs",
]
# Those of v1.17.5 that need no pool for blobs. Three are left out: BlobViolations,
# TestBlobTxWithoutSidecar, TestBlobTxWithMismatchedSidecar.
NEW_TESTS = [
    "Status", "MaliciousHandshake", "BlockRangeUpdateExpired", "BlockRangeUpdateFuture",
    "BlockRangeUpdateInvalid", "GetBlockHeaders", "GetNonexistentBlockHeaders", "SimultaneousRequests",
    "SameRequestID", "ZeroRequestID", "GetBlockBodies", "GetReceipts", "GetLargeReceipts", "LargeTxRequest",
    "Transaction", "InvalidTxs", "NewPooledTxs",
]
# The suite signs with it what it sends to the Engine API, and looks at no answer.
JWT_SECRET = "0x" + "73" * 32
# Cases of v1.13.7 that send the block behind the last one.
SENT_BLOCKS = 5


def ethtest_cases(directory, report):
    """A line for each suite and chain."""
    pow_3000 = cases.CHAINS / "pow-3000"
    report.case("eth-test v1.13.7 on pow-3000",
                lambda: old_suite(directory / "pow", pow_3000, cases.HEADS["halfchain"]))
    report.case("eth-test v1.13.7 on a clique chain of ours",
                lambda: old_suite(directory / "poa", *clique_chain(directory / "chain")))
    report.case("eth-test v1.17.5 on prague-600", lambda: new_suite(directory / "prague"))


def clique_chain(directory):
    """A chain that our producer seals: its folder, and the head of its half."""
    done = subprocess.run(
        ["cargo", "build", "--quiet", "-p", "chainmesh-chain", "--example", "poa_chain",
         "--message-format=json"], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    built = [json.loads(line).get("executable") for line in done.stdout.splitlines()]
    program = next((path for path in built if path and os.path.basename(path) == "poa_chain"), None)
    if done.returncode or program is None:
        raise Failure(f"cargo build: exit {done.returncode}")
    status, output = run_tool([program, directory], 120)
    heads = re.findall(r"^halfchain\.rlp: head is block (\d+) (0x[0-9a-f]{64})", output, re.MULTILINE)
    if status != 0 or len(heads) != 1:
        raise Failure(f"poa_chain: exit {status}: {output.strip()[-300:]}")
    return directory, (int(heads[0][0]), heads[0][1])


def old_suite(directory, chain, head):
    """The suite of v1.13.7. It lets the node import some of the blocks that follow the half chain."""
    genesis = chain / "genesis.json"
    with Workplace(directory, cases.ChainmeshNode, genesis) as place:
        node = place.node("target")
        node.import_chain(chain / "halfchain.rlp")
        node.start()
        cases.expect_head(node, head)
        passed = suite([DEVP2P, "rlpx", "eth-test", "--tap", node.enode(), chain / "chain.rlp", genesis],
                       OLD_TESTS, 180)
        wait_until("the tester's connections are gone", 30, lambda: node.peer_count() == 0)
        if node.number() != head[0] + SENT_BLOCKS:
            raise Failure(f"the node is at {node.head()}")
        return f"{passed}, from block {head[0]} to {node.number()}"


def new_suite(directory):
    """The suite of v1.17.5, without the cases for blobs."""
    chain = cases.CHAINS / "prague-600"
    genesis = chain / "genesis.json"
    with Workplace(directory, cases.ChainmeshNode, genesis) as place, engine() as url:
        node = place.node("target")
        node.import_chain(chain / "chain.rlp")
        node.start()
        cases.expect_head(node, cases.HEADS["prague-600"])
        passed = suite([DEVP2P_NEW, "rlpx", "eth-test", "--tap", "--run", f"^({'|'.join(NEW_TESTS)})$",
                        "--node", node.enode(), "--chain", chain, "--engineapi", url,
                        "--jwtsecret", JWT_SECRET], NEW_TESTS, 120)
        wait_until("the tester's connections are gone", 30, lambda: node.peer_count() == 0)
        cases.expect_head(node, cases.HEADS["prague-600"])
        return f"{passed} (without the three about blobs)"


def suite(command, names, seconds):
    """Runs a suite; each of these cases has to be there and to pass."""
    status, output = run_tool(command, seconds)
    passed = re.findall(r"^ok \d+ (\w+)", output, re.MULTILINE)
    if status != 0 or passed != names:
        failed = [name for name in names if name not in passed]
        why = output[output.find("not ok"):].strip()[:600]
        raise Failure(f"exit {status}, {len(passed)}/{len(names)}, not {', '.join(failed)}: {why}")
    return f"{len(passed)}/{len(names)}"


class Engine(http.server.BaseHTTPRequestHandler):
    """Stands for the Engine API of a node: it answers, and nobody looks at what."""

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def engine():
    """The URL of an [`Engine`]."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Engine)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
