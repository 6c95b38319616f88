"""Real clients through the edge."""

import os
import pathlib
import subprocess
import sys

import origins
import place
from place import Place

root = pathlib.Path(__file__).parent
folder = place.folder()
certificate = place.certificate(folder)
grpc_server, grpc_port, echo = origins.start_grpc(*certificate)
edge = Place(grpc_port, origins.start_plain(), certificate, folder)

import with_curl  # noqa: E402
import with_python  # noqa: E402
import with_grpc  # noqa: E402

with_curl.run(edge)
with_python.run(edge)
with_grpc.run(edge, echo)

# Node's clients print lines of the same form; here they are only counted.
node = place.child(
    ["node", str(root / "with_node.mjs"), edge.secure, edge.clear],
    stdout=subprocess.PIPE, text=True, env={**os.environ, "NODE_EXTRA_CA_CERTS": edge.ca, "NODE_NO_WARNINGS": "1"})
for line in node.stdout:
    if line.startswith(("ok ", "FAIL ")):
        place.count(line.startswith("ok "), line.rstrip())
    else:
        print(line.rstrip())
if node.wait(60) != 0:
    place.count(False, f"FAIL  Node's clients ended with {node.returncode}")

grpc_server.stop(None)
if os.environ.get("SEAWALL_TEST_LOG"):
    print((folder / "log").read_text())
place.stop_children()
print(f"{place.passed} passed, {place.failed} failed")
sys.stdout.flush()
sys.exit(0 if place.failed == 0 and place.passed > 0 else 1)
