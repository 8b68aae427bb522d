"""A lab with real daemons, for the scripts beside this file that play something in one."""

import json
import os
import re
import subprocess
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# How long a daemon, or a client, may take to notice.
PATIENCE = 20


class Failed(Exception):
    pass


class Lab:
    """`documents` are what it starts with, in place of the lab's own."""

    def __init__(self, name, metallb, directory, documents):
        self.name = name
        self.metallb = metallb
        configuration = Path(directory) / "lab.yaml"
        configuration.write_text("\n---\n".join(json.dumps(document) for document in documents))
        self.log = Path(directory) / "lab.log"
        # Printed commands say `metallb`.
        (Path(directory) / "metallb").symlink_to(metallb)
        self.environment = {**os.environ, "PATH": f"{directory}:{os.environ['PATH']}", "NO_COLOR": "1"}
        with self.log.open("w") as log:
            command = [metallb, "lab", "up", "--name", name, "--no-color", "-f", str(configuration)]
            self.process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
        found = self.wait("the lab is up", lambda: re.search(r"export KUBECONFIG=(\S+)", self.log.read_text()), 120)
        self.environment["KUBECONFIG"] = found.group(1)

    def wait(self, what, condition, patience=PATIENCE):
        end = time.monotonic() + patience
        while True:
            found = condition()
            if found:
                return found
            if self.process.poll() is not None:
                raise Failed(f"the lab has ended:\n{self.log.read_text()}")
            if time.monotonic() > end:
                raise Failed(f"not within {patience} s: {what}")
            time.sleep(0.1)

    def run(self, *command, **options):
        options = {"capture_output": True, "text": True, "env": self.environment, "timeout": 60, **options}
        return subprocess.run(command, **options)

    def kubectl(self, *arguments, **options):
        done = self.run("kubectl", *arguments, **options)
        if done.returncode != 0:
            raise Failed(f"kubectl {' '.join(arguments)}: {done.stderr}")
        return done.stdout

    def apply(self, thing):
        self.kubectl("apply", "-f", "-", input=json.dumps(thing))

    def end(self):
        self.run(self.metallb, "lab", "down", "--name", self.name)
        self.process.wait(timeout=60)
