"""The newest go-ethereum, which has no sync of its own without a beacon client, fetches a chain of proof
of authority from a node of ours: `geth --syncmode full --synctarget HASH`."""

import json

from cases import expect_head
from ethtest_cases import clique_chain
from harness import CACHE, ChainmeshNode, GethNode, Workplace, wait_until
from clique_cases import run

LAST = 1040


class NewGeth(GethNode):
    """go-ethereum v1.17.5."""

    program = CACHE / "geth-1.17"


def synctarget_cases(directory, report):
    """The only case of the group."""
    report.case("geth v1.17.5 --synctarget", lambda: synctarget(directory))


def synctarget(directory):
    """It gets the hash of our head, and has then the same chain and state; then a later hash, by RPC."""
    chain, _ = clique_chain(directory / "chain")
    genesis = json.loads((chain / "genesis.json").read_text())
    # It does not start without one; the blocks are the same.
    genesis["config"]["terminalTotalDifficulty"] = 10 ** 18
    (chain / "genesis.json").write_text(json.dumps(genesis))
    with Workplace(directory / "nodes", ChainmeshNode, chain / "genesis.json") as place:
        ours, geth = place.node("ours"), NewGeth("geth", place.directory, place.genesis)
        place.nodes.append(geth)
        ours.import_chain(chain / "chain.rlp")
        ours.arguments = ["--eth69"]
        ours.start()
        first, last = (ours.call("eth_getBlockByNumber", hex(number), False)["hash"]
                       for number in (LAST - 40, LAST))
        run(geth.program, "init", "--datadir", geth.data, geth.genesis)
        geth.arguments = ["--synctarget", first]
        geth.start()
        geth.call("admin_addPeer", ours.enode())
        wait_until("geth has the first target", 60, lambda: geth.number() == LAST - 40)
        expect_head(geth, (LAST - 40, first))
        geth.call("debug_sync", last)
        wait_until("geth has the second target", 60, lambda: geth.number() == LAST)
        expect_head(geth, (LAST, last))
        return f"#{LAST - 40}, and by debug_sync #{LAST}, with our hashes and states"
