"""Transactions beside go-ethereum v1.13.15: both ways through one network, and in chains that one node
fetches from the other.

go-ethereum is the wallet, too: it signs what is sent to our nodes.
"""

import json
import os
import re
import time
import urllib.request

from clique_cases import GethSigner, Key, Net, genesis, hash_at, sealers
from harness import ChainmeshNode, Failure, Workplace, wait_until
from rpc_chain import TOPIC, assemble, creation, patient

# Blocks that geth and ours seal together while transactions come.
BLOCKS = int(os.environ.get("CHAINMESH_TRANSACTION_BLOCKS", 24))
GWEI = 10 ** 9
SOMEBODY = "0x" + "55" * 20
# Adds one to what is at slot 0, and logs it.
COUNTER = assemble([1, 0, "SLOAD", "ADD", "DUP1", 0, "SSTORE", 0, "MSTORE",
                    "CALLER", bytes.fromhex(TOPIC[2:]), 32, 0, "LOG2", "STOP"])


def transaction_cases(directory, report):
    """All cases of the group; each has a network of its own."""
    cases = {
        "both ways, geth and ours sign": both_ways,
        "we sync from a geth signer": we_sync,
        "geth syncs from our signer": geth_syncs,
    }
    for name, case in cases.items():
        report.case(f"transactions: {name}", lambda c=case: c(directory / c.__name__))


class Wallet:
    """An account whose key geth has. It counts its own nonces."""

    def __init__(self, geth, key):
        self.geth, self.address, self.nonce = geth, key.address, 0
        wait_until("geth has unlocked the account", 30, lambda: patient(
            lambda: geth.call("eth_sign", self.address, "0x00"), "authentication needed"))

    def fields(self, **fields):
        nonce, self.nonce = self.nonce, self.nonce + 1
        return {"from": self.address, "nonce": hex(nonce), "gas": hex(200_000), "chainId": hex(1515),
                "maxFeePerGas": hex(10 * GWEI), "maxPriorityFeePerGas": hex(GWEI), **fields}

    def send(self, **fields):
        """Sends by geth's RPC."""
        return self.geth.call("eth_sendTransaction", self.fields(**fields))

    def sign(self, **fields):
        """The transaction, signed, for another node."""
        return self.geth.call("eth_signTransaction", self.fields(**fields))["raw"]


class FullNode(ChainmeshNode):
    """Our node, asked over HTTP."""

    def http(self, method, *params):
        found = re.search(r"^http://127\.0\.0\.1:\d+$", self.log.read_text(), re.MULTILINE)
        if not found:
            raise Failure(f"{self.name} has not printed where HTTP is: {self.log_tail()}")
        request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}
        request = urllib.request.Request(found.group(0), json.dumps(request).encode(),
                                         {"content-type": "application/json"})
        with urllib.request.urlopen(request, timeout=10) as answer:
            answer = json.load(answer)
        if "result" not in answer:
            raise Failure(f"{self.name}: {method} answered {answer.get('error')}")
        return answer["result"]


def receipt(node, hash_of):
    return patient(lambda: node.call("eth_getTransactionReceipt", hash_of), "indexing is in progress")


def mined(nodes, hashes, seconds=60):
    """Waits until each node has a receipt for each transaction."""
    for node in nodes:
        for hash_of in hashes:
            wait_until(f"{node.name} has a receipt for {hash_of}", seconds,
                       lambda n=node, h=hash_of: receipt(n, h))


def same_results(nodes, hashes, contract, accounts):
    """All nodes say the same about these transactions and what they did; the receipts."""
    receipts = [receipt(nodes[0], hash_of) for hash_of in hashes]
    head = max(int(one["blockNumber"], 16) for one in receipts)
    questions = [("eth_getTransactionReceipt", hash_of) for hash_of in hashes]
    questions += [("eth_getTransactionByHash", hash_of) for hash_of in hashes[:20]]
    questions += [("eth_getBlockByNumber", hex(head), True), ("eth_getCode", contract, hex(head)),
                  ("eth_getStorageAt", contract, "0x0", hex(head)),
                  ("eth_getLogs", {"fromBlock": "0x0", "toBlock": hex(head), "address": contract})]
    for account in accounts:
        questions += [("eth_getBalance", account, hex(head)),
                      ("eth_getTransactionCount", account, hex(head))]
    for question in questions:
        said = {node.name: node.call(*question) for node in nodes}
        if len({json.dumps(one, sort_keys=True) for one in said.values()}) != 1:
            raise Failure(f"{question}: {json.dumps(said)[:1500]}")
    failed = [one["transactionHash"] for one in receipts if one["status"] != "0x1"]
    if failed:
        raise Failure(f"{len(failed)} transactions failed, the first is {failed[0]}")
    return receipts


def count_is(node, contract, expected):
    """Each call of the counter counted once, and was logged once."""
    stored = int(node.call("eth_getStorageAt", contract, "0x0", "latest"), 16)
    logs = node.call("eth_getLogs", {"fromBlock": "0x0", "address": contract})
    if (stored, [int(log["data"], 16) for log in logs]) != (expected, list(range(1, expected + 1))):
        raise Failure(f"{node.name}: the counter is at {stored} with {len(logs)} logs, not {expected}")


def pools_are_empty(nodes):
    for node in nodes:
        wait_until(f"the pool of {node.name} is empty", 30, lambda n=node: all(
            int(count, 16) == 0 for count in n.call("txpool_status").values()))


def deploy(wallet, nodes):
    """The counter, sent by geth's RPC; its address, by what every node says."""
    made = wallet.send(data=creation(COUNTER))
    mined(nodes, [made])
    return receipt(nodes[0], made)["contractAddress"], made


def both_ways(directory):
    """geth and two of ours sign; transactions are sent to geth and, over HTTP, to a full node of ours that
    knows only our signers."""
    with Net(directory, 3, wallets=2) as net:
        net.start_all()
        full = FullNode("full", directory, net.genesis)
        net.nodes.append(full)
        full.arguments = ["--http", "127.0.0.1:0", "--bootnode", net.ours[1].enode()]
        full.start(bootnode=net.ours[0].enode())
        wait_until("the full node has its peers", 30, lambda: full.peer_count() == 2)
        nodes = [*net.all(), full]
        here, there = Wallet(net.geth, net.wallets[0]), Wallet(net.geth, net.wallets[1])
        contract, made = deploy(here, nodes)
        to_geth, to_ours = [], []
        first = net.geth.number()
        while net.geth.number() < first + BLOCKS or not seals_one_of(net, to_ours):
            if net.geth.number() > first + 5 * BLOCKS:
                raise Failure("geth sealed nothing of what was sent to our full node")
            to_geth.append(here.send(to=contract))
            to_geth.append(here.send(to=SOMEBODY, value="0x1"))
            to_ours.append(full.http("eth_sendRawTransaction", there.sign(to=contract)))
            to_ours.append(full.http("eth_sendRawTransaction", there.sign(to=SOMEBODY, value="0x2")))
            time.sleep(0.2)  # the pace of the wallets
        mined(nodes, [*to_geth, *to_ours])
        settled = net.agree("all are mined", 8, 60)
        wait_until("the full node has it", 30, lambda: hash_at(full, settled) == hash_at(net.geth, settled))
        hashes = [made, *to_geth, *to_ours]
        receipts = same_results(nodes, hashes, contract, [here.address, there.address, SOMEBODY])
        for node in nodes:
            count_is(node, contract, (len(to_geth) + len(to_ours)) // 2)
        pools_are_empty(nodes)
        geth_seals = net.keys[0].address
        blocks = {one["blockNumber"] for one in receipts}
        sealer = {number: net.geth.call("clique_getSigner", number).lower() for number in blocks}
        by = {one["transactionHash"]: sealer[one["blockNumber"]] for one in receipts}
        ours_of_geth = sum(by[hash_of] != geth_seals for hash_of in to_geth)
        geths_of_ours = sum(by[hash_of] == geth_seals for hash_of in to_ours)
        if not ours_of_geth or not geths_of_ours or len(set(by.values())) != 3:
            raise Failure(f"sealed by {sealers(net.geth, 1, settled)}")
        return (f"{len(hashes)} transactions in {len(blocks)} blocks up to #{settled}, the same receipts in "
                f"{len(nodes)} nodes; of {len(to_geth)} sent to geth {ours_of_geth} sealed by ours, of "
                f"{len(to_ours)} sent to our full node {geths_of_ours} sealed by geth")


def seals_one_of(net, hashes):
    """Whether geth has sealed one of these. It fills a block when the one before comes, and ours when it is
    sealed a second later, so that little is left for geth."""
    blocks = {one["blockNumber"] for one in map(lambda h: receipt(net.geth, h), hashes) if one}
    return any(net.geth.call("clique_getSigner", number).lower() == net.keys[0].address for number in blocks)


def we_sync(directory):
    """geth alone seals a chain with contracts and calls; ours fetches it, and follows it with more."""
    with Net(directory, 1, wallets=1) as net:
        net.geth.start()
        wallet = Wallet(net.geth, net.wallets[0])
        contract, made = deploy(wallet, [net.geth])
        hashes, first = [made], net.geth.number()
        while net.geth.number() < first + 8:
            hashes += [wallet.send(to=contract) for _ in range(20)]
            hashes.append(wallet.send(data=creation(COUNTER)))
            hashes.append(wallet.send(to=SOMEBODY, value="0x7"))
            time.sleep(0.5)  # the pace of the wallet
        mined([net.geth], hashes)
        ours = net.node("ours")
        began, start = time.monotonic(), net.geth.number()
        ours.start(bootnode=net.geth.enode())
        wait_until("our node has the chain", 30, lambda: ours.number() >= start)
        took = time.monotonic() - began
        before = len(hashes)
        hashes += [wallet.send(to=contract) for _ in range(20)]
        calls = (before - 1) // 22 * 20 + 20
        mined([net.geth, ours], hashes)
        same_results([net.geth, ours], hashes, contract, [wallet.address, SOMEBODY, net.keys[0].address])
        count_is(ours, contract, calls)
        pools_are_empty([net.geth, ours])
        return (f"{start} blocks with {before} transactions after {took:.1f} s, and {len(hashes) - before} more "
                "as they came: the same state")


def geth_syncs(directory):
    """Ours alone seals a chain with contracts and calls; geth fetches it, follows it, and sends more."""
    with Workplace(directory, ChainmeshNode, directory / "genesis.json") as place:
        signer, key = Key(directory / "signer.hex"), Key(directory / "wallet.hex")
        place.genesis.write_text(json.dumps(genesis([signer.address], rich=[key.address])))
        ours = FullNode("ours", directory, place.genesis)
        geth = GethSigner("geth", directory, place.genesis)
        place.nodes += [ours, geth]
        geth.become(None, [key])
        # It begins to sync at once when it has as many peers as it may have.
        geth.arguments[geth.arguments.index("--maxpeers") + 1] = "1"
        ours.arguments = ["--validator-key", signer.path, "--http", "127.0.0.1:0"]
        ours.start()
        geth.start()
        wallet = Wallet(geth, key)
        send = lambda **fields: ours.http("eth_sendRawTransaction", wallet.sign(**fields))
        hashes = [send(data=creation(COUNTER))]
        mined([ours], hashes)
        contract, calls = receipt(ours, hashes[0])["contractAddress"], 0
        while ours.number() < 10:
            hashes += [send(to=contract) for _ in range(20)]
            hashes += [send(data=creation(COUNTER)), send(to=SOMEBODY, value="0x7")]
            calls += 20
            time.sleep(0.5)  # the pace of the wallet
        mined([ours], hashes)
        if geth.number():
            raise Failure("geth has blocks before it knows our node")
        start = ours.number()
        geth.call("admin_addPeer", ours.enode())
        wait_until("geth has the chain", 60, lambda: geth.number() >= start)
        before = len(hashes)
        hashes += [wallet.send(to=contract) for _ in range(20)]
        hashes += [send(to=contract) for _ in range(20)]
        mined([ours, geth], hashes)
        same_results([ours, geth], hashes, contract, [key.address, SOMEBODY, signer.address])
        count_is(geth, contract, calls + 40)
        pools_are_empty([ours, geth])
        return (f"{start} blocks with {before} transactions; then 20 sent to geth and 20 to ours: the same "
                f"state at #{geth.number()}")
