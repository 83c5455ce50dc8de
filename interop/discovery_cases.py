"""Discovery: go-ethereum's conformance suites against our boot node, and geth among our nodes."""

import json
import re
import signal
import subprocess

from cases import clique_genesis
from harness import CACHE, ChainmeshNode, Failure, GethNode, Workplace, run_tool, wait_until
from synctarget_cases import NewGeth

DEVP2P = CACHE / "devp2p-1.17"

# The cases of `devp2p discv4 test` v1.17.5.
DISCV4_TESTS = [
    "Ping/Basic", "Ping/WrongTo", "Ping/WrongFrom", "Ping/ExtraData", "Ping/ExtraDataWrongFrom",
    "Ping/PastExpiration", "Ping/WrongPacketType", "Ping/BondThenPingWithWrongFrom", "ENRRequest",
    "Findnode/WithoutEndpointProof", "Findnode/BasicFindnode", "Findnode/UnsolicitedNeighbors",
    "Findnode/PastExpiration", "Amplification/InvalidPongHash", "Amplification/WrongIP",
]

# The cases of `devp2p discv5 test` v1.17.5.
DISCV5_TESTS = [
    "Ping", "PingLargeRequestID", "PingMultiIP", "HandshakeResend", "TalkRequest",
    "FindnodeZeroDistance", "FindnodeResults",
]


class BootNode:
    """`chainmesh bootnode` on loopback, at a port that the system chose."""

    def __init__(self, directory):
        self.directory = directory
        self.record = None
        directory.mkdir(parents=True, exist_ok=True)

    def __enter__(self):
        self.log = self.directory / "bootnode.log"
        with open(self.log, "wb") as log:
            # On all addresses: the suite comes from 127.0.0.1 and 127.0.0.2.
            self.process = subprocess.Popen(
                [ChainmeshNode.program, "bootnode", "--data-dir", self.directory / "bootnode",
                 "--port", "0", "--external-ip", "127.0.0.1"],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, text=True)
        self.enode = self.process.stdout.readline().strip()
        if not self.enode.startswith("enode://"):
            self.__exit__()
            raise Failure(f"no enode URL: {self.log.read_text(errors='replace')[-300:]}")
        self.record = self.process.stdout.readline().strip()
        if not self.record.startswith("enr:"):
            self.__exit__()
            raise Failure(f"no node record: {self.record!r}")
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


def discv4_cases(directory, report):
    """Each case of the suite against one boot node, which goes on from case to case."""
    with BootNode(directory) as boot:
        for name in DISCV4_TESTS:
            report.case(f"discv4 {name}", lambda n=name: discv4_test(boot, n))
        report.case("discv4 the whole suite at once",
                    lambda: whole_suite(discv4_command(boot), DISCV4_TESTS))


def discv4_command(boot, *more):
    return [DEVP2P, "discv4", "test", "--tap", "--remote", boot.enode, "--listen1", "127.0.0.1",
            "--listen2", "127.0.0.2", *more]


def discv4_test(boot, name):
    one_test(discv4_command(boot, "--run", f"^{name}$"), name)


def one_test(command, name):
    status, output = run_tool(command, 30)
    if status != 0 or not re.search(rf"^ok 1 {name}$", output, re.MULTILINE):
        raise Failure(f"exit {status}: {output.strip()[-600:]}")


def whole_suite(command, tests):
    status, output = run_tool(command, 90)
    passed = len(re.findall(r"^ok \d+ ", output, re.MULTILINE))
    if status != 0 or passed != len(tests):
        raise Failure(f"exit {status}, {passed} of {len(tests)}: {output.strip()[-600:]}")
    return f"{passed}/{len(tests)}"


def discv5_cases(directory, report):
    """The suite of discv5 against one boot node, and then that of discv4 on the same port."""
    with BootNode(directory) as boot:
        for name in DISCV5_TESTS:
            report.case(f"discv5 {name}", lambda n=name: one_test(
                discv5_command(boot, boot.record, "--run", f"^{n}$"), n))
        report.case("discv5 the whole suite at once, by record",
                    lambda: whole_suite(discv5_command(boot, boot.record), DISCV5_TESTS))
        report.case("discv5 the whole suite at once, by URL",
                    lambda: whole_suite(discv5_command(boot, boot.enode), DISCV5_TESTS))
        report.case("discv4 on the same port, the whole suite",
                    lambda: whole_suite(discv4_command(boot), DISCV4_TESTS))


def discv5_command(boot, target, *more):
    return [DEVP2P, "discv5", "test", "--tap", "--listen1", "127.0.0.1", "--listen2", "127.0.0.2",
            *more, target]


def geth_case(directory):
    """Our node and geth know nothing but our boot node, and become peers."""
    genesis = directory / "genesis.json"
    with Workplace(directory, ChainmeshNode, genesis) as place, BootNode(directory) as boot:
        genesis.write_text(json.dumps(clique_genesis("00" * 19 + "01")))
        ours, geth = place.node("ours"), GethNode("geth", directory, genesis)
        place.nodes.append(geth)
        status, output = run_tool([GethNode.program, "init", "--datadir", geth.data, genesis], 60)
        if status != 0:
            raise Failure(f"geth init: exit {status}: {output.strip()[-300:]}")
        ours.discovery, geth.bootnodes = True, boot.enode
        ours.start(bootnode=boot.enode)
        geth.start()
        wait_until("our node and geth are peers", 90,
                   lambda: ours.peer_count() == 1 and geth.peer_count() == 1)


def geth_boot_case(directory):
    """Our node and a geth know nothing but another geth, and become peers."""
    genesis = directory / "genesis.json"
    with Workplace(directory, ChainmeshNode, genesis) as place:
        genesis.write_text(json.dumps(clique_genesis("00" * 19 + "01")))
        boot, geth = (GethNode(name, directory, genesis) for name in ("boot", "geth"))
        for node in (boot, geth):
            place.nodes.append(node)
            status, output = run_tool([GethNode.program, "init", "--datadir", node.data, genesis], 60)
            if status != 0:
                raise Failure(f"geth init: exit {status}: {output.strip()[-300:]}")
        # Empty: it looks for nobody, and is found.
        boot.bootnodes = " "
        boot.start()
        geth.bootnodes = boot.enode()
        geth.start()
        ours = place.node("ours")
        ours.discovery = True
        ours.start(bootnode=boot.enode())
        wanted = re.search("enode://([0-9a-f]+)@", geth.enode())[1]

        def found():
            return next((peer for peer in ours.call("admin_peers") if wanted in peer["enode"]), None)

        peer = wait_until("our node and the geth that it was not told of are peers", 90, found)
        return f"{peer['direction']}, {peer['name']}"


def discv5_geth_case(directory, ours_knows_record):
    """As `geth_case`, with a go-ethereum that speaks discv5 alone."""
    genesis = directory / "genesis.json"
    with Workplace(directory, ChainmeshNode, genesis) as place, BootNode(directory) as boot:
        description = clique_genesis("00" * 19 + "01")
        # Without one it does not start; it is beyond reach.
        description["config"]["terminalTotalDifficulty"] = 10 ** 18
        genesis.write_text(json.dumps(description))
        ours, geth = place.node("ours"), NewGeth("geth", directory, genesis)
        place.nodes.append(geth)
        status, output = run_tool([NewGeth.program, "init", "--datadir", geth.data, genesis], 60)
        if status != 0:
            raise Failure(f"geth init: exit {status}: {output.strip()[-300:]}")
        # eth/69 is all that this geth speaks.
        ours.discovery, ours.arguments = True, ["--eth69"]
        geth.bootnodes = boot.record
        geth.arguments = ["--discovery.v5", "--discovery.v4=false"]
        ours.start(bootnode=boot.record if ours_knows_record else boot.enode)
        geth.start()
        wait_until("our node and geth are peers", 90,
                   lambda: ours.peer_count() == 1 and geth.peer_count() == 1)
        record = ours.call("admin_nodeInfo")["enr"]
        geth_record = geth.call("admin_nodeInfo")["enr"]
        if not (record.startswith("enr:") and geth_record.startswith("enr:")):
            raise Failure(f"records: {record!r}, {geth_record!r}")
def crawl_case(directory):
    """Through a geth that is a boot node, a crawl finds geth and all our nodes, by their names."""
    genesis = directory / "genesis.json"
    with Workplace(directory, ChainmeshNode, genesis) as place:
        genesis.write_text(json.dumps(clique_genesis("00" * 19 + "01")))
        geth = GethNode("geth", directory, genesis)
        place.nodes.append(geth)
        status, output = run_tool([GethNode.program, "init", "--datadir", geth.data, genesis], 60)
        if status != 0:
            raise Failure(f"geth init: exit {status}: {output.strip()[-300:]}")
        # Empty: it looks for nobody, and is found.
        geth.bootnodes = " "
        geth.start()
        boot = geth.enode()
        ours = [place.node(f"ours{n}") for n in range(3)]
        for node in ours:
            node.discovery = True
            node.start(bootnode=boot)
        wanted = {re.search("enode://([0-9a-f]+)@", node.enode())[1] for node in [geth, *ours]}

        def crawl():
            file = directory / "network.json"
            status, output = run_tool(
                [ChainmeshNode.program, "crawl", "--bootnode", boot, "--hello", "--genesis", genesis,
                 "--json", file], 60)
            if status != 0:
                raise Failure(f"crawl: exit {status}: {output.strip()[-300:]}")
            found = json.loads(file.read_text())
            names = {node["id"]: node["client"] or "" for node in found["nodes"]}
            return found if all(names.get(who) for who in wanted) else None

        found = wait_until("the crawl finds geth and our three nodes", 90, crawl)
        clients = found["summary"]["clients"]
        if sum(n for name, n in clients.items() if name.startswith("Geth/v1.13.15")) != 1:
            raise Failure(f"geth is not among the clients: {clients}")
        for line, arguments in (("geth", [boot]), ("ours", [ours[0].enode()])):
            status, output = run_tool([ChainmeshNode.program, "ping", "-c", "2", *arguments], 30)
            if status != 0 or "ping 2" not in output or "network 1515" not in output:
                raise Failure(f"ping {line}: exit {status}: {output.strip()[-400:]}")
        return f"{len(found['nodes'])} nodes, {len(found['edges'])} edges; {clients}"
