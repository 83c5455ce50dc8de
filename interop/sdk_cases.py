"""The SDKs of FISCO BCOS, as applications have them in production, against two of our nodes.

Every case goes by conditions: a message that came, a response, a connection. What a node has to learn first
(who follows a topic at the other node) is waited for by asking until the answer changes.
"""

import os
import re
import time

from harness import Failure, wait_until
from sdk_clients import CURVE_OPTIONS, digest, padded, setup
from sdk_net import Net, has_ports

# What SDKs are told when nobody follows a topic.
NO_SUBSCRIBER = {"java-2": 100, "java-3": 3001}
# Longest topic, bytes: 2.x has one byte for its length plus one, 3.x two bytes for its length.
LONGEST_TOPIC = {"java-2": 254, "java-3": 65_535}
# Beside P-256. The SDK of 3.x refuses secp256k1: its OpenSSL has the curve not among its groups.
OTHER_KEYS = {"java-2": ["RSA-2048", "secp256k1"], "java-3": ["RSA-2048"]}
# The type of a multicast, which only the SDK of 2.x tells.
MULTICAST = 0x35


def expect_echo(response, content):
    """The response is the subscriber's, to exactly this content."""
    want = b"echo:" + content
    if response["code"] != 0 or response.get("sha256") != digest(want):
        raise Failure(f"{response['of']}: code {response['code']} ({response['error']}), "
                      f"{response.get('bytes')} bytes {response.get('text', '')[:60]!r}, expected {len(want)} bytes")
    return response


def until_known(publisher, topic, seconds=20):
    """Publishes until a subscriber answers: topics travel between nodes, which takes a moment."""
    last = []

    def answered():
        text = f"known-{time.monotonic_ns()}"
        last[:] = [publisher.publish(topic, text)]
        if last[0]["code"] not in (0, NO_SUBSCRIBER[publisher.kind]):
            raise Failure(f"until {topic} is known: code {last[0]['code']}: {last[0]['error']}")
        return last[0]["code"] == 0

    wait_until(f"{topic} is known to the node of {publisher.name}", seconds, answered)


def unicast(publisher, subscriber, topic):
    """Unicast with echo; the subscriber has it once, as it was."""
    subscriber.subscribe(topic)
    until_known(publisher, topic)
    after = subscriber.position()
    expect_echo(publisher.publish(topic, "hello"), b"hello")
    subscriber.wait("hello", "message", after=after, topic=topic, text="hello")
    return f"answered: echo:hello, topic of {len(topic)} bytes"


def no_subscriber(publisher):
    response = publisher.publish("nobody-is-here", "hello")
    if response["code"] != NO_SUBSCRIBER[publisher.kind]:
        raise Failure(f"code {response['code']}: {response['error']}")
    return f"code {response['code']}, {response['error']}"


def unsubscribed(publisher, subscriber):
    """After the list without the topic nobody has it."""
    subscriber.subscribe("for-a-while")
    until_known(publisher, "for-a-while")
    subscriber.say("unsubscribe for-a-while")
    subscriber.wait("unsubscribe", "unsubscribed")

    def nobody():
        return publisher.publish("for-a-while", "hello")["code"] == NO_SUBSCRIBER[publisher.kind]

    wait_until("the topic has no subscriber", 20, nobody)


def multicast(publisher, subscribers, topic):
    """Each subscriber has each message exactly once, and with the type of a multicast."""
    for one in subscribers:
        one.subscribe(topic)
    known(publisher, subscribers, topic)
    after = {one: one.position() for one in subscribers}
    # The SDK hands messages to a pool of threads: that there is no second one is seen after a later message.
    for text in ("to-all", "fence"):
        publisher.multicast(topic, text)
        for one in subscribers:
            one.wait(text, "message", after=after[one], topic=topic, text=text)
    for one in subscribers:
        got = one.find("message", after[one], topic=topic, text="to-all")
        if len(got) != 1 or got[0].get("type", MULTICAST) != MULTICAST:
            raise Failure(f"{one.name} has it {len(got)} times: {got}")
    return f"{len(subscribers)} subscribers, once each"


def known(publisher, subscribers, topic):
    """Multicasts until each subscriber has had one."""
    after = {one: one.position() for one in subscribers}

    def all_have_it():
        publisher.multicast(topic, f"known-{time.monotonic_ns()}")
        time.sleep(0.1)  # the pace of asking
        return all(one.find("message", after[one], topic=topic) for one in subscribers)

    wait_until(f"{topic} is known", 20, all_have_it)


def shared_until_both(publisher, subscribers, topic):
    """Publishes until each of the subscribers was drawn once."""
    after = {one: one.position() for one in subscribers}

    def both():
        publisher.publish(topic, f"draw-{time.monotonic_ns()}")
        return all(one.find("message", after[one], topic=topic) for one in subscribers)

    wait_until("each subscriber is drawn", 60, both)


def killed(publisher, victim, survivor, topic):
    """One of two subscribers is killed: every message after that is answered by the other."""
    for one in (victim, survivor):
        one.subscribe(topic)
    shared_until_both(publisher, (victim, survivor), topic)
    victim.kill()
    for i in range(20):
        expect_echo(publisher.publish(topic, f"after-{i}"), f"after-{i}".encode())
        survivor.wait("message", "message", topic=topic, text=f"after-{i}")
    return "20 messages, all answered by the one that is left"


def silent(publisher, victim, survivor, topic):
    """One of two subscribers stops reading: what is drawn for it goes to the other after 5 s."""
    for one in (victim, survivor):
        one.subscribe(topic)
    shared_until_both(publisher, (victim, survivor), topic)
    victim.stop_reading()
    slow = 0
    try:
        for i in range(200):
            began = time.monotonic()
            expect_echo(publisher.publish(topic, f"silent-{i}", "--timeout", 12000, seconds=15),
                        f"silent-{i}".encode())
            took = time.monotonic() - began
            if took > 3:
                slow = took
                break
    finally:
        victim.go_on()
    if not 4 < slow < 8:
        raise Failure(f"never drawn, or not after 5 s: {slow:.1f} s")
    return f"answered by the other one after {slow:.1f} s"


def restarted(net, publisher, subscriber, node, topic):
    """The subscriber's node dies and starts again: the SDK connects again and has its topic again."""
    subscriber.subscribe(topic)
    until_known(publisher, topic)
    after = subscriber.position()
    net.nodes[node].kill()
    tells = subscriber.kind == "java-2"
    if tells:
        subscriber.wait("it notices", "disconnected", 15, after=after)
    net.nodes[node].start()
    began = time.monotonic()
    if tells:
        subscriber.wait("it connects again", "connected", 45, after=after)
    # The nodes have to find each other again as well.
    until_known(publisher, topic, 60)
    expect_echo(publisher.publish(topic, "again"), b"again")
    return f"messages again {time.monotonic() - began:.1f} s after the node's start"


def large(publisher, subscriber, topic, size):
    """A message of that size arrives whole by unicast, comes back whole, and arrives whole by multicast."""
    subscriber.subscribe(topic)
    until_known(publisher, topic)
    content = padded("large", size)
    after = subscriber.position()
    expect_echo(publisher.publish(topic, "large", "--bytes", size, "--timeout", 20000, seconds=25), content)
    publisher.multicast(topic, "large", "--bytes", size)
    got = subscriber.wait("both", "message", 25, after=after, count=2, sha256=digest(content))
    types = sorted(one["type"] for one in got if "type" in one)
    if types not in ([], [0x30, MULTICAST]):
        raise Failure(f"types {types}")


def burst(publisher, subscriber, topic, count):
    """So many unicasts at once: each is answered, each is delivered once. The same by multicast."""
    subscriber.subscribe(topic)
    until_known(publisher, topic)
    after, began = subscriber.position(), time.monotonic()
    mine = publisher.position()
    publisher.say(f"publish {topic} burst --count {count} --timeout 30000")
    responses = publisher.wait("all responses", "response", 40, after=mine, count=count)
    took = time.monotonic() - began
    for response in responses:
        expect_echo(response, response["of"].encode())
    exactly_once(subscriber, after, topic, "burst", count)
    after, began = subscriber.position(), time.monotonic()
    publisher.say(f"publish {topic} cast --count {count} --multicast")
    subscriber.wait("all of them", "message", 40, after=after, count=count, topic=topic)
    exactly_once(subscriber, after, topic, "cast", count)
    return f"{count} answered in {took:.1f} s, {count} multicast in {time.monotonic() - began:.1f} s"


def exactly_once(subscriber, after, topic, name, count):
    got = sorted(one["text"] for one in subscriber.find("message", after, topic=topic))
    if got != sorted(f"{name}-{i}" for i in range(count)):
        raise Failure(f"{len(got)} messages, {len(set(got))} different ones, of {count}")


def private(net, publisher, good, bad, topic):
    """A subscriber with a key that the publisher named gets messages, one with another key does not."""
    keys = []
    for one in (good, bad):
        after = one.position()
        one.say("key")
        keys.append(one.wait("a key", "key", after=after))
    # Refused first: nobody may have it.
    publisher.say(f"publish-private {topic} {keys[0]['public']}")
    publisher.wait("publishing", "publishing", topic=topic)
    bad.say(f"subscribe-private {topic} {keys[1]['private']} --echo")
    bad.wait("subscribe", "subscribed", topic=topic)
    judged = re.compile(rf'private topic was judged .*_{topic}" granted=false')
    wait_until("the wrong subscriber is judged", 20, lambda: judged.search(net.nodes[0].program.text()))
    refused = publisher.publish(topic, "secret-0", "--private")
    if refused["code"] != NO_SUBSCRIBER[publisher.kind]:
        raise Failure(f"with the wrong subscriber alone: code {refused['code']}: {refused['error']}")
    good.say(f"subscribe-private {topic} {keys[0]['private']} --echo")
    good.wait("subscribe", "subscribed", topic=topic)

    def accepted():
        return publisher.publish(topic, "secret-1", "--private")["code"] == 0

    wait_until("the right subscriber is accepted", 30, accepted)
    for i in range(10):
        expect_echo(publisher.publish(topic, f"secret-2-{i}", "--private"), f"secret-2-{i}".encode())
    publisher.multicast(topic, "secret-all", "--private")
    good.wait("the multicast", "message", text="secret-all")
    leaked = bad.find("message", topic=topic)
    if leaked:
        raise Failure(f"the refused one got {leaked}")
    return f"code {refused['code']} for the wrong key, 10 answered by the right one"


def shared_certificate(net, kind):
    """All SDKs of an organisation have one sdk.crt: one that comes when a subscriber has just gone does not
    inherit its topics, and nothing waits for it."""
    certificates = net.chain.sdk(f"everybody-{kind}")

    def another(name):
        made = net.client(f"{name}-{kind}", kind, 0, certificates=certificates)
        made.started()
        return made

    topic = f"shared-{kind}"
    subscriber, stays = another("first"), another("stays")
    for one in (subscriber, stays):
        one.subscribe(topic)
    shared_until_both(another("second"), (subscriber, stays), topic)
    subscriber.kill()
    third = another("third")
    for i in range(10):
        expect_echo(third.publish(topic, f"m-{i}", "--timeout", 4000), f"m-{i}".encode())
    return "10 messages, all answered at once by the subscriber that is left"


# Name and node of the clients of the matrix.
CLIENTS = (("publisher", 0), ("near", 0), ("far", 1), ("other", 1), ("third", 0))


def connect(net, kind, made):
    for name, node in CLIENTS:
        made[name] = net.client(f"{name}-{kind}", kind, node)
    for one in made.values():
        one.started()
    return ", ".join(made)


def matrix(net, kind, made):
    """(name, check) of everything that an SDK of either generation does."""
    publisher, near, far, other, third = made.values()
    longest = LONGEST_TOPIC[kind]

    def own(topic):
        # The other family's subscribers are still there.
        return f"{kind}-{topic}"

    yield "unicast with echo, same node", lambda: unicast(publisher, near, own("near"))
    yield "unicast with echo, another node", lambda: unicast(publisher, far, own("far"))
    # An SDK takes whatever comes with the seq of its open request for the answer: such a push has another one.
    yield "publisher and subscriber in one", lambda: unicast(publisher, publisher, own("myself"))
    yield "no subscriber", lambda: no_subscriber(publisher)
    yield "unsubscribe, same node", lambda: unsubscribed(publisher, near)
    yield "unsubscribe, another node", lambda: unsubscribed(publisher, far)
    yield "multicast", lambda: multicast(publisher, (publisher, near, far, other), own("everybody"))
    yield "longest topic, same node", lambda: unicast(publisher, near, own("t" * (longest - len(own("")))))
    yield "longest topic, another node", lambda: unicast(publisher, far, own("u" * (longest - len(own("")))))
    yield "40 kB, same node", lambda: large(publisher, near, own("large"), 40_000)
    yield "40 kB, another node", lambda: large(publisher, far, own("large-far"), 40_000)
    yield "1 MB, same node", lambda: large(publisher, near, own("larger"), 1_000_000)
    yield "1 MB, another node", lambda: large(publisher, far, own("larger-far"), 1_000_000)
    yield "burst of 1,000, same node", lambda: burst(publisher, near, own("burst"), 1000)
    yield "burst of 1,000, another node", lambda: burst(publisher, far, own("burst-far"), 1000)
    if kind == "java-2":
        # 3.x has no private topics.
        yield "private topic, accepted at another node", lambda: private(net, publisher, far, near, own("private"))
        yield "private topic, accepted here", lambda: private(net, publisher, near, far, own("private-near"))
    yield "silent subscriber, another node", lambda: silent(publisher, other, far, own("silent"))
    yield "killed subscriber, same node", lambda: killed(publisher, third, near, own("killed"))
    yield "killed subscriber, another node", lambda: killed(publisher, other, far, own("killed-far"))
    yield "node restarted", lambda: restarted(net, publisher, far, 1, own("restart"))
    yield "one certificate for all", lambda: shared_certificate(net, kind)


def family(report, net, kind):
    """The clients of one SDK, if all its cases could be run; else None."""
    made = {}
    if not report.case(f"sdk: {kind}: connects", with_logs(net, lambda: connect(net, kind, made))):
        return None
    for name, check in matrix(net, kind, made):
        report.case(f"sdk: {kind}: {name}", with_logs(net, check))
    return made


def other_keys(directory, kind, keys):
    """That an SDK works with this kind of keys at all."""
    with Net(directory, keys) as net:
        return with_logs(net, lambda: keys_work(net, kind))()


def keys_work(net, kind):
    publisher, far = net.client("publisher", kind, 0), net.client("far", kind, 1)
    for one in (publisher, far):
        one.started()
    unicast(publisher, far, "far")
    return multicast(publisher, (publisher, far), "everybody")


def refused_by_java(directory):
    """With its own TLS, Java 17 signs with a secp256k1 key over SHA-1 or SHA-224 only: it takes the other
    schemes for other curves. We offer neither, so it gives up, and both ends say so."""
    with Net(directory, "secp256k1") as net:
        client = net.client("publisher", "java-2", 0, options=CURVE_OPTIONS)
        cause = "No supported CertificateVerify signature algorithm for EC"
        wait_until("the client says why", 30, lambda: cause in client.log_text())
        wait_until("the node says it", 5, lambda: "an SDK was not let in: the handshake failed" in net.tails())
        return cause


def with_logs(net, check):
    """A failure shows the end of the nodes' logs."""
    def checked():
        try:
            return check()
        except Failure as failure:
            raise Failure(f"{failure}\n{net.tails()}") from None
    return checked


def all_cases(directory, report, kinds):
    """The whole matrix with P-256; with other kinds of keys that they work at all."""
    with Net(directory / "P-256", "P-256") as net:
        made = {kind: family(report, net, kind) for kind in kinds}
        if len(kinds) == 2 and all(made.values()):
            for one, two in (("java-2", "java-3"), ("java-3", "java-2")):
                publisher, near, far = made[one]["publisher"], made[two]["near"], made[two]["far"]
                name = f"sdk: {one} to {two}"
                for case, check in {
                    "unicast with echo, same node": lambda: unicast(publisher, near, f"near-{two}"),
                    "unicast with echo, another node": lambda: unicast(publisher, far, f"far-{two}"),
                    "multicast": lambda: multicast(publisher, (made[one]["far"], near, far), f"all-{one}"),
                    "1 MB, another node": lambda: large(publisher, far, f"large-{two}", 1_000_000),
                }.items():
                    report.case(f"{name}: {case}", with_logs(net, check))
    for kind in kinds:
        for keys in OTHER_KEYS[kind]:
            report.case(f"sdk: {kind}: {keys}", lambda: other_keys(directory / f"{kind}-{keys}", kind, keys))
    if "java-3" in kinds:
        report.case("sdk: java-3: without TLS", lambda: other_keys(directory / "plain", "java-3", None))
    if "java-2" in kinds:
        report.case("sdk: java-2: secp256k1 without TASSL", lambda: refused_by_java(directory / "refused"))


def sdk_cases(directory, report):
    """False if what they need is not there, and need not be."""
    if not has_ports():
        print("SKIP: interop: sdk: chainmesh run has no ports for SDKs", flush=True)
        return False
    kinds = []
    for kind in ("java-2", "java-3"):
        why = setup(kind)
        if not why:
            kinds.append(kind)
        elif os.environ.get("CI") == "true":
            report.case(f"sdk: {kind}: what it needs", lambda: fail(why))
        else:
            print(f"SKIP: interop: sdk: {kind}: {why}", flush=True)
    if kinds:
        all_cases(directory, report, kinds)
    return bool(kinds)


def fail(text):
    raise Failure(text)
