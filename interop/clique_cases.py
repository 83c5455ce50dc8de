"""Proof of authority beside go-ethereum: signers of both kinds in one network, with votes, epochs,
crashes and a partition.

Needs go-ethereum v1.13.15, the last release that seals clique blocks (interop/setup.sh --geth).
"""

import json
import os
import pathlib
import re
import resource
import socket
import tempfile
import threading
import time
import urllib.error
import urllib.request

from harness import ChainmeshNode, Failure, GethNode, Workplace, run_tool, wait_until
from sdk_net import free_port

PERIOD = 1
EPOCH = 20
# Blocks that geth and ours seal together; three epochs at least. At a block a second that takes a while,
# in which the machine has little to do: it runs beside the other cases.
BLOCKS = int(os.environ.get("CHAINMESH_CLIQUE_BLOCKS", 200))
# Blocks that may differ between nodes at any moment: the last ones are still being agreed upon.
UNSETTLED = 6


def long_case(report):
    """The case that takes minutes, beside all others."""
    def check():
        with tempfile.TemporaryDirectory(prefix="chainmesh-interop-") as folder:
            return sign_together(pathlib.Path(folder) / "sign_together")
    report.aside("clique: geth and ours sign, vote, epochs", check)


def clique_cases(directory, report):
    """The other cases of the group; each begins with a network of its own."""
    cases = {
        "we sync from a geth signer": sync_from_geth,
        "we take over geth's key": take_over,
        "geth killed and restarted": geth_killed,
        "partition 2|2 and heal": partition,
        "disk full, and room again": disk_full,
    }
    for name, case in cases.items():
        report.case(f"clique: {name}", lambda c=case: c(directory / c.__name__))


def genesis(signers, period=PERIOD, epoch=EPOCH, rich=()):
    """A network that geth before v1.14 can run: every fork to London from the first block on."""
    forks = ["homestead", "eip150", "eip155", "eip158", "byzantium", "constantinople", "petersburg",
             "istanbul", "berlin", "london"]
    config = {"chainId": 1515, "clique": {"period": period, "epoch": epoch}}
    config.update({f"{fork}Block": 0 for fork in forks})
    return {"config": config, "difficulty": "0x1", "gasLimit": "0x1c9c380",
            "alloc": {owner: {"balance": "0xde0b6b3a7640000"} for owner in [*signers, *rich]},
            "timestamp": hex(int(time.time()) - 5),
            "extraData": "0x" + "00" * 32 + "".join(sorted(s[2:].lower() for s in signers)) + "00" * 65}


class Key:
    """A key in a file of hex digits, and its address."""

    def __init__(self, path):
        self.path = path
        status, output = run_tool([ChainmeshNode.program, "key", "new", "--out", path], 20)
        address = re.search(r"^address\s+(0x[0-9a-fA-F]{40})$", output, re.MULTILINE)
        if status != 0 or not address:
            raise Failure(f"key new: exit {status}: {output.strip()[-300:]}")
        self.address = address.group(1).lower()


class GethSigner(GethNode):
    """geth with a key in its keystore that it seals with."""

    def become(self, key, wallets=()):
        """Makes the data directory; without `key` it does not seal. It can sign for `wallets`, too.

        The port stays the same: peers find it again after a restart.
        """
        self.port = free_port()
        run(self.program, "init", "--datadir", self.data, self.genesis)
        keys = [*([key] if key else []), *wallets]
        password = self.data / "password"
        password.write_text("a password\n" * len(keys))
        for one in keys:
            run(self.program, "account", "import", "--lightkdf", "--datadir", self.data,
                "--password", password, one.path)
        self.arguments = ["--unlock", ",".join(one.address for one in keys), "--password", password,
                          "--allow-insecure-unlock", "--maxpeers", "8"]
        if key:
            self.arguments += ["--mine", "--miner.etherbase", key.address, "--miner.gasprice", "1"]

    def run_command(self, bootnode):
        command = super().run_command(bootnode)
        command[command.index("--port") + 1] = self.port
        return command


def run(*command):
    status, output = run_tool(command, 60)
    if status != 0:
        raise Failure(f"{' '.join(map(str, command[1:3]))}: exit {status}: {output.strip()[-400:]}")
    return output


class Cut:
    """A TCP forwarder to a node that can be cut, connections and all, and joined again."""

    def __init__(self, enode):
        prefix, address = enode.rsplit("@", 1)
        host, port = address.rsplit(":", 1)
        self.far, self.is_cut, self.ends = (host, int(port)), False, []
        self.lock = threading.Lock()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.enode = f"{prefix}@127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(self.far)
            except OSError:
                near.close()
                continue
            with self.lock:
                if self.is_cut:
                    near.close()
                    far.close()
                    continue
                self.ends += [near, far]
            threading.Thread(target=self._pass, args=(near, far), daemon=True).start()
            threading.Thread(target=self._pass, args=(far, near), daemon=True).start()

    @staticmethod
    def _pass(source, sink):
        try:
            while part := source.recv(65536):
                sink.sendall(part)
        except OSError:
            pass
        finally:
            shut(source)
            shut(sink)

    def cut(self):
        with self.lock:
            self.is_cut = True
            for end in self.ends:
                shut(end)
            self.ends = []

    def join(self):
        with self.lock:
            self.is_cut = False

    def close(self):
        self.listener.close()
        self.cut()


def shut(end):
    try:
        end.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass


class Net(Workplace):
    """Signers of both kinds: geth is the first, `count - 1` of ours follow, all connected."""

    def __init__(self, directory, count, founders=None, wallets=0):
        super().__init__(directory, ChainmeshNode, directory / "genesis.json")
        self.count, self.founders, self.cuts = count, founders or count, []
        self.wallet_count = wallets

    def __enter__(self):
        super().__enter__()
        self.keys = [Key(self.directory / f"key{n}.hex") for n in range(self.count)]
        self.wallets = [Key(self.directory / f"wallet{n}.hex") for n in range(self.wallet_count)]
        self.genesis.write_text(json.dumps(genesis([k.address for k in self.keys[:self.founders]],
                                                   rich=[k.address for k in self.wallets])))
        self.geth = GethSigner("geth", self.directory, self.genesis)
        self.nodes.append(self.geth)
        self.geth.become(self.keys[0], self.wallets)
        self.ours = []
        for n in range(1, self.count):
            node = self.node(f"ours{n}")
            node.arguments = ["--validator-key", self.keys[n].path]
            self.ours.append(node)
        return self

    def __exit__(self, *error):
        for cut in self.cuts:
            cut.close()
        return super().__exit__(*error)

    def start_all(self, divided=()):
        """Starts all; the links between `divided` nodes and the others can be cut."""
        self.geth.start()
        running = [self.geth]
        for node in self.ours:
            for other in running:
                enode = other.enode()
                if (node in divided) != (other in divided):
                    cut = Cut(enode)
                    self.cuts.append(cut)
                    enode = cut.enode
                node.arguments += ["--bootnode", enode]
            node.start()
            running.append(node)
        for node in running:
            wait_until(f"{node.name} has {self.count - 1} peers", 30,
                       lambda n=node: n.peer_count() >= self.count - 1)

    def all(self):
        return [self.geth, *self.ours]

    def agree(self, what, blocks, seconds):
        """Waits until all have `blocks` more than the highest has now, and the same ones."""
        target = max(node.number() for node in self.all()) + blocks
        for node in self.all():
            wait_until(f"{what}: {node.name} has block {target} (it has {node.number()})", seconds,
                       lambda n=node: n.number() >= target)
        settled = target - UNSETTLED
        wait_until(f"{what}: all have the same block {settled}", 30,
                   lambda: len({hash_at(node, settled) for node in self.all()}) == 1)
        return settled


def hash_at(node, number):
    return node.call("eth_getBlockByNumber", hex(number), False)["hash"]


def sealers(node, first, last):
    """Who sealed these blocks, by what the node itself says."""
    found = {}
    for number in range(first, last + 1):
        signer = node.call("clique_getSigner", hex(number)).lower()
        found[signer] = found.get(signer, 0) + 1
    return found


def snapshot(node, number=None):
    """Votes and signers behind a block (the head), in a form that can be compared."""
    shown = node.call("clique_getSnapshot", *([] if number is None else [hex(number)]))
    lower = lambda value: json.loads(json.dumps(value).lower())
    return {"signers": sorted(lower(shown["signers"])), "recents": lower(shown["recents"]),
            "votes": lower(shown["votes"]) or [], "tally": lower(shown["tally"])}


def same_snapshots(nodes, numbers):
    for number in numbers:
        first, *others = [(node.name, snapshot(node, number)) for node in nodes]
        for name, other in others:
            if other != first[1]:
                raise Failure(f"behind block {number}: {first[0]} has {first[1]}, {name} has {other}")


def sync_from_geth(directory):
    """geth alone seals; a node of ours that starts later fetches the chain from it and follows it."""
    with Net(directory, 1) as net:
        net.geth.start()
        wait_until("geth has sealed 12 blocks", 60, lambda: net.geth.number() >= 12)
        ours = net.node("ours")
        ours.start(bootnode=net.geth.enode())
        began = time.monotonic()
        start = net.geth.number()
        wait_until("our node has the chain", 30, lambda: ours.number() >= start)
        took = time.monotonic() - began
        wait_until("our node follows", 30, lambda: ours.number() >= start + 5)
        number = start + 5 - 1
        if hash_at(ours, number) != hash_at(net.geth, number):
            raise Failure(f"block {number} is another one here")
        same_snapshots([net.geth, ours], [1, number])
        return f"{start} blocks after {took:.1f} s, and followed it to #{ours.number()}"


def sign_together(directory):
    """Two founders (geth, ours) and two that are voted in; one is voted out again; 3 epochs."""
    with Net(directory, 4, founders=2) as net:
        net.start_all()
        first, third, fourth = net.ours
        wait_until("both founders seal", 60, lambda: net.geth.number() >= 4)
        wait_until("the third is no signer", 10, lambda: state(third) == "notASigner")
        for address in (net.keys[2].address, net.keys[3].address):
            for voter in (net.geth, first):
                voter.call("clique_propose", address, True)
        everybody = sorted(key.address for key in net.keys)
        wait_until("all four are signers", 60,
                   lambda: all(signers(node) == everybody for node in net.all()))
        voted = net.geth.number()
        wait_until("the third seals", 10, lambda: state(third) in ("sealing", "signedRecently"))
        net.agree("four signers", 30, 120)
        # Two of four are not enough to drop one, three are.
        for voter in (net.geth, first):
            voter.call("clique_discard", net.keys[3].address)
            voter.call("clique_propose", net.keys[3].address, False)
        tally = wait_until("two votes against the fourth", 60, lambda: against(net, 3, 2))
        third.call("clique_propose", net.keys[3].address, False)
        three = sorted(key.address for key in net.keys[:3])
        wait_until("the fourth is none any more", 60,
                   lambda: all(signers(node) == three for node in net.all()))
        wait_until("the fourth says so", 10, lambda: state(fourth) == "notASigner")
        wait_until(f"{BLOCKS} blocks", 120 + 3 * BLOCKS,
                   lambda: net.geth.number() >= BLOCKS + UNSETTLED)
        settled = net.agree("to the end", 5, 60)
        same_snapshots(net.all(), range(1, settled + 1))
        check_epochs(net, settled)
        counts = sealers(first, 1, settled)
        if counts != sealers(net.geth, 1, settled) or set(counts) != set(everybody):
            raise Failure(f"sealed by {counts}")
        shares = [counts[key.address] for key in net.keys]
        return (f"{settled} blocks, the same {settled} snapshots in all four; voted in by #{voted}; sealed "
                f"by geth {shares[0]}, ours {shares[1:]}; pending votes seen: {tally}")


def signers(node):
    return sorted(signer.lower() for signer in node.call("clique_getSigners"))


def state(node):
    return node.call("clique_validator")["state"]


def against(net, number, votes):
    """The votes against a signer that geth counts, if there are so many."""
    tally = snapshot(net.geth)["tally"].get(net.keys[number].address)
    return tally if tally and tally["votes"] >= votes else None


def check_epochs(net, settled):
    """Each checkpoint lists the signers of its parent, and casts no vote."""
    checkpoints = range(EPOCH, settled + 1, EPOCH)
    for number in checkpoints:
        block = net.geth.call("eth_getBlockByNumber", hex(number), False)
        extra = block["extraData"][2 + 64:-130]
        listed = sorted("0x" + extra[n:n + 40] for n in range(0, len(extra), 40))
        if listed != snapshot(net.ours[0], number - 1)["signers"] or int(block["nonce"], 16):
            raise Failure(f"checkpoint {number} lists {listed}")
    if len(checkpoints) < 3:
        raise Failure("there were not three epochs")


def take_over(directory):
    """The guide: our node follows a geth signer, geth stops sealing, and we go on with its keystore."""
    with Net(directory, 1) as net:
        net.geth.start()
        wait_until("geth has sealed 5 blocks", 60, lambda: net.geth.number() >= 5)
        ours = net.node("ours")
        run(ChainmeshNode.program, "init", "--data-dir", ours.data, "--genesis", net.genesis)
        ours.start(bootnode=net.geth.enode())
        wait_until("our node has the chain", 30, lambda: ours.number() >= 5)
        ours.stop()
        net.geth.call("miner_stop")
        moved = net.geth.number()
        keystore, = (net.geth.data / "keystore").iterdir()
        wrong = net.geth.data / "wrong"
        wrong.write_text("another password\n")
        status, output = run_tool(
            [ChainmeshNode.program, "run", "--data-dir", ours.data, "--port", "0",
             "--validator-keystore", keystore, "--password-file", wrong], 30)
        if status != 1 or "the password does not open the keystore file" not in output:
            raise Failure(f"with a wrong password: exit {status}: {output.strip()[-300:]}")
        ours.arguments = ["--validator-keystore", keystore,
                          "--password-file", net.geth.data / "password", "--vanity", "moved",
                          "--gas-limit", "25000000"]
        ours.start(bootnode=net.geth.enode())
        wait_until("our node seals", 30, lambda: ours.number() >= moved + 5)
        wait_until("geth follows", 60, lambda: net.geth.number() >= moved + 5)
        settled = moved + 4
        if hash_at(ours, settled) != hash_at(net.geth, settled):
            raise Failure(f"block {settled} is another one in geth")
        block = net.geth.call("eth_getBlockByNumber", hex(settled), False)
        if not block["extraData"].startswith("0x" + b"moved".hex()):
            raise Failure(f"the extra data are {block['extraData']}")
        if not int(block["gasLimit"], 16) < 0x1c9c380:
            raise Failure("the gas limit did not move")
        return f"geth sealed up to #{moved}, we go on from there; geth follows to #{net.geth.number()}"


def geth_killed(directory):
    """geth is killed while three seal; the other two go on; restarted, it comes back and seals."""
    with Net(directory, 3) as net:
        net.start_all()
        net.agree("before", 9, 60)
        net.geth.kill()
        before = net.ours[0].number()
        wait_until("the others go on", 60, lambda: net.ours[0].number() >= before + 6)
        net.geth.start()
        kept = net.geth.number()
        back = net.ours[0].number()
        wait_until("geth seals again", 90, lambda: net.keys[0].address in sealers(
            net.ours[0], back + 1, net.ours[0].number()))
        settled = net.agree("after", 10, 60)
        same_snapshots(net.all(), [settled])
        return f"killed at #{before}, back with #{kept}, one chain at #{settled}, sealed by all three"


def partition(directory):
    """geth and one of ours on one side, two of ours on the other: neither has a majority."""
    with Net(directory, 4) as net:
        far = net.ours[1:]
        net.start_all(divided=far)
        net.agree("before", 8, 60)
        for cut in net.cuts:
            cut.cut()
        cut_at = net.geth.number()
        # Each side can seal two blocks at most, since a signer may seal one of three.
        wait_until("the far side stands still", 60, lambda: all(
            state(node) == "signedRecently" for node in [net.ours[0], *far]))
        time_of_heads = [node.head() for node in net.all()]
        if time_of_heads[0][1] == time_of_heads[2][1]:
            raise Failure("both sides have the same head: nothing was divided")
        for cut in net.cuts:
            cut.join()
        began = time.monotonic()
        settled = net.agree("after the heal", 12, 120)
        same_snapshots(net.all(), range(cut_at - 3, settled + 1))
        heads = ", ".join(f"{node.name} #{head[0]}" for node, head in zip(net.all(), time_of_heads))
        return (f"cut at #{cut_at}; stood still at {heads}; one chain at #{settled} "
                f"{time.monotonic() - began:.0f} s after the heal")


class FullDisk(ChainmeshNode):
    """Our node, for which a write beyond the limit of its files is an error and not its end."""

    def run_command(self, bootnode):
        return ["env", "--ignore-signal=XFSZ", *super().run_command(bootnode)]


def readiness(port):
    """Status and text of /readyz: what a load balancer asks."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def disk_full(directory):
    """The file of the blocks may not grow for a while: the validator says so, and goes on later."""
    with Workplace(directory, ChainmeshNode, directory / "genesis.json") as place:
        key = Key(directory / "key.hex")
        place.genesis.write_text(json.dumps(genesis([key.address])))
        node = FullDisk("validator", directory, place.genesis)
        place.nodes.append(node)
        metrics = free_port()
        node.arguments = ["--validator-key", key.path, "--metrics", f"127.0.0.1:{metrics}"]
        node.start()
        wait_until("two blocks", 30, lambda: node.number() >= 2)
        if readiness(metrics) != (200, "ready\n"):
            raise Failure(f"it is not ready: {readiness(metrics)}")
        unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
        # Enough for its log, and nothing for the pages of its database.
        least = (64 << 10, resource.RLIM_INFINITY)
        resource.prlimit(node.process.pid, resource.RLIMIT_FSIZE, least)
        wait_until("it says that blocks cannot be stored", 30,
                   lambda: state(node) == "storeFailed")
        said = node.call("clique_validator")
        status, why = readiness(metrics)
        if status != 503 or not why.startswith("disk: "):
            raise Failure(f"it says that it is ready: {status}, {why}")
        stopped = node.number()
        time.sleep(3 * PERIOD)
        if node.number() != stopped:
            raise Failure("it went on although nothing could be stored")
        resource.prlimit(node.process.pid, resource.RLIMIT_FSIZE, unlimited)
        wait_until("it goes on", 30, lambda: node.number() >= stopped + 3 and state(node) == "sealing")
        if readiness(metrics)[0] != 200:
            raise Failure(f"it is not ready again: {readiness(metrics)}")
        node.kill()
        node.start()
        if node.number() < stopped + 3:
            raise Failure(f"after a restart it has block {node.number()}")
        return f"stopped at #{stopped}, \"{said['text']}\", and went on"
