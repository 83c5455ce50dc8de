"""The SDKs of FISCO BCOS, as applications have them in production, against two of our nodes.

Every case goes by conditions: a message that came, a response, a connection. What a node has to learn first
(who follows a topic at the other node) is waited for by asking until the answer changes.
"""

import contextlib
import os
import pathlib
import re
import socket
import time

from harness import ChainmeshNode, Failure, run_tool, wait_until
from sdk_clients import CURVE_OPTIONS, JavaClient, digest, padded, setup
from tls_cases import Program
from tls_certificates import SdkChain

# What SDKs of 2.x call it when nobody follows a topic.
NO_SUBSCRIBER = 100
# Longest topic of 2.x, bytes: its length plus one is one byte.
LONGEST_TOPIC = 254
MULTICAST = 0x35


class SdkNode:
    """`chainmesh run --consortium` with the SDK port of 2.x on a fixed port, to be found again after a restart."""

    def __init__(self, name, directory, certificates, sdk_certificates, neighbours):
        self.name, self.directory = name, directory
        self.certificates, self.sdk_certificates = certificates, sdk_certificates
        self.neighbours = neighbours
        self.p2p, self.sdk = free_port(), free_port()
        self.program = None

    @property
    def address(self):
        return f"127.0.0.1:{self.sdk}"

    def start(self):
        command = [ChainmeshNode.program, "run", "--consortium", "--data-dir", self.directory / f"{self.name}-data",
                   "--cert-dir", self.certificates, "--listen", "127.0.0.1", "--port", self.p2p,
                   *PORT_OPTIONS(self)]
        for neighbour in self.neighbours:
            command += ["--node", f"127.0.0.1:{neighbour.p2p}"]
        self.program = Program(command)
        self.program.__enter__()
        self.program.wait(f"{self.name} listens for SDKs", lambda: self.program.ended() or accepts(self.sdk))
        if self.program.ended():
            raise Failure(f"{self.name} ended with {self.program.process.returncode}: {self.tail()}")

    def kill(self):
        self.program.process.kill()
        self.program.process.wait()

    def stop(self):
        if self.program is not None:
            self.program.__exit__()

    def tail(self):
        return "" if self.program is None else self.program.text()[-1500:]


def PORT_OPTIONS(node):
    """Flags by which a node is given its port for SDKs of 2.x."""
    return ["--sdk-channel", f"127.0.0.1:{node.sdk}", "--sdk-cert-dir", node.sdk_certificates]


def free_port():
    """A port that was free a moment ago; a restarted node has to have the same one again."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def accepts(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    except OSError:
        return False


def has_port():
    """Whether our program has a port for SDKs of 2.x at all."""
    _, text = run_tool([ChainmeshNode.program, "run", "--help"], 20)
    return re.search(r"^\s+--sdk-channel\b", text, re.MULTILINE) is not None


class Net:
    """Two nodes that are neighbours, and certificates for SDKs of one kind of key."""

    def __init__(self, directory, key_kind):
        self.directory, self.key_kind = pathlib.Path(directory), key_kind
        self.directory.mkdir(parents=True)
        self.chain = SdkChain(self.directory / "sdk-chain", "sdk-chain", key_kind)
        self.nodes, self.clients = [], []
        authority = self.directory / "ca"
        our_ca("init", "--ca", authority, "--name", "interop")
        for name in ("n0", "n1"):
            own = self.directory / name
            our_ca("issue", "--ca", authority, "--name", name, "--out", own)
            port = self.chain.node(f"{name}-port")
            self.nodes.append(SdkNode(name, self.directory, own, port.directory, list(self.nodes)))

    def __enter__(self):
        try:
            for node in self.nodes:
                node.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        for end in [*self.clients, *reversed(self.nodes)]:
            with contextlib.suppress(OSError):
                end.close() if isinstance(end, JavaClient) else end.stop()

    def client(self, name, *nodes, certificates=None, **more):
        """A client of the SDK with a certificate of its own, connected to these nodes."""
        certificates = certificates or self.chain.sdk(name)
        if self.key_kind == "secp256k1":
            more.setdefault("options", CURVE_OPTIONS)
        made = JavaClient(name, "java-2", certificates, [self.nodes[n].address for n in nodes], self.directory,
                          **more)
        self.clients.append(made)
        return made

    def tails(self):
        return "\n".join(f"{node.name}: {node.tail()}" for node in self.nodes)


def our_ca(*arguments):
    status, output = run_tool([ChainmeshNode.program, "ca", *arguments], 20)
    if status:
        raise Failure(f"chainmesh ca {arguments[0]}: {output}")


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
        if last[0]["code"] not in (0, NO_SUBSCRIBER):
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
    return f"answered: echo:hello, topic {topic}"


def no_subscriber(publisher):
    response = publisher.publish("nobody-is-here", "hello")
    if response["code"] != NO_SUBSCRIBER:
        raise Failure(f"code {response['code']}: {response['error']}")
    return f"code {response['code']}, {response['error']}"


def unsubscribed(publisher, subscriber):
    """After the list without the topic nobody has it."""
    subscriber.subscribe("for-a-while")
    until_known(publisher, "for-a-while")
    subscriber.say("unsubscribe for-a-while")
    subscriber.wait("unsubscribe", "unsubscribed")

    def nobody():
        return publisher.publish("for-a-while", "hello")["code"] == NO_SUBSCRIBER

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
        if len(got) != 1 or got[0]["type"] != MULTICAST:
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
        survivor.wait("message", "message", topic=topic, text=f"after-{i}", seconds=0)
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
    subscriber.wait("it notices", "disconnected", 15, after=after)
    net.nodes[node].start()
    began = time.monotonic()
    subscriber.wait("it connects again", "connected", 45, after=after)
    connected = time.monotonic() - began
    # Its own neighbour has to dial or be dialled again as well.
    until_known(publisher, topic, 60)
    expect_echo(publisher.publish(topic, "again"), b"again")
    return f"connected again after {connected:.1f} s, messages {time.monotonic() - began:.1f} s after the start"


def large(publisher, subscriber, topic, size):
    """A message of that size arrives whole by unicast, comes back whole, and arrives whole by multicast."""
    subscriber.subscribe(topic)
    until_known(publisher, topic)
    content = padded("large", size)
    after = subscriber.position()
    expect_echo(publisher.publish(topic, "large", "--bytes", size, "--timeout", 20000, seconds=25), content)
    publisher.multicast(topic, "large", "--bytes", size)
    got = subscriber.wait("both", "message", 25, after=after, count=2, sha256=digest(content))
    types = sorted(one["type"] for one in got)
    if types != [0x30, MULTICAST]:
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


def private(publisher, good, bad, topic):
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
    time.sleep(3)  # a verdict cannot be seen from here: it has this long to be wrong
    refused = publisher.publish(topic, "secret-0", "--private")
    if refused["code"] != NO_SUBSCRIBER:
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
    leaked = [one for one in bad.find("message") if one["text"].startswith("secret")]
    if leaked:
        raise Failure(f"the refused one got {leaked}")
    return f"code {refused['code']} for the wrong key, 10 answered by the right one"


def shared_certificate(net):
    """All SDKs of an organisation have one sdk.crt: a publisher that comes when a subscriber has just gone does
    not inherit its topics, and nothing waits for it."""
    certificates = net.chain.sdk("everybody")
    subscriber = net.client("first", 0, certificates=certificates)
    subscriber.started()
    stays = net.client("stays", 0, certificates=certificates)
    stays.started()
    for one in (subscriber, stays):
        one.subscribe("shared")
    publisher = net.client("second", 0, certificates=certificates)
    publisher.started()
    shared_until_both(publisher, (subscriber, stays), "shared")
    subscriber.kill()
    third = net.client("third", 0, certificates=certificates)
    third.started()
    for i in range(10):
        expect_echo(third.publish("shared", f"m-{i}", "--timeout", 4000), f"m-{i}".encode())
    return "10 messages, all answered at once by the subscriber that is left"


def java2_cases(directory, report):
    """The whole matrix with P-256; with other kinds of keys that they work at all."""
    net = Net(directory / "p256", "P-256")
    with net:
        made = {}

        def clients():
            for name, node in (("publisher", 0), ("near", 0), ("far", 1), ("other", 1), ("third", 0)):
                made[name] = net.client(name, node)
            for one in made.values():
                one.started()
            return ", ".join(made)

        if not report.case("sdk: java-2: P-256: connects", with_logs(net, clients)):
            return
        publisher, near, far, other, third = made.values()
        longest = "t" * LONGEST_TOPIC
        for name, check in {
            "unicast with echo, same node": lambda: unicast(publisher, near, "near"),
            "unicast with echo, another node": lambda: unicast(publisher, far, "far"),
            "publisher is its own subscriber": lambda: unicast(publisher, publisher, "myself"),
            "no subscriber": lambda: no_subscriber(publisher),
            "unsubscribe, same node": lambda: unsubscribed(publisher, near),
            "unsubscribe, another node": lambda: unsubscribed(publisher, far),
            "multicast": lambda: multicast(publisher, (publisher, near, far, other), "everybody"),
            "longest topic, same node": lambda: unicast(publisher, near, longest),
            "longest topic, another node": lambda: unicast(publisher, far, "u" * LONGEST_TOPIC),
            "40 kB, same node": lambda: large(publisher, near, "large", 40_000),
            "40 kB, another node": lambda: large(publisher, far, "large-far", 40_000),
            "1 MB, same node": lambda: large(publisher, near, "larger", 1_000_000),
            "1 MB, another node": lambda: large(publisher, far, "larger-far", 1_000_000),
            "burst of 1,000, same node": lambda: burst(publisher, near, "burst", 1000),
            "burst of 1,000, another node": lambda: burst(publisher, far, "burst-far", 1000),
            "private topic": lambda: private(publisher, far, near, "private"),
            "silent subscriber, another node": lambda: silent(publisher, other, far, "silent"),
            "killed subscriber, same node": lambda: killed(publisher, third, near, "killed"),
            "killed subscriber, another node": lambda: killed(publisher, other, far, "killed-far"),
            "node restarted": lambda: restarted(net, publisher, far, 1, "restart"),
            "one certificate for all": lambda: shared_certificate(net),
        }.items():
            report.case(f"sdk: java-2: {name}", with_logs(net, check))
    for kind in ("RSA-2048", "secp256k1"):
        report.case(f"sdk: java-2: {kind}", lambda k=kind: other_keys(directory / k, k))


def other_keys(directory, kind):
    with Net(directory, kind) as net:
        return with_logs(net, lambda: keys_work(net))()


def keys_work(net):
    publisher, far = net.client("publisher", 0), net.client("far", 1)
    for one in (publisher, far):
        one.started()
    unicast(publisher, far, "far")
    return multicast(publisher, (publisher, far), "everybody")


def with_logs(net, check):
    """A failure shows the end of the nodes' logs."""
    def checked():
        try:
            return check()
        except Failure as failure:
            raise Failure(f"{failure}\n{net.tails()}") from None
    return checked


def sdk_cases(directory, report):
    """False if what they need is not there, and need not be."""
    if not has_port():
        print("SKIP: interop: sdk: chainmesh run has no port for SDKs (--sdk-channel)", flush=True)
        return False
    why = setup("java-2")
    if why and os.environ.get("CI") == "true":
        report.case("sdk: java-2: what it needs", lambda: fail(why))
    elif why:
        print(f"SKIP: interop: sdk: {why}", flush=True)
        return False
    else:
        java2_cases(directory / "java-2", report)
    return True


def fail(text):
    raise Failure(text)
