"""The interop cases: what a foreign program, or a killed node, must see of ours."""

import json
import os
import re
import shutil
import subprocess
import time

from harness import (
    CACHE, ROOT, SHARED, ChainmeshNode, Failure, GethNode, SlowLink, Workplace, run_tool, wait_until)
from mesh_decoder import crosscheck

DEVP2P = CACHE / "devp2p"
CHAINS = SHARED / "data" / "chains"

# Heads of the chains as go-ethereum computes them: v1.13.15 after importing the file of pow-3000;
# prague-600's is the headBlockHash of its headfcu.json.
HEADS = {
    "halfchain": (999, "0x0e70e01064023f70f047dbf0b97e7109e4aa5df3d643d45f8e91e47d3d67a424"),
    "pow-3000": (3000, "0x08b44ea00a0898751b1561439f7355138dba4561b0f2a5470b6b2daf890585c9"),
    "prague-600": (600, "0x44e3809c9a3cda717f00aea3a9da336d149612c8d5657fbc0028176ef8d94d2a"),
}

# Cases of `devp2p rlpx eth-test` v1.13.7 and how many seconds each may take. The tool itself counts a
# read that times out after 10 s as "the node disconnected", and spins for ever when the node disconnects
# in the middle of a request: the limits make both of these a failure.
ETH_TESTS = {
    "TestStatus": 20,
    "TestGetBlockHeaders": 20,
    "TestSimultaneousRequests": 20,
    "TestSameRequestID": 20,
    "TestZeroRequestID": 20,
    "TestGetBlockBodies": 20,
    "TestMaliciousHandshake": 9,
    "TestMaliciousStatus": 9,
}


def expect_head(node, want):
    if (have := node.head()) != want:
        raise Failure(f"{node.name}: head is {have}, expected {want}")


def rlpx_cases(directory, node_class, report):
    """`devp2p rlpx ping` and the eth-test cases against one node that has the half chain."""
    genesis = CHAINS / "pow-3000" / "genesis.json"
    with Workplace(directory, node_class, genesis) as place:
        node = place.node("target")
        started = report.case("import halfchain.rlp, start", lambda: start_with(node, "halfchain"))
        if not started:
            return
        report.case("rlpx ping", lambda: ping(node))
        for name, seconds in ETH_TESTS.items():
            report.case(f"rlpx eth-test {name}", lambda n=name, s=seconds: eth_test(node, n, s))
        report.case("head unchanged, no peer left over", lambda: still_well(node))
        report.case("stops on SIGINT", node.stop)
        if report.failed:
            print(f"      {place.logs()}", flush=True)


def start_with(node, chain):
    folder = "pow-3000" if chain == "halfchain" else chain
    file = "halfchain.rlp" if chain == "halfchain" else "chain.rlp"
    node.import_chain(CHAINS / folder / file)
    node.start()
    expect_head(node, HEADS[chain])
    return f"head #{HEADS[chain][0]}"


def ping(node):
    """The tool prints our Hello: version 5 (with snappy), eth/68 among the capabilities, our id."""
    enode = node.enode()
    status, output = run_tool([DEVP2P, "rlpx", "ping", enode], 15)
    hello = re.search(r"\{Version:(\d+) Name:(.*) Caps:\[(.*?)\] ListenPort:\d+ ID:\[([\d ]+)\]", output)
    if status != 0 or not hello:
        raise Failure(f"exit {status}: {output.strip()[-300:]}")
    version, name, capabilities, identity = hello.groups()
    public_key = bytes(map(int, identity.split())).hex()
    if version != "5" or "eth/68" not in capabilities.split() or public_key not in enode:
        raise Failure(f"unexpected Hello: {hello.group(0)}")
    return f"{name} [{capabilities}]"


def eth_test(node, name, seconds):
    folder = CHAINS / "pow-3000"
    status, output = run_tool(
        [DEVP2P, "rlpx", "eth-test", "--tap", "--run", f"^{name}$", node.enode(),
         folder / "chain.rlp", folder / "genesis.json"], seconds)
    if status != 0 or not re.search(rf"^ok 1 {name}$", output, re.MULTILINE):
        raise Failure(f"exit {status}: {output.strip()[-600:]}")


def still_well(node):
    """The malicious cases left a node that answers, has its head, and holds no dead peer."""
    expect_head(node, HEADS["halfchain"])
    wait_until("the tester's connections are gone", 30, lambda: node.peer_count() == 0)


def kill_case(directory, node_class, chain):
    """Three nodes sync a chain from a fourth; one is killed with -9 in the middle and started again."""
    folder = CHAINS / chain
    length = HEADS[chain][0]
    with Workplace(directory, node_class, folder / "genesis.json") as place:
        source = place.node("source")
        start_with(source, chain)
        link = SlowLink(source.enode(), rate=(folder / "chain.rlp").stat().st_size / 8)
        followers = [place.node("first"), place.node("second")]
        killed = place.node("killed")
        began = time.monotonic()
        for follower in followers:
            follower.start(bootnode=source.enode())
        killed.start(bootnode=link.enode)
        wait_until("the node to be killed has a quarter of the chain", 90,
                   lambda: killed.number() >= length // 4)
        seen = killed.number()
        killed.kill()
        if seen >= length:
            raise Failure(f"it had all {seen} blocks before it could be killed: nothing was tested")
        # With the link closed, what it says after the restart is what it had kept.
        link.open, link.rate = False, None
        killed.start(bootnode=link.enode)
        kept = killed.number()
        if not seen <= kept < length:
            raise Failure(f"it had shown block {seen}, and after the restart it had {kept}")
        link.open = True
        for node in [*followers, killed]:
            wait_until(f"{node.name} has block {length}", 90, lambda n=node: n.number() >= length)
            expect_head(node, HEADS[chain])
        wait_until("the source counts three peers", 30, lambda: source.peer_count() == 3)
        link.close()
        return (f"killed at #{seen}, had #{kept} after the restart, "
                f"all at #{length} after {time.monotonic() - began:.1f} s")


def follow_case(directory):
    """geth follows a chain that our validator seals, block by block."""
    genesis = directory / "genesis.json"
    with Workplace(directory, ChainmeshNode, genesis) as place:
        validator = place.node("validator")
        status, output = run_tool(
            [ChainmeshNode.program, "key", "new", "--data-dir", validator.data], 20)
        address = re.search(r"^address\s+0x([0-9a-fA-F]{40})$", output, re.MULTILINE)
        if status != 0 or not address:
            raise Failure(f"key new: exit {status}: {output.strip()[-300:]}")
        genesis.write_text(json.dumps(clique_genesis(address.group(1))))
        validator.arguments = ["--validator-key", validator.data / "p2p_key"]
        validator.start()

        follower = GethNode("geth", directory, genesis)
        place.nodes.append(follower)
        status, output = run_tool(
            [GethNode.program, "init", "--datadir", follower.data, genesis], 60)
        if status != 0:
            raise Failure(f"geth init: exit {status}: {output.strip()[-300:]}")
        # It begins to sync at once when it has as many peers as it may have.
        follower.arguments = ["--maxpeers", "1"]
        follower.start()
        # Blocks to fetch as a range, and then blocks to follow.
        wait_until("the validator has three blocks", 30, lambda: validator.number() >= 3)
        follower.call("admin_addPeer", validator.enode())
        wait_until("geth has eight blocks", 60, lambda: follower.number() >= 8)
        number, hash_of_geth = follower.head()
        ours = validator.call("eth_getBlockByNumber", hex(number), False)["hash"]
        if ours != hash_of_geth:
            raise Failure(f"block {number} is {ours} here and {hash_of_geth} there")
        return f"geth is at #{number} with our hash"


def clique_genesis(signer):
    """A network that geth before v1.14 can follow: every fork to London from the first block on."""
    forks = ["homestead", "eip150", "eip155", "eip158", "byzantium", "constantinople", "petersburg",
             "istanbul", "berlin", "london"]
    config = {"chainId": 1515, "clique": {"period": 1, "epoch": 30000}}
    config.update({f"{fork}Block": 0 for fork in forks})
    return {"config": config, "difficulty": "0x1", "gasLimit": "0x1c9c380", "alloc": {},
            "timestamp": hex(int(time.time()) - 30),
            "extraData": "0x" + "00" * 32 + signer + "00" * 65}


def mesh_cases(report):
    """The mesh packets against the second decoder, both ways. Needs cargo, no node and no foreign tool."""
    programs = []
    if not report.case("mesh: build mesh_vectors", lambda: programs.append(build_mesh_vectors())):
        return
    program = programs[0]
    checks = {
        "vectors": lambda: crosscheck.vectors(program),
        "ours read there": lambda: crosscheck.ours_read_there(program, 6000, 1),
        "theirs read here": lambda: crosscheck.theirs_read_here(program, 2000, 2),
        "damaged ones": lambda: crosscheck.damaged(program, 24000, 3),
        "zstd": zstd_was_there,
    }
    for name, check in checks.items():
        report.case(f"mesh: {name}", lambda c=check: agreed(c))


def build_mesh_vectors():
    """Path of the example program, built now: a stale one would judge old code."""
    done = subprocess.run(
        ["cargo", "build", "--quiet", "-p", "chainmesh-wire", "--example", "mesh_vectors",
         "--message-format=json"], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    built = [json.loads(line).get("executable") for line in done.stdout.splitlines()]
    if done.returncode or not any(built):
        raise Failure(f"cargo build: exit {done.returncode}")
    return next(path for path in built if path and os.path.basename(path).startswith("mesh_vectors"))


def agreed(check):
    try:
        return check()
    except crosscheck.Disagreement as error:
        raise Failure(str(error)) from error


def zstd_was_there():
    if shutil.which("zstd"):
        return "checked with the program of that name"
    if os.environ.get("CI") == "true":
        raise Failure("the program zstd is not there")
    return "SKIP: the program zstd is not there, packed payloads were left out"
