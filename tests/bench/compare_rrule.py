#!/usr/bin/env python3
"""The next instant of the twelve rules of proto/benches/schedule.rs (DTSTART ten years back) beside
python-dateutil and npm's rrule and rrule-temporal: microseconds for each call, one table.

By hand: tests/bench/compare_rrule.py [--measured]
Runs `cargo bench -p hostler-proto --bench schedule` first (--measured takes its last figures), and
installs the others by name into a temporary folder. "wrong" marks an answer that is not ours: look
at it before believing either. A library that takes over five seconds for a rule is stopped.
"""

import json, os, pathlib, re, subprocess, sys, tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
SOURCE = (ROOT / "proto/benches/schedule.rs").read_text()
RULES = re.findall(r'"(FREQ=[^"]+)"', SOURCE.split("];")[0])
LIMIT = 5

DATEUTIL = """
import sys, time, datetime, zoneinfo
from dateutil.rrule import rrulestr
zone = zoneinfo.ZoneInfo("America/New_York")
rule = rrulestr(sys.argv[1], dtstart=datetime.datetime(2016, 3, 2, 9, 30, tzinfo=zone))
at = datetime.datetime.fromtimestamp(1772000000, zone)
calls, began = 0, time.perf_counter()
while calls < 50 and (calls == 0 or time.perf_counter() - began < 1):
    found = rule.after(at + datetime.timedelta(seconds=calls)); calls += 1
    first = found if calls == 1 else first
print((time.perf_counter() - began) / calls * 1e6, first and int(first.timestamp()))
"""
NODE = """
const [kind, rule] = process.argv.slice(2);
const text = "DTSTART;TZID=America/New_York:20160302T093000\\nRRULE:" + rule;
const lib = await import(kind);
const made = kind === "rrule" ? (lib.rrulestr ?? lib.default.rrulestr)(text)
                              : new lib.RRuleTemporal({ rruleString: text });
const ask = at => kind === "rrule" ? made.after(at) : made.next(at);
let calls = 0, first; const began = performance.now();
while (calls < 50 && (calls === 0 || performance.now() - began < 1000)) {
  const found = ask(new Date(1772000000000 + calls * 1000)); calls++;
  if (calls === 1) first = found;
}
const cost = (performance.now() - began) / calls * 1000;
const ms = first && (first.epochMilliseconds ?? first.getTime());
console.log(cost, first ? Math.floor(ms / 1000) : "None");
"""


def ours():
    """Median nanoseconds by rule, from criterion's records."""
    if "--measured" not in sys.argv:
        subprocess.run(["cargo", "bench", "-q", "-p", "hostler-proto", "--bench", "schedule"], cwd=ROOT, check=True)
    found = {}
    for record in (TARGET / "criterion").glob("next_instant/*/new/benchmark.json"):
        estimates = json.loads((record.parent / "estimates.json").read_text())
        found[json.loads(record.read_text())["function_id"]] = estimates["median"]["point_estimate"]
    return found


def told(command, folder):
    """(microseconds, first instant) of a library, or the word for why there is none."""
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=LIMIT + 2)
    except subprocess.TimeoutExpired:
        return f"> {LIMIT} s"
    words = done.stdout.split()
    return (float(words[0]), words[1]) if done.returncode == 0 and len(words) == 2 else "fails"


def instant(rule):
    """The instant that Hostler gives, from the program itself when it is built."""
    program = next((TARGET / kind / "hostler" for kind in ("release", "debug") if (TARGET / kind / "hostler").exists()), None)
    if program is None:
        return None
    from datetime import datetime
    done = subprocess.run([program, "schedule", "preview", "--rrule", rule, "--dtstart", "2016-03-02T09:30:00", "--tz",
                           "America/New_York", "--from", "2026-02-25T06:13:20Z", "--count", "1", "--json"],
                          capture_output=True, text=True)
    utc = re.search(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", done.stdout.split("dtstart")[-1])
    return str(int(datetime.fromisoformat(utc[0]).timestamp())) if utc else None


def main():
    own = ours()
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-m", "venv", "py"], cwd=folder, check=True)
        subprocess.run(["py/bin/pip", "-q", "install", "python-dateutil", "tzdata"], cwd=folder, check=True)
        subprocess.run(["npm", "install", "--silent", "--no-audit", "--no-fund", "rrule", "rrule-temporal"], cwd=folder, check=True)
        (pathlib.Path(folder) / "ask.py").write_text(DATEUTIL)
        (pathlib.Path(folder) / "ask.mjs").write_text(NODE)
        print(f"{'microseconds a call':<82}{'hostler':>9}{'dateutil':>14}{'rrule':>14}{'temporal':>14}")
        for rule in RULES:
            theirs = [told(["py/bin/python", "ask.py", rule], folder)]
            theirs += [told(["node", "ask.mjs", kind, rule], folder) for kind in ("rrule", "rrule-temporal")]
            right = instant(rule)
            cells = [f"{own.get(rule, float('nan')) / 1000:>9.1f}"]
            for one in theirs:
                wrong = not isinstance(one, str) and right and one[1] != right
                text = one if isinstance(one, str) else f"{one[0]:.1f}" + (" wrong" if wrong else "")
                cells.append(f"{text:>14}")
            print(f"{rule:<82}" + "".join(cells), flush=True)


if __name__ == "__main__":
    main()
