"""The interop cases: what a foreign program, or a killed node, must see of ours."""

import re
import time

from harness import CACHE, SHARED, Failure, SlowLink, Workplace, run_tool, wait_until

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
