"""What the scripts about monitoring share: the shipped rules, their cases, the dashboard. Python's own library and promtool only.

The rules are read as text: they are written one way (see `deploy/monitoring/rules`), and a reader of all YAML is not part of
Python. What does not fit is an error, never skipped.
"""

import json
import os
import re
import subprocess
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RULES = ROOT / "deploy/monitoring/rules"
TESTS = ROOT / "deploy/monitoring/tests"
DASHBOARD = ROOT / "deploy/monitoring/dashboard/metallb-dashboard.json"
DASHBOARD_CONFIG_MAP = ROOT / "deploy/monitoring/dashboard/dashboard-configmap.yaml"
RULE_FILES = ["alerts.yaml", "recording-rules.yaml"]
PAGES = ["deploy/monitoring/README.md", "docs/metrics.md", "docs/logs.md", "docs/monitoring-proof.md", "docs/debug-state.md"]


class Alert:
    """An alert as text, and what is in it."""

    def __init__(self, text):
        self.text = text
        self.name = self._one(r"^  - alert: (\w+)$")
        self.duration = self._one(r"^    for: (\w+)$")
        self.severity = self._one(r"^      severity: (\w+)$")
        runbook = re.findall(r"^      runbook_url: (\S+)$", text, re.M)
        self.runbook = runbook[0] if runbook else None
        self.expression = self._expression()

    def _one(self, pattern):
        found = re.findall(pattern, self.text, re.M)
        if len(found) != 1:
            raise SystemExit(f"{len(found)} times {pattern!r} in\n{self.text}")
        return found[0]

    def _expression(self):
        block = re.search(r"^    expr: \|\n((?:      .*\n)+)", self.text, re.M)
        return block.group(1) if block else self._one(r"^    expr: (.+)$")


def rules(name):
    """The rules of a PrometheusRule, as a file that promtool and Prometheus read."""
    text = (RULES / name).read_text()
    _, found, spec = text.partition("\nspec:\n")
    if not found:
        raise SystemExit(f"{name}: no spec")
    return "".join(f"{line[2:]}\n" for line in spec.splitlines())


def groups(text):
    """Name and text of each group of a file of rules."""
    parts = re.split(r"^- name: (\S+)\n", text, flags=re.M)
    return list(zip(parts[1::2], parts[2::2]))


def alerts():
    """All alerts, in the order of the file."""
    found = []
    for _, text in groups(rules("alerts.yaml")):
        parts = re.split(r"^(?=  - alert: )", text, flags=re.M)
        found += [Alert(part) for part in parts[1:]]
    return found


def without_annotations(text):
    """The cases are about who fires; how it reads is tested elsewhere."""
    return re.sub(r"^    annotations:\n(?:      .*\n)+", "", text, flags=re.M)


def cases():
    return sorted(TESTS.glob("*.yaml"))


def prepare(directory):
    """Rules without annotations, and the cases, side by side."""
    for name in RULE_FILES:
        (directory / name).write_text(without_annotations(rules(name)))
    for path in cases():
        (directory / path.name).write_text(path.read_text())


def scratch():
    """A temporary directory, in memory where there is one: promtool writes and syncs a database for every test."""
    return tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None)


def run_promtool(directory, *arguments):
    environment = {**os.environ, "TMPDIR": str(directory)}
    try:
        return subprocess.run(["promtool", *arguments], cwd=directory, env=environment, capture_output=True, text=True)
    except FileNotFoundError:
        raise SystemExit("promtool is missing: apt-get install prometheus") from None


def promtool(directory, *arguments):
    found = run_promtool(directory, *arguments)
    if found.returncode:
        raise SystemExit(f"promtool {' '.join(arguments)}:\n{found.stdout}{found.stderr}")


def fail_on(problems):
    if problems:
        raise SystemExit("\n".join(problems))


def anchor(heading):
    kept = re.sub(r"[^\w\- ]", "", heading.strip().lower())
    return kept.replace(" ", "-")


def dead_links(page):
    """Links of a page to files and headings that do not exist."""
    found = []
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if link.startswith(("http://", "https://")):
            continue
        name, _, heading = link.partition("#")
        target = (page.parent / name) if name else page
        if not target.exists():
            found.append(f"{page.relative_to(ROOT)}: {link} leads nowhere")
        elif heading and heading not in {anchor(text) for text in re.findall(r"^#+ (.+)$", target.read_text(), re.M)}:
            found.append(f"{page.relative_to(ROOT)}: {link}: no such heading")
    return found


def panels(dashboard):
    """All panels, those of collapsed rows included, rows left out."""
    for panel in dashboard["panels"]:
        if panel["type"] == "row":
            yield from panel.get("panels", [])
        else:
            yield panel


def queries(dashboard):
    """Panel title and query of each target."""
    for panel in panels(dashboard):
        for target in panel.get("targets", []):
            yield panel["title"], target["expr"]


def filled(query, window="5m"):
    """A query as Grafana would send it: variables replaced, all nodes chosen."""
    replaced = {"$__rate_interval": window, "$__interval": "30s", "$__range": "1h", "$node": ".*", "$pool": ".*"}
    for name, value in sorted(replaced.items(), key=lambda pair: -len(pair[0])):
        query = query.replace(name, value)
    return query


def dashboard_problems(dashboard):
    problems = []
    expected = {"uid": "metallb-monitoring", "title": "MetalLB Monitoring"}
    problems += [f"dashboard: {key} is {dashboard.get(key)!r}" for key, value in expected.items() if dashboard.get(key) != value]
    if sorted(dashboard.get("tags", [])) != ["kubernetes", "load-balancer", "metallb"]:
        problems.append(f"dashboard: tags {dashboard.get('tags')}")
    names = [variable["name"] for variable in dashboard["templating"]["list"]]
    if "datasource" not in names:
        problems.append("dashboard: no variable datasource")
    ids = [panel["id"] for panel in dashboard["panels"]]
    if len(ids) != len(set(ids)):
        problems.append("dashboard: two panels have one id")
    taken = {}
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                if (x, y) in taken:
                    problems.append(f"dashboard: {panel['title']} lies over {taken[x, y]}")
                taken[x, y] = panel["title"]
                if x >= 24:
                    problems.append(f"dashboard: {panel['title']} is too wide")
    for panel in panels(dashboard):
        if panel["type"] == "text":
            continue
        if panel.get("datasource", {}).get("uid") != "${datasource}":
            problems.append(f"dashboard: {panel['title']} does not use the variable datasource")
        if not panel.get("description"):
            problems.append(f"dashboard: {panel['title']} has no description")
        for _, query in [(panel["title"], target["expr"]) for target in panel.get("targets", [])]:
            for variable in re.findall(r"\$(\w+)", query):
                if variable not in names and not variable.startswith("__"):
                    problems.append(f"dashboard: {panel['title']} uses ${variable}, which is no variable")
    return sorted(set(problems))


def config_map():
    """The ConfigMap from which Grafana's sidecar takes the dashboard."""
    indented = "".join(f"    {line}\n" for line in DASHBOARD.read_text().splitlines())
    return (
        "# Made from metallb-dashboard.json by `.ci/alerts --write`.\n"
        "apiVersion: v1\n"
        "kind: ConfigMap\n"
        "metadata:\n"
        "  name: metallb-grafana-dashboard\n"
        "  namespace: monitoring\n"
        "  labels:\n"
        "    app: metallb\n"
        '    grafana_dashboard: "1"\n'
        "data:\n"
        "  metallb-dashboard.json: |\n"
        f"{indented}"
    )
