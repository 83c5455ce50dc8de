"""The guides of docs/src that say how to run something are run: every block, in the order of the page.

A comment before a block says what it is for:

    <!-- file: PATH -->   it is a file of that name
    <!-- run -->          commands, which must succeed
    <!-- start -->        commands that go on until the end of the page
    <!-- prints -->       lines that the commands before it print, each as a part of a line, in this order
    <!-- prints: N -->    the same of what was started Nth, counted from 0

Ports of the page are replaced by such as are free.
"""

import os
import pathlib
import re
import shutil
import subprocess
import threading
import time

from harness import ROOT, ChainmeshNode, Failure, wait_until
from sdk_net import free_port

BLOCK = re.compile(r"<!-- (file|run|start|prints)(?:: (\S+))? -->\n```\w+\n(.*?)\n```\n", re.DOTALL)
# Longest that commands may take: Maven brings the jars of an SDK when they are not there yet.
PATIENCE = 300


class Started:
    """Commands that go on, and all that they have printed."""

    def __init__(self, text, folder, environment):
        self.output = ""
        # A group of its own, so that all of it can be ended.
        self.process = subprocess.Popen(["bash", "-euc", text], cwd=folder, env=environment, text=True,
                                        errors="replace", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, start_new_session=True)
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        for line in self.process.stdout:
            self.output += line

    def finish(self):
        """Waits for the end, which must be a good one."""
        try:
            status = self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            raise Failure(f"not done in {PATIENCE} s: {self.output[-600:]}") from None
        self.reader.join(5)
        if status:
            raise Failure(f"ended with {status}: {self.output[-600:]}")

    def stop(self):
        if self.process.poll() is None:
            os.killpg(self.process.pid, 15)
            self.process.wait(20)

    def prints(self, wanted):
        """Waits until it has printed these, in this order."""
        def all_there():
            rest = iter(self.output.splitlines())
            return all(any(text in line for line in rest) for text in wanted)

        try:
            wait_until(f"{wanted} printed", 60, all_there)
        except Failure as failure:
            raise Failure(f"{failure}: {self.output[-900:]}") from None


def run_page(page, folder, ports):
    """Runs a page in a folder; how many blocks it had."""
    folder.mkdir(parents=True)
    text = (ROOT / "docs" / "src" / page).read_text()
    for port in ports:
        text = re.sub(rf"\b{port}\b", str(free_port()), text)
    path = f"{ChainmeshNode.program.parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path}
    blocks, started, last = list(BLOCK.finditer(text)), [], None
    try:
        for kind, argument, content in (block.groups() for block in blocks):
            if kind == "file":
                place = folder / argument
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_text(content + "\n")
            elif kind == "prints":
                (last if argument is None else started[int(argument)]).prints(content.splitlines())
            else:
                last = Started(content, folder, environment)
                if kind == "start":
                    started.append(last)
                else:
                    last.finish()
    finally:
        for one in reversed(started):
            one.stop()
    return len(blocks)


def missing():
    if ChainmeshNode.program.name != "chainmesh":
        return f"{ChainmeshNode.program} is not called chainmesh, as the page has it"
    for program in ("java", "javac", "mvn", "bash"):
        if not shutil.which(program):
            return f"the program {program} is not there: apt-get install openjdk-17-jdk-headless maven"
    return None


def guide_cases(folder, report):
    """False if what it needs is not there, and need not be."""
    why = missing()
    if why:
        if os.environ.get("CI") == "true":
            report.case("guide: what it needs", lambda: fail(why))
        else:
            print(f"SKIP: interop: guide: {why}", flush=True)
        return False

    def java():
        began = time.monotonic()
        count = run_page("amop-java.md", pathlib.Path(folder) / "amop-java", (30300, 20200, 20201))
        return f"{count} blocks in {time.monotonic() - began:.0f} s"

    report.case("guide: AMOP from Java, as it is written", java)
    return True


def fail(text):
    raise Failure(text)
