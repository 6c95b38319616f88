"""Tests of what the harness concludes: `python3 -m unittest harness.tests` in bench/."""

import tempfile
import unittest
from pathlib import Path

from . import load, report, rows
from .samples import Sample, ratio, summarise

H2LOAD = """
TLS Protocol: TLSv1.3
Cipher: TLS_AES_128_GCM_SHA256
Application protocol: h2
finished in 1.02s, 9803.92 req/s, 10.5MB/s
requests: 10000 total, 10000 started, 10000 done, {good} succeeded, {bad} failed, 0 errored, 0 timeout
status codes: {good} 2xx, 0 3xx, 0 4xx, {bad} 5xx
traffic: 10.1MB (10600000) total, 100KB (102400) headers (space savings 90%), 9.77MB (10240000) data
time for connect:     1.20ms      3.40ms      2.50ms       500us    90.00%
"""


def wrk_line(**changed):
    got = {"requests": 100, "bytes": 120_000, "us": 1_000_000, "p99_us": 2500, "max_us": 9000}
    got |= {key: 0 for key in ("connect", "read", "write", "status", "timeout")} | changed
    return "Running\nBENCH " + str(got).replace("'", '"') + "\n"


class Load(unittest.TestCase):
    def test_a_good_run_of_wrk_has_no_faults(self):
        seen = load.wrk_seen(wrk_line())
        self.assertEqual((seen.requests, seen.rps, seen.p99_ms), (100, 100.0, 2.5))
        self.assertEqual(seen.faults(1024), [])

    def test_errors_and_short_bodies_are_faults(self):
        self.assertEqual(load.wrk_seen(wrk_line(status=3)).faults(1024), ["3 not 2xx"])
        # A redirect is no error to wrk, but has no body of the size asked for.
        self.assertEqual(len(load.wrk_seen(wrk_line(bytes=20_000)).faults(1024)), 1)
        self.assertTrue(load.wrk_seen("unable to connect").faults(1024))

    def test_h2load_is_read(self):
        seen = load.h2load_seen(H2LOAD.format(good=10000, bad=0), 10_000)
        self.assertEqual((seen.requests, seen.rps, seen.body_bytes), (10_000, 9803.92, 10_240_000))
        self.assertEqual(seen.facts["Application protocol"], "h2")
        self.assertEqual(seen.facts["connect_ms"], 2.5)
        self.assertEqual(seen.faults(1024), [])

    def test_one_response_of_h2load_that_is_not_2xx_is_a_fault(self):
        self.assertEqual(load.h2load_seen(H2LOAD.format(good=9999, bad=1), 10_000).faults(1000), ["1 not 2xx"])

    def test_a_hit_that_reached_the_origin_is_a_fault(self):
        seen = load.wrk_seen(wrk_line(requests=10_000, bytes=20_000_000))
        self.assertTrue(rows._checked(seen, "/cached/1k.txt", proxied=False, reached=10_000))
        self.assertFalse(rows._checked(seen, "/cached/1k.txt", proxied=False, reached=2))
        self.assertTrue(rows._checked(seen, "/fresh/1k.txt", proxied=True, reached=2))


class Figures(unittest.TestCase):
    def test_each_median_is_its_own_and_a_fault_of_one_round_stays(self):
        got = summarise([Sample(3.0, 10), Sample(1.0, 30), Sample(2.0, 20, faults=["1 not 2xx"])])
        self.assertEqual((got.figure, got.rps, got.faults), (2.0, 20, ["1 not 2xx"]))

    def test_a_peer_with_faults_is_not_the_best(self):
        row = {
            "seawall": summarise([Sample(10.0)]),
            "a": summarise([Sample(5.0, faults=["x"])]),
            "b": summarise([Sample(20.0)]),
        }
        self.assertEqual(ratio(row), (0.5, "b"))

    def test_seawall_with_faults_has_no_ratio(self):
        row = {"seawall": summarise([Sample(float("nan"), faults=["x"])]), "b": summarise([Sample(20.0)])}
        self.assertEqual(ratio(row), (None, None))
        self.assertIn("BAD: x", report.text(rows.ROWS[0], row))

    def test_markdown_replaces_its_own_block_only(self):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "README.md"
            path.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n")
            report.write_markdown(path, f"{report.BEGIN}\nnew\n{report.END}")
            self.assertEqual(path.read_text(), f"before\n{report.BEGIN}\nnew\n{report.END}\nafter\n")


if __name__ == "__main__":
    unittest.main()
